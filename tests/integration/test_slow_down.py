"""A TPSP that says "slower" is sent less: its own reply, the log of an MTA behind it, and bounces; and who else may say so."""
import json
import re
import subprocess
import uuid
from datetime import datetime, timedelta, timezone

import pytest

from plain_relay import entry, send
from scripted_tpsp import ScriptedTpsp
from sendpost import build_directory, ctl
from support import wait_for
from test_bounce import report

SLOWER = "450 4.7.1 too many messages, slow down"


@pytest.fixture
def server():
    with ScriptedTpsp(auth="") as scripted:
        yield scripted


def slowed(site, tpsp="primary"):
    rows = json.loads(ctl(site, "rates", "--json").stdout)
    return {row["provider"]: row for row in next(row for row in rows if row["tpsp"] == tpsp)["slow_down"]}


def refuse(site, server, times=3, recipient="user@example.com", reply=SLOWER, stage="mail"):
    server.script[stage] = reply
    for _ in range(times):
        assert send(site, recipient)[0] == 75
    server.script[stage] = "250 2.0.0 Ok"


@pytest.mark.smoke
def test_a_tpsp_that_says_slower_is_sent_half_and_then_holds_the_rest(site, server):
    site.configure([entry(server, max_rate_per_hour=1000)], rate_limit_wait="0s")
    refuse(site, server, 2)
    assert slowed(site) == {}
    refuse(site, server, 1)
    row = slowed(site)[None]
    assert (row["limit"], row["window_seconds"], row["slowed"]) == (pytest.approx(500, abs=4), 3600, True)
    assert row["factor"] == pytest.approx(0.5, abs=0.01) and row["why"].startswith("rate: 450 4.7.1 too many messages, slow down")
    assert 0 < row["next_step_seconds"] <= 600
    assert send(site)[0] == 0
    status, text = send(site)
    assert status == 75
    assert re.search(r"^4\.7\.1 .*rate limit of TPSP primary: (?:49\d|500)/h, slowed down, spread, next slot in \d s", text), text
    for command in (("rates",), ("status",), ("explain", "user@example.com")):
        assert re.search(r"primary slowed down to (?:49\d|500)/h \(50%\), next step up in \d+ s at the earliest, since \S+: rate: 450 4.7.1",
                         re.sub(" +", " ", ctl(site, *command).stdout)), command
    assert json.loads(ctl(site, "status", "--json").stdout)["tpsps"][0]["slow_down"][0]["slowed"]
    assert ctl(site, "rates", "reset", "primary").returncode == 0
    assert slowed(site) == {} and send(site)[0] == 0


@pytest.mark.parametrize("pools", [
    [{"name": "default", "members": [{"tpsp": "primary"}], "overflow": "other"}, {"name": "other", "members": [{"tpsp": "backup"}]}],
    [{"name": "default", "strategy": "failover", "members": [{"tpsp": "primary"}, {"tpsp": "backup"}]}]],
    ids=["overflow", "failover"])
def test_another_takes_what_a_slowed_one_may_not_have(site, server, pools):
    """Which its configured limit, of 24 at once, would let it have: so after a reset it has it again."""
    def used():
        status, text = send(site)
        assert status in (0, 75), text
        return re.search(r"tpsp=(\w+)", text)[1] if status == 0 else None

    with ScriptedTpsp(auth="") as second:
        site.configure([entry(server, max_rate_per_hour=1000), entry(second, name="backup")], pools=pools,
                       rate_burst=24, rate_limit_wait="0s")
        server.script["mail"] = SLOWER
        for _ in range(3):
            assert used() != "primary"
        server.script["mail"] = "250 2.0.0 Ok"
        assert slowed(site)[None]["limit"] < 600
        assert "backup" in [used() for _ in range(4)]
        assert ctl(site, "rates", "reset", "primary").returncode == 0
        assert [used() for _ in range(4)] == ["primary"] * 4


def test_it_grows_again_when_it_is_quiet(site, server):
    site.configure([entry(server, max_rate_per_hour=1000)], slow_down={"recovery": "1s"})
    refuse(site, server)
    first = slowed(site)[None]["limit"]
    wait_for(lambda: slowed(site).get(None, {"limit": 1000})["limit"] > first, "a step up")
    wait_for(lambda: slowed(site) == {}, "the limit to be whole")


def test_switched_off_nobody_listens(site, server):
    site.configure([entry(server, max_rate_per_hour=1000)], slow_down={"enabled": False})
    refuse(site, server, 5)
    assert slowed(site) == {}


def test_a_pause_is_kept_and_said(site, server):
    site.configure([entry(server, service="ses")])
    refuse(site, server, 2, reply="454 4.7.0 Throttling failure: Daily message quota exceeded.")
    status, text = send(site)
    assert status == 75 and re.search(r"4\.7\.1 .*TPSP primary is paused, as it asked for, for (600|59\d) s more", text), text
    assert 590 < slowed(site)[None]["paused_seconds"] <= 600
    assert "paused" in ctl(site, "explain", "user@example.com").stdout


def test_no_correspondent_slows_the_mail_of_others_down(site, server):
    site.configure([entry(server)])
    assert send(site, "a@good.example")[0] == 0
    for number in range(6):
        refuse(site, server, 1, f"user{number}@evil.example", stage="rcpt")
    assert slowed(site) == {}
    for domain in ("two", "three", "four", "five", "six"):
        refuse(site, server, 1, f"a@{domain}.example", stage="rcpt")
    assert None in slowed(site)


