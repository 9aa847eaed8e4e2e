"""sendpost-agent beside real Postfix instances: its events are what the receiving server saw."""
import uuid

import pytest

from agent_runner import Agent
from private_postfix import PrivatePostfix
from support import TOP, free_port, run, wait_for
from tpsp import Tpsp

HEADER_CHECKS = TOP / "postfix-conf/header_checks.sendpost"

ACCESS = """\
smtpd_recipient_restrictions = check_recipient_access inline:{
 {nobody@example.com = 550 5.1.1 User unknown}, {full@example.com = 552 5.2.2 Mailbox full},
 {later@example.com = 450 4.2.0 Greylisted}}
""".replace("\n {", " {")


@pytest.fixture(scope="module")
def receiver(postfix_runs, ca):
    with Tpsp(ca, name="receiver.test", tls="none", login=False, main=ACCESS) as server:
        yield server


@pytest.fixture
def sender(receiver):
    """A Postfix with our header_checks that sends everything to the receiver."""
    with PrivatePostfix("sender.test", main=f"relayhost = [127.0.0.1]:{receiver.port}\n"
                                            f"header_checks = regexp:{HEADER_CHECKS}\n") as postfix:
        receiver.forget()
        yield postfix


def message(identity=None, text="Hello"):
    header = f"X-Sendpost-Message-UUID: {identity}\n" if identity else ""
    return (f"From: a@example.org\nTo: b@example.com\nMessage-ID: <{uuid.uuid4()}@example.org>\n"
            f"Subject: X-Sendpost-Message-UUID: {uuid.uuid4()} status=sent (250 ok)\n{header}\n{text}\n").encode()


def new_uuid():
    return str(uuid.uuid4())


def rotate(postfix, day):
    """postfix logrotate, on that day of November; when it is back, Postfix writes the new log."""
    run("postconf", "-c", postfix.etc, "-e", f"maillog_file_rotate_suffix = 202611{day}-000000")
    run("postfix", "-c", postfix.etc, "logrotate")

    def is_new():
        run("postlog", "-c", postfix.etc, "-t", "postfix/test", "a line")
        return postfix.log_path.exists()

    wait_for(is_new, "the new log", interval=0.2)


@pytest.mark.smoke
def test_the_fates_are_those_that_the_receiver_saw(sender, receiver):
    one, two = new_uuid(), new_uuid()
    with Agent(sender.log_path).start() as agent:
        sender.sendmail(message(one), ["fine@example.com", "good@example.com", "nobody@example.com", "full@example.com"])
        queue_id = sender.sendmail(message(two), ["later@example.com"])
        agent.wait_fates({("fine@example.com", "delivered"), ("good@example.com", "delivered"),
                          ("nobody@example.com", "bounced"), ("full@example.com", "soft_bounced"),
                          ("later@example.com", "deferred")})
        events = agent.events()
        assert {event[1] for event in events if event[2] != "later@example.com"} == {one}
        assert {event[2] for event in events if event[0] == "delivered"} == {
            received.recipient for received in receiver.wait_messages(2)}
        assert {(event[1], event[3]) for event in events if event[2] == "later@example.com"} == {(two, queue_id)}
        assert {row[0] for row in agent.query("SELECT DISTINCT sender FROM events")} == {"sender@example.org"}
        assert agent.health()["uncorrelated_lines"] == 0
        assert agent.health()["status"] == "ok"


def test_a_message_that_expires_bounces_for_each_recipient_left(sender, receiver):
    identity = new_uuid()
    with Agent(sender.log_path).start() as agent:
        queue_id = sender.sendmail(message(identity), ["later@example.com", "fine@example.com"])
        agent.wait_fates({("later@example.com", "deferred"), ("fine@example.com", "delivered")})
        run("postsuper", "-c", sender.etc, "-e", queue_id)
        sender.flush()
        events = agent.wait_fates({("later@example.com", "soft_bounced")})
        assert [event[2] for event in events if event[0] == "soft_bounced"] == ["later@example.com"]
        assert {event[1] for event in events} == {identity}


