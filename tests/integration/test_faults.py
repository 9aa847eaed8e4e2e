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
