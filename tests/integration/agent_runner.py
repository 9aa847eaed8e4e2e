"""sendpost-agent on a log of the test's own, and logs as Postfix writes them for where a real one is too slow."""
import json
import os
import random
import signal
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
import uuid

from sendpost import build_directory
from support import alive, end_process, free_port, listens, remove, scratch, wait_for

PROGRAM = build_directory() / "sendpost-agent"


class Agent:
    def __init__(self, log_path=None, **settings):
        self.top = scratch("spagent-")
        self.state, self.config = self.top / "state", self.top / "config.yaml"
        self.log_path = log_path or self.top / "mail.log"
        self.own_log = self.top / "agent.log"
        self.port = free_port()
        self.process = None
        self.variables = {}  # of its environment, besides
        self.state.mkdir(mode=0o750)
        self.configure(**settings)

    def configure(self, **settings):
        tree = {"account-id": 117, "subaccount-id": 4321, "state-dir": str(self.state), "endpoint": "none",
                "log-path": str(self.log_path), "listen": f"127.0.0.1:{self.port}", "flush-interval": "1s",
                "tpsps": [{"name": "primary", "id": 12, "host": "127.0.0.1"}]}
        tree.update({key.replace("_", "-"): value for key, value in settings.items()})
        self.config.write_text(json.dumps(tree))
        self.config.chmod(0o600)

    def report_to(self, api, ca=None, key="agent-key", **settings):
        report = {"timeout": "5s"}
        if ca is not None:
            report["tls-ca-path"] = str(ca.hashed)
        self.configure(endpoint=api.url, api_key=key, report=report, **settings)

    def environment(self, **more):
        return {**os.environ, "SENDPOST_LOG_FILE": str(self.own_log), "TZ": os.environ.get("TZ", ""), **self.variables, **more}

    def once(self, *options):
        """Run to the end of the log; returns the exit status."""
        done = subprocess.run([PROGRAM, "-c", self.config, "--once", *options], env=self.environment(),
                              capture_output=True, check=False, timeout=300)
        assert b"Sanitizer" not in done.stderr, done.stderr
        return done.returncode

    def start(self, *options, **environment):
        """In the background; ready when its HTTP answers."""
        self.process = subprocess.Popen([PROGRAM, "-c", self.config, *options], env=self.environment(**environment),
                                        stderr=subprocess.PIPE)
        wait_for(lambda: listens(self.port) or self.process.poll() is not None, "the agent to listen")
        assert self.process.poll() is None, self.process.stderr.read()
        return self

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        return self.process.wait(timeout=240)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            end_process(self.process.pid)
            self.process.wait()
        if self.process is not None:
            self.process.stderr.close()
            self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        remove(self.top)

    # --- what it says -------------------------------------------------------------------------------------------

    def get(self, path):
        """(status, body)"""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=240) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def health(self):
        return json.loads(self.get("/health")[1])

    def metric(self, name):
        """The value of "name" or "name{labels}"."""
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(f"sendpost_agent_{name} "):
                return float(line.rsplit(" ", 1)[1])
        raise KeyError(name)

    def log(self):
        return self.own_log.read_text(errors="replace") if self.own_log.exists() else ""

    def events(self):
        """What the store holds, oldest first: (type, message_id, recipient, queue_id, code, event_id)."""
        if not (self.state / "state.db").exists():
            return []
        words = {59: "sent", 60: "delivered", 61: "deferred", 62: "dropped", 63: "bounced", 64: "soft_bounced"}
        with sqlite3.connect(self.state / "state.db", timeout=240) as store:
            return [(words[row[0]], *row[1:]) for row in store.execute(
                "SELECT cs, message_id, recipient, queue_id, smtp_code, event_id FROM events ORDER BY id")]

    def query(self, sql):
        with sqlite3.connect(self.state / "state.db", timeout=240) as store:
            return store.execute(sql).fetchall()

    def fates(self):
        """{(recipient, type)} of all events."""
        return {(event[2], event[0]) for event in self.events()}

    def wait_fates(self, expected, timeout=240):
        wait_for(lambda: self.fates() >= set(expected),
                 lambda: f"{sorted(expected)}; there are {sorted(self.fates())}\n{self.log()[-2000:]}", timeout)
        return self.events()


class LogWriter:
    """Lines of Postfix for one message after another, with what has to become of each in expected: {(uuid, recipient, type)}."""

    def __init__(self, path, seed=1):
        self.path, self.random, self.number = path, random.Random(seed), 0
        self.expected = set()

    def lines(self):
        self.number += 1
        queue_id = f"4{self.number:07X}"
        message = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        stamp = time.strftime("%b %e %H:%M:%S")
        recipient = f"user{self.number}@example.net"

        def line(program, text):
            return f"{stamp} mx postfix/{program}[7]: {queue_id}: {text}\n"

        def delivery(status, dsn, reason):
            return line("smtp", f"to=<{recipient}>, relay=mx.example.net[192.0.2.1]:25, delay=1, delays=1/0/0/0, dsn={dsn}, "
                                f"status={status} ({reason})")

        yield line("smtpd", "client=app[192.0.2.9]")
        yield line("cleanup", f"info: header X-Sendpost-Message-UUID: {message} from app[192.0.2.9]; from=<a@b> to=<c@d>")
        yield line("qmgr", "from=<a@b>, size=400, nrcpt=1 (queue active)")
        kind = self.number % 5
        if kind == 0:
            self.expected.add((message, recipient, "bounced"))
            yield delivery("bounced", "5.1.1", "host mx.example.net[192.0.2.1] said: 550 5.1.1 No such user here "
                                               "(in reply to RCPT TO command)")
        elif kind == 1:
            self.expected |= {(message, recipient, "deferred"), (message, recipient, "soft_bounced")}
            yield delivery("deferred", "4.4.1", "connect to mx.example.net[192.0.2.1]:25: Connection refused")
            yield line("qmgr", "from=<a@b>, status=expired, returned to sender")
        else:
            self.expected.add((message, recipient, "delivered"))
            yield delivery("sent", "2.0.0", "250 2.0.0 Ok: queued as 7F3A")
        yield line("qmgr", "removed")

    def write(self, messages, file=None):
        with open(self.path, "a") if file is None else file as stream:
            for _ in range(messages):
                for line in self.lines():
                    stream.write(line)


__all__ = ["Agent", "LogWriter", "alive"]
