"""sendpostctl postfix adds and removes the transport, and touches nothing else; on a private copy of a configuration."""
import json
import os
import pwd
import shutil
import subprocess

import pytest

from private_postfix import MAIN, MASTER, PrivatePostfix
from sendpost import USER, Sendpost, build_directory, make_meeting_place, meeting_place, turn_at_meeting_places
from support import TOP, remove, scratch

CTL = build_directory() / "sendpostctl"


class Etc:
    def __init__(self):
        self.path = scratch("spetc-")
        self.write("main.cf", "# a comment of the postmaster\n\n" + MAIN.format(top=self.path, name="etc.test"))
        self.write("master.cf", "# services\n" + MASTER.format(port=2599, smtpd_options="", smtpd="-"))

    def write(self, name, text):
        (self.path / name).write_text(text)
        os.utime(self.path / name, (1, 1))  # Postfix waits until a file has been at rest for two seconds

    def rest(self):
        for file in self.path.glob("ma*.cf"):
            os.utime(file, (1, 1))

    def texts(self):
        return [(self.path / name).read_text() for name in ("main.cf", "master.cf")]

    def run(self, *arguments, config=None):
        done = subprocess.run([str(CTL), *(["-c", str(config)] if config else []), "postfix", *arguments, "--postfix-config",
                               str(self.path)], capture_output=True, text=True, check=False, timeout=240)
        self.rest()
        return done

    def postconf(self, *arguments):
        return subprocess.run(["postconf", "-c", str(self.path), *arguments], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def etc():
    if shutil.which("postconf") is None:
        pytest.skip("Postfix is not installed; run tools/deps test")
    if os.geteuid() != 0:
        pytest.skip("postconf changes files as root")
    make_meeting_place(pwd.getpwnam(USER))
    made = Etc()
    yield made
    remove(made.path)


def test_show_changes_nothing_and_install_does_what_it_showed(etc):
    before = etc.texts()
    shown = json.loads(etc.run("show", "--user", USER, "--json").stdout)
    assert etc.texts() == before
    installed = json.loads(etc.run("install", "--user", USER, "--json").stdout)
    assert [(change["file"], change["what"]) for change in shown["changes"]] == \
        [(change["file"], change["what"]) for change in installed["changes"]]
    assert [change["change"] for change in shown["changes"]] == ["to set", "to set", "to add"]
    assert [change["change"] for change in installed["changes"]] == ["set", "set", "added"]
    assert json.loads(etc.run("show", "--user", USER, "--json").stdout) == {"ok": True, "changes": []}


def test_what_is_installed_is_what_the_fragments_say(etc):
    assert etc.run("install", "--user", USER, "--program", "/x/sendpost-pipe").returncode == 0
    fragment = (TOP / "postfix-conf/master.cf.in").read_text().replace("@pkglibexecdir@", "/x").replace("user=sendpost", f"user={USER}")
    words = " ".join(line for line in fragment.splitlines() if not line.startswith("#")).split()
    assert etc.postconf("-M", "sendpost/unix").split() == words
    for line in (TOP / "postfix-conf/main.cf").read_text().splitlines():
        if line and not line.startswith("#"):
            assert etc.postconf("-n", line.split(" = ")[0]).strip() == line


def test_the_transport_for_bounces_comes_and_goes_by_itself(etc):
    before = etc.texts()
    shown = json.loads(etc.run("show", "--bounces", "--user", USER, "--json").stdout)["changes"]
    assert [change["what"].split()[0] for change in shown] == [
        "sendpost-bounce_destination_recipient_limit", "sendpost-bounce_time_limit", "sendpost-bounce"]
    assert etc.texts() == before
    done = etc.run("install", "--bounces", "--user", USER, "--program", "/x/sendpost-bounce")
    assert done.returncode == 0 and "postfix-conf/bounce" in done.stdout
    fragment = (TOP / "postfix-conf/bounce/master.cf.in").read_text().replace("@pkglibexecdir@", "/x").replace("user=sendpost", f"user={USER}")
    assert etc.postconf("-M", "sendpost-bounce/unix").split() == " ".join(
        line for line in fragment.splitlines() if not line.startswith("#")).split()
    fragment = (TOP / "postfix-conf/bounce/main.cf").read_text()
    for name in ("destination_recipient_limit", "time_limit"):
        assert etc.postconf("-n", f"sendpost-bounce_{name}").strip() in fragment
    assert etc.run("install", "--bounces", "--user", USER).stdout == "Everything is there already.\n"

    with_bounces = etc.texts()
    assert etc.run("install", "--user", USER).returncode == 0 and etc.run("remove").returncode == 0
    assert etc.texts() == with_bounces  # one transport does not touch the other
    assert etc.run("remove", "--bounces").returncode == 0
    assert etc.texts() == before


def test_a_second_install_changes_nothing(etc):
    etc.run("install", "--user", USER)
    before = etc.texts()
    done = etc.run("install", "--user", USER, "--maxproc", "99")
    assert done.returncode == 0 and done.stdout == "Everything is there already.\n"
    assert etc.texts() == before


def test_remove_takes_back_exactly_what_install_did(etc):
    before = etc.texts()
    etc.run("install", "--user", USER)
    assert etc.texts() != before
    assert etc.run("remove").returncode == 0
    assert etc.texts() == before
    assert etc.run("remove").stdout == "Nothing of it is there.\n"


def test_what_the_postmaster_has_set_stays(etc):
    etc.run("install", "--user", USER)
    etc.postconf("-e", "sendpost_time_limit = 2000s")
    etc.postconf("-Fe", "sendpost/unix/process_limit = 7")
    etc.postconf("-X", "sendpost_destination_recipient_limit")
    etc.rest()
    done = etc.run("install", "--user", USER)
    assert done.stdout.startswith("main.cf   set: sendpost_destination_recipient_limit = 1\nNow route")
    assert etc.postconf("-h", "sendpost_time_limit") == "2000s\n"
    assert etc.postconf("-M", "sendpost/unix").split()[6] == "7"


def test_lines_that_were_there_before_the_transport_are_recognised(etc):
    etc.write("main.cf", etc.texts()[0] + (TOP / "postfix-conf/main.cf").read_text())
    changes = json.loads(etc.run("install", "--user", USER, "--json").stdout)["changes"]
    assert [change["file"] for change in changes] == ["master.cf"]


def test_a_wrong_limit_is_told_when_it_is_replaced(etc):
    etc.write("main.cf", etc.texts()[0] + "sendpost_destination_recipient_limit = 50\n")
    assert "set: sendpost_destination_recipient_limit = 1 (was 50)\n" in etc.run("install", "--user", USER).stdout


def test_a_service_of_another_kind_is_left_alone(etc):
    etc.write("master.cf", etc.texts()[1] + "sendpost unix - n n - - pipe\n  user=nobody argv=/bin/true\n")
    before = etc.texts()
    for verb in ("install", "remove", "show"):
        done = etc.run(verb, "--user", USER)
        assert done.returncode == 1 and "not ours" in done.stderr
    assert etc.run("install", "--user", USER, "--name", "relay2").returncode == 0
    assert etc.run("remove", "--name", "relay2").returncode == 0
    assert etc.texts() == before


def test_a_transport_that_still_gets_mail_is_not_removed(etc):
    etc.run("install", "--user", USER)
    etc.postconf("-e", "default_transport = sendpost:default")
    etc.rest()
    before = etc.texts()
    done = etc.run("remove")
    assert done.returncode == 1 and "default_transport = sendpost:default still routes mail to it" in done.stderr
    assert etc.texts() == before


@pytest.fixture
def stranger():
    """A user whose meeting place no other test has meanwhile."""
    account = pwd.getpwnam("games")  # daemon is whom setup is told in other tests
    place = meeting_place(account.pw_uid)
    with turn_at_meeting_places():
        remove(place)  # what a run that was killed left
        yield account
        if place.is_symlink():
            place.unlink()
        remove(place)


def test_the_meeting_place_of_idle_deliverers_is_made_where_it_is_missing(etc, stranger):
    place = meeting_place(stranger.pw_uid)
    etc.run("show", "--user", stranger.pw_name)
    assert not place.exists()
    done = etc.run("install", "--user", stranger.pw_name)
    assert done.returncode == 0 and f"directory made: {place}, mode 0700, of {stranger.pw_name}\n" in done.stdout
    status = place.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (stranger.pw_uid, stranger.pw_gid, 0o700)
    assert etc.run("install", "--user", stranger.pw_name).stdout == "Everything is there already.\n"
    place.rmdir()  # as a boot does
    done = etc.run("install")  # the transport that is there says whose
    assert done.stdout.startswith(f"directory made: {place}"), done.stdout + done.stderr
    assert place.stat().st_uid == stranger.pw_uid


def test_what_stands_where_the_meeting_place_should_be_stays(etc, stranger):
    place = meeting_place(stranger.pw_uid)
    place.symlink_to("/etc/nowhere")
    done = etc.run("install", "--user", stranger.pw_name)
    assert done.returncode == 0 and f"cannot make {place}" in done.stderr and place.is_symlink()


@pytest.mark.parametrize("arguments, status, text", [
    ((), 64, "say one of show, install, remove"),
    (("instal",), 64, "none of show, install, remove"),
    (("install", "--name", "a b"), 64, "characters that master.cf does not take"),
    (("install", "--maxproc", "many"), 64, "is no number"),
    (("install", "--user", "no-such-user"), 1, 'there is no user "no-such-user"'),
])
def test_wrong_words_change_nothing(etc, arguments, status, text):
    before = etc.texts()
    done = etc.run(*arguments)
    assert done.returncode == status and text in done.stderr
    assert etc.texts() == before


def test_a_directory_without_postfix_is_an_error(etc):
    (etc.path / "master.cf").unlink()
    done = etc.run("install", "--user", USER)
    assert done.returncode == 1 and "postconf -M" in done.stderr


def test_an_installed_transport_delivers_and_check_is_content(postfix_runs, tpsp, ca):
    """The whole way: postfix install on a Postfix of its own, mail through it, check without failure."""
    with Sendpost() as installation:
        installation.configure([installation.tpsp(tpsp, ca)], log_path=str(installation.log_path))
        route = ("default_transport = sendpost:\n"
                 f"export_environment = TZ MAIL_CONFIG LANG SENDPOST_LOG_FILE={installation.log_path}\n")
        with PrivatePostfix("ctl.test", main=route) as front:
            done = subprocess.run([str(CTL), "-c", str(installation.config), "postfix", "install", "--postfix-config", str(front.etc),
                                   "--user", USER, "--program", str(installation.program)], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            subprocess.run(["postfix", "-c", str(front.etc), "reload"], check=True, capture_output=True)
            queue_id = front.sendmail(b"From: a@example.org\nSubject: hello\n\nhello\n", "user@example.net")
            front.wait_status(queue_id, "sent")
            front.top.chmod(0o755)  # the log that the agent would read, as the group adm can
            front.log_path.chmod(0o644)
            installation.configure([installation.tpsp(tpsp, ca)], log_path=str(front.log_path))
            done = subprocess.run([str(CTL), "-c", str(installation.config), "check", "--postfix-config", str(front.etc)],
                                  capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout
