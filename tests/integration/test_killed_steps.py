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


def count_calls(calls, config, *arguments):
    """How many of these system calls a run makes that nobody kills."""
    done = subprocess.run(["strace", "-f", "-qq", "-e", f"trace={calls}", "-o", "/dev/stdout", CTL, "-c", config, *arguments],
                          capture_output=True, text=True, check=False)
    return len(re.findall(rf"^\d+ +(?:{calls.replace(',', '|')})\(", done.stdout, re.MULTILINE))


def kill_at(step, calls, config, *arguments):
    """True: the run was killed as it began the call of that number."""
    done = subprocess.run(["strace", "-f", "-qq", "-e", f"trace={calls}", "-e", f"inject={calls}:signal=KILL:when={step}", "-o", "/dev/null",
                           CTL, "-c", config, *arguments], capture_output=True, check=False)
    return done.returncode not in (0, 1)


def steps(total, most):
    return range(1, total + 1) if FULL else sorted({1 + number * (total - 1) // (most - 1) for number in range(most)})


def test_a_synchronisation_that_is_killed_goes_on_where_it_was(host, api):  # noqa: F811
    calls = "pwrite64,fdatasync,fsync,sendto,write"

    def change(number):
        api.add(f"there{number}@example.com", number % 4)
        host.ctl("suppress", "add", f"here{number}@example.com")
        if number > 1:
            api.entries.pop(f"there{number - 1}@example.com", None)
            host.ctl("suppress", "del", f"here{number - 1}@example.com")

    for number in range(300):
        api.add(f"u{number}@example.com", created=1700000000 + number * DAY)
    change(0)
    total = count_calls(calls, host.config, "sync")
    assert total > 100
    killed = 0
    for number, step in enumerate(steps(total, 10), 1):
        change(number)
        killed += kill_at(step, calls, host.config, "sync")
    assert killed > 4
    host.sync("--confirm")
    assert equal(host, api) and len(host.emails()) > 300
    counts = host.sync()
    assert (counts["sent"], counts["taken"], counts["removed"]) == (0, 0, 0)
