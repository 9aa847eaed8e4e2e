#!/usr/bin/python3
"""kill -9, again and again, of every program of ours while all of them are at work on one state directory: deliveries by many
supervisors at once, bounces, an agent on a growing log, sendpostctl that flushes and adds to the suppression list. Whoever is
told 75 or dies comes again, as Postfix does. At the end everything is accounted for: each message is at the TPSP, once more only
where the log says that it was in doubt; each has its event, once; so has each bounce and each line of the log; each address that
was said to be on the list is on it.

    tests/fault/kills.py [KILLS]          (10,000 by default; as root; SENDPOST_BUILD names the build)
"""
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import uuid_keys  # noqa: E402
from agent_runner import LogWriter  # noqa: E402
from event_api import EventApi  # noqa: E402
from fault_scenarios import Bounce  # noqa: E402
from scripted_tpsp import DEFAULTS, ScriptedTpsp  # noqa: E402
from sendpost import SECRET_KEY, Sendpost, build_directory  # noqa: E402
from support import free_port  # noqa: E402

VICTIMS = ("sendpost-pipe", "sendpost-deliver", "sendpost-bounce", "sendpost-record", "sendpost-judge", "sendpost-agent", "sendpostctl")
SUPERVISORS = 6  # at a time
BOUNCES = 2


