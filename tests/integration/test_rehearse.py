"""sendpostctl rehearse: the mail of the store against another configuration; held against a model of the limits in Python."""
import hashlib
import heapq
import json
import random
import sqlite3
import statistics
import time

import pytest

from plain_relay import entry, send
from scripted_tpsp import ScriptedTpsp
from sendpost import Sendpost

HOUR = 3600 * 10**9


@pytest.fixture
def site():
    with Sendpost() as installation, ScriptedTpsp(auth="") as server:
        installation.server = server
        installation.configure([entry(server)])
        assert send(installation)[0] == 0  # the store is there
        installation.wait_settled()
        with sqlite3.connect(installation.state / "state.db") as database:
            database.execute("DELETE FROM events")
        yield installation


def came(site, arrivals):
    """Events as deliveries of other days left them: (when in ms, message, provider, sender, TPSP)."""
    with sqlite3.connect(site.state / "state.db") as database:
        database.executemany(
            "INSERT INTO events (identity, state, event_id, message_id, cs, source, timestamp_ms, recipient, sender, queue_id, tpsp, provider)"
            " VALUES (?, 1, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?)",
            [(number, f"e{number}", f"m{message}", cs, when, "user@example.com", sender, f"4b{message}", tpsp, provider)
             for number, (when, message, cs, provider, sender, tpsp) in enumerate(arrivals)])
    for leftover in site.state.glob("state.db*"):  # root opened them; they stay the user's
        site.give(leftover, leftover.stat().st_mode & 0o777)


def rehearse(site, tpsps, *options, **settings):
    """With the configuration that these would make."""
    present = site.config.read_text()
    site.configure(tpsps, **settings)
    other = site.top / "other.yaml"
    other.write_text(site.config.read_text())
    site.give(other, 0o600)
    site.config.write_text(present)
    before = {path.name: hashlib.sha256(path.read_bytes()).digest() for path in site.state.iterdir() if not path.name.startswith("state.db")}
    done = site.run("rehearse", "--json", *options, other, program=site.libexec / "sendpostctl")
    assert done.returncode == 0, done.stderr
    assert before == {path.name: hashlib.sha256(path.read_bytes()).digest() for path in site.state.iterdir()
                      if not path.name.startswith("state.db")}
    return json.loads(done.stdout)


def model(times, limit, burst):
    """How long each waits, under so many an hour: the lanes of rate_limit.h, and Postfix's backoff."""
    pace = -(-HOUR // (limit - burst + 1))
    lanes, heap, waits = [0] * burst, [(when, when) for when in sorted(times)], []
    heapq.heapify(heap)
    while heap:
        due, first = heapq.heappop(heap)
        now = due * 10**6
        free = next((lane for lane in range(burst) if lanes[lane] <= now), None)
        if free is None:
            heapq.heappush(heap, (due + min(max(due - first, 300000), 4000000), first))
        else:
            lanes[free] = now + (pace if free == 0 else HOUR)
            waits.append(due - first)
    return sorted(waits)


def test_the_waits_are_those_of_the_limits(site):
    start = int(time.time() * 1000) - 80000000
    times = random.sample(range(start, start + 36000000), 400)  # ten hours of forty an hour
    came(site, [(when, number, 60, "gmail", "a@example.com", "primary") for number, when in enumerate(times)])
    expected = model(times, 30, 5)
    told = rehearse(site, [entry(1, max_rate_per_hour=30)], rate_burst=5)
    assert told["messages"] == 400 and told["at_once"] == expected.count(0)
    waited = [wait for wait in expected if wait > 0]
    (limit,) = told["limits"]
    assert limit["text"] == "rate limit of TPSP primary: 30/h" and limit["waited"] == told["waited"] == len(waited) > 0
    assert limit["longest_seconds"] == pytest.approx(waited[-1] / 1000, abs=0.002)
    assert limit["median_seconds"] == pytest.approx(statistics.median_high(waited) / 1000, abs=0.002)
    assert rehearse(site, [entry(1)])["at_once"] == 400


def test_a_message_counts_once_and_takes_its_route(site):
    now = int(time.time() * 1000)
    came(site, [(now - 5000, 1, 61, "gmail", "a@sp-bounce.example.com", "primary"), (now - 4000, 1, 60, "gmail", "a@sp-bounce.example.com", "primary"),
                (now - 3000, 2, 60, "yahoo", "b@example.net", "primary"), (now - 2000, 3, 62, "default", "c@example.net", ""),
                (now - 10**8, 4, 60, "gmail", "d@example.com", "primary")])
    tpsps = [entry(1, "primary"), entry(2, "backup")]

    def taken(strategy, routes):
        told = rehearse(site, tpsps, pools=[{"name": "default", "strategy": strategy, "members": ["primary", "backup"], "routes": routes}])
        assert told["messages"] == told["at_once"] == 2
        return {row["tpsp"]: (row["before"], row["after"]) for row in told["tpsps"]}

    assert taken("by-provider", {"gmail": "backup", "default": "primary"}) == {"primary": (2, 1), "backup": (0, 1)}
    assert taken("by-sender-domain", {"example.net": "backup"}) == {"primary": (2, 1), "backup": (0, 1)}
    assert rehearse(site, tpsps, "--since", "2d")["messages"] == 3


def test_a_slot_that_comes_soon_is_waited_for(site):
    now = int(time.time() * 1000)
    came(site, [(now - 9000 + 100 * number, number, 60, "gmail", "a@example.com", "primary") for number in range(3)])
    told = rehearse(site, [entry(1, max_rate_per_hour=0, rates=["1/s"])], rate_limit_wait="2s")
    (limit,) = told["limits"]
    assert told["at_once"] == 1 and limit["waited"] == 2 and limit["longest_seconds"] == pytest.approx(1.8, abs=0.002)


def test_without_mail_or_configuration_it_says_so(site):
    assert rehearse(site, [entry(1)])["messages"] == 0
    done = site.run("rehearse", site.top / "missing.yaml", program=site.libexec / "sendpostctl")
    assert done.returncode == 1 and b"does not exist" in done.stderr
    assert site.run("rehearse", program=site.libexec / "sendpostctl").returncode == 64


def test_what_cannot_be_told_from_events_is_said(site):
    def told():
        return site.run("rehearse", site.top / "other.yaml", program=site.libexec / "sendpostctl").stdout

    assert rehearse(site, [entry(1)], slow_down={"enabled": False})["not_counted"] == []
    assert b"Not counted" not in told()
    assert rehearse(site, [entry(1, max_connections=3)])["not_counted"] == ["max-connections of primary", "slow-down"]
    assert b"Not counted: max-connections of primary, for events" in told() and b"Not counted: slow-down" in told()