def test_too_much_of_it_deferred_slows_down_whatever_the_words(site, server):
    site.configure([entry(server, max_rate_per_hour=1000)], slow_down={"statistics": {"attempts": 10}})
    for number in range(7):
        assert send(site, f"a{number}@example.com")[0] == 0
    server.script["dot"] = "451 4.3.0 not now"
    for number in range(5):
        assert send(site, f"b{number}@example.com")[0] == 75
    assert re.match(r"statistics: \d of 1\d deferred", slowed(site)[None]["why"])


def test_a_recipient_who_gets_too_much_is_held_alone(site, server):
    site.configure([entry(server)])
    refuse(site, server, 1, "busy@gmail.com", "450 4.2.1 The user you are trying to contact is receiving mail too quickly", "rcpt")
    status, text = send(site, "Busy@gmail.com")
    assert status == 75 and "this recipient gets more mail than is taken for him" in text
    assert send(site, "idle@gmail.com")[0] == 0 and slowed(site) == {}


def test_rules_of_the_postmaster_are_heard(site, server):
    site.configure([entry(server, max_rate_per_hour=1000)])
    rules = site.config.parent / "replies"
    rules.write_text("[zebra] slower 10%\n{stage=mail} zebras first\n")
    site.give(rules, 0o644)
    refuse(site, server, 1, reply="450 4.7.1 zebras first")
    assert slowed(site)[None]["limit"] == pytest.approx(100, abs=2)
    done = ctl(site, "classify", "--tpsp", "primary", "--stage", "mail", "450 4.7.1 zebras first")
    assert 'slower 10% zebra: rule "{stage=mail} zebras first"' in done.stdout


# --- behind the TPSP -----------------------------------------------------------------------------------------------

GMAIL = "421-4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from your IP address"


def deliveries(site, recipients):
    """Their message UUIDs."""
    return [re.search(r"uuid=(\S+)", send(site, recipient)[1])[1] for recipient in recipients]


def log_of(uuids, recipients, text, when=None):
    """What the Postfix behind has logged of these messages."""
    stamp = (when or datetime.now(timezone.utc)).isoformat(timespec="milliseconds")
    lines = []
    for number, (message, recipient) in enumerate(zip(uuids, recipients)):
        queue_id = f"4XBeh{number:03d}zz"
        lines += [f"{stamp} mx postfix/cleanup[9]: {queue_id}: info: header X-Sendpost-Message-UUID: {message} from "
                  f"localhost[127.0.0.1]; from=<s@example.com> to=<{recipient}> proto=ESMTP helo=<x>",
                  f"{stamp} mx postfix/smtp[9]: {queue_id}: to=<{recipient}>, relay=gmail-smtp-in.l.google.com[192.0.2.9]:25, "
                  f"delay=1, delays=0/0/1/0, dsn=4.7.28, status=deferred (host gmail-smtp-in.l.google.com[192.0.2.9] said: {text} "
                  "(in reply to end of DATA command))"]
    return "\n".join(lines) + "\n"


def read_log(site, text):
    log = site.config.parent / "behind.log"
    log.write_text(text)
    site.give(log, 0o644)
    done = subprocess.run([build_directory() / "sendpost-agent", "-c", site.config, "--once", "--from-start"], capture_output=True,
                          text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("case", ["ours", "strangers", "old", "passed on"])
def test_what_a_provider_says_in_the_log_of_an_mta_behind_slows_that_provider(site, server, case):
    recipients = [f"user{number}@gmail.com" for number in range(3)]
    site.configure([entry(server, max_rate_per_hour=1000)], log_path=str(site.config.parent / "behind.log"))
    uuids = deliveries(site, recipients)
    if case == "strangers":
        uuids = [str(uuid.uuid4()) for _ in uuids]
    when = datetime.now(timezone.utc) - timedelta(hours=1 if case == "old" else 0)
    text = "451 4.7.1 rate limit of TPSP primary: 3/h, reached, next slot in 9 s" if case == "passed on" else GMAIL
    read_log(site, log_of(uuids, recipients, text, when))
    assert set(slowed(site)) == ({"gmail"} if case == "ours" else set())
    if case == "ours":
        assert slowed(site)["gmail"]["why"].startswith("gmail-rate: ")


def test_a_correspondents_server_in_that_log_slows_nobody_down(site, server):
    recipients = ["a@evil.example", "b@evil.example", "c@evil.example"]
    site.configure([entry(server, max_rate_per_hour=1000)], log_path=str(site.config.parent / "behind.log"))
    assert send(site, "friend@good.example")[0] == 0
    read_log(site, log_of(deliveries(site, recipients), recipients, GMAIL))
    assert slowed(site) == {}


def test_bounces_count_when_several_recipients_are_of_one_mind_and_none_twice(site, server):
    recipients = [f"user{number}@gmail.com" for number in range(4)]
    site.configure([entry(server, max_rate_per_hour=1000)])
    uuids = deliveries(site, recipients)

    def bounce(number, message=None):
        text = report(recipients[number], "4.7.28", text=GMAIL, uuid=message or uuids[number])
        done = site.run("-f", "", "--", f"bounces+{message or uuids[number]}+4321@sp-bounce.example.com", message=text,
                        program=site.libexec / "sendpost-bounce")
        assert done.returncode == 0, done
    for _ in range(3):
        bounce(0)
    for number in range(4):
        bounce(number, uuid.uuid4())  # invented
    assert slowed(site) == {}
    for number in (1, 2, 3):
        bounce(number)
    assert set(slowed(site)) == {"gmail"}
