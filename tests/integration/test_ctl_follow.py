"""sendpostctl events -f: events as they come, to a person and to a pipe, whatever becomes of store, reader and terminal."""
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import sqlite3
import struct
import subprocess
import termios
from contextlib import contextmanager

import pytest

from scripted_tpsp import ScriptedTpsp
from sendpost import PEOPLES_TIME, Sendpost, build_directory
from support import wait_for

CTL = str(build_directory() / "sendpostctl")
MESSAGE = b"From: a@example.org\r\nSubject: hello\r\n\r\nhello\r\n"


@pytest.fixture(name="installation")
def fixture_installation():
    with Sendpost() as made, ScriptedTpsp() as server:
        made.configure([{"name": "primary", "id": 12, "host": "127.0.0.1", "security": "none", "auth": "none", "max-rate-per-hour": 0,
                         "port": server.port}], listen="none")
        yield made


def deliver(installation, *numbers):
    for number in numbers:
        assert installation.run("-q", f"4bXyz{number}", "-f", "a@example.org", "--", f"user{number}@example.com", message=MESSAGE).returncode == 0


class Followed:
    """`events -f` into a file, as a pipe would get it."""
    def __init__(self, installation, *arguments):
        self.path = installation.top / "followed"
        self.errors = installation.top / "errors"
        with open(self.path, "wb") as out, open(self.errors, "wb") as errors:
            self.process = subprocess.Popen([CTL, "-c", str(installation.config), "events", "-f", *arguments], stdout=out, stderr=errors)

    def lines(self):
        return self.path.read_text().splitlines()

    def wait(self, *numbers):
        """Exactly these recipients, each once, in this order."""
        def shown():
            return [int(number) for number in re.findall(r"user(\d+)@example\.com", self.path.read_text())]
        wait_for(lambda: len(shown()) >= len(numbers), lambda: f"{numbers} to be shown, not {self.lines()}")
        assert shown() == list(numbers)

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        assert self.process.wait(timeout=240) == 0
        return self.errors.read_text()


@contextmanager
def following(installation, *arguments):
    followed = Followed(installation, *arguments)
    try:
        yield followed
    finally:
        followed.process.kill()
        followed.process.wait()


def test_the_last_ones_and_then_each_as_it_comes(installation):
    deliver(installation, *range(12))
    with following(installation) as followed:
        followed.wait(*range(2, 12))
        deliver(installation, 12, 13)
        followed.wait(*range(2, 14))
        assert followed.end() == ""
        lines = followed.lines()
    assert lines[0].split() == ["TIME", "STATE", "EVENT", "MESSAGE", "QUEUE", "ID", "RECIPIENT", "TPSP", "REPLY"]
    uuid = installation.events()[-1]["message_id"]  # in the full form
    assert re.match(rf"20\d\d-\d\d-\d\dT\S+Z  local  +delivered  {uuid}  4bXyz13 ", lines[-1])


def test_json_is_an_object_a_line_and_filters_hold(installation):
    deliver(installation, 1, 2)
    with following(installation, "--json", "--recipient", "user2@example.com", "-n", "1") as followed:
        followed.wait(2)
        deliver(installation, 3)
        assert installation.run("-q", "4bAgain", "-f", "a@example.org", "--", "user2@example.com", message=MESSAGE).returncode == 0
        followed.wait(2, 2)
        assert followed.end(signal.SIGTERM) == ""
        events = [json.loads(line) for line in followed.lines()]
    assert [event["queue_id"] for event in events] == ["4bXyz2", "4bAgain"] and events[0]["event_type"] == "delivered"
    wrong = subprocess.run([CTL, "-c", str(installation.config), "events", "-f", "--state", "pending"], capture_output=True, check=False)
    assert wrong.returncode == 64


def test_it_waits_for_a_store_that_is_not_there_yet(installation):
    with following(installation) as followed:
        deliver(installation, 1)
        followed.wait(1)
        assert followed.end() == ""


def test_it_goes_on_in_another_store_and_shows_nothing_twice(installation):
    deliver(installation, 1, 2)
    with following(installation) as followed:
        followed.wait(1, 2)
        copy = installation.top / "copy.db"
        with sqlite3.connect(installation.state / "state.db") as database, sqlite3.connect(copy) as other:
            database.backup(other)
        for path in installation.state.glob("state.db*"):
            path.unlink()
        deliver(installation, 3)  # begins a new one
        followed.wait(1, 2, 3)
        wait_for(lambda: not installation.leftovers() or installation.wait_idle(), "the deliveries to end")
        for path in installation.state.glob("state.db*"):
            path.unlink()
        shutil.copy(copy, installation.top / "state.db.new")  # as it was: without the third
        installation.give(installation.top / "state.db.new", 0o600)
        (installation.top / "state.db.new").rename(installation.state / "state.db")
        deliver(installation, 4)
        followed.wait(1, 2, 3, 4)
        assert followed.end() == ""


def test_it_waits_until_a_busy_store_can_be_read(installation):
    deliver(installation, 1)
    with following(installation) as followed:
        followed.wait(1)
        with sqlite3.connect(installation.state / "state.db", timeout=240, isolation_level=None) as database:
            database.execute("PRAGMA locking_mode = EXCLUSIVE")  # readers, too, are kept out
            database.execute("BEGIN IMMEDIATE")
            database.execute("INSERT INTO events SELECT NULL, 7, 3, 0, 0, 0, '6f1c2d3e-4b5a-4c7d-8e9f-0a1b2c3d4e5f', message_id, cs, 0, source, "
                             "timestamp_ms, 'user2@example.com', sender, queue_id, 0, '', '', tpsp, 12, '', 1, '', '' FROM events")
            database.execute("COMMIT")
            with pytest.raises(sqlite3.OperationalError):
                sqlite3.connect(installation.state / "state.db", timeout=0).execute("SELECT count(*) FROM events")
            wait_for(lambda: "it is tried on" in followed.errors.read_text(), "it to be told", timeout=240)
            followed.wait(1)
        database.close()
        followed.wait(1, 2)
        assert "can be read again" in followed.end()


def test_it_ends_when_nobody_reads_any_more_even_if_nothing_comes(installation):
    deliver(installation, 1)
    with subprocess.Popen([CTL, "-c", str(installation.config), "events", "-f"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline().startswith(b"TIME")
        process.stdout.close()
        assert process.wait(timeout=240) == 0 and process.stderr.read() == b""


def test_a_person_sees_short_lines_that_fit_and_ends_it_with_control_c(installation):
    deliver(installation, 1)
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        os.execv(CTL, ["sendpostctl", "-c", str(installation.config), "events", "-f"])
    seen = b""

    def read():
        assert select.select([terminal], [], [], 60)[0], seen
        return os.read(terminal, 65536)

    def shows(text):
        nonlocal seen
        while text not in seen:
            seen += read()
    shows(b"user1@")
    deliver(installation, 2)
    shows(b"user2@")
    os.write(terminal, b"\x03")
    try:
        while data := read():
            seen += data
    except OSError:  # the terminal is closed
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)
    lines = [re.sub(r"\x1b\[\d+m", "", line) for line in seen.decode().replace("\r", "").splitlines()]
    assert all(len(line) <= 80 for line in lines), lines
    uuid = installation.events()[-1]["message_id"]
    assert any(re.match(rf"{PEOPLES_TIME} +local +delivered +{uuid[:8]} +4bXyz2 ", line) for line in lines), lines
    assert b"\x1b[32mdelivered\x1b[0m" in seen
