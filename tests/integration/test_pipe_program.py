"""sendpost-pipe by hand, as pipe(8) would start it: statuses, hostile servers and messages, what it leaves alone and what it
keeps to itself."""
import base64
import concurrent.futures
import re
import subprocess
import threading
from pathlib import Path

import pytest

from event_api import Answer
from scripted_tpsp import ScriptedTpsp, drip, flood, hang_up, reset, stall
from sendpost import SECRET_KEY, Sendpost
from tpsp import PASSWORD, USERNAME

MESSAGE = b"From: sender@example.org\r\nTo: user@example.com\r\nDate: Mon, 23 Nov 2026 06:00:00 +0000\r\n" \
    b"Message-ID: <1@example.org>\r\nSubject: x\r\n\r\nbody\r\n"
ENVELOPE = ("-f", "sender@example.org", "--", "user@example.com")


@pytest.fixture
def pipe():
    with Sendpost() as installation:
        yield installation
        installation.wait_settled()


def scripted(server, **settings):
    return {"name": "primary", "id": 12, "host": server.host, "port": server.port, "security": "none", "auth": "none",
            "max-rate-per-hour": 0, **settings}


def text(done):
    return done.stdout.decode()


# --- statuses ----------------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize("rcpt, status, line", [
    ("250 2.1.5 Ok", 0, r"2\.0\.0 uuid=\S{36} tpsp=primary 250 2\.0\.0 Ok: queued as SCRIPTED\n"),
    ("452 4.5.3 too many", 75, r"4\.5\.3 .*452 4\.5\.3 too many.*\n"),
    ("550 no code", 69, r"5\.\d\.\d .*550 no code.*\n"),
    ("550 4.1.1 class is wrong", 69, r"5\.\d\.\d .*\n"),
    ("199 what", 75, r"4\..*\n"),
])
def test_status_and_line_agree(pipe, rcpt, status, line):
    with ScriptedTpsp(rcpt=rcpt) as server:
        pipe.configure([scripted(server)])
        done = pipe.run("-q", "4bXyz", *ENVELOPE, message=MESSAGE)
        assert done.returncode == status and re.fullmatch(line, text(done)), done


@pytest.mark.parametrize("arguments", [
    (), ("-f", "a@example.org"), ("-f", "a@example.org", "one@example.com", "two@example.com"), ("user@example.com",),
    ("--nonsense", *ENVELOPE), ("-f",), ("-u", "no-uuid", *ENVELOPE), ("-p", "no-such-pool", *ENVELOPE),
])
def test_wrong_usage_keeps_the_message_in_the_queue(pipe, arguments):
    with ScriptedTpsp() as server:
        pipe.configure([scripted(server)])
        done = pipe.run(*arguments, message=MESSAGE)
        assert done.returncode == 75 and re.match(r"4\.3\.5 \S", text(done)), done
        assert not server.connections


# --- a TPSP that misbehaves, under the deadline ----------------------------------------------------------------------------------

STAGES = ["connect", "ehlo", "mail", "rcpt", "data", "content", "dot"]
ACTIONS = {"stall": stall, "reset": reset, "hang-up": hang_up, "drip": drip(b"2"), "421": "421 4.3.2 closing",
           "flood": flood(b"250-" + b"x" * 4096 + b"\r\n"), "lie": b"\x00\xff\x16\x03nonsense\r\n",
           "inject": b"250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n354 go\r\n250 2.0.0 Ok: queued as FORGED\r\n"}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("action", ACTIONS)
