"""A state directory in trouble: the disk runs full in the middle of the work, and the work goes on when there is space."""
import os
import shutil
import sqlite3

import pytest

from event_api import Answer, EventApi
from reporting import KEY, Reporting
from sendpost import build_directory


@pytest.fixture
def small_disk():
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("a small file system needs root and unshare(1)")


def on_a_small_disk(account, size, script):
    """Run script with a file system of that size as state directory, visible to it alone; then copy what it holds."""
    probe, ctl = build_directory() / "tests/integration/event_probe", build_directory() / "sendpostctl"
    commands = f"""
        set -e
        mount -t tmpfs -o size={size},mode=0750 tmpfs {account.state}
        probe() {{ {probe} {account.config} "$@"; }}
        flush() {{ {ctl} -c {account.config} events flush; }}
        fill() {{ dd if=/dev/zero of={account.state}/filler bs=4k 2>/dev/null || true; }}
        {script}
        cp -a {account.state} {account.top}/after"""
    process = account.start("/usr/bin/unshare", "-m", "--propagation", "private", "sh", "-c", commands)
    out, err = process.communicate(timeout=240)
    account.state = account.top / "after"
    return process.returncode, out, err


def stored(account):
    database = sqlite3.connect(account.state / "state.db")
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    rows = database.execute("SELECT event_id, state FROM events").fetchall()
    database.close()
    return dict(rows)


def test_a_disk_that_runs_full_loses_no_event(small_disk, ca):
    with EventApi(ca, key=KEY) as api, Reporting(api.url, ca, timeout="2s") as account:
        status, out, err = on_a_small_disk(account, "400k", f"""
            probe one 60 primary 1 100000 >/dev/null && exit 9
            mount -o remount,size=20M {account.state}
            # what was reported without room to say so is its reporter's until the lease ends, and then reported again
            n=0; until flush; do n=$((n+1)); [ $n -lt 300 ] || exit 8; sleep 0.1; done
            probe one 60 primary 200000 1""")
        assert status == 0, err
        assert "cannot write" in err and "free some space on its file system" in err
        rows = stored(account)
        assert set(rows) == set(api.ids()) and len(rows) > 5
        assert set(rows.values()) == {1}


def test_nothing_is_called_kept_that_is_not_on_disk(small_disk, ca):
    with EventApi(ca, key=KEY) as api, Reporting(api.url, ca, timeout="2s") as account:
        api.default = Answer(503)
        status, out, err = on_a_small_disk(account, "400k", f"""
            probe one 60 primary 1 100000 >{account.top}/results && exit 9
            true""")
        assert status == 0, err
        results = (account.top / "results").read_text().splitlines()
        kept = sum('"kept"' in line for line in results)
        rows = stored(account)
        assert kept > 5 and len(rows) >= kept
        assert set(rows.values()) == {0}


def test_a_disk_that_is_full_from_the_start_is_explained(small_disk, ca):
    with EventApi(ca, key=KEY) as api, Reporting(api.url, ca, timeout="2s") as account:
        status, out, err = on_a_small_disk(account, "100k", """
            fill; probe one 60 primary 1 1 && exit 9
            true""")
        assert status == 0, err
        assert "free some space on its file system" in err
        assert not api.requests


def test_a_state_directory_mounted_read_only_is_explained(small_disk, ca):
    with EventApi(ca, key=KEY) as api, Reporting(api.url, ca, timeout="2s") as account:
        status, out, err = on_a_small_disk(account, "1M", f"""
            probe one 60 primary 1 1; mount -o remount,ro {account.state}
            probe one 60 primary 2 1 && exit 9
            true""")
        assert status == 0, err
        assert "Read-only file system" in err and "mount its file system writable" in err
        assert len(api.events) == 1
