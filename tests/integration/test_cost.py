"""What a delivery costs, counted: the figures of tests/bench/cost stay below tests/bench/ceiling.json, which is only ever lowered."""
import json
import shutil
import subprocess

import pytest

from sendpost import build_directory
from support import TOP


def sanitized():
    return b"__asan_init" in (build_directory() / "sendpost-deliver").read_bytes()


@pytest.mark.skipif(sanitized(), reason="a sanitizer's instructions are not ours")
@pytest.mark.skipif(not all(map(shutil.which, ("valgrind", "strace", "nginx"))), reason="run tools/deps test")
def test_a_delivery_costs_no_more_than_it_did():
    done = subprocess.run([TOP / "tests/bench/cost"], capture_output=True, text=True, check=False, timeout=300)
    figures = dict(line.split()[:2] for line in done.stdout.splitlines())
    assert done.returncode == 0 and set(figures) == set(json.loads((TOP / "tests/bench/ceiling.json").read_text())), \
        done.stdout + done.stderr
