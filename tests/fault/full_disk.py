#!/usr/bin/python3
"""Visits to a full disk: the state directory is a small file system that fills up at a random step of a delivery, or was full before,
and has room again later. Each message is visited until it is through; at the end everything is accounted for: accepted once, one
event each.

    tests/fault/full_disk.py [VISITS]          (200 by default; as root; SENDPOST_BUILD names the build)
"""
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from scripted_tpsp import DEFAULTS, ScriptedTpsp  # noqa: E402
from sendpost import Sendpost  # noqa: E402

STAGES = ["connect", "ehlo", "mail", "rcpt", "dot", "before", "never"]
ROOM = (0, 1, 5000, 20000, 60000)  # bytes that are left: some steps still fit


class Storm:
    def __init__(self, site, server, visits):
        self.site, self.server, self.visits = site, server, visits
        self.random = random.Random()
        self.dots, self.statuses = Counter(), Counter()
        self.server.script["dot"] = self.on_dot
        self.stage, self.number = "never", 0

    def fill(self):
        filler, left = self.site.state / "filler", self.random.choice(ROOM)
        with open(filler, "wb", buffering=0) as file:
            for size in (1 << 16, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    pass
            file.truncate(max(0, file.tell() - left))

    def on_dot(self, connection):
        self.dots[self.number] += 1
        if self.stage == "dot":
            self.fill()
        connection.reply(DEFAULTS["dot"])

    def fills_at(self, stage):
        def act(connection):
            self.fill()
            connection.reply(connection.capabilities("EHLO") if stage == "ehlo" else DEFAULTS[stage])
        return act

    def visit(self, stage):
        """One run of sendpost-pipe; the disk fills up at that stage of it."""
        self.stage = stage
        if stage in ("connect", "mail", "rcpt"):
            self.server.script[stage] = self.fills_at(stage)
        if stage == "before":
            self.fill()
        done = self.site.run("-q", f"4bXy{self.number:05d}", "-f", "a@example.org", "--", f"user{self.number}@example.com",
                             message=f"From: a@example.org\nSubject: {self.number}\n\nhello\n".encode())
        for name in ("connect", "mail", "rcpt"):
            self.server.script[name] = DEFAULTS[name]
        self.statuses[done.returncode] += 1
        return done.returncode

    def run(self):
        done = 0
        stages = [stage for stage in STAGES if stage != "ehlo"]
        while done < self.visits:
            status = self.visit(self.random.choice(stages))
            done += 1
            while status == 75 and done < self.visits and self.random.random() < 0.5:
                status = self.visit("never")  # the disk is as it was
                done += 1
            (self.site.state / "filler").unlink(missing_ok=True)
            while status == 75:
                status = self.visit("never")
                done += 1
            self.number += 1
        self.site.wait_settled()
        events = Counter(event["recipient"] for event in self.site.events() if event["cs"] == 60)
        return {"visits": done, "messages": self.number, "status": dict(self.statuses), "lost": self.number - len(self.dots),
                "second copies": sum(self.dots.values()) - len(self.dots), "without an event": self.number - len(events),
                "events twice": sum(events.values()) - len(events)}


def run(visits):
    with Sendpost() as site, ScriptedTpsp() as server:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=10M,mode=0700,uid={site.uid},gid={site.gid}", "tmpfs", str(site.state)],
                       check=True)
        try:
            site.configure([{"name": "primary", "id": 12, "host": server.host, "port": server.port, "security": "none", "auth": "none",
                             "max-rate-per-hour": 0}], listen="none")
            return Storm(site, server, visits).run()
        finally:
            site.wait_settled()
            subprocess.run(["umount", "-l", str(site.state)], check=True)


def is_right(figures):
    return all(figures[what] == 0 for what in ("lost", "second copies", "without an event", "events twice")) and \
        set(figures["status"]) <= {0, 75}


if __name__ == "__main__":
    result = run(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
    print(result)
    sys.exit(0 if is_right(result) else 1)
