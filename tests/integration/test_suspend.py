"""suspend and resume: mail waits in Postfix, whole and uncounted, for as long as a person says, and everybody is told."""
import json
import re
import shutil
import subprocess

import pytest

from agent_runner import Agent
from private_postfix import PrivatePostfix
from scripted_tpsp import ScriptedTpsp
from sendpost import Sendpost, ctl
from support import wait_for
from test_killed_steps import kill_at, steps_of
from test_page import login, page_with

MESSAGE = b"From: a@example.org\r\nSubject: hello\r\n\r\nhello\r\n"
PLAIN = {"host": "127.0.0.1", "security": "none", "auth": "none", "max-rate-per-hour": 0}


def tpsp(server, name="primary", number=12):
    return {**PLAIN, "name": name, "id": number, "port": server.port}


@pytest.fixture(name="installation")
def fixture_installation():
    with Sendpost() as made:
        yield made


def send(installation, recipient="user@example.com", pool="default", queue_id="4bXyz1"):
    done = installation.run("-q", queue_id, "-p", pool, "-f", "a@example.org", "--", recipient, message=MESSAGE)
    return done.returncode, done.stdout.decode()


def suspended(installation):
    return json.loads(ctl(installation, "suspend", "--json").stdout)


def test_mail_waits_uncounted_until_it_is_resumed_and_postfix_is_told(installation):
    with ScriptedTpsp() as server:
        installation.configure([tpsp(server)], listen="none", retry={"schedule": ["1h"]})
        with PrivatePostfix(main=installation.main_cf(), master=installation.master_cf(), backoff="") as postfix:
            environment = {"MAIL_CONFIG": str(postfix.etc)}
            done = ctl(installation, "suspend", "primary", "--reason", "they move house", **environment)
            assert done.returncode == 0, done.stderr
            assert done.stdout.startswith("TPSP primary is suspended until it is resumed (they move house).\n")
            assert "resume primary" in done.stdout and "maximal_queue_lifetime" in done.stdout
            ids = [postfix.sendmail(MESSAGE, f"user{number}@example.com") for number in range(3)]
            postfix.wait_deferred(*ids)
            said = re.findall(r"dsn=4.7.1, status=deferred \((.*)\)", postfix.log())
            assert len(said) == 3 and all("TPSP primary is suspended until it is resumed (they move house)" in text for text in said)
            # neither an attempt, nor an event, nor a step of the ladder
            assert not installation.events() and server.messages == [] and ctl(installation, "deliveries", "--json").stdout == "[]\n"
            done = ctl(installation, "resume", "primary", **environment)
            assert (done.returncode, done.stdout) == (0, "TPSP primary is resumed.\nPostfix is told to come with what waited.\n"), done.stderr
            wait_for(lambda: all(f"{queue_id}: removed" in postfix.log() for queue_id in ids), "all to leave the queue")
            assert len(server.messages) == 3
    again = ctl(installation, "resume", "primary")
    assert again.returncode == 1 and "TPSP primary is not suspended" in again.stderr
    assert ctl(installation, "resume", "--all").returncode == 1


def test_it_ends_by_itself(installation):
    with ScriptedTpsp() as server:
        installation.configure([tpsp(server)], listen="none")
        with PrivatePostfix(main=installation.main_cf(), master=installation.master_cf()) as postfix:
            assert ctl(installation, "suspend", "primary", "--for", "20s").returncode == 0
            queue_id = postfix.sendmail(MESSAGE, "user@example.com")
            wait_for(lambda: f"{queue_id}: removed" in postfix.log(), "the message to leave the queue")
            assert "TPSP primary is suspended until" in postfix.log()
            assert len(server.messages) == 1 and suspended(installation) == []
            assert "TPSP primary is resumed: the time of its suspension is over" in installation.log()


def test_the_other_members_of_the_pool_and_its_overflow_take_the_mail(installation):
    with ScriptedTpsp() as one, ScriptedTpsp() as two:
        installation.configure([tpsp(one), tpsp(two, "backup", 13)], listen="none",
                               pools=[{"name": "default", "members": [{"tpsp": "primary"}], "overflow": "other"},
                                      {"name": "other", "members": [{"tpsp": "backup"}]}])
        assert send(installation)[0] == 0 and (len(one.messages), len(two.messages)) == (1, 0)
        assert ctl(installation, "suspend", "primary/gmail", "--for", "1h").returncode == 0
        assert send(installation, "user@gmail.com")[0] == 0 and (len(one.messages), len(two.messages)) == (1, 1)
        assert send(installation, "user@yahoo.com")[0] == 0 and (len(one.messages), len(two.messages)) == (2, 1)
        assert ctl(installation, "suspend", "primary", "--for", "1h").returncode == 0
        assert send(installation, "user@aol.com")[0] == 0 and (len(one.messages), len(two.messages)) == (2, 2)
        assert ctl(installation, "suspend", "--pool", "other").returncode == 0
        status, line = send(installation, "user@example.net")
        assert status == 75 and re.match(r"4\.7\.1 (pool other|TPSP primary) is suspended until ", line), line
        explained = ctl(installation, "explain", "user@example.net")
        assert explained.returncode == 1 and "pool other is suspended" in explained.stdout, explained.stdout
        # a TPSP is resumed with the providers at it; what is still suspended is named
        done = ctl(installation, "resume", "primary", "--json")
        assert json.loads(done.stdout)["resumed"] == ["primary", "primary/gmail"] and "still: pool other" in done.stderr
        assert send(installation, "user@gmail.com", queue_id="4bXyz2")[0] == 0 and len(one.messages) == 3
        assert ctl(installation, "resume", "--pool", "other").stdout.startswith("pool other is resumed.\n")


