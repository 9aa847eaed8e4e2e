"""The storms of tests/fault, in their short form; with SENDPOST_FULL=1 in their whole length."""
import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fault"))

import full_disk  # noqa: E402
import kills  # noqa: E402
import postfix_stop  # noqa: E402

FULL = bool(os.environ.get("SENDPOST_FULL"))


def test_postfix_stop_under_load(postfix_runs):
    figures = postfix_stop.run(1000 if FULL else 3)
    print(figures)
    assert postfix_stop.is_right(figures), figures


def test_visits_to_a_full_disk():
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("a small file system needs root and mount(8)")
    figures = full_disk.run(200 if FULL else 20)
    print(figures)
    assert full_disk.is_right(figures), figures


def test_kill_of_everything():
    if os.geteuid() != 0:
        pytest.skip("the programs run as another user, for which root is needed")
    figures = kills.run(10000 if FULL else 70)
    print(figures)
    assert kills.is_right(figures), figures
