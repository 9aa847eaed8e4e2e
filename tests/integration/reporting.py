"""An account with its own configuration, state directory and log, whose events are reported by event_probe and by
sendpostctl: what the programs do, without a message."""
import json
import sqlite3
import subprocess

from sendpost import build_directory
from support import remove, scratch

KEY = "event-key-that-stays-secret-8c1f"
DELIVERED, DEFERRED, DROPPED = 60, 61, 62


class Reporting:
    def __init__(self, endpoint, ca=None, key=KEY, tpsps=(), **settings):
        """tpsps: (name, key or None) pairs. settings: of the report section, plus those of the top level."""
        self.top = scratch("spev-")
        self.state, self.config, self.log_path = self.top / "state", self.top / "config.yaml", self.top / "log"
        self.state.mkdir(mode=0o750)
        self.endpoint, self.ca, self.key, self.tpsps, self.settings = endpoint, ca, key, tpsps, settings
        self.write()

    def write(self, **settings):
        self.settings.update(settings)
        top = {name.replace("_", "-"): value for name, value in self.settings.items()
               if name in ("batch_size", "events_retention", "dns", "listen", "log_path", "flush_interval")}
        report = {"timeout": "20s", **({"tls-ca-path": str(self.ca.hashed)} if self.ca else {})}
        report.update({name.replace("_", "-"): value for name, value in self.settings.items()
                       if name in ("timeout", "patience", "dropped_as", "accepted_as", "deferred", "tls_ca_path")})
        tpsps = []
        for name, key in self.tpsps or [("primary", None)]:
            tpsps.append({"name": name, "id": 12, "host": "localhost", **({"api-key-file": self.secret(key)} if key else {})})
        tree = {"account-id": 117, "subaccount-id": 4321, "state-dir": str(self.state), "endpoint": self.endpoint,
                "api-key-file": self.secret(self.key), "report": report, "tpsps": tpsps, **top}
        self.config.write_text(json.dumps(tree))
        self.config.chmod(0o600)

    def secret(self, key):
        path = self.top / f"key-{abs(hash(key))}"
        path.write_text(key + "\n")
        path.chmod(0o600)
        return str(path)

    # --- programs -------------------------------------------------------------------------------------------------

    def start(self, *arguments, environment=None, **options):
        env = {"PATH": "/usr/bin:/bin", "SENDPOST_LOG_FILE": str(self.log_path), **(environment or {})}
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        return subprocess.Popen([str(build_directory() / arguments[0]), *map(str, arguments[1:])], env=env, **options)

    def run(self, *arguments, **options):
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=240)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def start_one(self, first=1, count=1, kind=DELIVERED, tpsp="primary", **options):
        return self.start("tests/integration/event_probe", self.config, "one", kind, tpsp, first, count, **options)

    def one(self, first=1, count=1, kind=DELIVERED, tpsp="primary", deadline_ms=60000, **options):
        """Store and report by event_report_one(); the result of each."""
        done = self.run("tests/integration/event_probe", self.config, "one", kind, tpsp, first, count, deadline_ms, **options)
        assert done.returncode == 0, done.stderr
        results = [json.loads(line) for line in done.stdout.splitlines()]
        return results if count > 1 else results[0]

    def add(self, count, first=1, kind=DELIVERED, tpsp="primary", age_ms=0):
        done = self.run("tests/integration/event_probe", self.config, "add", kind, tpsp, first, count, age_ms)
        assert done.returncode == 0, done.stderr

    def pending(self, deadline_ms=60000):
        """One event_report_pending() as the agent calls it."""
        done = self.run("tests/integration/event_probe", self.config, "pending", deadline_ms)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def events(self, *arguments, **options):
        return self.run("sendpostctl", "-c", self.config, "events", *arguments, **options)

    def flush(self, *arguments, **options):
        return self.events("flush", *arguments, **options)

    # --- what is on record --------------------------------------------------------------------------------------------

    def query(self, sql, *values):
        database = sqlite3.connect(self.state / "state.db", timeout=240)
        try:
            rows = database.execute(sql, values).fetchall()
            database.commit()
            return rows
        finally:
            database.close()

    def states(self):
        """How many rows are in each state."""
        names = ("pending", "reported", "rejected", "local")
        return {names[state]: count for state, count in self.query("SELECT state, count(*) FROM events GROUP BY state")}

    def pauses(self):
        return [value for (value,) in self.query("SELECT value FROM meta WHERE key LIKE 'report.pause.%'")]

    def end_pauses(self):
        """As if the time of every pause were over."""
        self.query("UPDATE meta SET value = '1' || substr(value, instr(value, ' ')) WHERE key LIKE 'report.pause.%'")
        self.query("UPDATE events SET due_ms = 0, put_off_ms = 0 WHERE state = 0")

    def log(self):
        return self.log_path.read_text() if self.log_path.exists() else ""

    def everything(self):
        """All that anybody could read afterwards, for the search for a secret."""
        texts = [path.read_bytes() for path in self.state.rglob("*") if path.is_file()] + [self.log().encode()]
        return b"".join(texts)

    def close(self):
        remove(self.top)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
