"""What follows from whose trouble a refusal is: the next member of the pool, pauses, kept connections, sessions that take so
many messages and no more."""
import os
import re

import pytest

from plain_relay import entry, send, while_open
from scripted_tpsp import DEFAULTS, ScriptedTpsp, hang_up
from sendpost import Sendpost, ctl

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becoming the user of the transport needs root")


@pytest.fixture
def site():
    with Sendpost() as installation:
        installation.environment["SENDPOST_IDLE_SECONDS"] = "60"
        yield installation


def limited(count, stage, reply):
    """A server that takes so many messages in a session and then answers this at this stage."""
    def act(connection):
        connection.seen = getattr(connection, "seen", 0) + 1
        full = connection.seen > count
        if stage == "data":  # its content is read only where the reply to DATA is plain text
            connection.server.script["data"] = reply if full else DEFAULTS["data"]
        connection.reply(reply if full and stage != "data" else "250 Ok")
        if full and reply.startswith("421"):
            hang_up(connection)
    return {"mail" if stage == "data" else stage: act}


REFUSALS = [
    ("mail", "454 4.7.0 Throttling failure: Daily message quota exceeded"),
    ("mail", "550 5.7.705 Access denied, tenant has exceeded threshold"),
    ("mail", "550 User suspended"),
    ("rcpt", "550 5.4.5 Daily user sending limit exceeded"),
    ("rcpt", "554 5.7.1 <r@example.com>: Relay access denied"),
    ("rcpt", "550 Domain shop.example has exceeded the max emails per hour (5/5 (100%)) allowed. Message discarded."),
    ("data", "554 5.7.0 Your account has been suspended"),
    ("dot", "554 Message rejected: Sending paused for this account."),
    ("dot", "550 5.7.1 Your message could not be sent. The limit on the number of allowed outgoing messages was exceeded."),
    ("auth", "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant."),
]


@pytest.mark.parametrize("stage, reply", REFUSALS)
def test_each_refusal_of_the_account_reaches_the_second_member_once(site, stage, reply):
    credentials = {"credentials": ("me", "secret")} if stage == "auth" else {}
    with ScriptedTpsp(**{stage: reply}, **credentials) as first, ScriptedTpsp() as second:
        login = {"auth": "auto", "auth_without_tls": True, "username": "me", "password": "secret"} if credentials else {}
        site.configure([entry(first, name="first", **login), entry(second, name="second")])
        status, text = send(site, "r@example.com")
        assert status == 0 and "tpsp=second" in text, text
        assert len(second.messages) == 1 and first.messages == []
        assert [event["cs"] for event in site.events()] == [60]


def test_a_refusal_of_a_recipient_is_final_and_asks_nobody_else(site):
    with ScriptedTpsp(rcpt="550 5.1.1 no such user") as first, ScriptedTpsp() as second:
        site.configure([entry(first, name="first"), entry(second, name="second")])
        status, text = send(site, "r@example.com")
        assert status == 69 and second.messages == [], text


# --- pauses -----------------------------------------------------------------------------------------------------------

def test_a_refused_account_pauses_at_once(site):
    with ScriptedTpsp(mail="550 5.7.0 Your account is suspended") as server:
        site.configure([entry(server)])

        def asked():
            return sum(command.startswith("MAIL") for connection in server.connections for command in connection.commands)

        def fail(_):
            assert send(site, "a@one.example")[0] == 75

        def look(_):
            before = asked()
            status, text = send(site, "b@two.example")
            assert status == 75 and "left alone" in text, text
            assert asked() == before

        while_open([site], fail, look, times=1)


def test_no_correspondent_stops_the_mail_of_others(site):
    suspended = "550 5.7.0 Your account is suspended"
    with ScriptedTpsp(rcpt=suspended) as server:
        site.configure([entry(server)])
        for number in range(6):
            assert "left alone" not in send(site, f"user{number}@evil.example")[1]
        assert "left alone" not in send(site, "a@two.example")[1]

        def fail(_):
            server.script["rcpt"] = "250 Ok"
            assert send(site, "a@good.example")[0] == 0  # a success in between: it is counted anew
            server.script["rcpt"] = suspended
            for domain in ("one", "two", "three"):
                assert "left alone" not in send(site, f"a@{domain}.example")[1]

        def look(_):
            assert "left alone" in send(site, "a@four.example")[1]

        while_open([site], fail, look, times=1)


def test_words_passed_on_from_the_recipients_server_never_pause(site):
    with ScriptedTpsp(rcpt="550 host mx.evil.example said: 550 5.7.1 Your account is suspended, relay access denied") as server:
        site.configure([entry(server)])
        for number in range(8):
            status, text = send(site, f"a@domain{number}.example")
            assert status == 69, text