def test_a_misbehaving_tpsp_never_passes_for_success(pipe, stage, action):
    with ScriptedTpsp(**{stage: ACTIONS[action]}) as server:
        # who is silent is not waited for long; but longer where a busy machine was late at an earlier stage
        for seconds in (2, 4, 8, 16) if action in ("stall", "drip") else (20,):
            pipe.configure([scripted(server, **{"connect-timeout": f"{seconds}s", "command-timeout": f"{seconds}s"})],
                           delivery_timeout=f"{5 * seconds}s", report={"timeout": "1s"})
            done = pipe.run("-q", f"4bXyz{seconds}", *ENVELOPE, message=MESSAGE, timeout=240)
            if stage != "dot" or "may have been accepted" in text(done):
                break
        assert done.returncode in (0, 75), done
        if done.returncode == 0:  # only ever with the whole message over there
            assert any(connection.dot_seen for connection in server.connections), done
            assert any(connection.unstuffed().endswith(b"body\r\n") for connection in server.connections)
        else:
            assert re.match(r"4\.\d+\.\d+ \S", text(done)), done
        if stage == "dot" and action in ("stall", "reset", "hang-up"):
            assert "may have been accepted" in text(done)
        rows = [row for row in pipe.events() if row["cs"] == 60]
        assert len(rows) == (1 if done.returncode == 0 else 0)


def test_a_message_that_is_through_too_late_is_not_ended(pipe):
    """With a quarter of delivery-timeout to go: by then nobody can wait for what the server says, and it would be in doubt."""
    def hesitate(connection):
        threading.Event().wait(4.5)  # of 6 s: what the server takes its time for, not a wait for anything
        connection.reply("354 go on")

    with ScriptedTpsp(data=hesitate) as server:
        pipe.configure([scripted(server)], delivery_timeout="8s", report={"timeout": "1s"})
        done = pipe.run("-q", "4bXyz", *ENVELOPE, message=MESSAGE, timeout=60)
        assert done.returncode == 75 and b"may have been accepted" not in done.stdout, done.stdout
        assert not any(connection.dot_seen for connection in server.connections)


def test_an_injected_reply_behind_starttls_is_an_attack(pipe, ca):
    certificate, key = ca.issue("inject.test")
    with ScriptedTpsp(security="starttls", chain=certificate, key=key,
                      starttls=b"220 2.0.0 Ready\r\n250-injected\r\n250 AUTH PLAIN\r\n") as server:
        pipe.configure([scripted(server, security="starttls", **{"tls-ca-path": str(ca.hashed)})])
        done = pipe.run(*ENVELOPE, message=MESSAGE)
        assert done.returncode == 75 and not server.messages
        assert not any(command.startswith(("AUTH", "MAIL")) for one in server.connections for command in one.commands)


# --- what it leaves alone ------------------------------------------------------------------------------------------------------


def test_a_dry_run_prints_all_and_contacts_nobody(pipe, api, ca):
    with ScriptedTpsp() as server:
        pipe.configure([scripted(server)], endpoint=api.url, ca=ca)
        before = sorted(path.name for path in pipe.state.iterdir())
        done = pipe.run("-n", "-q", "4bXyz", *ENVELOPE, message=MESSAGE)
        assert done.returncode == 0, done
        assert "MAIL FROM:<sender@example.org>" in text(done) and "RCPT TO:<user@example.com>" in text(done)
        assert "X-Sendpost-Message-UUID: " in text(done) and "Subject: x\r\n\r\nbody\r\n" in text(done)
        assert not server.connections and not api.connections
        assert sorted(path.name for path in pipe.state.iterdir()) == before