def test_it_is_told_by_every_way_of_looking():
    with Agent() as agent:
        agent.log_path.write_text("")
        agent.start()
        assert '"suspended":[]' in agent.get("/health")[1] and "sendpost_agent_suspended_until_seconds{" not in agent.get("/metrics")[1]
        assert ctl(agent, "suspend", "primary/gmail", "--until", "2099-12-31 18:00Z", "--reason", "ask <a@example.com>").returncode == 0
        status, body = agent.get("/health")
        health = json.loads(body)
        assert status == 200 and health["status"] == "ok"  # a person wanted it so
        (one,) = health["suspended"]
        assert (one["tpsp"], one["provider"], one["pool"], one["until"]) == ("primary", "gmail", None, "2099-12-31T18:00:00.000Z")
        assert "a@example.com" not in body and any("suspended by hand" in warning for warning in health["warnings"])
        assert 'sendpost_agent_suspended_until_seconds{tpsp="primary",provider="gmail",pool=""} 4102423200' in agent.get("/metrics")[1]
        page_with(agent, login(agent), "is suspended until 2099-12-31T18:00:00Z", "sendpostctl resume primary/gmail")
        words = "TPSP primary (provider gmail) is suspended until 2099-12-31T18:00:00Z (ask <a@example.com>), since 20"
        assert words in ctl(agent, "rates").stdout
        assert json.loads(ctl(agent, "rates", "--json").stdout)[0]["suspended"][0]["provider"] == "gmail"
        check = ctl(agent, "check", "--offline", "--no-postfix")
        assert words in check.stdout and "sendpostctl resume primary/gmail" in check.stdout
        assert "TPSP primary (provider gmail) is suspended until" in ctl(agent, "explain", "user@gmail.com").stdout
        listed = ctl(agent, "suspend").stdout.splitlines()
        assert listed[0].split() == ["WHAT", "SINCE", "UNTIL", "REASON"] and listed[1].startswith("primary/gmail ")
        assert listed[1].endswith("  2099-12-31T18:00:00.000Z  ask <a@example.com>")


@pytest.mark.parametrize("arguments, words", [
    (("primari",), "did you mean primary?"),
    (("primary/gmial",), "did you mean gmail?"),
    (("--pool", "defualt"), "did you mean default?"),
    (("primary", "--for", "2 weeks"), "is no duration"),
    (("primary", "--for", "0"), "is no duration"),
    (("primary", "--until", "noon"), "is no time"),
    (("primary", "--until", "2020-01-01"), "is over already"),
    (("primary", "--for", "1h", "--until", "18:00"), "one of them is wanted"),
    (("primary", "--reason", "x" * 113), "112 bytes at most"),
    (("primary", "backup"), "one thing is wanted"),
    (("--for", "1h"), "one thing is wanted"),
    (("primary", "--pool", "default"), "one thing is wanted"),
])
def test_what_cannot_be_meant_is_said_and_changes_nothing(installation, arguments, words):
    installation.configure([{**PLAIN, "name": "primary", "id": 12, "port": 1}], listen="none")
    done = ctl(installation, "suspend", *arguments)
    assert done.returncode == 64 and words in done.stderr, done.stderr
    assert suspended(installation) == []


@pytest.fixture(name="small_disk")
def fixture_small_disk():
    with Sendpost() as made:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=6M,mode=0750,uid={made.uid},gid={made.gid}", "tmpfs", str(made.state)],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"no tmpfs may be mounted here: {done.stderr.strip()}")
        try:
            yield made
        finally:
            subprocess.run(["umount", str(made.state)], check=True)


def fill(installation):
    with open(installation.state / "filler", "wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * 4096)
        except OSError:
            pass


def test_a_full_disk_refuses_or_keeps_it_and_says_which(small_disk):
    small_disk.configure([{**PLAIN, "name": "primary", "id": 12, "port": 1}], listen="none")
    fill(small_disk)
    done = ctl(small_disk, "suspend", "primary")
    assert done.returncode == 1 and "rates" in done.stderr and "No space left" in done.stderr, done.stderr
    (small_disk.state / "filler").unlink()
    assert suspended(small_disk) == []
    fill(small_disk)  # the place is taken by now, whole
    assert ctl(small_disk, "suspend", "primary", "--reason", "full").returncode == 0
    assert [one["reason"] for one in suspended(small_disk)] == ["full"]
    assert "TPSP primary is resumed." in ctl(small_disk, "resume", "primary").stdout and suspended(small_disk) == []


def start_afresh(installation):
    for file in ("rates", "rates.lock"):
        (installation.state / file).unlink(missing_ok=True)


@pytest.mark.skipif(shutil.which("strace") is None, reason="run tools/deps test")
def test_killed_at_any_step_it_is_suspended_or_not_and_never_in_between(installation):
    installation.configure([{**PLAIN, "name": "primary", "id": 12, "port": 1}], listen="none")
    command = ["suspend", "primary", "--for", "1h", "--reason", "one reason"]
    killed = seen = 0
    for call in ("openat", "unlink", "write", "fsync", "rename", "flock", "mmap", "msync", "munmap"):
        start_afresh(installation)
        steps = steps_of([call], installation.config, *command)
        assert steps and len(suspended(installation)) == 1
        for step in steps[-9:]:
            start_afresh(installation)
            assert kill_at(step, installation.config, *command), (step, len(steps))
            left = suspended(installation)
            assert [(one["tpsp"], one["reason"]) for one in left] in ([], [("primary", "one reason")])
            killed += 1
            seen += len(left)
    assert 0 < seen < killed
    assert ctl(installation, *command).returncode == 0 and len(suspended(installation)) == 1
