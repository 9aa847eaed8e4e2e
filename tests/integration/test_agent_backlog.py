"""sendpost-agent after days with the event API down: nothing is lost, memory stays flat, what happens now does not wait
behind the backlog, and each message's events come in order.

AGENT_BACKLOG says how many events wait (60000; the figure that counts is 600000).
"""
import itertools
import os
import re
import socket
import sqlite3
import tempfile
import threading
import time
import uuid
from pathlib import Path

import pytest

from agent_runner import PROGRAM, Agent
from support import wait_for

BACKLOG = int(os.environ.get("AGENT_BACKLOG", "60000"))
DAYS = 5
BATCH = 100
MEMORY_KB = 64 * 1024
EVENT = re.compile(rb'"message_id":"([^"]+)"[^{}]*?"event_id":"([^"]+)"[^{}]*?"timestamp":"([^"]+)"')


class Sink:
    """An event API that does no more than to keep what comes: the agent has to be what is measured. Down, it answers 503;
    the answer to request number hold_at waits for go."""

    def __init__(self):
        self.hold_at, self.held, self.go = 0, threading.Event(), threading.Event()
        self.down, self.requests, self.size, self.first, self.last = True, 0, 0, None, None
        self.bodies = tempfile.TemporaryFile()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/events"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        data = b""
        with connection:
            while True:
                while (end := data.find(b"\r\n\r\n")) < 0:
                    more = connection.recv(1 << 20)
                    if not more:
                        return
                    data += more
                size = end + 4 + int(re.search(rb"Content-Length: (\d+)", data[:end])[1])
                while len(data) < size:
                    data += connection.recv(1 << 20)
                self.answer(connection, data[end + 4:size])
                data = data[size:]

    def answer(self, connection, body):
        if self.down:
            connection.sendall(b"HTTP/1.1 503 Down\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
            return
        self.first = self.first or time.monotonic()
        self.last = time.monotonic()
        self.requests += 1
        self.bodies.write(body + b"\n")
        if self.requests == self.hold_at:
            self.held.set()
            self.go.wait()
            self.go.clear()
        connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}")

    def events(self):
        """(number of the request, message, event id, timestamp) in order of arrival."""
        self.bodies.seek(0)
        return [(number, *(part.decode() for part in event)) for number, body in enumerate(self.bodies)
                for event in EVENT.findall(body)]

    def close(self):
        self.listener.close()
        self.bodies.close()


@pytest.fixture
def sink():
    sink = Sink()
    yield sink
    sink.close()


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(seconds))


def message_id(number):
    return str(uuid.uuid5(uuid.NAMESPACE_URL, str(number)))


def head(when, number):
    return (f"{stamp(when)} mx postfix/cleanup[7]: 4{number:07X}: info: header X-Sendpost-Message-UUID: {message_id(number)} "
            f"from app[192.0.2.9]; from=<a@b.example> to=<user{number}@example.net>\n")


def fate(when, number, status):
    dsn, reason = {"deferred": ("4.4.1", "connect to mx.example.net[192.0.2.1]:25: Connection refused"),
                   "sent": ("2.0.0", f"250 2.0.0 Ok: queued as 7F{number:07X}")}[status]
    return (f"{stamp(when)} mx postfix/smtp[7]: 4{number:07X}: to=<user{number}@example.net>, relay=mx.example.net[192.0.2.1]:25, "
            f"delay=1, delays=1/0/0/0, dsn={dsn}, status={status} ({reason})\n")


def write_days(path, count):
    """Every message is deferred once a day; at the end half of them go through. Returns how many messages there are."""
    messages = count * 2 // (2 * DAYS + 1)
    begin = time.time() - DAYS * 86400 - 3600
    with open(path, "w") as log:
        for number in range(1, messages + 1):
            log.write(head(begin, number))
        for day, number in itertools.product(range(DAYS), range(1, messages + 1)):
            log.write(fate(begin + day * 86400 + number % 3600, number, "deferred"))
        for number in range(1, messages + 1, 2):
            log.write(fate(begin + DAYS * 86400 + 3500, number, "sent"))
    return messages


def stored(agent):
    with sqlite3.connect(agent.state / "state.db", timeout=240) as store:
        return store.execute("SELECT max(id) FROM events").fetchone()[0] or 0


def memory_kb(agent):
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{agent.process.pid}/status").read_text())[1])


def append(agent, lines):
    with open(agent.log_path, "a") as log:
        log.writelines(lines)


def test_a_backlog_of_days_is_caught_up_without_starving_what_happens_now(sink):
    with Agent() as agent:
        agent.configure(endpoint=sink.url, api_key="k", batch_size=BATCH, flush_interval="1s", events_retention="1h",
                        report={"timeout": "60s", "deferred-interval": "1h"})
        messages = write_days(agent.log_path, BACKLOG)
        total = messages * DAYS + (messages + 1) // 2
        agent.start("--from-start")
        wait_for(lambda: stored(agent) == total, lambda: f"{stored(agent)} of {total} events", timeout=300)
        wait_for(lambda: agent.metric("pending_events") == total, "them to be counted")
        wait_for(lambda: agent.metric('posts_total{result="failed"}') >= 1, "a first request")
        assert sink.requests == 0
        peak_down = memory_kb(agent)

        fresh = []  # (message, number of the request that was under way when it was stored)
        sink.hold_at, sink.down = 10, False
        for number in range(messages + 1, messages + 11):
            assert sink.held.wait(120)
            sink.held.clear()
            # one is new; of the other's message much is pending, so that it has to wait
            append(agent, [head(time.time(), number), fate(time.time(), number, "sent"),
                           fate(time.time(), 2 * (number - messages), "sent")])
            wait_for(lambda: stored(agent) == total + 2 * (number - messages), "the fresh events to be stored")
            fresh.append((message_id(number), sink.requests - 1))
            sink.hold_at = sink.hold_at + total // BATCH // 16 if len(fresh) < 10 else 0
            sink.go.set()
        total += 2 * len(fresh)
        wait_for(lambda: agent.metric("pending_events") == 0, lambda: f"{agent.metric('pending_events')} pending", timeout=300)
        drained = total / (sink.last - sink.first)
        peak = memory_kb(agent)
        assert agent.get("/health")[0] == 200

        requests, sink.first = sink.requests, None
        append(agent, itertools.chain(*([head(time.time(), n), fate(time.time(), n, "sent")] for n in range(number + 1, number + 10001))))
        wait_for(lambda: agent.metric("reported_events_total") == total + 10000, "events without a backlog")
        idle = 10000 / (sink.last - sink.first)
        assert sink.requests - requests < 200

        events = [event for event in sink.events() if event[0] < requests]
        assert len(events) == len({event[2] for event in events}) == total
        arrived = {message: request for request, message, _, _ in events}
        waited = [arrived[message] - since for message, since in fresh]
        assert max(waited) <= 2, waited
        last = {}
        for _, message, _, timestamp in events:
            assert last.get(message, "") <= timestamp, f"{message} was overtaken by its own newer event"
            last[message] = timestamp
        if b"__asan_init" not in PROGRAM.read_bytes():  # whose shadow is not ours
            assert peak < MEMORY_KB and peak_down < MEMORY_KB
        print(f"\n{total} events, {messages} messages: {drained:.0f} events a second behind a backlog, {idle:.0f} without one, "
              f"ratio {drained / idle:.2f}; fresh events within {max(waited)} requests; at most {peak_down // 1024} MB while down, "
              f"{peak // 1024} MB in all")
