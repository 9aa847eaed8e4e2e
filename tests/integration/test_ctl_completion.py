"""Completion offers what the program takes."""
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
    done = subprocess.run(["bash", "-c", BASH, "bash", str(TOP / "data/completion/sendpostctl"), program, *words],
                          capture_output=True, text=True, check=True, timeout=240, cwd="/")
    assert done.stderr == ""
    return set(done.stdout.split())


EXAMPLE = str(TOP / "data/config.yaml.example")


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
    (("postfix", "show", "--b"), {"--bounces"}),
    (("check", ""), set()),
    (("deliveries", ""), {"retry"}),
    (("suppress", "e"), {"export"}),
    (("suppress", "add", "a@b.example", "--reason", "un"), {"unsubscribe"}),
    (("-c", EXAMPLE, "rates", "reset", ""), {"primary"}),
    (("-c", EXAMPLE, "test", "p"), {"primary"}),
    (("-c", EXAMPLE, "retry", "--tpsp", ""), {"primary"}),
    (("-c", EXAMPLE, "suspend", ""), {"primary"}),
    (("-c", EXAMPLE, "suspend", "primary", "--reason", ""), set()),
    (("-c", EXAMPLE, "resume", "p"), {"primary"}),
    (("resume", "--a"), {"--all"}),
    (("-c", "/etc/pass"), {"/etc/passwd", "/etc/passwd-"}),
    (("setup", "--user", "nobod"), {"nobody"}),
])
def test_words_options_and_values_are_offered(words, expected):
    found = complete(*words)
    assert found == expected if words[-1] != "/etc/pass" else "/etc/passwd" in found


# what the functions of zsh's completion system would be given
ZSH = r"""
compadd() { shift; print -l -- "$@" }
_describe() { print -l -- "${(@P)2}" }
file=$1; shift; words=("$@"); CURRENT=$#
source $file
"""


@pytest.mark.parametrize("words, expected", [
    (("check", ""), []),
    (("che",), ["check:Look at configuration"]),
    (("check", "--"), ["--offline", "--no-postfix", "--postfix-config", "--json"]),
    (("-c", "/x", "events", "--state", ""), ["pending", "reported", "rejected", "local"]),
    (("postfix", ""), ["show", "install", "remove"]),
    (("-c", EXAMPLE, "rates", "reset", ""), ["primary"]),
    (("-c", EXAMPLE, "suspend", ""), ["primary"]),
    (("resume", "--"), ["--pool", "--all"]),
])
def test_zsh_is_offered_the_same(words, expected):
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed; run tools/deps test")
    done = subprocess.run(["zsh", "-f", "-c", ZSH, "zsh", str(TOP / "data/completion/_sendpostctl"),
                           str(build_directory() / "sendpostctl"), *words], capture_output=True, text=True, check=True, timeout=240)
    assert done.stderr == ""
    found = done.stdout.split("\n")
    for choice in expected:
        assert [line for line in found if line.startswith(choice)], found
