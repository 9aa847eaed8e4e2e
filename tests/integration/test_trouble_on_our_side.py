"""Whatever is wrong on our side, Postfix keeps the message: status=deferred in its log, the message in its queue, and
nothing bounced. When the trouble is over, the same message leaves."""
import os
import re
import subprocess

import pytest

from private_postfix import PrivatePostfix
from scripted_tpsp import ScriptedTpsp
from sendpost import Sendpost, build_directory, replace_once
from support import wait_for

MESSAGE = b"From: sender@example.org\nTo: user@example.com\nSubject: kept\n\nbody\n"

BROKEN_CHILDREN = {
    "segfault": ("#!/bin/sh\nkill -SEGV $$\n", r"died with signal 11"),
    "missing-library": ("#!/bin/sh\necho 'sendpost-deliver: error while loading shared libraries: libfoo.so.1' >&2; exit 127\n",
                        r"libfoo\.so\.1"),
    "no-result": ("#!/bin/sh\nexit 0\n", r"no result"),
    "permanent-status": ("#!/bin/sh\necho 5.1.1 unknown user\nexit 67\n", r"status 67"),
    "garbage-result": ("#!/bin/sh\nhead -c 70000 /dev/urandom >&3\n", r"makes no sense|no result"),
    "text-result": ("#!/bin/sh\necho '0 2.0.0 ok' >&3\n", r"makes no sense|no result"),
    "no-program": ("this is no program\n", r"cannot start|no result"),
}


def deferred(front, queue_id, text=""):
    line = front.wait_status(queue_id, "deferred")
    assert front.in_queue(queue_id)
    assert not front.lines(queue_id, "status=(bounced|sent)")
    front.wait_log(rf"status=deferred \(.*{text}", queue_id)
    return line


@pytest.mark.smoke
@pytest.mark.parametrize("name", BROKEN_CHILDREN)
def test_a_broken_deliverer_keeps_the_message_in_the_queue(front, sendpost, name):
    program, words = BROKEN_CHILDREN[name]
    sendpost.replace("sendpost-deliver", program)
    sendpost.configure([])
    queue_id = front.sendmail(MESSAGE, "user@example.com")
    line = deferred(front, queue_id, words)
    assert "dsn=4.3.0" in line


def test_a_missing_deliverer_keeps_the_message_in_the_queue(front, sendpost):
    (sendpost.libexec / "sendpost-deliver").unlink(missing_ok=True)
    queue_id = front.sendmail(MESSAGE, "user@example.com")
    deferred(front, queue_id, "install the package anew")


# --- with a TPSP that would take it: when the trouble is over, the same message leaves --------------------------------------


@pytest.fixture
def server(sendpost):
    with ScriptedTpsp() as tpsp:
        sendpost.configure([{"name": "primary", "id": 12, "host": tpsp.host, "port": tpsp.port, "security": "none",
                             "auth": "none", "max-rate-per-hour": 0}])
        yield tpsp


def leaves(front, queue_id, server):
    front.flush()
    front.wait_status(queue_id, "sent")
    assert len(server.messages) == 1


@pytest.mark.parametrize("library", ["libesmtp", "libsqlite3", "libssl", "libc.so"])
def test_a_removed_library_keeps_the_message_in_the_queue(front, sendpost, server, library):
    deliver = sendpost.libexec / "sendpost-deliver"
    listed = subprocess.run(["ldd", str(deliver)], capture_output=True, text=True, check=True).stdout
    name = re.search(rf"({library}\S*) =>", listed).group(1)
    masked = sendpost.top / "masked"
    masked.mkdir(exist_ok=True)
    (masked / name).touch()  # the loader finds this instead: as good as none
    deliver.rename(sendpost.libexec / "real-deliver")
    sendpost.replace("sendpost-deliver", f'#!/bin/sh\nLD_LIBRARY_PATH={masked} exec {sendpost.libexec}/real-deliver "$@"\n')
    queue_id = front.sendmail(MESSAGE, "user@example.com")
    deferred(front, queue_id, re.escape(name))
    (masked / name).unlink()
    leaves(front, queue_id, server)


def test_without_libcurl_only_what_needs_it_stays_in_the_queue(front, sendpost, server):
    """It is loaded when a message needs the second engine: here one that the first would alter."""
    masked = sendpost.top / "masked"
    masked.mkdir(exist_ok=True)
    (masked / "libcurl.so.4").touch()
    (sendpost.libexec / "sendpost-deliver").rename(sendpost.libexec / "real-deliver")
    sendpost.replace("sendpost-deliver", f'#!/bin/sh\nLD_LIBRARY_PATH={masked} exec {sendpost.libexec}/real-deliver "$@"\n')
    queue_id = front.sendmail(b"Return-Path: <kept@example.org>\nReply-To: a@b.c\nReply-To: d@e.f\n" + MESSAGE,
                              "user@example.com")
    deferred(front, queue_id, "libcurl")
    front.wait_status(front.sendmail(MESSAGE, "user@example.com"), "sent")
    server.messages.clear()
    (masked / "libcurl.so.4").unlink()
    leaves(front, queue_id, server)


def test_the_supervisor_needs_nothing_but_the_c_library(sendpost):
    dynamic = subprocess.run(["readelf", "-d", str(build_directory() / "sendpost-pipe")], capture_output=True, text=True,
                             check=True).stdout
    needed = re.findall(r"NEEDED.*\[(.*)\]", dynamic)
    if any("asan" in name for name in needed):
        pytest.skip("a sanitizer build needs its own libraries")
    assert needed in ([], ["libc.so.6"])  # linked statically where musl is there


