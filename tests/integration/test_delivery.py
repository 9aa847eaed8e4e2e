"""The whole way: sendmail(1), a real Postfix, pipe(8), sendpost-pipe, a TPSP, the event API. What Postfix was told is read from
its own log and queue."""
import re
import subprocess
import uuid

import dkim
import pytest

from private_postfix import PrivatePostfix
from scripted_tpsp import ScriptedTpsp
from sendpost import Sendpost
from support import free_port, listens, run, scratch, remove, wait_for
from tpsp import Tpsp

MESSAGE = b"From: Sender <sender@example.org>\nTo: user@example.com\nSubject: through\nMessage-ID: <1@example.org>\n" \
    b"Date: Mon, 23 Nov 2026 06:00:00 +0000\n\nbody\n.dot\n"
ENGINES = ["libesmtp", "libcurl"]


def scripted(server, **settings):
    return {"name": "primary", "id": 12, "host": "127.0.0.1", "port": server.port, "security": "none", "auth": "none",
            "max-rate-per-hour": 0, **settings}


@pytest.mark.smoke
def test_a_message_is_sent_and_reported(front, sendpost, tpsp, api, ca):
    sendpost.configure([sendpost.tpsp(tpsp, ca)], endpoint=api.url, ca=ca)
    queue_id = front.sendmail(MESSAGE, "user@example.com")
    line = front.wait_status(queue_id, "sent")
    front.wait_gone(queue_id)

    (received,) = tpsp.wait_messages()
    assert (received.sender, received.recipient) == ("sender@example.org", "user@example.com")
    top = [field.split(b":")[0].decode() for field in received.message.split(b"\n")[:5]]
    assert sorted(top) == sorted(f"X-Sendpost-{name}" for name in
                                 ("Message-UUID", "Account-ID", "SubAccount-ID", "TPSP-ID", "TPSP-Type"))
    assert received.message.endswith(MESSAGE[MESSAGE.index(b"From:"):])
    assert uuid.UUID(received.uuid).version == 5

    (event,) = api.events
    assert event["message_id"] == received.uuid and event["queue_id"] == queue_id
    assert (event["event_type"], event["cs_event_id"], event["source"]) == ("delivered", 60, "pipe")
    assert (event["recipient"], event["sender"], event["tpsp"], event["tpsp_id"]) == \
        ("user@example.com", "sender@example.org", "primary", 12)
    assert event["smtp_code"] == 250 and "queued as" in event["smtp_description"]

    assert "relay=sendpost" in line and "dsn=2.0.0" in line
    assert f"(delivered via sendpost service (2.0.0 uuid={received.uuid} tpsp=primary 250 2.0.0 Ok" in line
    (own,) = [entry for entry in sendpost.log().splitlines() if queue_id in entry]
    assert re.search(rf"postfix-sendpost/pipe\[\d+\]: {queue_id}: to=<user@example\.com>, .*tpsp=primary, "
                     rf"relay=localhost\[.*\]:{tpsp.port}, .*tls=TLSv1\.3 .*uuid={received.uuid}, status=sent \(250 ", own), own


@pytest.mark.smoke
def test_a_temporary_refusal_is_deferred_and_the_retry_keeps_its_uuid(front, sendpost, api, ca):
    with ScriptedTpsp(rcpt="451 4.2.1 mailbox busy") as server:
        sendpost.configure([scripted(server)], endpoint=api.url, ca=ca)
        queue_id = front.sendmail(MESSAGE, "user@example.com")
        line = front.wait_status(queue_id, "deferred")
        assert "dsn=4.2.1" in line and "451 4.2.1 mailbox busy" in line
        assert front.in_queue(queue_id)
        (first, *_) = api.wait_events(1)
        assert (first["event_type"], first["smtp_code"], first["smtp_enhanced_code"]) == ("deferred", 451, "4.2.1")

        server.script["rcpt"] = "250 2.1.5 Ok"
        front.wait_status(queue_id, "sent")
        front.wait_gone(queue_id)
        events = api.wait_events(2)
        assert [event["event_type"] for event in events if event["event_type"] != "deferred"] == ["delivered"]
        assert {event["message_id"] for event in events} == {first["message_id"]}
        assert [event["attempt"] for event in events] == list(range(1, len(events) + 1))
        (message,) = server.messages
        assert f"X-Sendpost-Message-UUID: {first['message_id']}".encode() in message