@pytest.mark.parametrize("arrives", [
    b"From: a@example.org\n\nbare line feeds\n.\n..\n",
    b"From: a@example.org\r\nSubject: both\n\nmixed\r\nline\nends\r\n",
    b"From: a@example.org\nReceived: one\nReceived: two\nX-Empty:\nX-Long: " + b"y" * 5000 + b"\n\n" + b"z" * 5000 + b"\n",
    b"From: a@example.org\nTo: one\nTo: two\nCc: a\nCc: b\nReturn-Path: <x>\nOriginal-Recipient: y\nSubject: s\n\nbody\n",
    b"From: a@example.org\nSubject : blank before colon\n no colon at all?\n\nbody\n",
    b"From: a@example.org\nSubject: \xff\xfe\x80raw\n\n\xe2\x82\xac 8 bit\n",
    b"From: a@example.org\n\nno line end at the very end",
    b"From: a@example.org\n",
    b"From: a@example.org\n\n",
], ids=["lf", "mixed", "long", "rewritten", "malformed", "8bit", "no-end", "no-blank", "no-body"])
def test_hostile_messages_arrive_with_every_byte_they_had(pipe, arrives):
    with ScriptedTpsp() as server:
        pipe.configure([scripted(server)])
        done = pipe.run(*ENVELOPE, message=arrives)
        assert done.returncode == 0, done
        (got,) = server.messages
        top, rest = re.fullmatch(rb"((?:X-Sendpost-[A-Za-z-]+: [^\r\n]*\r\n){5})(.*)", got, re.S).groups()
        assert len(set(re.findall(rb"(?m)^X-Sendpost-[A-Za-z-]+", top))) == 5
        wanted = arrives.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        if not wanted.endswith(b"\r\n"):
            wanted += b"\r\n"
        assert rest == wanted


def test_no_carriage_return_reaches_the_wire_but_at_the_end_of_a_line(pipe):
    """A server that takes it for a line end would read commands of a stranger."""
    smuggled = b"From: a@example.org\nSubject: \rX-Header: \r\n\nbody\r.\rMAIL FROM:<b@example.net>\r\r\nend\r"
    with ScriptedTpsp() as server:
        pipe.configure([scripted(server)])
        assert pipe.run(*ENVELOPE, message=smuggled).returncode == 0
        (got,) = server.messages
        assert got.endswith(b"Subject:  X-Header: \r\n\r\nbody . MAIL FROM:<b@example.net> \r\nend \r\n"), got
        assert not re.search(rb"\r(?!\n)", got)


def test_identity_headers_that_came_in_are_replaced_and_a_good_uuid_is_kept(pipe):
    given = "01234567-89ab-4def-8123-456789abcdef"
    with ScriptedTpsp() as server:
        pipe.configure([scripted(server)])
        forged = f"x-sendpost-message-uuid: {given}\nX-SENDPOST-ACCOUNT-ID: 1\n folded\nX-Sendpost-TPSP-Type: evil\n".encode()
        assert pipe.run("-q", "4bXyz", *ENVELOPE, message=forged + MESSAGE).returncode == 0
        twice = f"X-Sendpost-Message-UUID: {given}\nX-Sendpost-Message-UUID: {given}\n".encode()
        assert pipe.run("-q", "4bXyz", *ENVELOPE, message=twice + MESSAGE).returncode == 0
        first, second = server.messages
        assert first.lower().count(b"x-sendpost-") == second.lower().count(b"x-sendpost-") == 5
        assert b"evil" not in first and b"X-Sendpost-Account-ID: 117\r\n" in first
        assert f"X-Sendpost-Message-UUID: {given}\r\n".encode() in first
        assert given.encode() not in second


def test_the_uuid_survives_the_loss_of_the_state_directory(pipe):
    with ScriptedTpsp(rcpt="451 4.0.0 later") as server:
        pipe.configure([scripted(server)])
        pipe.run("-q", "4bXyz", *ENVELOPE, message=MESSAGE)
        before = pipe.events()[0]["message_id"]
        for path in pipe.state.glob("*"):
            subprocess.run(["rm", "-rf", str(path)], check=True)
        server.script["rcpt"] = "250 Ok"
        done = pipe.run("-q", "4bXyz", *ENVELOPE, message=MESSAGE)
        assert done.returncode == 0 and f"uuid={before} " in text(done)