@pytest.mark.smoke
@pytest.mark.parametrize("trouble, words", [
    ("missing", "config.yaml"), ("unreadable", "config.yaml"), ("syntax", r"config.yaml:\d+"),
    ("unknown-key", r"config.yaml:\d+.*no-such-key"), ("secret-readable-by-all", "event-api-key|config.yaml"),
])
def test_a_bad_configuration_keeps_the_message_in_the_queue(front, sendpost, server, trouble, words):
    good = sendpost.config.read_text()
    if trouble == "missing":
        sendpost.config.unlink()
    elif trouble == "unreadable":
        sendpost.config.chmod(0)
        os.chown(sendpost.config, 0, 0)
    elif trouble == "syntax":
        sendpost.config.write_text(good + "}\n")
    elif trouble == "unknown-key":
        sendpost.config.write_text(good.replace('"account-id"', '"no-such-key": 1, "account-id"'))
    else:
        key = sendpost.secret_file("event-api-key", "secret")
        os.chmod(key, 0o644)
        sendpost.config.write_text(good.replace('"account-id"', f'"api-key-file": "{key}", "account-id"'))
    queue_id = front.sendmail(MESSAGE, "user@example.com")
    line = deferred(front, queue_id, words)
    assert "dsn=4.3.5" in line
    sendpost.config.write_text(good)
    sendpost.give(sendpost.config, 0o600)
    leaves(front, queue_id, server)


@pytest.mark.parametrize("trouble", ["missing", "read-only", "not-ours", "corrupt"])
def test_an_unusable_state_directory_loses_nothing(front, sendpost, server, trouble):
    if trouble == "missing":
        sendpost.state.rename(sendpost.top / "elsewhere")
    elif trouble == "read-only":
        sendpost.state.chmod(0o500)
    elif trouble == "not-ours":
        os.chown(sendpost.state, 0, 0)
    elif trouble == "corrupt":
        (sendpost.state / "state.db").write_bytes(b"this is no database" * 1000)
        sendpost.give(sendpost.state / "state.db", 0o640)
    queue_id = front.sendmail(MESSAGE, "user@example.com")
    if trouble != "corrupt":  # that one heals itself
        line = deferred(front, queue_id, "state")
        assert "dsn=4.3.0" in line
        if trouble == "missing":
            (sendpost.top / "elsewhere").rename(sendpost.state)
        sendpost.give(sendpost.state, 0o750)
    leaves(front, queue_id, server)


def test_two_recipients_at_once_stay_in_the_queue_until_the_limit_is_set(postfix_runs):
    with ScriptedTpsp() as server, Sendpost() as sendpost:
        sendpost.configure([{"name": "primary", "id": 12, "host": server.host, "port": server.port, "security": "none",
                             "auth": "none", "max-rate-per-hour": 0}])
        fragment = sendpost.main_cf()
        without = replace_once(fragment, "sendpost_destination_recipient_limit = 1\n", "")
        with PrivatePostfix("front.test", main=without, master=sendpost.master_cf()) as front:
            queue_id = front.sendmail(MESSAGE, ["one@example.com", "two@example.com"])
            line = deferred(front, queue_id, "recipient")
            assert "dsn=4.3.5" in line and not server.connections
            front.main = fragment
            front.reload()
            front.wait_gone(queue_id)
            # of the transactions: one connection may have served both
            assert sorted(re.search(rb"<(.*)>", line).group(1) for _, line in server.transactions) == \
                [b"one@example.com", b"two@example.com"]


@pytest.fixture
def small_disk(sendpost):
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=12m,uid={sendpost.uid},gid={sendpost.gid},mode=750", "tmpfs",
                           str(sendpost.state)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no tmpfs may be mounted here: {done.stderr.strip()}")
    yield sendpost.state / "filler"
    subprocess.run(["umount", "-l", str(sendpost.state)], check=True)


def fill(path):
    with path.open("wb", buffering=0) as out:
        try:
            while True:
                out.write(b"x" * 4096)
        except OSError:
            return


def test_a_full_disk_keeps_the_message_in_the_queue(front, sendpost, server, small_disk):
    fill(small_disk)
    queue_id = front.sendmail(MESSAGE, "user@example.com")
    deferred(front, queue_id)
    assert not server.messages
    small_disk.unlink()
    leaves(front, queue_id, server)


def test_a_disk_that_fills_while_the_tpsp_accepts_sends_no_message_twice(front, sendpost, server, small_disk):
    def fill_then_accept(connection):
        fill(small_disk)
        connection.server.messages.append(connection.unstuffed())
        connection.reply("250 2.0.0 Ok: queued as SCRIPTED")

    server.script["dot"] = fill_then_accept
    queue_id = front.sendmail(MESSAGE, "user@example.com")
    wait_for(lambda: server.messages, "the acceptance")
    wait_for(lambda: "not on record" in sendpost.log() or front.lines(queue_id, "status=sent"), "the record")
    small_disk.unlink()
    front.wait_status(queue_id, "sent")
    assert len(server.messages) == 1
    assert [row["cs"] for row in sendpost.events() if row["queue_id"] == queue_id] == [60]
