"""max-connections: never more than so many at a time, whatever happens to the deliveries, and none left behind."""
import json
import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from counting_tpsp import CountingTpsp
from plain_relay import entry, send
from support import wait_for
from tpsp import Tpsp


@pytest.fixture
def server():
    with CountingTpsp() as counting:
        yield counting


def deliver(site, number):
    """As Postfix would, until it is through."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        status, text = send(site, "user@example.com", "-q", f"4b{number}")
        if status == 0:
            return
        assert status == 75, text
        time.sleep(0.2)  # not at once, or those who are refused take the processor from those who have the connections
    raise AssertionError(f"message {number} was never accepted: {text}")


def used(site, name="primary"):
    done = site.run("rates", "--json", program=site.libexec / "sendpostctl")
    (row,) = [row for row in json.loads(done.stdout) if row["tpsp"] == name]
    return row["connections"]["used"], row["connections"]["limit"]


def test_a_hundred_deliveries_at_once_stay_below_the_limit_of_a_real_postfix(site, ca):
    """It counts by itself, and would refuse the fourth; what it refused would be in its log."""
    main = "smtpd_client_connection_count_limit = 3\nsmtpd_client_event_limit_exceptions =\n"
    with Tpsp(ca, main=main) as postfix:
        site.configure([site.tpsp(postfix, ca, max_connections=3)], rate_limit_wait="5s")
        with ThreadPoolExecutor(100) as pool:
            list(pool.map(lambda number: deliver(site, number), range(100)))
        assert len(postfix.wait_messages(100)) == 100
        assert "concurrency limit exceeded" not in postfix.log()
    wait_for(lambda: used(site) == (0, 3), "the end of the last connection")


def test_none_is_left_behind_by_those_that_are_killed(site, server):
    site.configure([entry(server, max_connections=3)], rate_limit_wait="2s", retry={"schedule": ["1s"] * 500})

    over, killed = threading.Event(), []

    def kill_some():
        while not over.wait(0.01) and len(killed) < 15:
            try:
                deliverers = [pid for pid in site.leftovers() if "sendpost-deliver" in os.readlink(f"/proc/{pid}/exe")]
                if deliverers:
                    os.kill(random.choice(deliverers), signal.SIGKILL)
                    killed.append(True)
            except (ProcessLookupError, FileNotFoundError):
                pass  # it ended by itself

    with ThreadPoolExecutor(21) as pool:
        pool.submit(kill_some)
        try:
            list(pool.map(lambda number: deliver(site, number), range(60)))
        finally:
            over.set()
    assert killed
    wait_for(lambda: used(site) == (0, 3), "the end of the last connection")
    server.most, server.takes = 0, 0.3
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda number: deliver(site, number), range(100, 140)))
    assert server.most == 3


def test_the_next_message_goes_to_the_deliverer_that_has_the_connection(site, server):
    with CountingTpsp(takes=0.3) as other:
        site.environment = {"SENDPOST_IDLE_SECONDS": "20"}
        site.configure([entry(server, max_connections=1), entry(other, "other")],
                       pools=[{"name": "default", "members": ["primary"]}, {"name": "free", "members": ["other"]}])
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: send(site, "user@example.com", "-p", "free"), range(16)))
        assert send(site)[0] == 0
        wait_for(lambda: len(site.idle()) > 1, "idle deliverers, of which one has the connection")
        for _ in range(8):
            assert send(site)[0] == 0
            site.wait_settled()
        assert server.connections == 1 and server.messages == 9


def test_a_connection_that_is_only_kept_is_given_up_for_who_waits(site, server):
    site.configure([entry(server, max_connections=1)], rate_limit_wait="30s")
    assert send(site, environment={"SENDPOST_IDLE_SECONDS": "60"})[0] == 0
    site.wait_idle()
    # of another environment: the idle one does not serve it
    assert send(site, environment={"SENDPOST_IDLE_SECONDS": "0"})[0] == 0
    assert server.connections == 2 and server.most == 1


def test_a_stopped_holder_holds_and_a_killed_one_does_not(site, server):
    with CountingTpsp() as spare:
        def configure(**pool):
            site.configure([entry(server, max_connections=1), entry(spare, "spare")],
                           pools=[{"name": "default", "members": ["primary"], **pool}, {"name": "beside", "members": ["spare"]}])
        configure()
        assert send(site, environment={"SENDPOST_IDLE_SECONDS": "60"})[0] == 0
        (pid,) = site.wait_idle()
        os.kill(pid, signal.SIGSTOP)
        status, text = send(site, environment={"SENDPOST_IDLE_SECONDS": "0"})
        assert status == 75 and text.startswith("4.7.1 TPSP primary: all its connections")
        assert used(site) == (1, 1) and not [event for event in site.events() if event["cs"] != 60]
        configure(overflow="beside")
        assert "tpsp=spare" in send(site, environment={"SENDPOST_IDLE_SECONDS": "0"})[1]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: used(site) == (0, 1), "the end of the killed one")
        assert "tpsp=primary" in send(site, environment={"SENDPOST_IDLE_SECONDS": "0"})[1]