def test_a_verp_sender_works_without_any_change_to_postfix(receiver):
    with PrivatePostfix("plain.test", main=f"relayhost = [127.0.0.1]:{receiver.port}\n") as postfix, \
            Agent(postfix.log_path).start() as agent:
        identity = new_uuid()
        postfix.sendmail(message(), ["fine@example.com", "nobody@example.com"],
                         sender=f"bounces+{identity}+4321@sp-bounce.example.org")
        events = agent.wait_fates({("fine@example.com", "delivered"), ("nobody@example.com", "bounced")})
        assert {event[1] for event in events} == {identity}


def test_mail_without_uuid_is_a_warning_with_its_remedy(sender):
    with Agent(sender.log_path).start() as agent:
        queue_id = sender.sendmail(message(), ["fine@example.com"])
        sender.wait_gone(queue_id)
        wait_for(lambda: agent.health()["uncorrelated_lines"] == 1, "the warning")
        assert "header_checks" in agent.health()["hint"]
        assert "header_checks" in agent.log()
        assert agent.events() == []


def test_a_message_is_followed_through_a_content_filter(receiver):
    """The filter gives mail back by SMTP to a service without header_checks, as amavis and its like are set up."""
    port = free_port()
    with PrivatePostfix(
            "filtered.test",
            main=f"relayhost = [127.0.0.1]:{receiver.port}\nheader_checks = regexp:{HEADER_CHECKS}\n"
                 f"content_filter = smtp:[127.0.0.1]:{port}\n",
            master=f"127.0.0.1:{port} inet n - n - - smtpd\n  -o content_filter=\n  -o myhostname=filter.test\n"
                   "  -o receive_override_options=no_header_body_checks,no_address_mappings\n") as postfix, \
            Agent(postfix.log_path).start() as agent:
        identities = [new_uuid() for _ in range(10)]
        for number, identity in enumerate(identities):
            postfix.sendmail(message(identity), [f"user{number}@example.com", "nobody@example.com"])
        agent.wait_fates({(f"user{number}@example.com", "delivered") for number in range(10)})
        wait_for(lambda: len([event for event in agent.events() if event[0] == "bounced"]) == 10, "ten bounces")
        events = agent.events()
        assert len(events) == 20  # the way to the filter is no delivery
        assert {(event[1], event[2]) for event in events if event[0] == "delivered"} == {
            (identity, f"user{number}@example.com") for number, identity in enumerate(identities)}


def test_an_alias_that_forwards_is_followed(receiver):
    identity = new_uuid()
    with PrivatePostfix("alias.test", main=f"relayhost = [127.0.0.1]:{receiver.port}\n"
                                           f"header_checks = regexp:{HEADER_CHECKS}\n"
                                           "mydestination = alias.test\nalias_maps = inline:{{staff = one@example.com "
                                           "two@example.com}}\n") as postfix, \
            Agent(postfix.log_path).start() as agent:
        postfix.sendmail(message(identity), ["staff@alias.test"])
        events = agent.wait_fates({("one@example.com", "delivered"), ("two@example.com", "delivered")})
        assert {event[1] for event in events} == {identity}
        assert {event[0] for event in events} == {"delivered"}


def test_the_log_is_followed_through_rotations_by_postfix_itself(sender):
    def deliver(recipient):
        sender.wait_gone(sender.sendmail(message(new_uuid()), [f"{recipient}@example.com"]))

    def recipients():
        return [event[2].partition("@")[0] for event in agent.events()]

    with Agent(sender.log_path).start() as agent:
        for day, recipient in ((21, "one"), (22, "two")):
            deliver(recipient)
            agent.wait_fates({(f"{recipient}@example.com", "delivered")})
            rotate(sender, day)
        deliver("three")
        agent.wait_fates({("three@example.com", "delivered")})
        agent.query("DELETE FROM events")  # as when they are old: what is read again would make them again
        rotate(sender, 23)
        deliver("four")
        agent.wait_fates({("four@example.com", "delivered")})
        assert recipients() == ["four"]
        agent.stop()
        for day, recipient in ((24, "five"), (25, "six")):
            deliver(recipient)
            rotate(sender, day)
        deliver("seven")
        assert sorted(path.name for path in sender.top.glob("maillog.*")) == [f"maillog.202611{day}-000000.gz" for day in range(21, 26)]
        agent.start()
        agent.wait_fates({("seven@example.com", "delivered")})
        assert recipients() == ["four", "five", "six", "seven"]