# --- what it keeps to itself ------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize("auth", ["plain", "login", "xoauth2"])
def test_no_secret_is_in_any_output_log_or_state(pipe, api, ca, auth):
    certificate, key = ca.issue("secret.test")
    seen = set()

    def look_around(connection):
        """While the child lives: its arguments and its environment."""
        for pid in pipe.leftovers():
            for name in ("cmdline", "environ"):
                seen.add(Path(f"/proc/{pid}/{name}").read_bytes())
        connection.reply("250 2.0.0 Ok: queued as SCRIPTED")

    with ScriptedTpsp(security="starttls", chain=certificate, key=key, dot=look_around) as server:
        entry = scripted(server, security="starttls", auth=auth, username=USERNAME, **{"tls-ca-path": str(ca.hashed)})
        if auth == "xoauth2":
            entry["oauth-token-file"] = pipe.secret_file("token", PASSWORD)
        else:
            entry["password-file"] = pipe.secret_file("password", PASSWORD)
        pipe.configure([entry], endpoint=api.url, ca=ca)
        api.script(Answer(401, b'{"error":"no"}'))
        done = pipe.run("-v", "-q", "4bXyz", *ENVELOPE, message=MESSAGE)
        assert done.returncode == 0, done
        assert server.connections[0].login[1:] == (USERNAME, PASSWORD)
        assert b"EHLO" in done.stderr and b"MAIL FROM" in done.stderr and b"POST" in done.stderr

    secrets = [PASSWORD.encode(), SECRET_KEY.encode(), base64.b64encode(PASSWORD.encode()),
               base64.b64encode(b"\0" + USERNAME.encode() + b"\0" + PASSWORD.encode()),
               base64.b64encode(f"user={USERNAME}\1auth=Bearer {PASSWORD}\1\1".encode())]
    state = b"".join(path.read_bytes() for path in pipe.state.rglob("*") if path.is_file())
    assert len(seen) >= 3
    for where in (done.stdout, done.stderr, pipe.log().encode(), state, *seen):
        for secret in secrets:
            assert secret not in where


# --- size and number ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["libesmtp", "libcurl"])
def test_memory_does_not_grow_with_the_message(pipe, engine):
    peaks, body = [], b"x" * 76 + b"\r\n"

    def look_at_memory(connection):
        for pid in pipe.leftovers():
            status = Path(f"/proc/{pid}/status").read_text()
            if "sendpost-delive" in status:
                peaks.append(int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)))
        connection.reply("250 2.0.0 Ok: queued as SCRIPTED")

    with ScriptedTpsp(dot=look_at_memory) as server:
        pipe.configure([scripted(server, engine=engine)], validation={"max-message-size": "60M"})
        for size in (1 << 10, 50 << 20):
            done = pipe.run(*ENVELOPE, message=MESSAGE + body * (size // len(body)), timeout=240)
            assert done.returncode == 0, done
            assert len(server.connections[-1].content) >= size - len(body)
            assert server.connections[-1].content.endswith(body)
    small, large = peaks
    assert large - small < 4096, f"{small} kB for a small message, {large} kB for 50 MB"


def test_a_message_beyond_the_limit_is_dropped_with_an_event(pipe, api, ca):
    with ScriptedTpsp() as server:
        pipe.configure([scripted(server)], endpoint=api.url, ca=ca, validation={"max-message-size": "1M"})
        done = pipe.run(*ENVELOPE, message=MESSAGE + b"x" * 70 + b"\r\n" * (1 << 20))
        assert done.returncode == 69 and text(done).startswith("5.3.4 "), done
        assert not server.connections
        assert [event["event_type"] for event in api.events] == ["dropped"]


def test_a_hundred_at_once(pipe, api, ca):
    gate = threading.Barrier(100)

    def one(number):
        gate.wait()
        return pipe.run("-q", f"4b{number}", "-f", "sender@example.org", "--", f"user{number}@example.com",
                        message=MESSAGE, timeout=240)

    with ScriptedTpsp() as server:
        pipe.configure([scripted(server)], endpoint=api.url, ca=ca)
        with concurrent.futures.ThreadPoolExecutor(100) as pool:
            results = list(pool.map(one, range(100)))
        assert [done for done in results if done.returncode != 0] == []
        assert len(server.messages) == 100
        assert len({event["message_id"] for event in api.events}) == len(api.events) == 100
        assert {event["recipient"] for event in api.events} == {f"user{number}@example.com" for number in range(100)}
