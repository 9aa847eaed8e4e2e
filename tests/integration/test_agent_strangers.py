"""sendpost-agent beside a real Postfix that takes mail from strangers, too: what they call their mail makes no event."""
import json
import smtplib
import uuid

import pytest

import uuid_keys
from agent_runner import Agent
from private_postfix import PrivatePostfix
from sendpost import build_directory
from support import TOP, free_port, wait_for
from tpsp import Tpsp

HEADER_CHECKS = TOP / "postfix-conf/header_checks.sendpost"
STRANGER, SENDER = "127.0.0.2", "127.0.0.1"
KEY = uuid_keys.new_key()


@pytest.fixture(scope="module")
def receiver(postfix_runs, ca):
    with Tpsp(ca, name="receiver.test", tls="none", login=False) as server:
        yield server


@pytest.fixture
def gateway(receiver):
    """Takes mail for here.test, which stays, for away.test, which leaves, and for staff, which an alias sends away; senders
    alone may send anywhere."""
    with PrivatePostfix("here.test", main=f"relayhost = [127.0.0.1]:{receiver.port}\n"
                                          f"header_checks = regexp:{HEADER_CHECKS}\nmynetworks = {SENDER}/32\n"
                                          "relay_domains = away.test\nrelay_recipient_maps =\n"
                                          "virtual_mailbox_domains = here.test\nvirtual_mailbox_base = /nonexistent\n"
                                          "virtual_transport = discard:\nmydestination = alias.test\n"
                                          "alias_maps = inline:{{staff = one@away.test}}\n"
                                          "smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\n") as postfix:
        yield postfix


@pytest.fixture
def agent(gateway):
    with Agent(gateway.log_path, uuid_key_file=None) as one:
        key = one.top / "uuid-key"
        key.write_text(KEY + "\n")
        key.chmod(0o600)
        one.configure(uuid_key_file=str(key))
        yield one.start(MAIL_CONFIG=str(gateway.etc))


def message(identity, sender="a@example.org"):
    return (f"From: {sender}\nTo: b@example.com\nMessage-ID: <{uuid.uuid4()}@example.org>\nX-Sendpost-Message-UUID: {identity}\n"
            "Subject: x\n\nx\n")


def hand_in(gateway, client, recipients, identity, sender="a@example.org"):
    with smtplib.SMTP("127.0.0.1", gateway.port, source_address=(client, 0)) as session:
        session.sendmail(sender, recipients, message(identity))


def settle(gateway, agent, count):
    """All of it is delivered, and the agent has read about it."""
    gateway.wait_log(": removed$", count=count)
    gateway.wait_empty()
    marker = str(uuid.uuid4())
    hand_in(gateway, SENDER, ["marker@away.test"], marker)
    wait_for(lambda: marker in {event[1] for event in agent.events()}, lambda: f"the marker\n{agent.log()}\n{gateway.log()[-3000:]}")
    return {(event[1], event[2], event[0]) for event in agent.events() if event[1] != marker}


def test_a_sender_is_believed_and_a_stranger_is_not(gateway, agent):
    ours, theirs, verp = (str(uuid.uuid4()) for _ in range(3))
    hand_in(gateway, SENDER, ["a@away.test", "b@here.test"], ours)
    hand_in(gateway, STRANGER, ["a@away.test", "b@here.test"], theirs)
    hand_in(gateway, STRANGER, ["a@away.test"], "none", sender=f"bounces+{verp}+4321@sp-bounce.example.org")
    assert settle(gateway, agent, 3) == {(ours, "a@away.test", "delivered"), (ours, "b@here.test", "dropped")}
    assert agent.health()["untrusted_lines"] == 3
    assert any("trusted-senders" in warning for warning in agent.health()["warnings"])
    assert "trusted-senders" in agent.log() and agent.get("/health")[0] == 200
    assert agent.metric("untrusted_total") == 3


def test_a_stranger_with_a_proof_is_believed_of_what_leaves(gateway, agent):
    proven, replayed = uuid_keys.make(KEY, "a@away.test"), uuid_keys.make(KEY, "other@away.test")
    hand_in(gateway, STRANGER, ["a@away.test", "victim@away.test"], proven)
    hand_in(gateway, STRANGER, ["a@away.test"], replayed)
    assert settle(gateway, agent, 2) == {(proven, "a@away.test", "delivered")}


def test_an_alias_does_not_launder(gateway, agent):
    ours, theirs = str(uuid.uuid4()), str(uuid.uuid4())
    hand_in(gateway, STRANGER, ["staff@alias.test"], theirs)
    hand_in(gateway, SENDER, ["staff@alias.test"], ours)
    assert settle(gateway, agent, 4) == {(ours, "one@away.test", "delivered")}


