"""The unit of sendpost-agent as installed."""
import re
import shutil
import subprocess

import pytest

from support import run


@pytest.fixture(scope="module")
def unit(builds):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed; run tools/deps package")
    found, = (builds.directory / "next").glob("**/sendpost-agent.service")
    return found


def test_is_exposed_by_at_most_2(unit):
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", str(unit)], capture_output=True, text=True,
                          check=False)
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert level is not None, done.stdout + done.stderr
    assert float(level.group(1)) <= 2.0


def test_does_not_start_without_a_configuration(unit):
    assert "\nConditionPathExists=/etc/postfix-sendpost/config.yaml\n" in unit.read_text()


def test_names_a_program_that_is_there(unit, builds):
    (program,) = re.findall(r"(?m)^ExecStart=(\S+)", unit.read_text())
    assert f".{program}\n" in run("dpkg-deb", "-c", builds.deb).stdout
