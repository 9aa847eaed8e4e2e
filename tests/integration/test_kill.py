"""kill -9 of supervisor and deliverer at a hundred random instants under load. When the queue is drained, every message is at the
TPSP, every message has its event, and whatever is there twice was killed before its acceptance was on record."""
import os
import random
import re
import signal
import smtplib
import threading
from collections import defaultdict
from pathlib import Path

from support import wait_for

KILLS = int(os.environ.get("SENDPOST_KILLS", "100"))
MESSAGES = 200


def submit(front, first, count):
    with smtplib.SMTP("127.0.0.1", front.port) as client:
        for number in range(first, first + count):
            client.sendmail("sender@example.org", [f"user{number}@example.com"],
                            f"From: sender@example.org\r\nSubject: {number}\r\nMessage-ID: <{number}@example.org>\r\n\r\n{'x' * 3000}\r\n")


class Killer:
    """Ends one of our processes at a time with SIGKILL, each at a random instant of its life."""

    def __init__(self, sendpost):
        self.sendpost, self.random = sendpost, random.Random()
        self.killed = defaultdict(int)

    def kill_one(self):
        pids = self.sendpost.leftovers()
        self.random.shuffle(pids)
        # first who was hit less: a supervisor lives shorter than a deliverer, which stays for the next one
        found = sorted(((self.killed[name], pid, name) for pid in pids if (name := self.name_of(pid))), key=lambda one: one[0])
        if not found:
            return False
        _, pid, name = found[0]
        try:
            threading.Event().wait(self.random.uniform(0, self.random.choice((0.002, 0.02))))  # the instant: not a wait for anything
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, FileNotFoundError):
            return False
        self.killed[name] += 1
        return True

    @staticmethod
    def name_of(pid):
        try:
            return Path(f"/proc/{pid}/comm").read_text(encoding="ascii").strip()
        except OSError:
            return None

    @property
    def count(self):
        return sum(self.killed.values())


def test_killed_at_any_instant_nothing_is_lost_and_nothing_on_record_is_sent_again(front, sendpost, tpsp, api, ca):
    sendpost.configure([sendpost.tpsp(tpsp, ca)], endpoint=api.url, ca=ca)
    killer, sent = Killer(sendpost), 0
    bounced_before = front.lines("", "status=bounced")  # of other tests: the log is the front's, not ours alone

    def keep_killing():
        nonlocal sent
        if len(front.queue()) < 20:  # so that there is always something to kill
            submit(front, sent, 20)
            sent += 20
        for _ in range(10):
            killer.kill_one()
        return killer.count >= KILLS and killer.killed["sendpost-pipe"] and killer.killed["sendpost-delive"] and sent >= MESSAGES

    wait_for(keep_killing, lambda: f"{KILLS} kills; {dict(killer.killed)}", timeout=240, interval=0)
    front.wait_empty(timeout=240)
    sendpost.wait_settled()

    assert front.lines("", "status=bounced") == bounced_before
    copies = defaultdict(list)
    for received in sorted(tpsp.wait_messages(sent), key=lambda one: one.arrival):
        copies[received.recipient].append(received)
    assert set(copies) == {f"user{number}@example.com" for number in range(sent)}

    rows = {row["recipient"]: row for row in sendpost.events() if row["cs"] == 60}
    assert set(rows) == set(copies)
    twice = {recipient: received for recipient, received in copies.items() if len(received) > 1}
    for recipient, received in twice.items():
        assert len({one.uuid for one in received}) == 1
        # the acceptance on record is that of the last copy: the copies before it were not on record when it was sent
        last = re.search(r"with ESMTPSA id (\w+)", received[-1].raw.decode()).group(1)
        assert last in rows[recipient]["smtp_description"], (recipient, rows[recipient], [one.name for one in received])
    print(f"{dict(killer.killed)}, {sent} messages, {len(twice)} of them twice")

    # an event whose report was cut short is still pending; the agent or a person takes it along
    assert sendpost.run("events", "flush", program=sendpost.libexec / "sendpostctl").returncode == 0
    assert {event["recipient"] for event in api.events if event["event_type"] == "delivered"} == set(copies)
    for event in api.events:
        assert event["message_id"] == copies[event["recipient"]][0].uuid
