"""A synchronisation with SendPost that is killed at a step that touches the disk or the network, one run a step: whoever comes next goes on."""
import os
import re
import shutil
import subprocess

import pytest

from sendpost import build_directory
from test_sync import DAY, equal, host, api  # noqa: F401 (fixtures)

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="run tools/deps test")
FULL = bool(os.environ.get("SENDPOST_FULL"))
CTL = build_directory() / "sendpostctl"


CALLS = ("pwrite64", "fdatasync", "fsync", "sendto", "write")


def run_traced(calls, options, config, *command):
    return subprocess.run(["strace", "-f", "-qq", "-e", f"trace={','.join(calls)}", *options, CTL, "-c", config, *command],
                          capture_output=True, text=True, check=False)


def steps_of(calls, config, *command):
    """The calls of these kinds in a run that nobody kills, in their order: name, and which of that name. strace(1) counts each kind of call for itself, in
    each thread."""
    counts, found = {}, []
    for call in re.findall(rf"(?m)^(\d+) +({'|'.join(calls)})\(", run_traced(calls, ["-o", "/dev/stdout"], config, *command).stdout):
        counts[call] = counts.get(call, 0) + 1
        found.append((call[1], counts[call]))
    return found


def kill_at(step, config, *command):
    """True: the run was killed as it began the call."""
    name, nth = step
    options = ["-o", "/dev/null", "-e", f"inject={name}:signal=KILL:when={nth}"]
    return run_traced([name], options, config, *command).returncode not in (0, 1)


def sample(steps, most):
    """Evenly, and the first and the last of each kind."""
    if FULL:
        return steps
    ends = {(name, nth) for name in CALLS for nth in (1, max((nth for other, nth in steps if other == name), default=0))}
    chosen = {steps[number * (len(steps) - 1) // (most - 1)] for number in range(most)} | ends
    return [step for step in dict.fromkeys(steps) if step in chosen]


def test_a_synchronisation_that_is_killed_goes_on_where_it_was(host, api):  # noqa: F811
    def change(number):
        api.add(f"there{number}@example.com", number % 4)
        host.ctl("suppress", "add", f"here{number}@example.com")
        if number > 1:
            api.entries.pop(f"there{number - 1}@example.com", None)
            host.ctl("suppress", "del", f"here{number - 1}@example.com")

    for number in range(300):
        api.add(f"u{number}@example.com", created=1700000000 + number * DAY)
    change(0)
    steps = steps_of(CALLS, host.config, "sync")
    assert len(steps) > 100
    chosen, killed = sample(steps, 10), 0
    for number, step in enumerate(chosen, 1):
        change(number)
        killed += kill_at(step, host.config, "sync")
    assert killed > len(chosen) / 3  # a later run has less to do, and may end before
    host.sync("--confirm")
    assert equal(host, api) and len(host.emails()) > 300
    counts = host.sync()
    assert (counts["sent"], counts["taken"], counts["removed"]) == (0, 0, 0)
