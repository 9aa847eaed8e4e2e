"""Rate limits through the whole sendpost-pipe, and sendpostctl rates."""
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from plain_relay import MESSAGE, entry, send, while_open
from scripted_tpsp import ScriptedTpsp, hang_up
from sendpost import ctl
from support import free_port


@pytest.fixture
def server():
    with ScriptedTpsp(auth="") as scripted:
        yield scripted


@pytest.mark.smoke
def test_the_limit_defers_with_its_name_and_the_next_slot(site, server):
    site.configure([entry(server, max_rate_per_hour=3)])
    assert [send(site)[0] for _ in range(3)] == [0, 0, 0]
    status, text = send(site)
    assert status == 75
    assert re.fullmatch(r"4\.7\.1 .*rate limit of TPSP primary: 3/h, reached, next slot in (3600|35\d\d) s\n", text)
    assert len(server.messages) == 3
    assert [event["cs"] for event in site.events()].count(61) == 0  # no event for a rate deferral


def test_a_provider_has_its_own_limit(site, server):
    site.configure([entry(server, provider_rates={"gmail": 1, "default": 2})])
    assert send(site, "a@gmail.com")[0] == 0
    status, text = send(site, "b@gmail.com")
    assert status == 75 and "1/h (provider gmail)" in text
    assert [send(site, f"{name}@example.com")[0] for name in "abc"] == [0, 0, 75]


def test_parallel_deliveries_share_the_limit(site, server):
    site.configure([entry(server, rates=["7/d"], max_rate_per_hour=100)])
    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(lambda _: send(site)[0], range(30)))
    assert statuses.count(0) == 7 and statuses.count(75) == 23
    assert len(server.messages) == 7


def test_a_rate_deferral_is_no_attempt(site, server):
    site.configure([entry(server, max_rate_per_hour=1)], retry={"schedule": ["1h"]})
    assert send(site)[0] == 0
    for _ in range(4):  # were it one, the ladder would say "not due", and drop the message after two
        status, text = send(site, "user@example.com", "-q", "4bRATE")
        assert status == 75 and text.startswith("4.7.1 ")


def test_an_unreachable_tpsp_uses_no_slot(site, server):
    down = free_port()
    site.configure([entry(down, max_rate_per_hour=1)])
    for _ in range(3):
        assert "rate limit" not in send(site)[1]
    site.configure([entry(server, max_rate_per_hour=1)])
    assert [send(site)[0], send(site)[0]] == [0, 75]


def test_a_soon_slot_is_waited_for(site, server):
    site.configure([entry(server, rates=["60/m"])], rate_burst=1, rate_limit_wait="5s")
    assert [send(site)[0] for _ in range(3)] == [0, 0, 0]


def test_a_suppressed_recipient_takes_no_slot(site, server):
    site.configure([entry(server, max_rate_per_hour=1)])
    assert ctl(site, "suppress", "add", "gone@example.com").returncode == 0
    for _ in range(3):
        status, text = send(site, "gone@example.com")
        assert status == 69 and text.startswith("5.7.1 ")
    assert send(site)[0] == 0


def test_what_policy_refuses_takes_no_slot_and_opens_no_connection(site, server):
    site.configure([entry(server, max_rate_per_hour=1)], return_path={"verify": "static", "domains": ["verified.example"]})
    status, text = send(site)
    assert (status, text.split(" ", 1)[0]) == (69, "5.7.1")
    assert send(site, message=b"Subject: no From\n\nbody\n")[0] == 69
    assert not server.connections
    assert send(site, message=MESSAGE.replace(b"example.com\nTo", b"verified.example\nTo"))[0] == 0


def test_a_message_that_is_not_due_takes_no_slot(site):
    with ScriptedTpsp(auth="", rcpt="450 4.2.0 greylisted") as greylisting:
        site.configure([entry(greylisting, max_rate_per_hour=2)], retry={"schedule": ["1h"]})
        assert send(site, "user@example.com", "-q", "4bDUE")[0] == 75
        for _ in range(5):
            status, text = send(site, "user@example.com", "-q", "4bDUE")
            assert status == 75 and not text.startswith("4.7.1")
        assert len(greylisting.connections) == 1
        assert "greylisted" in send(site, "other@example.com", "-q", "4bNEW")[1]


def test_a_damaged_file_is_replaced_and_the_mail_goes_on(site, server):
    site.configure([entry(server, max_rate_per_hour=100)])
    for damage in (b"", b"x" * 5000, os.urandom(4096 + 4096 * 256)):
        (site.state / "rates").write_bytes(damage)
        site.give(site.state / "rates", 0o640)
        assert send(site)[0] == 0
        assert (site.state / "rates").stat().st_size == 4096 + 4096 * 256


def test_a_foreign_file_that_cannot_be_opened_defers(site, server):
    site.configure([entry(server, max_rate_per_hour=100)])
    (site.state / "rates").write_bytes(b"")
    os.chown(site.state / "rates", 0, 0)
    os.chmod(site.state / "rates", 0o600)
    status, text = send(site)
    assert status == 75 and text.startswith("4.3.0 ") and "rates" in text
    assert not server.messages


