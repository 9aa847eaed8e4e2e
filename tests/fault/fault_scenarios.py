"""What is disturbed by tests/fault/faults.py: one class a program and situation. Each attempt disturbs one run, looks at what was
promised, lets an undisturbed run follow, and looks at it again; finish() looks at the whole."""
import os
import re
import shutil
import sqlite3
import subprocess
import uuid
from collections import Counter

import uuid_keys
from agent_runner import Agent, LogWriter
from event_api import EventApi
from scripted_tpsp import DEFAULTS, ScriptedTpsp
from sendpost import SECRET_KEY, Sendpost, build_directory
from support import end_process, remove, scratch
from tls_ca import CertificateAuthority

PATIENCE_S = 40  # above all timeouts of the configuration
HANGS = "none for so long"
NO_LIBRARY = 127  # of the loader; no Postfix looks at what is started otherwise
STATUS_LINE = {0: rb"2\.\d{1,3}\.\d{1,3} [^\n]+\n", 75: rb"4\.\d{1,3}\.\d{1,3} [^\n]+\n", 69: rb"5\.\d{1,3}\.\d{1,3} [^\n]+\n"}


def look_at_status(done, allowed, may_be_silent):
    """may_be_silent: the very call that says so may have failed; then the status alone counts, for pipe(8) as well."""
    if done.returncode not in allowed:
        return [f"status {done.returncode}, {done.stdout!r} {done.stderr[-300:]!r}"]
    if not (may_be_silent and done.stdout == b"") and not re.fullmatch(STATUS_LINE[done.returncode], done.stdout):
        return [f"status {done.returncode} with {done.stdout!r}"]
    return []


