"""The providers of tests/rehearsal: each refuses by its rules, and what it refuses is put off here, never dropped."""
import smtplib
import subprocess
import sys

import pytest

from plain_relay import entry, send
from sendpost import Sendpost
from support import TOP

sys.path.insert(0, str(TOP / "tests/rehearsal"))
from providers import PROVIDERS  # noqa: E402
from sink import Sink  # noqa: E402


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def submit(server, recipient="user@example.com"):
    """The code that decided."""
    try:
        with smtplib.SMTP("127.0.0.1", server.port, timeout=240) as client:
            client.sendmail("sender@example.com", [recipient], "Subject: x\r\n\r\nbody\r\n")
            return 250
    except smtplib.SMTPRecipientsRefused as refused:
        return refused.recipients[recipient][0]
    except smtplib.SMTPResponseException as refused:
        return refused.smtp_code


@pytest.mark.parametrize("name, code", [("ses", 454), ("office365", 554), ("gmail", 421), ("yahoo", 421), ("microsoft", 451), ("qq", 550)])
def test_above_its_rate_it_refuses_until_the_window_is_over(name, code):
    clock = Clock()
    with Sink(PROVIDERS[name].with_limits((3, 10)), clock=clock) as server:
        assert [submit(server) for _ in range(5)] == [250, 250, 250, code, code]
        clock.now += 10 + PROVIDERS[name].rates[0].blocks
        assert submit(server) == 250
        assert server.accepted == 4 and server.refused.total() == 2


def test_gmail_counts_by_recipient_too():
    with Sink(PROVIDERS["gmail"], clock=Clock()) as server:
        codes = [submit(server, "one@example.com") for _ in range(21)]
        assert codes == [250] * 20 + [450] and submit(server, "two@example.com") == 250


def test_sessions_and_connections_have_their_end():
    with Sink(PROVIDERS["yahoo"].with_limits(session=2)) as server, smtplib.SMTP("127.0.0.1", server.port, timeout=240) as client:
        for _ in range(2):
            client.sendmail("sender@example.com", ["user@example.com"], "Subject: x\r\n\r\nbody\r\n")
        with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
            client.sendmail("sender@example.com", ["user@example.com"], "Subject: x\r\n\r\nbody\r\n")
    with Sink(PROVIDERS["office365"]) as server:
        clients = [smtplib.SMTP("127.0.0.1", server.port, timeout=240) for _ in range(4)]
        assert clients[3].mail("sender@example.com")[0] == 432
        for client in clients:
            client.close()


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_what_it_refuses_is_put_off_and_no_attempt(name):
    with Sendpost() as site, Sink(PROVIDERS[name].with_limits((2, 3600)), clock=Clock()) as server:
        site.configure([entry(server, service=name if name != "microsoft" else "office365")])
        assert [send(site, "user@example.com", "-q", f"4b{number}")[0] for number in range(4)] == [0, 0, 75, 75]
        assert not [event for event in site.events() if event["cs"] == 62] and server.accepted == 2


def test_by_hand_it_names_its_rules_and_sources():
    done = subprocess.run([str(TOP / "tests/rehearsal/sink.py"), "--list"], capture_output=True, text=True, check=True, timeout=240)
    assert all(name in done.stdout and all(source in done.stdout for source in provider.sources) for name, provider in PROVIDERS.items())
