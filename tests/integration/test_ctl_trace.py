"""sendpostctl trace: where is my message, from store, log and queue."""
import json
import os
import subprocess

import pytest

from private_postfix import PrivatePostfix
from scripted_tpsp import ScriptedTpsp
from sendpost import Sendpost, build_directory
from support import wait_for

MESSAGE = b"From: a@example.org\r\nMessage-ID: <id-%d@example.org>\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= %d\r\n\r\nhello\r\n"
PLAIN = {"name": "primary", "id": 12, "host": "127.0.0.1", "security": "none", "auth": "none", "max-rate-per-hour": 0}


def trace(installation, *arguments, **environment):
    return subprocess.run([str(build_directory() / "sendpostctl"), "-c", str(installation.config), "trace", *arguments],
                          capture_output=True, text=True, check=False, timeout=240, env={**os.environ, **environment})


def told(installation, what, **environment):
    done = trace(installation, what, "--json", **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["what"] == what and result["complete"]
    return result


@pytest.fixture(name="installation")
def fixture_installation():
    with Sendpost() as made:
        yield made


def answers(connection):
    line = connection.recipient
    connection.reply("550 5.1.1 no such user \x1b[2J" if b"bad" in line else "451 4.3.0 later" if b"slow" in line else "250 2.1.5 Ok")


def deliver(installation, number, recipient):
    return installation.run("-q", f"4bXyz{number}", "-f", "a@example.org", "--", recipient, message=MESSAGE % (number, number)).returncode


def test_each_word_leads_to_the_message(installation):
    with ScriptedTpsp(rcpt=answers) as server:
        installation.configure([{**PLAIN, "port": server.port}], listen="none", log_path=str(installation.log_path), retry={"schedule": ["1h"]})
        for number, recipient in enumerate(("one@example.com", "bad@other.example", "slow@other.example")):
            deliver(installation, number, recipient)
    (event,) = [row for row in installation.events() if row["recipient"] == "one@example.com"]
    for what in ("4bXyz0", event["message_id"], event["message_id"][:8], "<id-0@example.org>", "id-0@example.org", "ONE@example.com",
                 "example.com", "@example.com"):
        (message,) = told(installation, what)["messages"]
        assert message["recipient"] == "one@example.com" and message["queue_id"] == "4bXyz0"
        assert message["message_id"] == event["message_id"]
        assert message["header_message_id"] == "<id-0@example.org>" and message["subject"] == "Grüße 0"
        assert message["state"] == "delivered"
        (entry,) = message["story"]  # the line in the log says the same
        assert entry["what"] == "delivered" and entry["tpsp"] == "primary" and entry["state"] == "local"
    other = {message["recipient"]: message for message in told(installation, "other.example")["messages"]}
    assert other["bad@other.example"]["state"] == "dropped"
    assert "5.1.1 no such user" in other["bad@other.example"]["story"][0]["text"]
    slow = other["slow@other.example"]
    assert slow["state"] in ("waiting", "gone") and "451" in slow["story"][0]["text"]  # gone where this machine's Postfix was asked
    nothing = trace(installation, "nobody@example.com")
    assert nothing.returncode == 1 and "nothing is known of" in nothing.stderr
    assert trace(installation, "a b").returncode == 64 and trace(installation, "ab").returncode == 64
    text = trace(installation, "bad@other.example").stdout
    assert "\x1b" not in text and "Grüße 1" in text


def test_the_subject_stays_out_where_it_is_not_wanted(installation):
    with ScriptedTpsp() as server:
        installation.configure([{**PLAIN, "port": server.port}], listen="none", log_path=str(installation.log_path), events_subject=False)
        deliver(installation, 0, "one@example.com")
    (message,) = told(installation, "one@example.com")["messages"]
    assert message["subject"] is None and message["header_message_id"] == "<id-0@example.org>"
    assert {row["subject"] for row in installation.events()} == {""}


def test_a_suppressed_recipient_is_told(installation):
    with ScriptedTpsp() as server:
        installation.configure([{**PLAIN, "port": server.port}], listen="none", log_path=str(installation.log_path))
        subprocess.run([str(build_directory() / "sendpostctl"), "-c", str(installation.config), "suppress", "add", "one@example.com",
                        "--reason", "unsubscribe"], check=True, capture_output=True)
        deliver(installation, 0, "one@example.com")
    (message,) = told(installation, "4bXyz0")["messages"]
    assert message["state"] == "dropped" and message["next"]["text"].endswith("no mail goes to one@example.com any more (unsubscribe)")
    assert [entry["what"] for entry in message["story"]] == ["suppressed", "dropped"]


def test_with_postfix_the_story_begins_where_the_message_came_in(installation):
    with ScriptedTpsp(rcpt=answers) as server:
        installation.configure([{**PLAIN, "port": server.port}], listen="none", retry={"schedule": ["1h"]})
        with PrivatePostfix(main=installation.main_cf(), master=installation.master_cf(), backoff="") as postfix:
            installation.configure([{**PLAIN, "port": server.port}], listen="none", log_path=str(postfix.log_path), retry={"schedule": ["1h"]})
            through = postfix.sendmail(MESSAGE % (7, 7), "one@example.com")
            waiting = postfix.sendmail(MESSAGE % (8, 8), "slow@example.com")
            wait_for(lambda: f"{through}: removed" in postfix.log() and "status=deferred" in postfix.log(), "both deliveries")
            environment = {"MAIL_CONFIG": str(postfix.etc)}
            result = told(installation, through, **environment)
            assert result["log"]["read"] and result["queue"]["read"], result
            (message,) = result["messages"]
            assert [entry["what"] for entry in message["story"]] == ["arrived", "delivered", "removed"], message["story"]
            assert message["subject"] == "Grüße 7"
            (message,) = told(installation, waiting, **environment)["messages"]
            assert message["state"] == "waiting" and message["next"]["at"] is not None
            assert message["next"]["command"] == f"sendpostctl deliveries retry {waiting}"
            assert [entry["what"] for entry in message["story"]][:2] == ["arrived", "deferred"]
            (by_id,) = told(installation, "id-8@example.org", **environment)["messages"]
            assert by_id["queue_id"] == waiting


def test_following_ends_when_the_message_is_through(installation):
    with ScriptedTpsp() as server:
        installation.configure([{**PLAIN, "port": server.port}], listen="none", log_path=str(installation.log_path))
        deliver(installation, 0, "one@example.com")
        done = trace(installation, "4bXyz0", "-f", "--json")
    assert done.returncode == 0 and [json.loads(line)["what"] for line in done.stdout.splitlines()] == ["delivered"]
