"""Message UUIDs carry their proof, stay the same at each retry, and are never made in another way because a key is away."""
import os
import re
import shutil
import signal
import subprocess

import pytest

from scripted_tpsp import DEFAULTS, ScriptedTpsp
from support import wait_for
from uuid_keys import is_proven, new_key

MESSAGE = b"Received: from app by mx; Thu, 26 Nov 2026 03:00:00 +0000\nFrom: a@example.org\nTo: b@example.com\nSubject: x\n\nbody\n"
HEADER = re.compile(rb"^X-Sendpost-Message-UUID: (\S+)\r$", re.MULTILINE)


def uuid_on(message):
    (value,) = HEADER.findall(message)
    return value.decode()


@pytest.fixture
def tpsp():
    with ScriptedTpsp() as server:
        yield server


@pytest.fixture
def site(sendpost, tpsp):
    """An installation with one key; keys() writes others into the file."""

    def configure(**settings):
        sendpost.configure([{"name": "primary", "id": 12, "host": "127.0.0.1", "port": tpsp.port, "security": "none",
                             "max-rate-per-hour": 0}], retry={"schedule": ["1s"] * 10}, **settings)

    def keys(*lines):
        configure(uuid_key_file=sendpost.secret_file("uuid-key", "\n".join(lines)))

    sendpost.keys, sendpost.configure_without = keys, configure
    return sendpost


def deliver(site, queue_id="4bXyz", recipient="b@example.com", message=MESSAGE):
    return site.run("-q", queue_id, "-f", "a@example.org", "--", recipient, message=message)


def uuid_said(done):
    assert done.returncode == 0, done
    return re.search(rb"uuid=(\S+)", done.stdout).group(1).decode()


def test_what_leaves_proves_itself_for_its_recipient(site, tpsp, front):
    key = new_key()
    site.keys(key)
    recipients = ["One@example.com", "two@Example.com"]
    front.sendmail(MESSAGE, recipients)
    taken = wait_for(lambda: len(tpsp.taken) == 2 and tpsp.taken, "two messages")
    uuids = {re.search(rb"<(.*)>", line).group(1).decode(): uuid_on(message) for line, message in taken}
    assert len(set(uuids.values())) == 2
    for recipient, value in uuids.items():
        assert [is_proven(key, value, other) for other in recipients] == [other == recipient for other in recipients]
        assert is_proven(key, value, recipient.upper())


def test_without_a_queue_id_it_proves_itself_as_well(site, tpsp):
    key = new_key()
    site.keys(key)
    done = site.run("-f", "a@example.org", "--", "b@example.com", message=MESSAGE)
    assert is_proven(key, uuid_said(done), "b@example.com")


def test_a_retry_keeps_its_uuid_although_the_state_was_wiped(site, tpsp):
    site.keys(new_key(), new_key())
    tpsp.script.update(dot="451 4.2.0 later")
    assert deliver(site).returncode == 75
    first = site.events()[0]["message_id"]
    site.wait_settled()
    shutil.rmtree(site.state)
    site.state.mkdir()
    site.give(site.state, 0o750)
    tpsp.script.update(DEFAULTS)
    assert uuid_said(deliver(site)) == first


@pytest.mark.parametrize("before", [["one"], [], ["one", "two"]], ids=["another key", "no key", "two keys"])
def test_queued_mail_keeps_its_uuid_when_a_key_is_put_in_front(before, site, tpsp):
    names = {name: new_key() for name in ("one", "two", "three")}
    old = [names[name] for name in before]
    site.keys(*old) if old else site.configure_without()
    tpsp.script.update(dot="451 4.2.0 later")
    assert deliver(site).returncode == 75
    first = site.events()[0]["message_id"]
    tpsp.script.update(DEFAULTS)
    site.keys(names["three"], *old)
    wait_for(lambda: deliver(site).returncode == 0, "the message to be due", interval=0.3)
    assert {event["message_id"] for event in site.events()} == {first}
    assert is_proven(names["three"], uuid_said(deliver(site, queue_id="4bNew")), "b@example.com")


def test_what_was_accepted_under_an_earlier_key_is_not_sent_again(site, tpsp):
    """The acceptance is on record; Postfix did not hear of it, comes again, and meanwhile the key has changed."""
    one, two = new_key(), new_key()
    site.keys(one)
    first = uuid_said(deliver(site))
    site.keys(two, one)
    assert uuid_said(deliver(site)) == first and len(tpsp.messages) == 1


def test_what_was_broken_off_under_an_earlier_key_keeps_its_uuid(site, tpsp):
    """The machine's power, so to say: everybody dies while the server thinks about the final dot, and no event is there yet."""
    one, two, seen = new_key(), new_key(), []

    def think(connection):
        seen.append(uuid_on(connection.unstuffed()))
        connection.wait_for_client_to_go()

    site.keys(one)
    tpsp.script.update(dot=think)
    process = subprocess.Popen([site.program, "-c", site.config, "-q", "4bXyz", "-f", "a@example.org", "--", "b@example.com"],
                               stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=site.env(), cwd="/",
                               user=site.uid, group=site.gid, extra_groups=[], start_new_session=True)
    process.stdin.write(MESSAGE)
    process.stdin.close()
    wait_for(lambda: seen, "the final dot")
    for pid in site.leftovers():
        os.kill(pid, signal.SIGKILL)
    process.wait()
    wait_for(lambda: not site.leftovers(), "the end of them")
    assert site.events() == []
    tpsp.script.update(DEFAULTS)
    site.keys(two, one)
    assert uuid_said(deliver(site)) == seen[0]


@pytest.mark.parametrize("trouble", ["missing", "unreadable", "open to others", "garbled", "empty"])
def test_a_key_that_is_away_defers_and_is_never_replaced(trouble, site, tpsp):
    site.keys(new_key())
    path = site.top / "uuid-key"
    if trouble == "missing":
        path.unlink()
    elif trouble == "unreadable":
        site.give(path, 0o600)
        shutil.chown(path, "root", "root")
    elif trouble == "open to others":
        path.chmod(0o644)
    else:
        path.write_text("hunter2\n" if trouble == "garbled" else "")
    done = deliver(site)
    assert (done.returncode, done.stdout[:6]) == (75, b"4.3.5 ") and b"uuid-key" in done.stdout
    assert b"hunter2" not in done.stdout and "hunter2" not in site.log()
    assert tpsp.messages == [] and site.events() == []


def test_a_uuid_that_came_in_is_kept(site, tpsp):
    site.keys(new_key())
    value = "11111111-2222-4333-8444-555555555555"
    done = deliver(site, message=f"X-Sendpost-Message-UUID: {value}\n".encode() + MESSAGE)
    assert uuid_said(done) == value
