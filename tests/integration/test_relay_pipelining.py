"""The wire runs ahead of the engine where the server offers PIPELINING: RSET, MAIL, RCPT and DATA in one flight, and still
each reply belongs to its command, nothing is delivered that must not be, and what a kept connection says decides nothing."""
import pytest

from relay_client import Relay
from scripted_tpsp import ScriptedTpsp, hang_up, reset

ENGINES = ("libesmtp", "libcurl")
REST = b"RCPT TO:<r@example.net>\r\nDATA\r\n"


@pytest.fixture
def relay(tmp_path):
    return Relay(tmp_path)


def note(seen, reply):
    """An action that notes what lies behind the command at the time it is read."""
    def action(connection):
        seen.append(connection.buffer)
        connection.reply(reply)
    return action


@pytest.mark.parametrize("engine", ENGINES)
def test_mail_rcpt_and_data_leave_in_one_flight(relay, engine):
    seen = []
    with ScriptedTpsp(mail=note(seen, "250 Ok")) as server:
        assert relay(server, engine=engine)["class"] == "delivered"
        assert seen == [REST] and len(server.messages) == 1


def test_on_a_kept_connection_rset_goes_along(relay):
    seen, resets = [], []
    with ScriptedTpsp(mail=note(seen, "250 Ok"), rset=note(resets, "250 Ok")) as server:
        assert [result["class"] for result in relay(server, count=3, keep=True)] == ["delivered"] * 3
        assert len(server.connections) == 1 and len(server.messages) == 3
        assert seen == [REST] * 3 and len(resets) == 2 and all(b"MAIL FROM:" in each and each.endswith(REST) for each in resets)


@pytest.mark.parametrize("why", ["not offered", "observed", "another form"])
def test_one_at_a_time_where_something_is_against_it(relay, why):
    seen = []
    offers = ("8BITMIME", "SMTPUTF8") if why == "not offered" else ("8BITMIME", "SMTPUTF8", "PIPELINING")
    options = {"observed": {"observe": True}, "another form": {"recipient": "r@bücher.example"}}.get(why, {})
    with ScriptedTpsp(offers=offers, mail=note(seen, "250 Ok"), rcpt=note(seen, "250 Ok"), data=note(seen, "451 4.3.0 not now")) as server:
        assert relay(server, **options)["stage"] == "data"
        assert seen == [b""] * 3


def test_a_reset_that_is_not_answered_in_one_flight_comes_first(relay):
    seen = []
    with ScriptedTpsp(offers=("8BITMIME",), rset=note(seen, "250 Ok")) as server:
        assert [result["class"] for result in relay(server, count=2, keep=True)] == ["delivered"] * 2
        assert seen == [b""] and len(server.connections) == 1


# --- refusals -------------------------------------------------------------------------------------------------------------


def test_a_354_after_a_refused_recipient_is_ended_with_a_lone_dot(relay):
    with ScriptedTpsp(in_order=False, rcpt="550 5.1.1 no such user", dot="554 5.5.1 no valid recipients") as server:
        result = relay(server)
        assert (result["class"], result["stage"]) == ("dropped", "rcpt") and "no such user" in result["text"]
        connection = server.wait_connection()
        assert connection.dot_seen and connection.content == b"" and not server.messages
        assert connection.commands[-1] == "QUIT"  # in step


@pytest.mark.parametrize("code", ["450", "550"])
def test_an_empty_message_is_never_delivered_to_a_recipient_that_was_taken(relay, code):
    """MAIL is refused, and all that follows accepted all the same: a dot would deliver."""
    with ScriptedTpsp(in_order=False, mail=f"{code} {code[0]}.1.8 not from you") as server:
        result = relay(server)
        assert result["stage"] == "mail" and "not from you" in result["text"]
        connection = server.wait_connection()
        assert not connection.dot_seen and not server.messages and "QUIT" not in connection.commands


def test_a_message_that_turns_out_unfit_after_the_flight_ends_by_closing(relay):
    with ScriptedTpsp() as server:
        result = relay(server, message=b"From: a@example.com\r\nTo: b@example.net\r\nDate: Mon, 23 Nov 2026 05:00:00 +0000\r\n"
                       b"Message-Id: <1@example.com>\r\n\r\nhello\n.\n")
        assert result["class"] == "deferred"
        for connection in server.connections:
            assert connection.ended.wait(30) and not connection.dot_seen
        assert not server.messages


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
def test_a_server_that_closes_within_the_flight_says_so_by_the_command(relay, stage):
    def close(connection):
        connection.reply("421 4.3.2 shutting down")
        hang_up(connection)
    with ScriptedTpsp(**{stage: close}) as server:
        result = relay(server)
        assert (result["class"], result["stage"]) == ("deferred", stage) and "shutting down" in result["text"]
        assert not server.messages


@pytest.mark.parametrize("code", ["451", "554"])
def test_data_refused_alone_leaves_the_session_in_step(relay, code):
    with ScriptedTpsp(data=f"{code} {code[0]}.7.1 no") as server:
        result = relay(server)
        assert result["stage"] == "data" and result["class"] == ("deferred" if code[0] == "4" else "dropped")
        assert server.wait_connection().commands[-1] == "QUIT"


@pytest.mark.parametrize("replies", [b"250 a\r\n250 b\r\n354 c\r\n250 queued\r\n", b"250 a\r\n250 b\r\n250 c\r\n"])
def test_replies_ahead_of_their_time_are_not_believed(relay, replies):
    """All the replies at MAIL already: what they count up to is no acceptance."""
    silent = lambda connection: None  # noqa: E731
    with ScriptedTpsp(mail=replies, rcpt=silent, data=silent) as server:
        result = relay(server)
        assert result["class"] == "deferred" and result["stage"] == "data"


def take(connection, stage):
    connection.reply("354 go on" if stage == "data" else "250 Ok")
    if stage == "data":
        connection.take_content()


# --- kept connections -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [hang_up, reset], ids=["hang up", "reset"])
@pytest.mark.parametrize("stage", ["rset", "mail", "rcpt", "data"])
def test_a_kept_connection_that_ends_in_the_flight_is_asked_again_on_a_new_one(relay, stage, end):
    def second_time(connection):
        if "RSET" in connection.commands:
            end(connection)
        take(connection, stage)
    with ScriptedTpsp(**{stage: second_time}) as server:
        assert [result["class"] for result in relay(server, count=2, keep=True)] == ["delivered"] * 2
        assert len(server.messages) == 2 and len(server.connections) == 2


@pytest.mark.parametrize("stage", ["rset", "mail", "rcpt", "data"])
@pytest.mark.parametrize("reply", ["421 4.7.0 too many messages", "452 4.5.3 too many", "550 5.7.1 enough"])
def test_what_a_kept_connection_refuses_is_asked_again_on_a_new_one(relay, stage, reply):
    def second_time(connection):
        if "RSET" in connection.commands:
            connection.reply(reply)
        else:
            take(connection, stage)
    with ScriptedTpsp(**{stage: second_time}) as server:
        assert [result["class"] for result in relay(server, count=2, keep=True)] == ["delivered"] * 2
        assert len(server.messages) == 2 and len(server.connections) == 2
