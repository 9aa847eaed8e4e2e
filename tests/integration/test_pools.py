"""Pools of TPSPs through the whole sendpost-pipe, with servers that come and go: nothing is lost, nothing doubled, and each
member has its share."""
import random
import re
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from plain_relay import entry, send, while_open
from scripted_tpsp import Ended, ScriptedTpsp, hang_up, reset
from support import free_port, wait_for

WORKERS = 6


class Moody(ScriptedTpsp):
    """A server that can be switched off, in one way or the other, at any time."""

    def __init__(self, **script):
        super().__init__(auth="", connect=lambda connection: self.answer(connection, "220 moody ESMTP"),
                         mail=self.mail, **script)
        self.mood, self.turned_away = None, 0

    def mail(self, connection):
        """In a bad mood only to those who were served before: what was greeted well has a right to be heard."""
        if "RSET" not in connection.commands:
            connection.reply("250 2.1.0 Ok")
        else:
            self.answer(connection, "250 2.1.0 Ok")

    def answer(self, connection, well):
        if self.mood is None:
            connection.reply(well)
            return
        self.turned_away += 1
        if isinstance(self.mood, str):
            connection.reply(self.mood)
            raise Ended
        self.mood(connection)


@pytest.fixture
def servers():
    three = [Moody() for _ in range(3)]
    with three[0], three[1], three[2]:
        yield three


def configure(site, servers, strategy, weights=(1, 1, 1), overflow=None, **settings):
    names = "abc"[:len(servers)]
    pool = {"name": "default", "strategy": strategy,
            "members": [{"tpsp": name, "weight": weight} for name, weight in zip(names, weights)]}
    pools = [pool]
    if overflow is not None:
        pool["members"], pool["overflow"] = pool["members"][:-1], "spare"
        pools.append({"name": "spare", "members": [{"tpsp": names[-1]}]})
    site.configure([entry(server, name=name, **settings) for name, server in zip(names, servers)], pools=pools,
                   retry={"schedule": ["1s"] * 500})


def subject(number):
    return b"From: sender@example.com\nTo: user@example.com\nSubject: number %d\n\nbody\n" % number


def send_until_accepted(site, number):
    """As Postfix would: again and again with the same queue id, until it is through."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        status, text = send(site, "user@example.com", "-q", f"4b{number}", message=subject(number))
        if status == 0:
            return text
        assert status == 75 and not text.startswith("4.3.5 "), text
        time.sleep(0.05)  # Postfix would wait longer
    raise AssertionError(f"message {number} was never accepted: {text}")


def accepted(servers):
    """The number of each message that each server took."""
    return [[int(re.search(rb"Subject: number (\d+)", message)[1]) for message in server.messages] for server in servers]


@pytest.mark.parametrize("strategy, weights", [("round-robin", (1, 1, 1)), ("weighted", (6, 3, 1)), ("weighted", (70, 20, 10))])
def test_each_member_has_its_share(site, servers, strategy, weights):
    configure(site, servers, strategy, weights)
    count = 300
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(lambda number: send_until_accepted(site, number), range(count)))
    taken = accepted(servers)
    assert sorted(sum(taken, [])) == list(range(count))
    for mine, weight in zip(taken, weights):
        assert abs(len(mine) / count - weight / sum(weights)) <= 0.02, [len(part) for part in taken]


@pytest.mark.parametrize("strategy", ["failover", "round-robin", "weighted"])
def test_nothing_is_lost_or_doubled_while_servers_come_and_go(site, servers, strategy):
    configure(site, servers, strategy, (3, 2, 1))
    count, over = 300, threading.Event()

    def disturbed():
        return all(server.turned_away for server in servers) or strategy == "failover" and servers[0].turned_away

    def disturb():
        moods = (None, None, None, hang_up, reset, "421 4.3.2 going down", "554 5.7.1 not you")
        end = time.monotonic() + 3  # much longer, and the breakers would learn to wait for longer than this test does
        while not over.wait(0.03) and (time.monotonic() < end or not disturbed()):
            random.choice(servers).mood = random.choice(moods)
        for server in servers:
            server.mood = None

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        with ThreadPoolExecutor(WORKERS) as pool:
            texts = list(pool.map(lambda number: send_until_accepted(site, number), range(count)))
    finally:
        over.set()
        disturber.join()
    assert disturbed()
    assert Counter(sum(accepted(servers), [])) == Counter(range(count))
    told = Counter(re.search(r"tpsp=(\w)", text)[1] for text in texts)
    assert [told[name] for name in "abc"] == [len(server.messages) for server in servers]
    delivered = [event for event in site.events() if event["cs"] == 60]
    assert len(delivered) == len({event["message_id"] for event in delivered}) == count


def test_failover_uses_the_next_when_the_first_is_down_and_returns_to_it(site, servers):
    down = free_port()

    def fail(number):
        configure(site, [down, *servers[1:]], "failover")
        assert "tpsp=b" in send_until_accepted(site, number)

    def look(number):
        configure(site, servers, "failover")
        assert "tpsp=b" in send_until_accepted(site, number)  # left alone still

    configure(site, servers, "failover")
    while_open([site], fail, look)
    numbers = count(1000)
    wait_for(lambda: "tpsp=a" in send_until_accepted(site, next(numbers)), "another try of the first one", interval=0.1)
    assert "tpsp=a" in send_until_accepted(site, next(numbers))


@pytest.mark.parametrize("trouble", ["in doubt", "refused"])
def test_a_message_that_one_has_judged_or_may_have_goes_to_no_other(site, servers, trouble):
    script = {"dot": hang_up} if trouble == "in doubt" else {"rcpt": "550 5.1.1 no such user"}
    with ScriptedTpsp(auth="", **script) as first:
        configure(site, [first, *servers[1:]], "failover")
        for number in range(3):
            assert send(site, "user@example.com", "-q", f"4b{number}")[0] == (75 if trouble == "in doubt" else 69)
        assert sum(command.startswith("RCPT") for connection in first.connections for command in connection.commands) >= 3
    assert not servers[1].connections and not servers[2].connections


def test_overflow_takes_what_is_over_the_rate(site, servers):
    configure(site, servers, "round-robin", overflow=True, max_rate_per_hour=5)
    with ThreadPoolExecutor(WORKERS) as pool:
        statuses = list(pool.map(lambda number: send(site, message=subject(number))[0], range(25)))
    assert [len(server.messages) for server in servers] == [5, 5, 5]
    assert statuses.count(0) == 15 and statuses.count(75) == 10


def test_when_nobody_answers_the_message_is_kept(site):
    configure(site, [free_port(), free_port()], "round-robin")
    for number in range(20):
        status, text = send(site, "user@example.com", "-q", f"4b{number}")
        assert status == 75 and text.startswith("4.4.")
    numbers = count(20)
    wait_for(lambda: re.search(r"TPSP [ab] is left alone after \d+ failures in a row, next attempt in \d+ s; no other TPSP",
                               send(site, "user@example.com", "-q", f"4b{next(numbers)}")[1]), "both left alone")


def test_an_unknown_pool_defers(site, servers):
    configure(site, servers, "failover")
    status, text = send(site, "user@example.com", "-p", "nowhere")
    assert status == 75 and text.startswith("4.3.5 ") and "nowhere" in text