@pytest.mark.smoke
def test_a_permanent_refusal_is_bounced_and_the_bounce_leaves_with_the_null_sender(front, sendpost, api, ca):
    def refuse_user(connection):
        refused = b"user@example.com" in connection.recipient
        connection.reply("550 5.1.1 no such user here" if refused else "250 2.1.5 Ok")

    with ScriptedTpsp(rcpt=refuse_user) as server:
        sendpost.configure([scripted(server)], endpoint=api.url, ca=ca)
        queue_id = front.sendmail(MESSAGE, "user@example.com")
        line = front.wait_status(queue_id, "bounced")
        assert "dsn=5.1.1" in line and "550 5.1.1 no such user here" in line
        front.wait_gone(queue_id)
        front.wait_empty()
        events = api.wait_events(2)
        assert [event["event_type"] for event in events] == ["dropped", "delivered"]
        assert (events[0]["smtp_code"], events[0]["cs_event"]) == (550, "CSDropped")

        (bounce,) = server.messages  # Postfix's own, to the sender, through the same transport
        assert b"Status: 5.1.1" in bounce and b"To: sender@example.org" in bounce
        assert server.transactions[-1][0].startswith(b"MAIL FROM:<>")


def test_each_recipient_is_a_delivery_of_its_own(front, sendpost, tpsp, api, ca):
    sendpost.configure([sendpost.tpsp(tpsp, ca)], endpoint=api.url, ca=ca)
    recipients = [f"user{number}@example.{'com' if number % 2 else 'net'}" for number in range(5)]
    queue_id = front.sendmail(MESSAGE, recipients)
    front.wait_gone(queue_id)
    received = tpsp.wait_messages(5)
    assert sorted(one.recipient for one in received) == sorted(recipients)
    assert len({one.uuid for one in received}) == 5
    assert {(one.uuid, one.recipient) for one in received} == \
        {(event["message_id"], event["recipient"]) for event in api.events}


def test_the_nexthop_chooses_the_pool(front, sendpost, ca):
    with ScriptedTpsp() as first, ScriptedTpsp() as second:
        sendpost.configure([scripted(first), scripted(second, name="bulk")],
                           pools=[{"name": "default", "members": [{"tpsp": "primary"}]},
                                  {"name": "bulk", "members": [{"tpsp": "bulk"}]}])
        front.main += "transport_maps = inline:{ {news.example.com = sendpost:bulk} {own.example.com = sendpost:} }\n"
        front.reload()
        for recipient in ("user@news.example.com", "user@own.example.com", "user@example.com"):
            front.wait_gone(front.sendmail(MESSAGE, recipient))
        assert (len(first.messages), len(second.messages)) == (2, 1)
        assert b"user@news.example.com" in second.connections[0].recipient


def test_addresses_arrive_as_they_were_written(front, sendpost):
    with ScriptedTpsp() as server:
        sendpost.configure([scripted(server)])
        for recipient in ('"a b"@example.com', "-n@example.com", "--config=x@example.com", "o'brien+tag@example.com"):
            queue_id = front.sendmail(MESSAGE, recipient, sender="UPPER.lower@example.org")
            front.wait_status(queue_id, "sent")
            sender, received = server.transactions[-1]  # on whichever connection
            assert received == f"RCPT TO:<{recipient}>".encode() and sender.startswith(b"MAIL FROM:<UPPER.lower@example.org>")


def test_a_delivery_that_was_accepted_before_is_not_sent_again(front, sendpost, api, ca):
    with ScriptedTpsp() as server:
        sendpost.configure([scripted(server)], endpoint=api.url, ca=ca)
        (sendpost.libexec / "sendpost-pipe").rename(sendpost.libexec / "sendpost-pipe.real")
        # tells Postfix "try again" once more after the real one was through, as a kill between the two would
        sendpost.replace("sendpost-pipe", f"""#!/bin/sh
line=$({sendpost.libexec}/sendpost-pipe.real "$@"); status=$?
[ $status = 0 ] && mkdir {sendpost.state}/once 2>/dev/null && line='4.3.0 cut short' status=75
echo "$line"; exit $status
""")
        queue_id = front.sendmail(MESSAGE, "user@example.com")
        front.wait_status(queue_id, "deferred")
        front.wait_status(queue_id, "sent")
        assert len(server.messages) == 1
        assert [event["event_type"] for event in api.events] == ["delivered"]


