"""Trouble of ours waits, however long it lasts, and is told loudly: it is no attempt, makes no event and never drops a message.
Only a TPSP that has answered before can be out of reach."""
import json
import os
import sqlite3
import subprocess
from contextlib import contextmanager

import pytest

from scripted_tpsp import ScriptedTpsp
from sendpost import Sendpost, build_directory, ctl
from support import free_port

MESSAGE = b"From: a@example.org\nSubject: held\n\nhello\n"
VISITS = 8  # more than the ladder has steps, and more than the breaker lets fail in a row
LADDER = {"schedule": ["1s"]}
PLAIN = {"name": "primary", "id": 12, "host": "127.0.0.1", "security": "none", "auth": "none", "max-rate-per-hour": 0}
LOGIN = {"auth": "plain", "auth-without-tls": True, "username": "user", "password": "secret"}


@pytest.fixture
def installation():
    with Sendpost() as made:
        yield made


def visit(installation, queue_id="4bXyz1"):
    return installation.run("-q", queue_id, "-f", "a@example.org", "--", "user@example.com", message=MESSAGE)


def make_due(installation):
    """The ladder's next step, without waiting for it."""
    ctl(installation, "deliveries", "retry", "4bXyz1")


@contextmanager
def refused(**script):
    with ScriptedTpsp(**script) as server:
        yield {"port": server.port}, server


@contextmanager
def nobody():
    yield {"port": free_port()}, None


@contextmanager
def wrong_password():
    with ScriptedTpsp() as server:
        server.script["auth"] = "535 5.7.8 wrong"
        yield {"port": server.port}, server


TROUBLE = {
    "wrong password": (wrong_password, LOGIN, "535 5.7.8 wrong"),
    "no login there": (lambda: refused(auth=""), LOGIN, "offers no login"),
    "no STARTTLS there": (refused, {"security": "starttls"}, "does not offer STARTTLS"),
    "no TLS there": (lambda: refused(connect=b"220 hello\r\n"), {"security": "tls"}, "TLS handshake failed"),
    "unknown host": (nobody, {"host": "no-such-host.invalid"}, "cannot resolve"),
    "nobody has ever answered": (nobody, {}, "Connection refused"),
    "another port": (lambda: refused(connect=b""), {"connect-timeout": "1s", "command-timeout": "1s"}, "Timeout at greeting"),
    "no network": (nobody, {"host": "255.255.255.255"}, "at connect"),
    "account closed": (lambda: refused(mail="530 5.7.0 Authentication required"), {}, "Authentication required"),
    "service refused": (lambda: refused(connect="554 5.3.2 go away"), {}, "go away"),
}


@pytest.mark.parametrize("name", TROUBLE)
def test_trouble_of_ours_is_held_and_never_drops(installation, name):
    make, settings, words = TROUBLE[name]
    with make() as (place, _):
        installation.configure([{**PLAIN, **place, **settings}], retry=LADDER, listen="none", dns={"timeout": "1s"})
        for _ in range(VISITS):
            done = visit(installation)
            assert done.returncode == 75, done.stdout
            assert b"not due before" not in done.stdout
            assert words.encode() in done.stdout or b"left alone" in done.stdout
        assert installation.events() == []
        (entry,) = json.loads(ctl(installation, "deliveries", "--json").stdout)
        assert entry["state"] == "held" and entry["tpsp"] == "primary" and "attempt" not in entry
        status = ctl(installation, "status")
        assert status.returncode == 1
        (line,) = [line for line in status.stdout.splitlines() if line.startswith("Held")]
        assert "primary since 20" in line and "1 message waits" in line and words in line, line
        assert str(installation.config) in line or "account" in name
        (held,) = json.loads(ctl(installation, "status", "--json").stdout)["held"]
        assert held["messages"] == 1 and words in held["text"]
        assert installation.log().count("is held until this is mended") == 1


def test_a_refused_login_names_the_file_of_its_secret(installation):
    login = {key: value for key, value in LOGIN.items() if key != "password"}
    file = installation.secret_file("relay.password", "secret")
    with wrong_password() as (place, _):
        installation.configure([{**PLAIN, **login, **place, "password-file": file}], retry=LADDER, listen="none")
        assert visit(installation).returncode == 75
    (held,) = json.loads(ctl(installation, "status", "--json").stdout)["held"]
    assert held["mend"] == (f"{file} (password-file of primary in {installation.config}): sendpostctl setup --name primary, "
                            "with the right username and password")


