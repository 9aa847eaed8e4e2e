"""The manuals, the example and the programs know the same keys, commands and options; the example loads."""
import re
import shutil
import subprocess

import pytest

from sendpost import build_directory
from support import TOP, remove, scratch

# rows of the tables of known keys: {"name", … and the words behind .read = or a macro
ROW = re.compile(r'^\s*\{"([a-z0-9-]+)",\s+(?:\.read|[A-Z]+\()', re.MULTILINE)


def tables():
    return "".join((TOP / "src/config" / name).read_text() for name in ("config_cluster.c", "config_oauth.c", "config_sendpost.c", "config_pools.c", "config_schema.c", "config_tpsps.c", "config_warm_up.c"))


def known_keys():
    keys = set(ROW.findall(tables()))
    assert len(keys) > 60
    return keys


def manual_keys():
    items = re.findall(r"^\.(?:It )?Ic (\S+)(?: , Ic (\S+))?$", (TOP / "man/postfix-sendpost.yaml.5").read_text(), re.MULTILINE)
    return {word for pair in items for name in pair if name for word in name.split(".")}


def test_the_manual_tells_each_default():
    rows = re.findall(r'\{"([a-z0-9-]+)",[^{}]*?\.default_text = "([^"{]+)"\}', tables())
    items = re.split(r"^\.It Ic ", (TOP / "man/postfix-sendpost.yaml.5").read_text(), flags=re.MULTILINE)[1:]
    told = {(item.split()[0].split(".")[-1], default) for item in items
            for default in re.findall(r"default\n\.(?:Li|Pa) (\S.*?)(?: [.;,:])?$", item.partition("\n.It")[0], re.MULTILINE)}
    assert len(rows) > 30 and set(rows) - told == set()


def uncommented():
    """The example with everything that is commented out switched on; "# " begins prose."""
    return re.sub(r"^( *)#(?=[^ #-]|-  *name| {2,}\S)", r"\1", (TOP / "data/config.yaml.example").read_text(), flags=re.MULTILINE)


def test_the_manual_describes_exactly_the_known_keys():
    assert manual_keys() == known_keys()


def test_the_example_shows_every_key_that_has_no_second_form():
    shown = set(re.findall(r"(?:^[ #-]*|[{,] ?)([a-z][a-z0-9-]+):(?= |$)", uncommented(), re.MULTILINE))
    assert known_keys() - shown == {"api-key", "password", "oauth-token", "oauth-token-file", "tls-ca-file", "client-secret", "refresh-token", "subaccount-api-key"}


def helped(*arguments, program="sendpostctl"):
    return subprocess.run([str(build_directory() / program), *arguments, "--help"], capture_output=True, text=True,
                          check=True).stdout


@pytest.mark.parametrize("program", ["sendpost-agent", "sendpost-bounce", "sendpost-pipe"])
def test_the_manual_of_a_program_tells_of_its_options(program):
    told = re.findall(r"^\.It Fl (\w)(?: Ar \S+)? , Fl -([a-z-]+)", (TOP / f"man/{program}.8").read_text(), re.MULTILINE)
    assert sorted(told) == sorted(re.findall(r"^ +-(\w), --([a-z-]+)", helped(program=program), re.MULTILINE))
    assert len(told) >= 6


def test_the_manual_of_sendpostctl_tells_of_every_command_and_option():
    page = (TOP / "man/sendpostctl.8").read_text()
    sections = dict(re.findall(r"^\.Ss (\S+(?: and \S+)?)\n(.*?)(?=^\.S[sh] )", page, re.MULTILINE | re.DOTALL))
    commands = re.findall(r"^  (\S+)", helped().split("Commands:\n")[1].split("\n\n")[0], re.MULTILINE)
    assert " and ".join(sections).split(" and ") == commands
    for names, text in sections.items():
        own = {option for command in names.split(" and ") for option in re.findall(
            r"(?m)^ +(?:-\w, )?--([a-z-]+)", helped(command).split("Options of every command")[0].partition("Options:")[2])}
        assert set(re.findall(r"^\.It .*?Fl -([a-z-]+)", text, re.MULTILINE)) == own, names


def test_the_manuals_are_sound_mdoc():
    if shutil.which("mandoc") is None:
        pytest.skip("mandoc is not installed; run tools/deps test")
    for page in sorted((TOP / "man").glob("*.[0-9]")):
        done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page], capture_output=True, text=True, check=False)
        # cross references to pages that are not installed here are no fault of the page
        complaints = [line for line in done.stdout.splitlines() if "referenced manual not found" not in line]
        assert not complaints, complaints


@pytest.mark.parametrize("text", [(TOP / "data/config.yaml.example").read_text(), uncommented()], ids=["as it is", "all of it"])
def test_the_example_loads(text):
    directory = scratch("spex-")
    try:
        for name in re.findall(r"/etc/postfix-sendpost/([a-z.-]+)", text):
            (directory / name).write_text("0123456789abcdef" * 4 + "\n")  # good as a password, as a token and as a key
            (directory / name).chmod(0o600)
        (directory / "config.yaml").write_text(text.replace("/etc/postfix-sendpost", str(directory)))
        done = subprocess.run([str(build_directory() / "sendpostctl"), "-c", str(directory / "config.yaml"), "check", "--offline",
                               "--no-postfix"], capture_output=True, text=True, check=False)
        assert "config.yaml loads for user" in done.stdout, done.stdout + done.stderr
    finally:
        remove(directory)
