"""Three hosts, each with Postfix, state and agent of its own, one TPSP and one limit, and a server between them to which everything
happens: in no window more than the limit, no message lost, bounced or stuck, none twice."""
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from cuttable_proxy import CuttableProxy
from private_postfix import PrivatePostfix
from scripted_tpsp import ScriptedTpsp
from sendpost import Sendpost, build_directory
from support import end_process, wait_for
from test_cluster_limits import most_in_a_window
from valkey_server import PROGRAM, ValkeyServer

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no valkey-server or redis-server; run tools/deps test")
FULL = bool(os.environ.get("SENDPOST_FULL"))
LIMIT = 10  # a second
MESSAGES = 150 if FULL else 45  # of each host
BACKOFF = "queue_run_delay = 1s\nminimal_backoff_time = 1s\nmaximal_backoff_time = 2s\ntransport_retry_time = 1s\n"


class Arrivals:
    """What the TPSP was given: a function for its final dot."""

    def __init__(self):
        self.lock, self.seen = threading.Lock(), []

    def __call__(self, connection):
        with self.lock:
            self.seen.append((connection.recipient.split(b"<")[1].split(b">")[0].decode(), time.time()))
        connection.reply("250 2.0.0 Ok: queued")

    def count(self, host=""):
        with self.lock:
            return sum(1 for recipient, _ in self.seen if recipient.endswith(host))


class Host:
    def __init__(self, name, port, servers):
        self.name, self.ways = name, [CuttableProxy(server.port) for server in servers]
        self.one = Sendpost()
        self.visits = self.one.top / "visits"
        self.one.replace("visit", f'#!/bin/bash\nprintf "%s %s\\n" "$EPOCHREALTIME" "${{@: -1}}" >>{self.visits}\n'
                                  f'exec {self.one.libexec}/sendpost-pipe "$@"\n')
        self.one.program = self.one.libexec / "visit"
        self.postfix = PrivatePostfix(name, main=self.one.main_cf(), master=self.one.master_cf(), backoff=BACKOFF)
        self.one.configure([{"name": "primary", "id": 12, "host": "127.0.0.1", "port": port, "security": "none", "max-rate-per-hour": 0,
                             "rates": [f"{LIMIT}/s"]}], log_path=str(self.postfix.log_path), listen="none",
                           cluster={"servers": [way.address for way in self.ways], "tls": False})
        self.postfix.start()
        self.agent = subprocess.Popen([build_directory() / "sendpost-agent", "-c", self.one.config], env=self.one.env(), cwd="/",
                                      user=self.one.uid, group=self.one.gid, extra_groups=[])
        self.recipients = [f"u{number}@{name}" for number in range(MESSAGES)]

    def send(self):
        self.postfix.sendmail(b"From: me@example.com\nSubject: x\n\nx\n", self.recipients, sender="me@example.com")

    def set_cut(self, cut):
        for way in self.ways:
            way.set_cut(cut)

    def begun(self):
        """For each recipient, when its visits began."""
        times = {}
        for line in self.visits.read_text().splitlines():
            when, recipient = line.split()
            times.setdefault(recipient, []).append(float(when.replace(",", ".")))
        return times

    def end(self):
        end_process(self.agent.pid)
        self.agent.wait()
        self.postfix.__exit__()
        self.one.__exit__()
        for way in self.ways:
            way.close()


class Fleet:
    def __init__(self, tpsp, arrivals, servers):
        self.arrivals, self.servers = arrivals, servers
        self.master = servers[0]
        self.admissions, self.begun, self.ends = [], [], []
        self.hosts = [Host(f"host{number}.test", tpsp.port, servers) for number in range(3)]

    def wait_for_more(self, what, count=LIMIT, host=""):
        """So many further arrivals, or all that there are on a machine that is slow; returns how long they took."""
        begun, before = time.monotonic(), self.arrivals.count(host)
        wait_for(lambda: self.arrivals.count(host) >= before + count or self.arrivals.count() == 3 * MESSAGES,
                 lambda: f"{what}: {before} of {3 * MESSAGES} had arrived, {self.arrivals.count()} now\n{self.hosts[0].one.log()[-3000:]}")
        return time.monotonic() - begun

    def trouble(self, name, begin, end=None, host=""):
        self.wait_for_more(f"before {name}")
        begin()
        if end:
            end()
        self.ends.append((name, host, time.time()))
        self.wait_for_more(f"after {name}", 2, host)

    def finish(self):
        wait_for(lambda: self.arrivals.count() >= 3 * MESSAGES, lambda: f"all messages: {self.arrivals.count()} have arrived", timeout=240)
        for host in self.hosts:
            host.postfix.wait_empty()
            times = host.begun()
            for recipient, arrived in self.arrivals.seen:
                if recipient.endswith("@" + host.name):
                    begun = max(when for when in times[recipient] if when <= arrived)
                    self.admissions.append((int(begun * 1000000), int(arrived * 1000000)))
                    self.begun.append((recipient, begun, arrived))
        for name, host, ended in self.ends:
            took = min(arrived - ended for recipient, begun, arrived in self.begun if begun >= ended and recipient.endswith(host))
            print(f"{name}: mail flows again after {took:.1f} s", file=sys.stderr)