class WithSite:
    """An installation with a TPSP and an API, in all of whose programs a run can be disturbed."""

    traced = ()  # programs that others start
    engine = "auto"

    def __init__(self):
        self.authority = scratch("spca-")
        self.ca = CertificateAuthority(self.authority)
        chain, key = self.ca.issue("localhost")
        self.site = Sendpost()
        self.directory = self.site.top
        self.site.environment["SENDPOST_IDLE_SECONDS"] = "0"
        self.api = EventApi(self.ca, key=SECRET_KEY)
        self.dots, self.current = Counter(), None
        self.server = ScriptedTpsp(security="starttls", chain=chain, key=key, dot=self.on_dot)
        self.binaries = self.site.top / "binaries"
        shutil.copytree(self.site.libexec, self.binaries)
        self.uuid_key = uuid_keys.new_key()
        self.server.__enter__()
        self.configure()

    def configure(self):
        self.site.configure([{"name": "primary", "id": 12, "host": "localhost", "port": self.server.port, "security": "starttls",
                              "engine": self.engine, "username": "u", "password-file": self.site.secret_file("password", "p"),
                              "tls-ca-path": str(self.ca.hashed), "max-rate-per-hour": 0}],
                            endpoint=self.api.url, ca=self.ca, delivery_timeout="10s", dns={"timeout": "1s"},
                            uuid_key_file=self.site.secret_file("uuid-key", self.uuid_key))

    def on_dot(self, connection):
        self.dots[self.current] += 1
        connection.reply(DEFAULTS["dot"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.__exit__()
        self.api.close()
        self.site.close()
        remove(self.authority)

    # --- disturbing -----------------------------------------------------------------------------------------------

    def place(self, program, fault):
        """In its place, a script that runs the program itself under strace; fault None: itself."""
        itself, wanted = self.site.libexec / f"real-{program}", self.site.libexec / program
        if not itself.exists():
            shutil.copy2(self.binaries / program, itself)
        if fault is None:
            wanted.unlink(missing_ok=True)
            os.link(itself, wanted)
        else:
            self.site.replace(program, f"#!/bin/sh\nexec {' '.join(fault.command(True))} {itself} \"$@\"\n")

    def run(self, fault, program, *arguments, message=b""):
        """With the programs of self.traced disturbed, or else this one."""
        for name in self.traced:
            self.place(name, fault)
        words = [self.site.libexec / program, "-c", self.site.config, *arguments]
        if fault is not None and not self.traced:
            words = [*fault.command(False), *words]
        try:
            return subprocess.run([str(word) for word in words], input=message, capture_output=True, timeout=PATIENCE_S, check=False,
                                  env=self.site.env(), cwd="/", user=self.site.uid, group=self.site.gid, extra_groups=[])
        except subprocess.TimeoutExpired:
            for pid in self.site.leftovers():
                end_process(pid)
            return subprocess.CompletedProcess(words, HANGS, b"", b"")

    def undisturbed(self, program, *arguments, **options):
        self.site.wait_settled()
        return self.run(None, program, *arguments, **options)

    # --- looking --------------------------------------------------------------------------------------------------

    def query(self, sql, *values):
        if not (self.site.state / "state.db").exists():
            return []
        with sqlite3.connect(self.site.state / "state.db", timeout=30) as store:
            try:
                rows = store.execute(sql, values).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" not in str(error):  # a file that was just begun
                    raise
                rows = []
        store.close()
        for path in self.site.state.glob("state.db*"):
            self.site.give(path, path.stat().st_mode & 0o777)
        return rows

    def events(self, message_id):
        """{kind: number of rows} of a message."""
        return dict(self.query("SELECT cs, count(*) FROM events WHERE message_id = ? GROUP BY cs", message_id))

    def flush(self):
        return self.undisturbed("sendpostctl", "events", "flush")

    def reported(self, message_id):
        """Identities of its events at the API."""
        return {event["event_id"] for event in self.api.events if event["message_id"] == message_id and event["cs_event_id"] != 61}

    def finish(self):
        return self.api.problems


class Delivery(WithSite):
    """sendpost-deliver, with a state directory that is in use."""

    traced = ("sendpost-deliver",)
    fresh = False

    def __init__(self):
        super().__init__()
        self.number = 0
        if not self.fresh:
            self.current = str(uuid.uuid4())
            first = self.visit(None)
            assert first.returncode == 0, first.stdout

    def visit(self, fault):
        name = self.current
        message = f"From: a@example.org\nSubject: {self.number}\nX-Sendpost-Message-UUID: {name}\n\nhello\n".encode()
        return self.run(fault, "sendpost-pipe", "-q", f"4bXy{self.number:05d}", "-f", "a@example.org", "--",
                        f"user{self.number}@example.com", message=message)

    def disturb(self, fault):
        return self.visit(fault)

    def attempt(self, fault):
        if self.fresh:
            shutil.rmtree(self.site.state)
            self.site.state.mkdir()
            self.site.give(self.site.state, 0o750)
        self.number += 1
        self.current = name = str(uuid.uuid4())
        done = self.disturb(fault)
        problems = look_at_status(done, (0, 69, 75), not self.traced and fault.kind == "write")
        problems += self.look(done.returncode, "")
        self.site.wait_settled()
        again = self.next_run()
        if again.returncode != 0:
            problems.append(f"the next run ends with {again.returncode}, {again.stdout!r}")
        problems += self.look(again.returncode, "after the next run, ")
        if not self.reported(name) and self.flush().returncode != 0:
            problems.append("events flush does not end well")
        if len(self.reported(name)) != 1:
            problems.append(f"{len(self.reported(name))} events at the API")
        if not self.dots[name]:
            problems.append("the message is lost")
        return problems

    def next_run(self):
        """Once more where a busy machine let it run out of time."""
        for _ in range(20):
            self.query("UPDATE deliveries SET due_ms = 0")  # the ladder's time has passed
            done = self.visit(None)
            if done.returncode != 75 or b"4.4.2 Timeout at" not in done.stdout:
                break
        return done

    def look(self, status, when):
        name, problems = self.current, []
        doubts = sum("may have been accepted" in line and name in line for line in self.site.log().splitlines())
        if self.dots[name] > 1 + doubts:
            problems.append(f"{when}{self.dots[name]} copies, {doubts} doubts")
        kind = {0: 60, 69: 62}.get(status)
        if kind is not None and self.events(name).get(kind) != 1:
            problems.append(f"{when}status {status} with events {self.events(name)}")
        if status == 0 and not self.dots[name]:
            problems.append(f"{when}delivered, and the TPSP has nothing")
        if any("was too slow" in line and name in line for line in self.site.log().splitlines()):
            problems.append(f"{when}wire and engine waited for each other")
        return problems


class FirstDelivery(Delivery):
    """sendpost-deliver that finds an empty state directory and makes what belongs into it."""

    fresh = True


class CurlDelivery(Delivery):
    """sendpost-deliver with libcurl as its engine."""

    engine = "libcurl"


class Supervisor(Delivery):
    """sendpost-pipe, which starts its deliverer."""

    traced = ()


class IdleSupervisor(Delivery):
    """sendpost-pipe, which finds a deliverer that stayed."""

    traced = ()

    def disturb(self, fault):
        self.site.environment["SENDPOST_IDLE_SECONDS"] = "2"
        wanted = self.number, self.current
        self.number, self.current = self.number + 50000, str(uuid.uuid4())
        self.visit(None)
        self.number, self.current = wanted
        return self.visit(fault)


class Bounce(WithSite):
    """The three programs of a bounce, one of them disturbed."""

    def attempt(self, fault):
        recipient = "you@example.org"
        message_id = uuid_keys.make(self.uuid_key, recipient)
        arguments = ("-f", "", "--", f"bounces+{message_id}+4321@sp-bounce.example.com")
        report = self.report(message_id, recipient)
        done = self.run(fault, "sendpost-bounce", *arguments, message=report)
        problems = look_at_status(done, (0, 75), not self.traced and fault.kind == "write")
        if done.returncode == 0 and self.events(message_id) != {63: 1}:
            problems.append(f"status 0 with events {self.events(message_id)}")
        again = self.undisturbed("sendpost-bounce", *arguments, message=report)
        if again.returncode != 0 or self.events(message_id) != {63: 1}:
            problems.append(f"the next run ends with {again.returncode}, {again.stdout!r}, events {self.events(message_id)}")
        if not self.reported(message_id) and self.flush().returncode != 0:
            problems.append("events flush does not end well")
        if len(self.reported(message_id)) != 1:
            problems.append(f"{len(self.reported(message_id))} events at the API")
        return problems

    @staticmethod
    def report(message_id, recipient):
        text = "550 5.1.1 user unknown"
        return (f"From: MAILER-DAEMON@mx.example.net\nTo: bounces@example.com\nSubject: Undelivered Mail Returned to Sender\n"
                "MIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"
                f"--b\nContent-Type: text/plain\n\nI'm sorry.\n\n<{recipient}>: host mx.example.org said: {text}\n\n"
                "--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.net\n\n"
                f"Final-Recipient: rfc822; {recipient}\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; {text}\n\n"
                f"--b\nContent-Type: message/rfc822\n\nX-Sendpost-Message-UUID: {message_id}\nSubject: x\n\nx\n--b--\n").encode()


class Recorder(Bounce):
    """sendpost-record."""

    traced = ("sendpost-record",)


class Judge(Bounce):
    """sendpost-judge."""

    traced = ("sendpost-judge",)


class WithAgent:
    """The agent and sendpostctl, on a log of our own."""

    key = "agent-key"

    def __init__(self):
        self.api = EventApi(tls=False, key=self.key)
        self.agent = Agent()
        self.agent.report_to(self.api, key=self.key)
        self.directory = self.agent.top
        # postconf(1) waits for a second where it finds no file, or one that was just written
        for name in ("main.cf", "master.cf"):
            (self.directory / name).write_text("")
            os.utime(self.directory / name, (0, 0))
        self.agent.variables["MAIL_CONFIG"] = str(self.directory)
        self.writer = LogWriter(self.agent.log_path)
        self.writer.write(1)
        assert self.agent.once("--from-start") == 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.api.close()
        self.agent.__exit__()

    def run(self, fault, program, *arguments):
        return subprocess.run([*(fault.command(True) if fault is not None else []), str(build_directory() / program), "-c", str(self.agent.config), *arguments],
                              env=self.agent.environment(), capture_output=True, check=False, timeout=120)

    @staticmethod
    def look_at_end(fault, done, *allowed):
        """The loader may end it as well, with a word or, at its own brk(2), without."""
        if done.returncode in (*allowed, NO_LIBRARY) or "brk(NULL)" in fault.which():
            return []
        return [f"status {done.returncode}, {done.stderr[-300:]!r}"]

    def stored(self):
        return Counter((event[1], event[2], event[0]) for event in self.agent.events())

    def missing(self):
        """What is wrong when everything has to be stored and reported."""
        problems, stored = [], self.stored()
        if set(stored) != self.writer.expected or max(stored.values()) > 1:
            problems.append(f"{len(self.writer.expected - set(stored))} events missing, {sum(stored.values()) - len(stored)} twice, "
                            f"{len(set(stored) - self.writer.expected)} of nothing")
        if set(self.api.ids()) != {event[5] for event in self.agent.events()}:
            problems.append(f"{len(set(self.api.ids()))} events at the API of {sum(stored.values())}")
        return problems

    def finish(self):
        return self.api.problems


class AgentOnce(WithAgent):
    """sendpost-agent --once over what was written meanwhile."""

    def attempt(self, fault):
        before = self.stored()
        self.writer.write(3)
        done = self.run(fault, "sendpost-agent", "--once")
        problems = self.look_at_end(fault, done, 0, 75)
        if before - self.stored():
            problems.append(f"events that were there are gone: {before - self.stored()}")
        if done.returncode == 0:
            problems += self.missing()
        again = self.run(None, "sendpost-agent", "--once")
        if again.returncode != 0:
            problems.append(f"the next run ends with {again.returncode}, {again.stderr[-300:]!r} {self.agent.log()[-300:]}")
        return problems + [f"after the next run, {problem}" for problem in self.missing()]


class Flush(WithAgent):
    """sendpostctl events flush."""

    def attempt(self, fault):
        self.agent.configure()  # no endpoint: they are kept
        self.writer.write(3)
        assert self.agent.once() == 0
        self.agent.report_to(self.api, key=self.key)
        self.agent.query("SELECT 1")
        with sqlite3.connect(self.agent.state / "state.db", timeout=60) as store:
            store.execute("UPDATE events SET state = 0 WHERE state = 3")
        done = self.run(fault, "sendpostctl", "events", "flush")
        problems = self.look_at_end(fault, done, 0, 1, 75)
        if done.returncode == 0:
            problems += self.missing()
        again = self.run(None, "sendpostctl", "events", "flush")
        if again.returncode != 0:
            problems.append(f"the next run ends with {again.returncode}, {again.stderr[-300:]!r}")
        return problems + [f"after the next run, {problem}" for problem in self.missing()]


class Suppress(WithAgent):
    """sendpostctl suppress add."""

    def attempt(self, fault):
        address = f"{uuid.uuid4().hex}@example.com"
        done = self.run(fault, "sendpostctl", "suppress", "add", address)
        problems = self.look_at_end(fault, done, 0, 1, 75)
        if done.returncode == 0 and not self.listed(address):
            problems.append("status 0 and not in the list")
        again = self.run(None, "sendpostctl", "suppress", "add", address)
        if again.returncode != 0 or not self.listed(address):
            problems.append(f"the next run ends with {again.returncode}, {again.stderr[-300:]!r}")
        return problems

    def listed(self, address):
        return self.agent.query(f"SELECT 1 FROM suppression WHERE address = '{address}'") == [(1,)]


SCENARIOS = {"deliver": Delivery, "deliver-first": FirstDelivery, "deliver-curl": CurlDelivery, "pipe": Supervisor,
             "pipe-idle": IdleSupervisor, "bounce": Bounce, "record": Recorder, "judge": Judge, "agent": AgentOnce, "flush": Flush,
             "suppress": Suppress}
