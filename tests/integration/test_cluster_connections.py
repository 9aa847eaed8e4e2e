"""max-connections over several hosts: a real Valkey or Redis server, a TPSP that counts its connections, and hosts that are state
directories of their own. Never more than allowed, whatever is killed, cut off or lost, and none left behind."""
import json
import os
import random
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cluster_host import ClusterHost
from counting_tpsp import CountingTpsp
from plain_relay import entry, send
from sendpost import build_directory
from support import end_process, wait_for
from valkey_server import PROGRAM

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no valkey-server or redis-server; run tools/deps test")
MOST = 3


class Host(ClusterHost):
    def __init__(self, valkey, tpsp, **cluster):
        super().__init__(valkey, entry(tpsp, max_connections=MOST), cluster, rate_limit_wait="2s", listen="none")
        self.agent = None

    def start_agent(self):
        self.agent = subprocess.Popen([build_directory() / "sendpost-agent", "-c", self.site.config], env=self.site.env(), cwd="/",
                                      user=self.site.uid, group=self.site.gid, extra_groups=[])

    def deliver(self, number):
        """As Postfix would, until it is through."""
        end = time.monotonic() + 300
        while time.monotonic() < end:
            status, text = send(self.site, "user@example.com", "-q", f"4b{number}")
            if status == 0:
                return
            assert status == 75, text
            time.sleep(0.2)  # not at once, or those who are refused take the processor from those who have the connections
        raise AssertionError(f"message {number} was never accepted: {text}")

    def deliverers(self):
        found = []
        for pid in self.site.leftovers():
            try:
                if "sendpost-deliver" in os.readlink(f"/proc/{pid}/exe"):
                    found.append(pid)
            except OSError:
                pass  # it ended by itself
        return found

    def of_cluster(self):
        return json.loads(self.ctl("rates", "--json").stdout)[0]["connections"].get("cluster")

    def end(self):
        if self.agent:
            end_process(self.agent.pid)
            self.agent.wait()
        super().end()


@pytest.fixture
def tpsp():
    with CountingTpsp(takes=0.2) as counting:
        yield counting


def deliver_all(hosts, first, count):
    """Every host as many, all of them at once."""
    with ThreadPoolExecutor(6 * len(hosts)) as pool:
        list(pool.map(lambda task: task[0].deliver(task[1]), [(host, first + number) for number in range(count) for host in hosts]))


def test_three_hosts_together_have_no_more_connections_than_are_allowed_and_leave_none(make_host, tpsp):
    hosts = [make_host() for _ in range(3)]
    deliver_all(hosts, 100, 12)
    assert tpsp.most == MOST and tpsp.messages == 36
    assert tpsp.connections < tpsp.messages  # and are kept from one message to the next
    wait_for(lambda: hosts[0].of_cluster() == 0, "the end of the last connection")


def test_what_is_killed_or_cut_off_leaves_none_behind_and_opens_none_beyond(make_host, tpsp, valkey):
    hosts = [make_host() for _ in range(3)]
    for host in hosts:
        host.start_agent()
    over, killed = threading.Event(), []

    def kill_some():
        while not over.wait(0.05) and len(killed) < 12:
            victims = random.choice(hosts).deliverers()
            try:
                if victims:
                    os.kill(random.choice(victims), signal.SIGKILL)
                    killed.append(True)
            except ProcessLookupError:
                pass

    def cut_and_lose():
        wait_for(lambda: tpsp.messages > 5 or over.is_set(), "messages")
        hosts[0].way.set_cut(True)
        # not until others got on: the host may hold all connections, and nobody may take them from it for minutes
        wait_for(lambda: "is away" in hosts[0].site.log() or over.is_set(), "the host to notice", timeout=240)
        hosts[0].way.set_cut(False)
        wait_for(lambda: tpsp.messages > 16 or over.is_set(), "messages")
        valkey.restart_empty()

    with ThreadPoolExecutor(2) as trouble:
        tasks = [trouble.submit(kill_some), trouble.submit(cut_and_lose)]
        try:
            deliver_all(hosts, 200, 14)
        finally:
            over.set()
        for task in tasks:
            task.result()
    assert killed
    # the kernel gives up what a killed process held in an order of its own: its lock may go before its connection
    assert MOST <= tpsp.most <= MOST + 1
    wait_for(lambda: hosts[1].of_cluster() == 0, "the end of the last connection")
    tpsp.most = 0
    deliver_all(hosts, 300, 6)
    assert tpsp.most == MOST


def test_a_server_that_comes_back_empty_is_told_what_is_held(make_host, tpsp, valkey):
    holder, other = make_host(), make_host()
    holder.start_agent()
    holder.site.environment = {"SENDPOST_IDLE_SECONDS": "60"}
    deliver_all([holder], 400, 6)
    wait_for(lambda: holder.site.idle(), "idle deliverers that keep their connections")
    stopped = holder.deliverers()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    held = wait_for(other.of_cluster, "a server that answers in time")
    valkey.restart_empty()
    # a second and a half in which the hosts tell
    wait_for(lambda: other.of_cluster() == held, "the holder's word")
    for pid in stopped:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: other.of_cluster() == 0, "the end of what was killed")
    other.deliver(450)


@pytest.mark.parametrize("away, allowed", [("hold", 0), ("share", 1)])
def test_a_host_that_is_cut_off_has_its_share_or_none(make_host, tpsp, away, allowed):
    host = make_host(when_away=away, share="40%")
    host.site.environment = {"SENDPOST_IDLE_SECONDS": "60"}
    host.deliver(500)
    (kept,) = host.site.wait_idle()
    host.way.set_cut(True)
    tpsp.most = 0
    status, text = send(host.site, "user@example.com", "-q", "4b501")
    if away == "hold":
        assert status == 75 and "is away" in text
        wait_for(lambda: not tpsp.sessions, "the end of the connection that was kept")
    else:
        assert status == 0
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(host.deliver, range(502, 514)))
    assert tpsp.most <= allowed
