"""An installation of postfix-sendpost for one test: a copy of the programs, a configuration, a state directory, a log,
and the transport exactly as postfix-conf/ describes it, with only user and paths exchanged.
"""
import contextlib
import fcntl
import json
import os
import pwd
import re
import shutil
import sqlite3
import subprocess
from pathlib import Path

from support import TOP, end_process, open_files, processes, remove, scratch, wait_for, waits_for

USER = "nobody"  # exists everywhere; an installation has "sendpost"
PROGRAMS = ("sendpost-pipe", "sendpost-deliver", "sendpost-bounce", "sendpost-judge", "sendpost-record", "sendpostctl")
SECRET_KEY = "event-key-that-stays-secret-8c1f"
PEOPLES_TIME = r"(\w{3} [ \d]\d \d\d:\d\d:\d\d|\d\d:\d\d:\d\d|20\d\d-\d\d-\d\d \d\d:\d\d)"  # a moment ago may be yesterday, or last year


def build_directory():
    directory = Path(os.environ.get("SENDPOST_BUILD", TOP / "build"))
    if not (directory / "Makefile").exists():
        raise SystemExit(f"{directory} is no build directory: configure and build in one, and name it in SENDPOST_BUILD")
    return directory


def ctl(site, *words, **environment):
    """The built sendpostctl on the configuration of an installation, or of whatever else has one."""
    return subprocess.run([build_directory() / "sendpostctl", "-c", site.config, *words], capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL, timeout=240, env={**os.environ, **environment})


def replace_once(text, old, new):
    assert text.count(old) == 1, f"{old!r} is not exactly once in:\n{text}"
    return text.replace(old, new)


def make_variable(name):
    """What configure made of a directory, from the Makefile of the build."""
    text = (build_directory() / "Makefile").read_text()
    value = re.search(rf"^{name} = (.*)$", text, re.MULTILINE)[1]
    return re.sub(r"\$[{(](\w+)[})]", lambda match: make_variable(match[1]), value)


def meeting_place(uid):
    """Where the idle deliverers of a user wait."""
    return Path(make_variable("runstatedir")) / "postfix-sendpost" / str(uid)