def test_what_is_mended_goes_on_by_itself(installation):
    with ScriptedTpsp() as server:
        server.script["auth"] = "535 5.7.8 wrong"
        installation.configure([{**PLAIN, **LOGIN, "port": server.port}], retry=LADDER, listen="none")
        assert visit(installation).returncode == 75
        server.script["auth"] = None
        assert visit(installation).returncode == 0
    status = ctl(installation, "status")
    assert status.returncode == 0 and "Held" not in status.stdout
    assert json.loads(ctl(installation, "deliveries", "--json").stdout) == []
    assert "mail for primary goes on" in installation.log()


def test_a_tpsp_that_has_answered_and_is_gone_counts(installation):
    with ScriptedTpsp() as server:
        installation.configure([{**PLAIN, "port": server.port}], retry=LADDER, listen="none")
        assert visit(installation, "4bXyz0").returncode == 0
    assert visit(installation).returncode == 75
    make_due(installation)
    done = visit(installation)
    assert done.returncode == 69 and b"given up after 2 attempts" in done.stdout
    assert [event["cs"] for event in installation.events() if event["queue_id"] == "4bXyz1"] == [61, 62]


def test_a_tpsp_at_another_port_has_to_answer_first(installation):
    with ScriptedTpsp() as server:
        installation.configure([{**PLAIN, "port": server.port}], retry=LADDER, listen="none")
        assert visit(installation, "4bXyz0").returncode == 0
    installation.configure([{**PLAIN, "port": free_port()}], retry=LADDER, listen="none")
    for _ in range(VISITS):
        assert visit(installation).returncode == 75
    assert [event["cs"] for event in installation.events()] == [60]


def test_silence_of_one_is_not_held_against_a_message_that_waits_for_our_trouble_with_another(installation):
    with ScriptedTpsp() as server:
        gone = {**PLAIN, "name": "gone", "port": server.port}
        installation.configure([gone], retry=LADDER, listen="none")
        assert visit(installation, "4bXyz0").returncode == 0
    with wrong_password() as (place, _):
        installation.configure([{**PLAIN, **LOGIN, **place}, gone], retry=LADDER, listen="none")
        for _ in range(VISITS):
            assert visit(installation).returncode == 75
    assert [event["cs"] for event in installation.events()] == [60]
    (entry,) = json.loads(ctl(installation, "deliveries", "--json").stdout)
    assert entry["state"] == "held" and entry["tpsp"] == "primary"


def test_with_trouble_of_ours_at_one_tpsp_the_next_takes_the_message(installation):
    with wrong_password() as (place, _), ScriptedTpsp() as backup:
        installation.configure([{**PLAIN, **LOGIN, **place}, {**PLAIN, "name": "backup", "port": backup.port}], retry=LADDER,
                               listen="none")
        assert visit(installation).returncode == 0
        assert len(backup.messages) == 1
    assert [held["tpsp"] for held in json.loads(ctl(installation, "status", "--json").stdout)["held"]] == ["primary"]


def test_an_empty_schedule_is_no_ladder(installation):
    with ScriptedTpsp(rcpt="451 4.2.2 asleep") as server:
        installation.configure([{**PLAIN, "port": server.port}], retry={"schedule": []}, listen="none")
        for _ in range(VISITS):
            assert visit(installation).returncode == 75
        assert len(server.transactions) >= VISITS  # what a kept connection says is asked again on a new one


@pytest.mark.parametrize("instances, left", [("", ["4bXyz1", "4bXyz3"]), ("/etc/postfix-out", ["4bXyz1", "4bXyz2", "4bXyz3"])])
def test_what_is_no_more_in_the_queue_is_forgotten(installation, instances, left):
    with ScriptedTpsp(rcpt="451 4.2.2 asleep") as server:
        installation.configure([{**PLAIN, "port": server.port}], retry={"schedule": ["1h"]}, listen="none")
        for number in (1, 2, 3):
            assert visit(installation, f"4bXyz{number}").returncode == 75
    with sqlite3.connect(installation.state / "state.db") as database:  # but the last, which was just worked on
        database.execute("UPDATE deliveries SET last_ms = last_ms - 3600000 WHERE queue_id <> '4bXyz3'")
    for path in installation.state.glob("state.db*"):
        installation.give(path, 0o600)
    tools = installation.top / "tools"
    tools.mkdir()
    for name, text in (("postqueue", '{"queue_name": "hold", "queue_id": "4bOther"}\n{"queue_name": "deferred", "queue_id": "4bXyz1"}'),
                       ("postconf", f"multi_instance_directories = {instances}")):
        (tools / name).write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
        (tools / name).chmod(0o755)
    done = subprocess.run([str(build_directory() / "sendpostctl"), "-c", str(installation.config), "deliveries", "--json"],
                          capture_output=True, text=True, check=True, timeout=240, env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"})
    assert sorted(entry["queue_id"] for entry in json.loads(done.stdout)) == left