class Storm:
    def __init__(self, site, server, api, kills):
        self.site, self.server, self.api, self.kills = site, server, api, kills
        self.random, self.killed, self.statuses = random.Random(), Counter(), Counter()
        self.ending, self.lock = threading.Event(), threading.Lock()
        self.messages, self.bounces, self.suppressed, self.problems, self.copies = {}, [], [], [], Counter()
        self.key = uuid_keys.new_key()
        self.mail_log = site.top / "mail.log"
        self.writer = LogWriter(self.mail_log)
        shutil.copy2(build_directory() / "sendpost-agent", site.libexec / "sendpost-agent")
        self.mail_log.touch()
        site.give(self.mail_log, 0o640)
        site.configure([{"name": "primary", "id": 12, "host": server.host, "port": server.port, "security": "none", "auth": "none",
                         "max-rate-per-hour": 0}],
                       endpoint=api.url, listen=f"127.0.0.1:{free_port()}", log_path=str(self.mail_log), flush_interval="1s",
                       uuid_key_file=site.secret_file("uuid-key", self.key))

    # --- who works --------------------------------------------------------------------------------------------------

    def until_through(self, program, *arguments, message=b"", allowed=(0, 75)):
        """As Postfix would: again until it is through."""
        while True:
            status = self.site.run(*arguments, program=self.site.libexec / program, message=message).returncode
            self.statuses[program, status] += 1
            if status not in (*allowed, -signal.SIGKILL):
                self.problems.append(f"{program} ended with {status}")
            if status == 0:
                return

    def deliver(self):
        while not self.ending.is_set():
            name = str(uuid.uuid4())
            with self.lock:
                number = len(self.messages)
                self.messages[name] = number
            self.until_through("sendpost-pipe", "-q", f"4bXy{number:06d}", "-f", "a@example.org", "--", f"user{number}@example.com",
                               message=f"From: a@example.org\nX-Sendpost-Message-UUID: {name}\n\nhello\n".encode())

    def bounce(self):
        while not self.ending.is_set():
            name = uuid_keys.make(self.key, "you@example.org")
            self.bounces.append(name)
            self.until_through("sendpost-bounce", "-f", "", "--", f"bounces+{name}+4321@sp-bounce.example.com",
                               message=Bounce.report(name, "you@example.org"))

    def manage(self):
        while not self.ending.is_set():
            address = f"{uuid.uuid4().hex}@example.net"
            self.until_through("sendpostctl", "suppress", "add", address, allowed=(0, 1, 75))
            self.suppressed.append(address)
            self.statuses["flush", self.site.run("events", "flush", program=self.site.libexec / "sendpostctl").returncode] += 1

    def watch(self):
        """The agent, started again whenever it is dead, and a log that grows."""
        agent = None
        while not self.ending.is_set():
            if agent is None or agent.poll() is not None:
                agent = subprocess.Popen([str(self.site.libexec / "sendpost-agent"), "-c", str(self.site.config), "--from-start"],
                                         env=self.site.env(), cwd="/", user=self.site.uid, group=self.site.gid, extra_groups=[],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.writer.write(2)
            self.ending.wait(0.05)
        agent.terminate()
        agent.wait()

    # --- who kills --------------------------------------------------------------------------------------------------

    def kill_one(self):
        found = []
        for pid in self.site.leftovers():
            try:
                found.append((pid, os.path.basename(os.readlink(f"/proc/{pid}/exe"))))
            except OSError:
                pass
        found = [(self.killed[name], self.random.random(), pid, name) for pid, name in found if name in VICTIMS]
        if not found:
            return
        _, _, pid, name = min(found)
        time.sleep(self.random.uniform(0, self.random.choice((0.001, 0.01))))  # the instant: no wait for anything
        try:
            if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == name:
                os.kill(pid, signal.SIGKILL)
                self.killed[name] += 1
        except OSError:
            pass  # it was faster

    def run(self):
        work = [self.deliver] * SUPERVISORS + [self.bounce] * BOUNCES + [self.manage, self.watch]
        threads = [threading.Thread(target=one) for one in work]
        for thread in threads:
            thread.start()
        told, begun = 0, time.monotonic()
        # one that lives for milliseconds is not met by every few kills: it is waited for
        while self.killed.total() < self.kills or set(self.killed) != set(VICTIMS):
            self.kill_one()
            if self.killed.total() >= told + 1000:
                told = self.killed.total()
                print(f"{told} kills, {len(self.messages)} messages, {time.monotonic() - begun:.0f} s", flush=True)
        self.ending.set()
        for thread in threads:
            thread.join()
        self.site.wait_settled()
        for program, arguments in (("sendpost-agent", ["--once", "--from-start"]), ("sendpostctl", ["events", "flush"])):
            done = self.site.run(*arguments, program=self.site.libexec / program)
            if done.returncode != 0:
                self.problems.append(f"{program} ends with {done.returncode}: {done.stderr[-300:]!r}")
        return self.figures()

    # --- the account ------------------------------------------------------------------------------------------------

    def figures(self):
        copies = Counter(self.server_uuid(text) for text in self.server.messages)
        doubts = Counter()
        for line in self.site.log().splitlines():
            if "may have been accepted" in line:
                doubts.update(name for name in line.replace(",", " ").replace(":", " ").split() if name in self.messages)
        with sqlite3.connect(self.site.state / "state.db") as store:
            ok = store.execute("PRAGMA integrity_check").fetchone()[0]
            rows = store.execute("SELECT source, cs, message_id, recipient, event_id FROM events").fetchall()
            listed = {address for address, in store.execute("SELECT address FROM suppression")}
            left = {table: store.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("intents", "deliveries")}
        delivered = Counter(name for source, cs, name, _, _ in rows if (source, cs) == (0, 60))
        bounced = Counter(name for source, cs, name, _, _ in rows if source == 2)
        words = {60: "delivered", 61: "deferred", 63: "bounced", 64: "soft_bounced"}
        logged = Counter((name, recipient, words[cs]) for source, cs, name, recipient, _ in rows if source == 1)
        known = {event["event_id"] for event in self.api.events}
        return {
            "kills": dict(self.killed), "messages": len(self.messages), "bounces": len(self.bounces), "lines": len(self.writer.expected),
            "lost": len(set(self.messages) - set(copies)),
            "second copies": copies.total() - len(copies), "in doubt": doubts.total(),
            "copies without a doubt": sum(max(0, copies[name] - 1 - doubts[name]) for name in copies),
            "without an event": len(set(self.messages) - set(delivered)) + len(set(self.bounces) - set(bounced))
            + len(self.writer.expected - set(logged)),
            "events twice": sum(sum(counted.values()) - len(counted) for counted in (delivered, bounced, logged)),
            "events of nothing": len(set(delivered) - set(self.messages)) + len(set(bounced) - set(self.bounces))
            + len(set(logged) - self.writer.expected),
            "not at the API": len({row[4] for row in rows if row[1] != 61 or row[0] == 1} - known),
            "not on the list": len(set(self.suppressed) - listed), "suppressed": len(self.suppressed),
            "corrupt": len(list(self.site.state.glob("*.corrupt-*"))) + (ok != "ok"), "left": left,
            "problems": self.problems + self.api.problems,
        }

    @staticmethod
    def server_uuid(text):
        return text.split(b"X-Sendpost-Message-UUID: ", 1)[1][:36].decode()


def run(kills):
    with Sendpost() as site, ScriptedTpsp(dot=DEFAULTS["dot"]) as server, EventApi(tls=False, key=SECRET_KEY) as api:
        return Storm(site, server, api, kills).run()


def is_right(figures):
    return all(not figures[what] for what in (
        "lost", "copies without a doubt", "without an event", "events twice", "events of nothing", "not at the API", "not on the list",
        "corrupt", "problems")) and set(figures["kills"]) == set(VICTIMS)


if __name__ == "__main__":
    result = run(int(sys.argv[1]) if len(sys.argv) > 1 else 10000)
    print(result)
    sys.exit(0 if is_right(result) else 1)