@pytest.mark.parametrize("forward", [False, True], ids=["plain", "XFORWARD"])
def test_a_content_filter_does_not_launder(receiver, forward):
    """The filter gives mail back from this machine, which is in mynetworks, to a service that looks at headers again."""
    port = free_port()
    with PrivatePostfix(
            "filtered.test",
            main=f"relayhost = [127.0.0.1]:{receiver.port}\nheader_checks = regexp:{HEADER_CHECKS}\nmynetworks = {SENDER}/32\n"
                 f"relay_domains = away.test\nrelay_recipient_maps =\ncontent_filter = smtp:[127.0.0.1]:{port}\n"
                 "mydestination = here.test\nlocal_transport = discard:\n"
                 "smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\n"
                 f"smtp_send_xforward_command = {'yes' if forward else 'no'}\n",
            master=f"127.0.0.1:{port} inet n - n - - smtpd\n  -o content_filter=\n  -o myhostname=filter.test\n"
                   f"  -o smtpd_authorized_xforward_hosts={SENDER}\n") as postfix, \
            Agent(postfix.log_path).start(MAIL_CONFIG=str(postfix.etc)) as agent:
        ours, theirs = str(uuid.uuid4()), str(uuid.uuid4())
        for _ in range(3):
            hand_in(postfix, STRANGER, ["a@away.test", "b@here.test"], theirs)
        hand_in(postfix, SENDER, ["a@away.test", "b@here.test"], ours)
        assert settle(postfix, agent, 8) == {(ours, "a@away.test", "delivered"), (ours, "b@here.test", "dropped")}


def test_trusted_senders_are_believed_instead_of_mynetworks(gateway, agent):
    agent.stop()
    agent.configure(trusted_senders=[STRANGER])
    agent.start(MAIL_CONFIG=str(gateway.etc))
    theirs, ours = str(uuid.uuid4()), str(uuid.uuid4())
    hand_in(gateway, SENDER, ["a@away.test"], ours)
    hand_in(gateway, STRANGER, ["a@away.test"], theirs)
    agent.wait_fates({("a@away.test", "delivered")})
    gateway.wait_empty()
    wait_for(lambda: agent.health()["untrusted_lines"] == 1, "the line that is not believed")
    assert {event[1] for event in agent.events()} == {theirs}


# --- the log ------------------------------------------------------------------------------------------------------------


def check(agent, etc):
    import subprocess
    done = subprocess.run([build_directory() / "sendpostctl", "-c", agent.config, "check", "--json", "--offline", "--postfix-config", etc],
                          capture_output=True, text=True, check=False, timeout=240)
    return done.returncode, {(finding["check"], finding["status"]): finding["text"] + " / " + finding.get("remedy", "")
                             for finding in json.loads(done.stdout)["checks"]}


def test_a_log_that_is_not_postfixs_is_trouble(gateway):
    with Agent() as agent:
        agent.log_path.write_text("")
        agent.start(MAIL_CONFIG=str(gateway.etc))
        wait_for(lambda: agent.get("/health")[0] == 503, "trouble")
        assert str(gateway.log_path) in agent.health()["last_error"] and "log-path" in agent.health()["last_error"]
        status, findings = check(agent, gateway.etc)
        assert status == 1 and f"set log-path: {gateway.log_path}" in findings["mail log", "failure"]
    with Agent(gateway.log_path) as agent:
        agent.start(MAIL_CONFIG=str(gateway.etc))
        assert agent.get("/health")[0] == 200
        assert ("mail log", "failure") not in check(agent, gateway.etc)[1]


def test_a_log_that_is_not_understood_is_trouble_with_a_line_and_the_remedy(gateway):
    with Agent() as agent:
        agent.log_path.write_text("")
        agent.start(MAIL_CONFIG="/nonexistent")
        assert agent.get("/health")[0] == 200
        with agent.log_path.open("a") as log:
            log.write("#26.11.2026# postfix/smtp[7]: 4AAAAA: to=<jane@example.com>, relay=x[192.0.2.1]:25, delay=1, dsn=2.0.0, "
                      "status=sent (250 ok jane@example.com)\n" * 5)
        wait_for(lambda: agent.get("/health")[0] == 503, lambda: f"trouble: {agent.health()}")
        error = agent.health()["last_error"]
        assert "postfix/smtp[7]: 4AAAAA: to=<…>, relay=x[192.0.2.1]:25" in error and "jane" not in agent.get("/health")[1]
        assert "log-path: journal" in error and agent.metric("log_readable") == 0
        status, findings = check(agent, gateway.etc)
        assert status == 1 and "4AAAAA: to=<…>" in findings["agent", "failure"]
        with agent.log_path.open("a") as log:
            log.write("Nov 26 03:00:00 mx postfix/qmgr[1]: 4AAAAA: removed\n")
        wait_for(lambda: agent.get("/health")[0] == 200, "the end of it")