# --- kept connections -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("stage, reply", [
    ("data", "452 4.4.5 too many messages in this session"), ("data", "503 5.5.1 Error: need RCPT command"),
    ("data", "554 5.5.1 Error: no valid recipients"), ("mail", "421 4.7.0 Too many messages in one connection"),
    ("mail", "550 5.7.1 no more"), ("mail", "452 4.3.1 later"), ("rcpt", "550 5.7.1 enough of you"),
    ("rcpt", "421 4.3.2 closing")])
def test_a_session_that_takes_two_messages_is_left_after_two(site, stage, reply):
    with ScriptedTpsp(**limited(2, stage, reply)) as server:
        site.configure([entry(server)])
        for number in range(8):
            site.wait_settled()
            status, text = send(site, f"user{number}@domain{number}.example")
            assert status == 0, (number, text)
        assert len(server.messages) == 8
        served = [len([line for line in connection.commands if line == "DATA"]) for connection in server.connections]
        # the first session was asked once too often, and taught it to all; the second, too, where the words were none of a session
        assert len(server.connections) == 4 and sum(served) <= (9 if "in this session" in reply or "in one connection" in reply else 10), \
            [connection.commands for connection in server.connections]


def test_a_greylisted_recipient_costs_no_second_login(site):
    with ScriptedTpsp() as server:
        site.configure([entry(server)])
        assert send(site, "a@good.example")[0] == 0
        server.script["rcpt"] = "450 4.2.0 <x>: Recipient address rejected: Greylisted"
        for number in range(3):
            site.wait_settled()
            assert send(site, f"a{number}@grey.example")[0] == 75
        assert len(server.connections) == 1


def test_what_a_new_connection_confirms_is_believed_of_kept_ones(site):
    with ScriptedTpsp() as server:
        site.configure([entry(server)])
        assert send(site, "a@good.example")[0] == 0
        server.script["rcpt"] = lambda connection: connection.reply("550 5.1.1 user unknown")
        for number in range(5):
            site.wait_settled()
            status, text = send(site, f"a{number}@unknown{number}.example")
            assert status == 69, text
        assert len(server.connections) == 2, [connection.commands for connection in server.connections]


def test_classify_tells_whose_trouble_a_reply_is(site):
    with ScriptedTpsp() as server:
        site.configure([entry(server, name="primary", service="ses")])
        (site.config.parent / "replies").write_text("[own] session\n{from=ses stage=dot} purple\n")
        for words, answer in ((["--stage", "rcpt", "550 5.4.5 Daily sending quota exceeded"], r"account sending-limit: rule "),
                              (["--stage", "rcpt", "--code", "550", "--status", "5.1.1", "no"], r"message recipient: rule "),
                              (["--stage", "mail", "550 5.7.1 Client host rejected"], r"host host: rule "),
                              (["--stage", "dot", "550 purple"], r"session own: rule .*replies, line 2"),
                              (["--stage", "data", "503 bad sequence of commands"], r"session out-of-order: ")):
            done = ctl(site, "classify", "--tpsp", "primary", *words)
            assert done.returncode == 0 and re.match(answer, done.stdout), (words, done.stdout, done.stderr)
        assert ctl(site, "classify", "--tpsp", "nobody", "--stage", "rcpt", "550 x").returncode == 1
        assert ctl(site, "classify", "--tpsp", "primary", "--provider", "yahoo", "--stage", "rcpt", "550 x").returncode == 64
        assert ctl(site, "classify", "--tpsp", "primary", "550 x").returncode == 64
        assert ctl(site, "classify", "--tpsp", "primary", "--stage", "lunch", "550 x").returncode == 64


def test_rules_of_a_mailbox_provider_can_be_tried(site):
    (site.config.parent / "replies").write_text("[their-rate] slower after 2 in 5m\n{provider=yahoo stage=mail} purple\n")
    site.configure([])
    for words, action in ((["--provider", "yahoo", "--stage", "mail"], "slower of provider after 2 in 5m their-rate: rule "),
                          (["--provider", "yahoo"], None), (["--provider", "gmail", "--stage", "mail"], None)):
        done = ctl(site, "classify", *words, "451 purple")
        assert done.returncode == 0 and (action is None or action in done.stdout), (words, done)
        assert ("their-rate" in done.stdout) == (action is not None), (words, done)
    assert ctl(site, "classify", "--provider", "nobody", "451 purple").returncode == 64
