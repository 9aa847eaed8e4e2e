"""sendpost-agent killed at any instant, on a log that is being written, rotated and truncated: each event exactly once.

AGENT_KILLS says how often (60; the figure that counts is 1000).
"""
import gzip
import os
import random
import shutil
import signal
import subprocess
import threading
import time

import pytest

from agent_runner import PROGRAM, Agent, LogWriter
from event_api import Answer, EventApi
from support import wait_for

KILLS = int(os.environ.get("AGENT_KILLS", "60"))


class BusyLog(threading.Thread):
    """Writes, and now and then rotates as logrotate does: by rename, by copytruncate, with compression. A rotation waits
    for the agent where more than a few files would be gone before it has read them."""

    def __init__(self, writer, seed):
        super().__init__(daemon=True)
        self.writer, self.random, self.end, self.rotations = writer, random.Random(seed), threading.Event(), 0
        self.path = writer.path

    def run(self):
        while not self.end.is_set():
            self.writer.write(self.random.randint(1, 40))
            if self.random.random() < 0.03:
                self.rotate()
            time.sleep(self.random.random() * 0.01)

    def rotated(self, number):
        return self.path.with_name(f"{self.path.name}.{number}")

    def shift(self):
        """mail.log.2 becomes mail.log.3.gz …; none is ever deleted."""
        highest = max([int(path.name.split(".")[2]) for path in self.path.parent.glob("mail.log.*")], default=0)
        for number in range(highest, 0, -1):
            for ending in ("", ".gz"):
                old = self.path.with_name(f"mail.log.{number}{ending}")
                if old.exists():
                    old.rename(self.path.with_name(f"mail.log.{number + 1}{ending}"))
        second = self.rotated(3)
        if second.exists():
            target = self.path.with_name("mail.log.3.gz")
            with open(second, "rb") as plain, gzip.open(target, "wb") as packed:
                shutil.copyfileobj(plain, packed)
            shutil.copystat(second, target)
            second.unlink()

    def rotate(self):
        self.rotations += 1
        self.shift()
        if self.random.random() < 0.5:
            self.path.rename(self.rotated(1))
            if self.random.random() < 0.5:
                self.path.touch()
        else:
            shutil.copyfile(self.path, self.rotated(1))
            os.truncate(self.path, 0)


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_any_instant_each_event_is_reported_exactly_once(seed):
    chance = random.Random(seed)
    with EventApi(tls=False, key="agent-key") as api, Agent() as agent:
        agent.report_to(api, flush_interval="1s", batch_size=50, listen="none")
        writer = LogWriter(agent.log_path, seed)
        writer.write(1)
        assert agent.once("--from-start") == 0  # from here on there is a position
        log = BusyLog(writer, seed)
        log.start()
        for _ in range(KILLS // 2):
            process = start(agent)
            time.sleep(chance.random() * 0.15)  # the instant is the point
            process.send_signal(signal.SIGKILL)
            process.wait()
        log.end.set()
        log.join()
        wait_for(lambda: agent.once() == 0, "a complete flush", timeout=240)
        stored = agent.events()
        happened = {(event[1], event[2], event[0]) for event in stored}
        assert happened - writer.expected == set()
        assert writer.expected - happened == set(), f"after {log.rotations} rotations"
        assert len(stored) == len(writer.expected)
        # a request that was under way at the kill is sent again, under the same id
        assert set(api.ids()) == {event[5] for event in stored}
        assert api.problems == []


def start(agent):
    return subprocess.Popen([PROGRAM, "-c", agent.config], env=agent.environment())


def test_events_wait_for_an_api_that_is_down_and_none_is_lost():
    with EventApi(tls=False, key="agent-key") as api, Agent() as agent:
        api.default = Answer(503, headers={"Retry-After": "1"})
        agent.report_to(api)
        writer = LogWriter(agent.log_path)
        writer.write(3000)
        agent.start("--from-start")
        wait_for(lambda: agent.metric("lines_total") >= 15000, "the log to be read")
        wait_for(lambda: agent.metric("pending_events") == len(writer.expected), "the events to be stored")
        wait_for(lambda: agent.get("/health")[0] == 503, agent.health)  # as soon as the first answer has come
        api.default = Answer(202)
        wait_for(lambda: len(set(api.ids())) == len(writer.expected), lambda: f"{len(api.ids())} events")
        wait_for(lambda: agent.get("/health")[0] == 200, agent.health)
        assert agent.health()["pending_events"] == 0
        assert agent.metric('posts_total{result="failed"}') >= 1


def test_one_bad_event_does_not_block_the_others():
    with EventApi(tls=False, key="agent-key") as api, Agent() as agent:
        api.on_type["bounced"] = Answer(422, b'{"error":"no"}')
        agent.report_to(api)
        writer = LogWriter(agent.log_path)
        writer.write(50)
        assert agent.once("--from-start") == 0
        refused = {fate for fate in writer.expected if fate[2] == "bounced"}
        assert len(set(api.ids())) == len(writer.expected) - len(refused)


def test_without_a_key_that_is_taken_events_stay_pending():
    with EventApi(tls=False, key="agent-key") as api, Agent() as agent:
        agent.report_to(api, key="wrong")
        writer = LogWriter(agent.log_path)
        writer.write(5)
        assert agent.once("--from-start") == 75
        assert len(agent.events()) == len(writer.expected)
        agent.report_to(api)
        assert agent.once() == 0
        assert len(set(api.ids())) == len(writer.expected)


def test_state_that_is_deleted_gives_the_same_event_ids_again():
    with Agent() as agent:
        writer = LogWriter(agent.log_path)
        writer.write(20)
        assert agent.once("--from-start") == 0
        before = {event[5] for event in agent.events()}
        for path in agent.state.iterdir():
            path.unlink()
        assert agent.once("--from-start") == 0
        assert {event[5] for event in agent.events()} == before
