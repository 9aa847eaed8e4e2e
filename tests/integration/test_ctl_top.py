"""sendpostctl top: what goes and what waits on a screen that is given back, and in one frame where there is no screen."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios

import pytest

from private_postfix import PrivatePostfix
from scripted_tpsp import ScriptedTpsp
from sendpost import Sendpost, build_directory, ctl
from support import wait_for

CTL = str(build_directory() / "sendpostctl")
MESSAGE = b"From: a@example.org\r\nSubject: hello\r\n\r\nhello\r\n"
ENTER, LEAVE = b"\x1b[?1049h\x1b[?25l", b"\x1b[?25h\x1b[?1049l"


@pytest.fixture(name="installation")
def fixture_installation():
    with Sendpost() as made:
        yield made


def configure(installation, server, **settings):
    installation.configure([{"name": "primary", "id": 12, "host": "127.0.0.1", "security": "none", "auth": "none", "max-rate-per-hour": 0,
                             "port": server.port, **settings}], listen="none", rate_burst=1)


def deliver(installation, recipient, queue_id="4bXyz1"):
    return installation.run("-q", queue_id, "-f", "a@example.org", "--", recipient, message=MESSAGE).returncode


class Screen:
    """A terminal with `top` on it. The other end stays open here, so that what it is left as can be seen."""
    def __init__(self, installation, *arguments, rows=24, columns=80):
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        self.process = subprocess.Popen([CTL, "-c", str(installation.config), "top", *arguments], stdin=self.slave, stdout=self.slave,
                                        stderr=self.slave, env={**os.environ, "TERM": "xterm"}, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def resize(self, rows, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        while select.select([self.master], [], [], 0)[0]:
            self.seen += os.read(self.master, 65536)
        return self.seen

    def frames(self):
        """Those that are whole, as lines without colours."""
        parts = self.read().split(b"\x1b[H")[1:]
        texts = [re.sub(r"\x1b\[\d*[mKJ]", "", part.decode()) for part in parts if b"\x1b[J" in part]
        return [text.split("\r\n")[:-1] for text in texts]

    def wait_frame(self, *words):
        def found():
            frames = self.frames()
            return frames and all(word in "\n".join(frames[-1]) for word in words) and frames[-1]
        return wait_for(found, lambda: f"{words} on the screen, not\n{self.frames()[-1:]}")

    def press(self, keys):
        os.write(self.master, keys)

    def wait_end(self):
        wait_for(lambda: self.read() and self.process.poll() is not None, "top to end")
        self.read()
        assert self.process.returncode == 0
        assert self.seen.count(ENTER) == self.seen.count(LEAVE) and self.seen.endswith(LEAVE)
        assert termios.tcgetattr(self.slave) == self.before

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def test_the_screen_fits_and_shows_what_goes(installation):
    with ScriptedTpsp() as server:
        configure(installation, server)
        assert deliver(installation, "user@gmail.com") == 0
        with Screen(installation) as screen:
            lines = screen.wait_frame("primary/gmail", "in use", "q quit")
            assert len(lines) <= 24 and max(map(len, lines)) <= 80, lines
            for number in range(3):
                assert deliver(installation, f"user{number}@yahoo.com") == 0
            screen.press(b" ")
            lines = screen.wait_frame(f"{'primary/yahoo':27} {3:7} ")
            row = next(line for line in lines if line.startswith("primary/yahoo")).split()
            assert row[1] == "3" and float(row[2]) > 0  # and how many a minute
            assert next(line for line in lines if line.startswith("primary ")).split()[5] == "4"
            os.kill(screen.process.pid, 0)
            screen.resize(12, 40)
            wait_for(lambda: len(screen.frames()[-1]) <= 12, "the smaller screen")
            assert max(map(len, screen.frames()[-1])) <= 40
            screen.press(b"s")
            screen.wait_frame("q quit  space look now  p pause")
            screen.press(b"q")
            screen.wait_end()


@pytest.mark.parametrize("end", ["control-c", signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_given_back_on_a_signal(installation, end):
    with ScriptedTpsp() as server:
        configure(installation, server)
        with Screen(installation) as screen:
            screen.wait_frame("the store cannot be read now")  # there is none yet
            assert termios.tcgetattr(screen.slave) != screen.before
            if end == "control-c":
                screen.press(b"\x03")
            else:
                screen.process.send_signal(end)
            screen.wait_end()


def test_it_stops_and_goes_on_as_any_program(installation):
    with ScriptedTpsp() as server:
        configure(installation, server)
        with Screen(installation) as screen:
            screen.wait_frame("q quit")
            screen.process.send_signal(signal.SIGTSTP)
            assert os.WIFSTOPPED(os.waitpid(screen.process.pid, os.WUNTRACED)[1])
            assert screen.read().endswith(LEAVE) and termios.tcgetattr(screen.slave) == screen.before
            screen.process.send_signal(signal.SIGCONT)
            wait_for(lambda: screen.read().count(ENTER) == 2 and screen.seen.endswith(b"\x1b[J"), "the screen to come back")
            screen.press(b"q")
            screen.wait_end()


def wait_counted(installation, number):
    """A delivery counts itself after Postfix is told."""
    def counted():
        providers = json.loads(ctl(installation, "top", "--json", MAIL_CONFIG="/nowhere").stdout)["providers"]
        return [row["over_rate"] for row in providers if (row["tpsp"], row["provider"]) == ("primary", "default")] == [number]
    wait_for(counted, f"{number} to be counted")


def test_mail_that_waits_for_a_rate_or_is_suspended_is_seen(installation):
    with ScriptedTpsp() as server:
        configure(installation, server, **{"max-rate-per-hour": 1})
        with PrivatePostfix(main=installation.main_cf(), master=installation.master_cf(), backoff="") as postfix:
            environment = {"MAIL_CONFIG": str(postfix.etc)}
            for number in range(3):
                postfix.sendmail(MESSAGE, f"user{number}@example.com")
            wait_for(lambda: postfix.log().count("status=deferred") == 2, "two to be deferred")
            wait_counted(installation, 2)
            shown = ctl(installation, "top", **environment).stdout
            assert "\x1b" not in shown and "2 wait: 2 over a rate\n" in shown, shown
            assert re.search(r"^primary +slot in \d+ s .* 1 +0 +0$", shown, re.M), shown
            assert re.search(r"^primary/default +1 +- +0 +- +2 +- +0 +-$", shown, re.M), shown
            assert re.search(r"^ +2 +-  primary: over a rate, or suspended$", shown, re.M), shown
            assert ctl(installation, "suspend", "primary").returncode == 0
            postfix.sendmail(MESSAGE, "user3@example.com")
            wait_for(lambda: postfix.log().count("status=deferred") == 3, "another to be deferred")
            wait_counted(installation, 3)
            shown = ctl(installation, "top", "--once", **environment).stdout
            assert "3 wait: 2 over a rate, 1 suspended\n" in shown and re.search(r"^primary +suspended ", shown, re.M), shown
            said = json.loads(ctl(installation, "top", "--json", **environment).stdout)
            assert {"what": "rate", "recipients": 2} in said["queue"]["waits"]
            assert [(row["tpsp"], row["last_day"]["delivered"]) for row in said["tpsps"]] == [("primary", 1)]
    unknown = ctl(installation, "top", MAIL_CONFIG="/nowhere")
    assert unknown.returncode == 0 and "Queue: not known" in unknown.stdout


def test_what_cannot_be_meant_is_said(installation):
    with ScriptedTpsp() as server:
        configure(installation, server)
        assert ctl(installation, "top", "--every", "1ms").returncode == 64
        assert ctl(installation, "top", "--every", "2m").returncode == 64
        assert ctl(installation, "top", "primary").returncode == 64
        assert "did you mean top?" in ctl(installation, "topp").stderr
