"""A message whose writer died in the middle of it looks complete to whoever reads its end. It is never sent, however the
processes are scheduled; the same message, whole, is sent when Postfix comes back with it."""
import os
import signal
import subprocess
import sys
import time

import pytest

from scripted_tpsp import DEFAULTS, ScriptedTpsp
from sendpost import Sendpost
from support import alive, wait_for

HEAD = b"From: a@example.org\nSubject: big\n\n"
BODY = b"0123456789abcdef" * 4 + b"\n"
WHOLE = HEAD + BODY * 10000  # larger than any pipe

# As pipe(8) does it: the message over one pipe, the answer over another. "half" dies of SIGKILL in mid-message, "whole" behind
# its end; both when they are told to by a line on standard input.
WRITER = """
import os, signal, subprocess, sys
what, *command = sys.argv[1:]
message = open(os.environ["MESSAGE"], "rb").read()
child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdin.write(message if what == "whole" else message[:len(message) // 2])
child.stdin.flush()
if what == "whole":
    child.stdin.close()
if what != "at once":
    print(child.pid, flush=True)
    sys.stdin.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(params=["cold", "resident"])
def site(request):
    with Sendpost() as made:
        # two seconds are over on a busy machine before anybody looked
        made.environment["SENDPOST_IDLE_SECONDS"] = "0" if request.param == "cold" else "60"
        made.resident = request.param == "resident"
        yield made


def configure(site, server, **settings):
    site.configure([{"name": "primary", "id": 12, "host": server.host, "port": server.port, "security": "none", "auth": "none",
                     "max-rate-per-hour": 0}], **settings)
    if site.resident:  # one that stays takes the next message
        assert site.run("-f", "a@example.org", "--", "first@example.com", message=HEAD).returncode == 0
        site.wait_idle()
    server.messages.clear()


def write(site, what, queue_id="4bXyz1", message=WHOLE, options=()):
    path = site.top / "message"
    path.write_bytes(message)
    return subprocess.Popen([sys.executable, "-c", WRITER, what, str(site.program), "-c", str(site.config), "-q", queue_id, *options, "-f",
                             "a@example.org", "--", "user@example.com"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                            env=site.env({"MESSAGE": str(path)}), cwd="/", user=site.uid, group=site.gid, extra_groups=[])


def by_hand(site, queue_id="4bXyz1", message=WHOLE, options=()):
    return site.run("-q", queue_id, *options, "-f", "a@example.org", "--", "user@example.com", message=message)


def settled(site):
    site.wait_settled()


def held_back(site, server, count=1):
    """So many are, the log says so, and none was sent."""
    wait_for(lambda: server.messages or site.log().count("may be cut short") >= count, lambda: f"{count} messages held back\n{site.log()}")
    assert server.messages == []


def test_half_a_message_is_not_sent(site):
    with ScriptedTpsp() as server:
        configure(site, server)
        writer = write(site, "half")
        writer.stdout.readline()
        writer.communicate("die\n")
        held_back(site, server)
        settled(site)
        assert server.messages == []
        assert by_hand(site).returncode == 0
        (message,) = server.messages
        assert message.endswith(BODY.replace(b"\n", b"\r\n")) and len(message) > len(WHOLE)


def test_however_long_the_supervisor_is_not_scheduled(site):
    """It is stopped, the writer killed, and it goes on when all is over: the deliverer alone has to see it."""
    with ScriptedTpsp() as server:
        configure(site, server)
        writer = write(site, "half")
        supervisor = int(writer.stdout.readline())
        os.kill(supervisor, signal.SIGSTOP)
        writer.communicate("die\n")
        held_back(site, server)
        os.kill(supervisor, signal.SIGCONT)
        settled(site)
        assert server.messages == []
        assert by_hand(site).returncode == 0


@pytest.mark.parametrize("supervisor", ["lives", "is killed"])
def test_a_writer_that_dies_before_the_dot_is_seen_right_before_it(site, supervisor):
    """The message was whole when its end was read: what dies later makes that doubtful, and nothing is sent."""
    state = {}

    def die_first(connection):
        if supervisor == "is killed":
            os.kill(state["supervisor"], signal.SIGKILL)
        state["writer"].communicate("die\n")
        connection.reply("250 2.1.5 Ok")

    with ScriptedTpsp() as server:
        configure(site, server)
        server.script["rcpt"] = die_first
        state["writer"] = write(site, "whole")
        state["supervisor"] = int(state["writer"].stdout.readline())
        held_back(site, server)
        settled(site)
        assert server.messages == []
        server.script["rcpt"] = DEFAULTS["rcpt"]
        assert by_hand(site).returncode == 0
        assert len(server.messages) == 1
    assert [event["cs"] for event in site.events() if event["queue_id"] == "4bXyz1"] == [60]


def test_a_parent_that_dies_right_behind_its_start(site):
    deaths = 40
    with ScriptedTpsp() as server:
        configure(site, server)
        writers = [write(site, "at once", f"4bXyz{number}") for number in range(deaths)]
        for writer in writers:
            writer.communicate()
        held_back(site, server, deaths)
        settled(site)
        assert server.messages == []


@pytest.mark.parametrize("size, status", [(len(WHOLE), 0), (len(WHOLE) + WHOLE.count(b"\n"), 0), (2 * len(WHOLE), 75)])
def test_a_message_smaller_than_postfix_says_is_not_sent(site, size, status):
    """A queue file that ends early is closed by a pipe(8) that lives: its size alone can tell."""
    with ScriptedTpsp() as server:
        configure(site, server)
        done = by_hand(site, options=("-s", str(size)))
        assert done.returncode == status, done.stdout
        assert (b"cut short" in done.stdout) == (status == 75)
        assert len(server.messages) == (1 if status == 0 else 0)


def test_postfix_does_not_wait_for_a_process_that_stays(site):
    """Who reads our output to its end, as pipe(8) does, has it when the result is there."""
    if not site.resident:
        pytest.skip("none stays")
    with ScriptedTpsp() as server:
        configure(site, server)
        (pid,) = site.idle()
        begun = time.monotonic()
        assert by_hand(site).returncode == 0  # reads until every copy of the pipe's end is closed
        assert alive(pid) and time.monotonic() - begun < 60
        (still,) = site.wait_idle()
        assert still == pid