@pytest.fixture
def fleet(postfix_runs):
    arrivals = Arrivals()
    with ScriptedTpsp(offers=(), dot=arrivals) as tpsp, ValkeyServer() as first, ValkeyServer(clock=True) as second:
        second.command("REPLICAOF", "127.0.0.1", first.port)
        wait_for(lambda: "master_link_status:up" in second.command("INFO"), "replication")
        made = Fleet(tpsp, arrivals, [first, second])
        yield made
        for host in made.hosts:
            host.end()


def fail_over(fleet):
    """The replica misses the last writes, and takes over."""
    first, second = fleet.servers
    second.process.send_signal(signal.SIGSTOP)
    fleet.wait_for_more("what the replica does not know", 3)
    first.kill()
    second.process.send_signal(signal.SIGCONT)
    second.command("REPLICAOF", "NO", "ONE")
    fleet.master = second


def wait_for_word(hosts, word):
    """Until one of them says so once more."""
    def said():
        return sum(word in line for host in hosts for line in host.one.log().splitlines())
    before = said()
    wait_for(lambda: said() > before, f"somebody who notices: {word}")


def hang(fleet):
    fleet.master.process.send_signal(signal.SIGSTOP)
    wait_for_word(fleet.hosts, "is away")
    fleet.master.process.send_signal(signal.SIGCONT)


def slow(fleet, seconds):
    for host in fleet.hosts:
        for way in host.ways:
            way.set_delay(seconds / 2)


def fill(fleet):
    fleet.master.command("CONFIG", "SET", "maxmemory", "1")
    wait_for_word(fleet.hosts, "OOM")
    fleet.master.command("CONFIG", "SET", "maxmemory", "0")


def test_whatever_happens_to_the_server_no_window_has_more_and_no_message_is_lost(fleet):
    alone, *_ = fleet.hosts
    for host in fleet.hosts:
        host.send()
    fleet.trouble("restarted empty", fleet.servers[0].restart_empty)
    wait_for(lambda: "master_link_status:up" in fleet.servers[1].command("INFO"), "replication")
    fleet.trouble("one host cut off", lambda: (alone.set_cut(True), wait_for_word([alone], "is away")),
                  lambda: (fleet.wait_for_more("the others", 5), alone.set_cut(False)), host=alone.name)
    fleet.trouble("failed over with lost writes", lambda: fail_over(fleet))
    if FULL:
        fleet.trouble("hung", lambda: hang(fleet))
        fleet.trouble("slow, within its time", lambda: slow(fleet, 0.04), lambda: (fleet.wait_for_more("slowly"), slow(fleet, 0)))
        fleet.trouble("slow, beyond it", lambda: (slow(fleet, 0.3), wait_for_word(fleet.hosts, "is away")), lambda: slow(fleet, 0))
        fleet.trouble("full", lambda: fill(fleet))
        for step in ("3600", "-7200", "10"):
            fleet.trouble(f"clock stepped by {step} s", lambda step=step: fleet.master.step_clock(step))
        fleet.trouble("gone for a while", lambda: (fleet.master.kill(), time.sleep(8)), fleet.master.start)
    fleet.finish()
    assert sorted(recipient for recipient, _ in fleet.arrivals.seen) == sorted(each for host in fleet.hosts for each in host.recipients)
    assert most_in_a_window([fleet]) <= LIMIT
    for host in fleet.hosts:
        assert not host.postfix.lines(pattern="status=bounced") and "dropped" not in host.one.log()
        assert {event["cs"] for event in host.one.events()} == {60} and len(host.one.events()) == MESSAGES
