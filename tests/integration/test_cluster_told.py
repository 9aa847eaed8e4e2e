"""What the hosts of a cluster tell each other of a TPSP: what is slowed down, and whether it is left alone. A real Valkey or Redis
valkey, a TPSP that follows a script, and hosts that are state directories of their own, without agents: a delivery hears in time."""
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cluster_host import ClusterHost
from cuttable_proxy import CuttableProxy
from plain_relay import entry, send, while_open
from scripted_tpsp import ScriptedTpsp
from support import wait_for
from valkey_server import PROGRAM, ValkeyServer

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no valkey-server or redis-server; run tools/deps test")
SLOWER = "450 4.7.1 too many messages, slow down"
ACCOUNT = "550 5.7.1 Your account is suspended"


class Host(ClusterHost):
    def __init__(self, valkey, tpsp, rate=1000, **cluster):
        self.to_tpsp = CuttableProxy(tpsp.port)
        super().__init__(valkey, entry(self.to_tpsp.port, max_rate_per_hour=rate), cluster, rate_limit_wait="0s")
        self.site.environment = {"SENDPOST_IDLE_SECONDS": "0"}

    def begin(self):
        """The epoch has begun."""
        self.send()

    def send(self, recipient="user@example.com"):
        """The server is there: what a busy machine takes for its absence is asked again."""
        answers = []

        def heard():
            answers.append(send(self.site, recipient))
            return "cluster sendpost" not in answers[-1][1]
        wait_for(heard, lambda: f"an answer, not {answers[-1]}")
        return answers[-1]

    def slowed(self):
        return {row["provider"]: row for row in json.loads(self.ctl("rates", "--json").stdout)[0]["slow_down"]}

    def breaker(self):
        return json.loads(self.ctl("rates", "--json").stdout)[0]["breaker"]

    def end(self):
        super().end()
        self.to_tpsp.close()


@pytest.fixture
def tpsp():
    with ScriptedTpsp(auth="") as scripted:
        yield scripted


def refuse(host, tpsp, reply=SLOWER, times=3):
    tpsp.script["mail"] = reply
    answers = [host.send() for _ in range(times)]
    tpsp.script["mail"] = "250 2.0.0 Ok"
    assert all(status == 75 for status, _ in answers), answers
    return answers[-1][1]


def test_what_one_host_is_told_slows_all_of_them_down(make_host, tpsp):
    first, second, third = [make_host() for _ in range(3)]
    refuse(first, tpsp)
    limit = first.slowed()[None]["limit"]
    assert second.slowed() == {}
    # before it is let through it hears; then all together have one slot
    answers = [second.send(), third.send(), first.send()]
    for host in (second, third):
        row = host.slowed()[None]
        assert row["limit"] == limit and row["why"].startswith("rate: 450 4.7.1 too many messages")
    assert [status for status, _ in answers].count(0) <= 1 and "slowed down" in answers[-1][1], answers
    wait_for(lambda: second.ctl("rates", "reset", "primary").returncode == 0, "a server that answers in time")
    assert first.send()[0] == 0 and first.slowed() == {}


def test_what_a_host_is_told_while_it_is_cut_off_is_told_when_it_is_back(make_host, tpsp):
    alone, other = make_host(when_away="share"), make_host()
    alone.way.set_cut(True)
    refuse(alone, tpsp)
    limit = alone.slowed()[None]["limit"]
    assert other.send()[0] == 0 and other.slowed() == {}
    alone.way.set_cut(False)
    wait_for(lambda: (alone.send(), other.send()) and other.slowed(), "the others hear it")
    assert other.slowed()[None]["limit"] == limit


def test_an_empty_server_is_told_again(make_host, tpsp, valkey):
    first, second = make_host(), make_host()
    refuse(first, tpsp)
    limit = first.slowed()[None]["limit"]
    valkey.restart_empty()
    wait_for(lambda: (first.send(), second.send()) and second.slowed(), "the others hear it")
    assert first.slowed()[None]["limit"] == second.slowed()[None]["limit"] == limit


def test_an_empty_server_does_not_end_what_a_host_knows_that_asks_only_whether_there_is_news(make_host, tpsp, valkey):
    """A delivery to a TPSP that is left alone takes no slot."""
    first, second = [make_host(rate=1000000) for _ in range(2)]
    refuse(first, tpsp)
    tpsp.script["mail"] = ACCOUNT
    wait_for(lambda: first.send() and first.breaker()["of_all_hosts"], "a slot, and the refusal")
    wait_for(lambda: is_left_alone(second), "what one host has told")
    limit = second.slowed()[None]["limit"]
    valkey.restart_empty()
    for host in (second, first):
        host.send()
        assert host.slowed()[None]["limit"] == limit and host.breaker()["failures"] >= 5