def test_rates_are_shown_and_reset(site, server):
    site.configure([entry(server, max_rate_per_hour=2, provider_rates={"gmail": 5}), entry(free_port(), name="backup")])
    send(site), send(site)
    assert send(site)[1].startswith("4.7.1 ")  # backup is down, and to wait for a slot is no attempt
    shown = ctl(site, "rates")
    assert shown.returncode == 0, shown.stderr
    assert re.search(r"primary +in use +2/h +all +2 +0 of 2 +in \d+ s", shown.stdout)
    assert re.search(r" 5/h +gmail +0 +5 of 5 +now", shown.stdout)
    assert re.search(r"backup +in use +unlimited", shown.stdout)
    rows = json.loads(ctl(site, "rates", "--json").stdout)
    assert [row["tpsp"] for row in rows] == ["primary", "backup"]
    assert rows[0]["limits"][0]["free"] == 0 and 3500 < rows[0]["limits"][0]["next_slot_seconds"] <= 3600
    assert ctl(site, "rates", "reset", "primary").returncode == 0
    assert send(site)[0] == 0
    wrong = ctl(site, "rates", "reset", "nobody")
    assert wrong.returncode == 1 and "nobody" in wrong.stderr
    assert ctl(site, "rates", "reset").returncode == 64
    assert (site.state / "rates").stat().st_uid == site.uid


def test_a_tpsp_left_alone_is_shown_and_reset(site):
    with ScriptedTpsp(auth="", connect=hang_up) as broken:
        site.configure([entry(broken)])

        def fail(_):
            asked = len(broken.connections)
            assert send(site)[0] == 75 and len(broken.connections) == asked + 1

        def look(_):
            asked = len(broken.connections)
            status, text = send(site)
            assert status == 75 and re.match(r"4\.4\.1 .*TPSP primary is left alone after 5 failures in a row, next attempt in \d s",
                                             text)
            assert len(broken.connections) == asked

        while_open([site], fail, look)
        asked = len(broken.connections)
        shown = ctl(site, "rates")
        assert shown.returncode == 1 and re.search(r"primary +(left alone for \d s|to be tried) \(5 failures\)", shown.stdout)
        assert json.loads(ctl(site, "rates", "--json").stdout)[0]["breaker"]["failures"] == 5
        assert ctl(site, "rates", "reset", "primary").returncode == 0
        send(site)
        assert len(broken.connections) == asked + 1


def test_a_limit_in_shadow_counts_and_defers_nothing(site, server):
    site.configure([entry(server, max_rate_per_hour=2, provider_rates={"gmail": 1, "yahoo": 1}, shadow=["global", "gmail"])])
    assert [send(site, "a@gmail.com")[0] for _ in range(4)] == [0, 0, 0, 0]
    assert [send(site, "a@yahoo.com")[0] for _ in range(2)] == [0, 75]  # what is not in shadow holds
    row = json.loads(ctl(site, "rates", "--json").stdout)[0]
    assert {shadow["provider"]: shadow["would_have_deferred"] for shadow in row["shadow"]} == {None: 3, "gmail": 3}
    assert "primary: 1/h (gmail) is in shadow, and would have deferred 3 messages" in ctl(site, "rates").stdout
    assert "2/h is in shadow, and would have deferred this message for" in site.log()
    assert ctl(site, "rates", "reset", "primary").returncode == 0
    row = json.loads(ctl(site, "rates", "--json").stdout)[0]
    assert [shadow["would_have_deferred"] for shadow in row["shadow"]] == [0, 0]


def test_a_warm_up_lets_through_what_its_day_has(site, server):
    # two days of each number: midnight may pass meanwhile
    site.configure([entry(server, warm_up={"start": "2026-01-01", "plan": [3, 3, 100], "providers": {"gmail": [1, 1]}})],
                   slow_down={"enabled": False})
    assert [send(site, "a@gmail.com")[0] for _ in range(2)] == [0, 75]
    assert [send(site)[0] for _ in range(2)] == [0, 0]
    status, text = send(site)
    assert status == 75 and re.search(r"rate limit of TPSP primary: 3/d, warm-up, reached, next slot in (86400|863\d\d) s", text), text
    rows = json.loads(ctl(site, "rates", "--json").stdout)[0]["warm_up"]
    assert [(row["provider"], row["day"], row["days"], row["limit"]) for row in rows] in [[(None, one, 3, 3), ("gmail", other, 2, 1)] for one, other in ((1, 1), (1, 2), (2, 1), (2, 2))]
    assert re.search("primary: warm-up to gmail, day [12] of 2: 1 a day", ctl(site, "rates").stdout)
    assert "warm-up" in ctl(site, "explain", "user@example.com").stdout


def test_a_reset_lets_a_warm_up_have_no_more_than_its_day_and_says_so(site, server):
    site.configure([entry(server, max_rate_per_hour=2, warm_up={"start": "2026-01-01", "plan": [3, 100]})], slow_down={"enabled": False})
    assert [send(site)[0] for _ in range(3)] == [0, 0, 75]
    done = ctl(site, "rates", "reset", "primary")
    assert done.returncode == 0 and "primary starts anew: its other limits are unused and whole" in done.stdout, done
    assert "Its warm-up goes on" in done.stdout and "primary: warm-up, day 1 of 2: 3 a day\n" in done.stdout, done
    assert send(site)[0] == 0
    status, text = send(site)
    assert status == 75 and "3/d, warm-up, reached" in text, text
    value = json.loads(ctl(site, "rates", "reset", "primary", "--json").stdout)
    assert value["reset"] is True and [(row["day"], row["limit"]) for row in value["warm_up"]] == [(1, 3)]


def test_a_warm_up_in_shadow_defers_nothing(site, server):
    site.configure([entry(server, warm_up={"start": "2026-01-01", "plan": [1, 1]}, shadow=["warm-up"])])
    assert [send(site)[0] for _ in range(3)] == [0, 0, 0]
    assert "1/d is in shadow, and would have deferred this message" in site.log()
