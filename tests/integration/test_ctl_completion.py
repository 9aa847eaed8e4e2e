"""Completion offers what the program takes."""
import os
import shutil
import subprocess

import pytest

from sendpost import build_directory
from support import TOP

BASH = r"""
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_sendpostctl; printf '%s\n' "${COMPREPLY[@]}"
"""


def complete(*words):
    program = str(build_directory() / "sendpostctl")
    done = subprocess.run(["bash", "-c", BASH, "bash", str(TOP / "data/completion/sendpostctl.bash"), program, *words],
                          capture_output=True, text=True, check=True, timeout=30, cwd="/")
    assert done.stderr == ""
    return set(done.stdout.split())


def test_commands_are_offered():
    overview = subprocess.run([str(build_directory() / "sendpostctl"), "--help"], capture_output=True, text=True, check=True).stdout
    commands = {line.split()[0] for line in overview.split("Commands:\n")[1].split("\n\n")[0].splitlines()}
    assert complete("") == commands
    assert complete("-c", "/etc/passwd", "che") == {"check"}


@pytest.mark.parametrize("words, expected", [
    (("check", "--off"), {"--offline"}),
    (("check", "--"), {"--offline", "--no-postfix", "--postfix-config", "--config", "--json", "--verbose", "--help", "--version"}),
    (("-v", "events", "--st"), {"--state"}),
    (("events", "--state", "re"), {"reported", "rejected"}),
    (("setup", "--security", ""), {"starttls", "tls", "none"}),
    (("postfix", ""), {"show", "install", "remove"}),
    (("postfix", "in"), {"install"}),
    (("deliveries", ""), {"retry"}),
    (("suppress", "e"), {"export"}),
    (("-c", "/etc/pass"), {"/etc/passwd", "/etc/passwd-"}),
    (("setup", "--user", "nobod"), {"nobody"}),
])
def test_words_options_and_values_are_offered(words, expected):
    found = complete(*words)
    assert found == expected if words[-1] != "/etc/pass" else "/etc/passwd" in found


def test_zsh_reads_its_completion():
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    subprocess.run(["zsh", "-n", str(TOP / "data/completion/_sendpostctl")], check=True, env={**os.environ, "ZDOTDIR": "/nonexistent"})