@contextlib.contextmanager
def turn_at_meeting_places():
    """Tests that make and remove one of a user who has none come one after the other."""
    places = meeting_place(0).parent
    places.mkdir(parents=True, exist_ok=True)
    turn = os.open(places, os.O_RDONLY)
    fcntl.flock(turn, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(turn)


def make_meeting_place(account):
    """As tmpfiles.d has it, and a deliverer that may."""
    place = meeting_place(account.pw_uid)
    place.mkdir(parents=True, exist_ok=True)
    os.chown(place, account.pw_uid, account.pw_gid)
    place.chmod(0o700)


class Sendpost:
    def __init__(self, state_dir=None):
        self.top = scratch("sp-")
        account = pwd.getpwnam(USER)
        self.uid, self.gid = account.pw_uid, account.pw_gid
        self.libexec = self.top / "libexec"
        self.program = self.libexec / "sendpost-pipe"
        self.config, self.log_path = self.top / "config.yaml", self.top / "sendpost.log"
        self.own_state = state_dir is None
        self.state = Path(state_dir or self.top / "state")
        # what a sanitizer finds at the end of a process that stays, nobody reads but us
        self.sanitizers = {f"{name}_OPTIONS": f"log_path={self.top}/sanitizer" for name in ("ASAN", "UBSAN")}
        self.environment = {}  # of what run() starts, besides
        self.give(self.top, 0o755)
        if os.geteuid() == 0:
            make_meeting_place(account)
        self.renew()

    def renew(self):
        """Programs, state and log as after a fresh installation; no configuration."""
        shutil.rmtree(self.libexec, ignore_errors=True)
        self.libexec.mkdir()
        self.libexec.chmod(0o755)
        for program in PROGRAMS:
            if (build_directory() / program).exists():
                shutil.copy2(build_directory() / program, self.libexec / program)
        if self.own_state:
            shutil.rmtree(self.state, ignore_errors=True)
        self.state.mkdir(exist_ok=True)
        self.give(self.state, 0o750)
        self.log_path.write_text("")
        self.give(self.log_path, 0o640)
        self.config.unlink(missing_ok=True)

    def replace(self, program, text):
        """Another program in the place of one of ours."""
        (self.libexec / program).unlink(missing_ok=True)
        (self.libexec / program).write_text(text)
        (self.libexec / program).chmod(0o755)

    def give(self, path, mode):
        """To the user of the transport, who owns what only he may read."""
        os.chown(path, self.uid, self.gid)
        os.chmod(path, mode)

    def secret_file(self, name, secret):
        path = self.top / name
        path.write_text(secret + "\n")
        self.give(path, 0o600)
        return str(path)

    # --- configuration ------------------------------------------------------------------------------------------

    def configure(self, tpsps, endpoint="none", ca=None, **settings):
        """Write the configuration; JSON is YAML. Settings are keys with '_' for '-'."""
        tree = {"account-id": 117, "subaccount-id": 4321, "state-dir": str(self.state), "endpoint": endpoint,
                "delivery-timeout": "120s", "rate-limit-wait": "0s", "retry": {"schedule": ["1s"] * 100},
                "report": {},
                "tpsps": [{key.replace("_", "-"): value for key, value in tpsp.items()} for tpsp in tpsps]}
        if endpoint != "none":
            tree["api-key-file"] = self.secret_file("event-api-key", SECRET_KEY)
            if ca is not None:
                tree["report"]["tls-ca-path"] = str(ca.hashed)
        for key, value in settings.items():
            name = key.replace("_", "-")
            tree[name] = {**tree[name], **value} if isinstance(value, dict) and name in tree else value
        # its half: a busy machine is no API that hangs
        number, unit = int(tree["delivery-timeout"][:-1]), {"s": 1, "m": 60}[tree["delivery-timeout"][-1]]
        tree["report"].setdefault("timeout", f"{number * unit // 2}s")
        self.config.write_text(json.dumps(tree, indent=2, ensure_ascii=False) + "\n")
        self.give(self.config, 0o600)

    def tpsp(self, server, ca, name="primary", password=None, **settings):
        """The entry for a Tpsp of tpsp.py, with login and verified STARTTLS."""
        from tpsp import PASSWORD, USERNAME
        entry = {"name": name, "id": 12, "host": "localhost", "port": server.port, "security": "starttls",
                 "username": USERNAME, "password-file": self.secret_file(f"{name}.password", password or PASSWORD),
                 "tls-ca-path": str(ca.hashed), "connect-timeout": "60s", "command-timeout": "60s", "max-rate-per-hour": 0}
        entry.update({key.replace("_", "-"): value for key, value in settings.items()})
        return entry

    # --- in Postfix ------------------------------------------------------------------------------------------------

    def main_cf(self, extra=""):
        """What goes into main.cf: the fragment, a route for everything, and a log without a syslog daemon."""
        fragment = (TOP / "postfix-conf/main.cf").read_text()
        return (fragment + "default_transport = sendpost:default\nmaximal_queue_lifetime = 1d\nbounce_queue_lifetime = 1d\n"
                f"export_environment = TZ MAIL_CONFIG LANG SENDPOST_LOG_FILE={self.log_path} "
                f"{' '.join('='.join(pair) for pair in self.sanitizers.items())}\n" + extra)

    def master_cf(self, maxproc=None, options=""):
        """The fragment for master.cf, with the paths and the user of this installation."""
        fragment = (TOP / "postfix-conf/master.cf.in").read_text()
        fragment = replace_once(fragment, "user=sendpost", f"user={USER}")
        fragment = replace_once(fragment, "@pkglibexecdir@/sendpost-pipe", f"{self.program} -c {self.config}{options}")
        if maxproc is not None:
            fragment, count = re.subn(r"(sendpost +unix +- +n +n +- +)50( +pipe)", rf"\g<1>{maxproc}\2", fragment)
            assert count == 1
        return fragment

    # --- by hand ------------------------------------------------------------------------------------------------------

    def env(self, more=None):
        """The environment in which run() starts a program."""
        return {"PATH": "/usr/bin:/bin", "SENDPOST_LOG_FILE": str(self.log_path), **self.sanitizers, **self.environment, **(more or {})}

    def run(self, *arguments, message=b"", program=None, timeout=240, environment=None, **options):
        """Run sendpost-pipe as pipe(8) would: as the user of the transport, with hardly any environment."""
        return subprocess.run([str(program or self.program), "-c", str(self.config), *map(str, arguments)], input=message,
                              capture_output=True, timeout=timeout, check=False, env=self.env(environment), cwd="/", user=self.uid,
                              group=self.gid, extra_groups=[], **options)

    # --- what it left behind ------------------------------------------------------------------------------------------

    def log(self):
        return self.log_path.read_text(errors="replace")

    def events(self):
        """The rows of the events table, as dictionaries."""
        path = self.state / "state.db"
        if not path.exists():
            return []
        with sqlite3.connect(path, timeout=240) as database:
            database.row_factory = sqlite3.Row
            rows = [dict(row) for row in database.execute("SELECT * FROM events")]
        for leftover in self.state.glob("state.db*"):  # root opened them; they stay the user's
            self.give(leftover, leftover.stat().st_mode & 0o777)
        return rows

    def leftovers(self):
        """Processes of ours that still run: our programs, and scripts that a test put in their place."""
        return [pid for pid, program, arguments in processes()
                if program.startswith(str(self.libexec)) or str(self.libexec).encode() in b" ".join(arguments[:2])
                and arguments[0] != b"pipe"]

    def idle(self):
        """Processes of deliverers that wait for a next delivery: in epoll_wait(2), which they use for nothing else."""
        return [pid for pid in self.leftovers() if waits_for(pid) in ("ep_poll", "do_epoll_wait") and self.line(pid)]

    def line(self, pid):
        """The FIFO from which a deliverer hears of those who wait for one."""
        return next((Path(name) for name in open_files(pid) if re.fullmatch(f"{meeting_place(self.uid)}/[0-9a-f]{{16}}", name)), None)

    def wait_idle(self, count=1):
        return wait_for(lambda: len(found := self.idle()) == count and found, lambda: f"{count} idle deliverers, not {self.idle()}")

    def wait_settled(self):
        """Nothing is under way any more; what is idle may stay."""
        wait_for(lambda: set(self.idle()) >= set(self.leftovers()), lambda: f"the end of {self.leftovers()}", timeout=240)

    def close(self):
        for pid in self.leftovers():
            end_process(pid)
        reports = [path.read_text(errors="replace") for path in self.top.glob("sanitizer.*")]
        remove(self.top)
        assert not reports, "\n".join(reports)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
