"""The retry ladder on top of a real Postfix queue: Postfix comes when it likes, each step is waited for, and in the end
Postfix bounces the message with our words."""
import re

import pytest

from scripted_tpsp import ScriptedTpsp
from support import wait_for

MESSAGE = b"From: sender@example.org\nTo: user@example.com\nSubject: ladder\n\nbody\n"


def configure(sendpost, tpsp, schedule):
    sendpost.configure([{"name": "primary", "id": 12, "host": "127.0.0.1", "port": tpsp.port, "security": "none",
                         "max-rate-per-hour": 0}], retry={"schedule": schedule})


def come_back_until(front, queue_id, condition, what):
    """Postfix comes for the message again and again, as it does on a busy machine."""

    def turn():
        front.flush()
        return condition()

    return wait_for(turn, lambda: f"{what}\n{chr(10).join(front.lines(queue_id))}", timeout=240, interval=0.3)


def test_each_step_is_waited_for_and_the_last_one_bounces_with_our_words(front, sendpost):
    def refuse_all_but_the_bounce(connection):
        connection.reply("451 4.2.2 mailbox asleep" if b"<user@" in connection.recipient else "250 2.1.5 Ok")

    with ScriptedTpsp(rcpt=refuse_all_but_the_bounce) as tpsp:
        configure(sendpost, tpsp, ["8s", "10s"])
        queue_id = front.sendmail(MESSAGE, "user@example.com")
        front.wait_status(queue_id, "deferred")
        come_back_until(front, queue_id, lambda: front.lines(queue_id, "status=bounced"), "the bounce")

        deferred, bounced = front.lines(queue_id, "status=deferred"), front.lines(queue_id, "status=bounced")
        early = [line for line in deferred if "not due before" in line]
        attempts = [line for line in deferred if line not in early]
        assert len(attempts) == 2 and all("mailbox asleep" in line for line in attempts)
        for attempt in (1, 2):
            assert any(f"attempt {attempt} of 3 failed: " in line for line in early), deferred
        (line,) = bounced
        assert "dsn=5.4.7" in line
        assert re.search(r"given up after 3 attempts since \S+; the last: 451 4.2.2 mailbox asleep", line), line
        asked = [recipient for _, recipient in tpsp.transactions if b"<user@" in recipient]
        assert len(asked) == 3  # too early contacts nobody
        front.wait_gone(queue_id)
        assert [(event["cs"], event["attempt"]) for event in sendpost.events()
                if event["queue_id"] == queue_id] == [(61, 1), (61, 2), (62, 3)]
        (bounce,) = wait_for(lambda: tpsp.messages, "the bounce to the sender")
        assert b"given up after 3 attempts" in bounce and b"Status: 5.4.7" in bounce


def test_a_message_gets_through_at_its_next_step(front, sendpost):
    answers = iter(["452 4.3.1 full"])
    with ScriptedTpsp(dot=lambda connection: connection.reply(next(answers, "250 2.0.0 Ok: queued"))) as tpsp:
        configure(sendpost, tpsp, ["2s", "1h"])
        queue_id = front.sendmail(MESSAGE, "user@example.com")
        front.wait_status(queue_id, "deferred")
        come_back_until(front, queue_id, lambda: front.lines(queue_id, "status=sent"), "the delivery")
        assert not front.lines(queue_id, "status=bounced") and len(tpsp.transactions) == 2


@pytest.mark.parametrize("recipients", [["one@example.com", "two@example.com"]])
def test_recipients_of_one_message_climb_each_its_own_ladder(front, sendpost, recipients):
    def refuse_the_first(connection):
        connection.reply("451 4.2.2 asleep" if b"one@" in connection.recipient else "250 2.1.5 Ok")

    with ScriptedTpsp(rcpt=refuse_the_first) as tpsp:
        configure(sendpost, tpsp, ["1h"])
        queue_id = front.sendmail(MESSAGE, recipients)
        front.wait_log("to=<one@example.com>.*status=deferred", queue_id)
        front.wait_log("to=<two@example.com>.*status=sent", queue_id)
        come_back_until(front, queue_id, lambda: front.lines(queue_id, "to=<one@.*not due before"), "an early return")
        assert len(tpsp.messages) == 1