def test_what_a_promoted_replica_has_missed_is_told_again(make_host, tpsp, valkey):
    """The slow-down it knows, the breaker it does not: another host is held back by both, though it has heard of neither before."""
    with ValkeyServer() as replica:
        replica.command("REPLICAOF", "127.0.0.1", valkey.port)
        wait_for(lambda: "master_link_status:up" in replica.command("INFO"), "replication")
        first, second = [make_host(servers=[valkey.address, replica.address], rate=1000000) for _ in range(2)]
        second.to_tpsp.set_cut(True)  # what it knows now is what it has heard
        refuse(first, tpsp)
        limit = first.slowed()[None]["limit"]
        valkey.command("SET", "marker", "told")
        wait_for(lambda: replica.command("GET", "marker") == "told", "the slow-down at the replica")
        replica.command("REPLICAOF", "NO", "ONE")
        tpsp.script["mail"] = ACCOUNT
        wait_for(lambda: first.send() and first.breaker()["of_all_hosts"], "a slot, and the refusal")
        valkey.kill()
        wait_for(lambda: first.send() and (second.send(), second.breaker()["of_all_hosts"])[1], "the word of the host that was refused")
        assert second.breaker()["failures"] >= 5 and second.slowed()[None]["limit"] == limit


def is_left_alone(host):
    status, text = host.send()
    return status == 75 and "is left alone after" in text and "of all hosts" in text


@pytest.mark.parametrize("heard", [True, False])
def test_a_refused_account_is_everybodys_and_one_of_all_hosts_tries(make_host, tpsp, heard):
    """Also where the others hear of it with a slot, when its time has come."""
    hosts = [make_host(rate=1000000) for _ in range(3)]
    refuse(hosts[0], tpsp, ACCOUNT, 1)
    tpsp.script["mail"] = ACCOUNT
    asked = len(tpsp.connections)
    if heard:
        for host in hosts:
            wait_for(lambda host=host: is_left_alone(host), "what one host has told")
        # one more for each time that a busy machine let pass, which the first host hears of with its next message
        wait_for(lambda: is_left_alone(hosts[0]) and len(tpsp.connections) - asked <= hosts[0].breaker()["failures"] - 5,
                 "a refusal heard for each that was asked")
    asked = len(tpsp.connections)

    # when its time has come: one message of all, and what comes of it tells all
    reached, go_on = threading.Event(), threading.Event()

    def wait(connection):
        reached.set()
        go_on.wait(120)
        connection.reply("250 2.1.0 Ok")
    tpsp.script["mail"] = wait
    wait_for(lambda: hosts[0].breaker()["state"] != "open", "the end of the pause")
    with ThreadPoolExecutor(10) as pool:
        tasks = [pool.submit(hosts[1].send)]
        if not heard:
            wait_for(reached.is_set, "the one that tries")
        tasks += [pool.submit(host.send) for host in hosts for _ in range(3)]
        wait_for(lambda: reached.is_set() and sum(task.done() for task in tasks) == 9, "all but the one that tries")
        assert len(tpsp.connections) == asked + 1
        go_on.set()
        assert sorted(task.result()[0] for task in tasks) == [0] + [75] * 9
    tpsp.script["mail"] = "250 2.0.0 Ok"
    assert [host.send()[0] for host in hosts] == [0, 0, 0]


def test_a_host_whose_own_way_is_broken_closes_it_for_nobody_else(make_host, tpsp):
    broken, other, third = [make_host(rate=1000000) for _ in range(3)]
    broken.to_tpsp.set_cut(True)

    def look(_):
        text = broken.send()[1]
        assert "left alone" in text and "of all hosts" not in text, text

    while_open([broken.site], lambda _: broken.send(), look)
    assert other.send()[0] == 0 and third.send()[0] == 0


def test_two_hosts_that_cannot_reach_it_close_it_for_all_until_another_can(make_host):
    first, second, other = [make_host(rate=1000000) for _ in range(3)]
    for host in (first, second):
        host.to_tpsp.set_cut(True)

    def fail(number):
        wait_for(lambda: "left alone" in (first, second)[number % 2].send()[1], "its own breaker")

    def look(_):
        """Nobody has had a success in between: it is the TPSP."""
        status, text = other.send()
        assert status == 75 and "of all hosts" in text, text

    while_open([first.site, second.site, other.site], fail, look, times=2)
    # the one that tries has a way of its own that is whole, and tells the others, of whom each still knows its own
    wait_for(lambda: other.send()[0] == 0, "the one that tries")
    assert other.send()[0] == 0
    assert all("of all hosts" not in host.send()[1] for host in (first, second))