# --- signatures ---------------------------------------------------------------------------------------------------------

SIGNED = b"""From: Sender <sender@example.org>
To: user@example.com
To: second@example.com
Cc: =?utf-8?q?J=C3=BCrgen?= <j@example.com>
Subject: folded
 subject\twith  blanks
X-Empty:
DATE: Mon, 23 Nov 2026 06:00:00 +0000
Message-ID:<tight@example.org>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

.leading dot
..two dots
trailing blanks  \t
""" + "Grüße\n".encode() + b"x" * 900 + b"\n\n\n"


@pytest.fixture(scope="module")
def signer(postfix_runs):
    """opendkim as a milter, and the key for whoever verifies."""
    top = scratch("spdk-")
    run("opendkim-genkey", "-b", "2048", "-d", "example.org", "-s", "test", "-D", top)
    port = free_port()
    (top / "opendkim.conf").write_text(
        f"Domain example.org\nKeyFile {top}/test.private\nSelector test\nSocket inet:{port}@127.0.0.1\nMode s\n"
        "Canonicalization simple/simple\nOversignHeaders From,To,Subject,Date\nSyslog no\nRequireSafeKeys no\n"
        "ExternalIgnoreList refile:/dev/null\n")
    process = subprocess.Popen(["opendkim", "-f", "-x", str(top / "opendkim.conf")])
    wait_for(lambda: listens(port), "opendkim")
    record = "".join(re.findall(r'"(.*?)"', (top / "test.txt").read_text())).encode()
    yield port, lambda name, timeout=0: record if name.startswith(b"test._domainkey.example.org") else None
    process.terminate()
    process.wait()
    remove(top)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_signature_made_before_the_pipe_verifies_after_it(signer, tpsp, ca, engine):
    port, key_of = signer
    with Sendpost() as sendpost:
        sendpost.configure([sendpost.tpsp(tpsp, ca, engine=engine)])
        if engine == "libesmtp":  # what this engine would alter goes through the other one, whatever was asked for
            message = SIGNED.replace(b"To: second@example.com\n", b"").replace(b"DATE:", b"Date:")
        else:
            message = SIGNED
        with PrivatePostfix("front.test", main=sendpost.main_cf(f"non_smtpd_milters = inet:127.0.0.1:{port}\n"
                                                                "internal_mail_filter_classes = bounce\n"),
                            master=sendpost.master_cf()) as front:
            queue_id = front.sendmail(message, "user@example.com")
            front.wait_status(queue_id, "sent")
        (received,) = tpsp.wait_messages()
        assert f"engine={engine}" in sendpost.log()
        assert received.header("DKIM-Signature")
        assert dkim.verify(received.message, dnsfunc=key_of)
        broken = received.message.replace(b"..two dots", b".two dots")
        assert not dkim.verify(broken, dnsfunc=key_of)


# --- TLS and login ---------------------------------------------------------------------------------------------------------


def test_implicit_tls_works_as_well(front, sendpost, ca):
    with Tpsp(ca, wrapper_tls=True) as server:
        sendpost.configure([sendpost.tpsp(server, ca, security="tls")])
        front.wait_status(front.sendmail(MESSAGE, "user@example.com"), "sent")
        assert len(server.wait_messages()) == 1


@pytest.mark.parametrize("wrong, words", [
    ({"password": "not it"}, "Auth rejected"),
    ({"tls_ca_path": "EMPTY"}, "TLS handshake failed"),
    ({"port": 1}, "Connection refused"),
    ({"host": "no-such-host.invalid"}, "no-such-host.invalid"),
], ids=["password", "ca", "port", "host"])
def test_trouble_with_the_tpsp_is_deferred_in_words_to_look_up(front, sendpost, tpsp, ca, wrong, words):
    empty = sendpost.top / "empty"
    empty.mkdir(exist_ok=True)
    entry = sendpost.tpsp(tpsp, ca, **{key: str(empty) if value == "EMPTY" else value for key, value in wrong.items()})
    sendpost.configure([entry], dns={"timeout": "1s"})
    queue_id = front.sendmail(MESSAGE, "user@example.com")
    line = front.wait_status(queue_id, "deferred")
    assert words in line and front.in_queue(queue_id)
    assert not tpsp.files()
