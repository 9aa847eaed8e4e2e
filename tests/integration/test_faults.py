"""Some of the faults of tests/fault/faults.py, evenly spread; with SENDPOST_FULL=1 all of them, one for each system call."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fault"))

import fault_scenarios  # noqa: E402
import faults  # noqa: E402

SAMPLES = None if os.environ.get("SENDPOST_FULL") else 2


@pytest.fixture(scope="module")
def strace():
    if os.geteuid() != 0 or not shutil.which("strace"):
        pytest.skip("programs are disturbed by strace(1), and started as root")
    if subprocess.run(["strace", "-qqq", "-o", "/dev/null", "true"], check=False).returncode != 0:
        pytest.skip("strace(1) may not trace here")


@pytest.mark.parametrize("scenario", fault_scenarios.SCENARIOS)
def test_whatever_call_fails_the_promises_hold(scenario, strace):
    happened, problems = faults.run(scenario, SAMPLES)
    print(f"{happened} faults")
    assert not problems, "\n".join(problems)
    assert happened > 10


def test_an_engine_that_cannot_be_answered_ends(strace):
    """Instead of waiting for its answer while we wait for its next command, until the time for the message is over."""
    happened, problems = faults.run("deliver-curl", kinds=("send",))
    assert not problems, "\n".join(problems)
    assert happened > 10


def let_fail(name, kind, error, pattern):
    """Each call that looks like this, in a run of what is made already. Returns how many failed."""
    happened = 0
    with fault_scenarios.SCENARIOS[name]() as scenario:
        def attempt(*arguments):
            log = scenario.directory / "strace"
            log.unlink(missing_ok=True)
            fault = faults.Fault(*arguments, log)
            problems = scenario.attempt(fault)
            assert not problems, f"{fault}: {problems} [{fault.which()}]"
            return fault

        attempt(None, None, 0)  # makes the store
        for number in faults.numbers_of(pattern, kind, attempt(None, None, 0).text()):
            happened += attempt(kind, error, number).happened()
    return happened


def test_a_socket_that_libcurl_cannot_set_holds_up_nobody(strace):
    """Not blocking is asked for and not looked at by libcurl: reading then waits for a server that has said all."""
    assert let_fail("record", "lock", "ENOLCK", r"fcntl\(\d+, F_[GS]ETFL") >= 4, "of names and of HTTP"


def test_no_descriptor_for_a_file_that_is_written_sends_no_second_copy(strace):
    """One is lacking for a moment: all that the record needs has to be open before anybody is contacted."""
    assert let_fail("deliver", "open", "ENFILE", r"openat\(AT_FDCWD, .*O_RDWR") >= 4, "of the store, and of marks"


def test_no_request_goes_without_some_of_its_headers(strace):
    """The key of the API has a length of its own, so that the allocations for its header are found: each fails once."""
    header = "X-SP-Event-ApiKey: "

    class LongKey(fault_scenarios.Flush):
        key = "k" * 1234

    with LongKey() as scenario:
        number, happened, problems = 1, True, []
        while happened:
            fault = faults.NoMemory(number, scenario.directory / "allocations", len(header + scenario.key) + 1)
            fault.log.unlink(missing_ok=True)
            problems += [f"{fault}: {problem}" for problem in scenario.attempt(fault)]
            happened, number = fault.happened(), number + 1
        problems += scenario.finish()
    assert not problems, "\n".join(problems)
    assert number > 3, "the header is made and handed over"


@pytest.mark.parametrize("scenario, library, step", [("suppress", "libjson-c", 1), ("flush", "libcrypto", 9)])
def test_a_library_that_lacks_memory_ends_us_in_order(scenario, library, step, strace):
    """json-c meets its own NULL with an assertion, and OpenSSL follows it where it could not begin."""
    with fault_scenarios.SCENARIOS[scenario]() as disturbed:
        number, happened, problems = 1, True, []
        while happened and number <= 60:  # OpenSSL has begun by then
            fault = faults.NoMemory(number, disturbed.directory / "allocations", caller=library)
            fault.log.unlink(missing_ok=True)
            problems += [f"{fault}: {problem}" for problem in disturbed.attempt(fault)]
            happened, number = fault.happened(), number + step
    assert not problems, "\n".join(problems)
    assert number > 3


def test_a_log_that_cannot_be_opened_is_not_called_read(strace):
    with fault_scenarios.AgentOnce() as scenario:
        class Closed:
            def command(self, _):
                return ["/usr/bin/strace", "-f", "-qqq", "-o", "/dev/null", "-P", str(scenario.agent.log_path), "-e",
                        "inject=?open,openat:error=EIO"]

        scenario.writer.write(3)
        done = scenario.run(Closed(), "sendpost-agent", "--once")
        assert done.returncode == 75 and f"cannot read {scenario.agent.log_path}: Input/output error" in scenario.agent.log()
        assert scenario.run(None, "sendpost-agent", "--once").returncode == 0 and scenario.missing() == []
