"""sendpost-agent reads a real journal: journald runs in a mount namespace of its own, with its own /run and /var/log."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent_runner import PROGRAM, Agent

JOURNALD = Path("/lib/systemd/systemd-journald")
UUID = "31bdc664-f741-5a76-b8dc-9a801744f747"

INSIDE = r"""
import os, signal, socket, subprocess, sys, time
sys.path.insert(0, sys.argv[2])
from support import wait_for, end_process
program, config, ctl = sys.argv[1], sys.argv[3], sys.argv[4]
for path in ("/run/systemd/journal", "/run/log/journal", "/run/lock"):
    os.makedirs(path, exist_ok=True)
journald = subprocess.Popen(["/lib/systemd/systemd-journald"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
wait_for(lambda: os.path.exists("/run/systemd/journal/socket") or journald.poll() is not None, "journald")
if journald.poll() is not None:
    sys.exit(77)

def say(tag, text, facility=2):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stream:
        stream.connect("/run/systemd/journal/socket")
        stream.send(f"PRIORITY=6\nSYSLOG_FACILITY={facility}\nSYSLOG_IDENTIFIER={tag}\nMESSAGE={text}\n".encode())

def mail(number, facility=2):
    say("postfix/cleanup", f"4{number:05d}: info: header X-Sendpost-Message-UUID: THE-ID from local; from=<a@b> to=<c@d>")
    say("postfix/smtp", f"4{number:05d}: to=<user{number}@example.com>, relay=mx[192.0.2.1]:25, delay=1, delays=1/0/0/0, "
                        "dsn=2.0.0, status=sent (250 ok)", facility)

def by_a_user(number):
    # what logger(1) of any local user can do: the same lines, under the same tags
    if os.fork() == 0:
        os.setgid(65534)
        os.setuid(65534)
        mail(number)
        say("postfix-sendpost/pipe", f"4{number:05d}: to=<user{number}@example.com>, relay=x, dsn=2.0.0, status=sent (250 ok)")
        os._exit(0)
    assert os.wait()[1] == 0

def journal_has(text):
    return text in subprocess.run(["journalctl", "-o", "cat", "--no-pager"], capture_output=True, text=True).stdout

def once():
    assert subprocess.run([program, "-c", config, "--once"]).returncode == 0

try:
    mail(0)
    wait_for(lambda: journal_has("user0@"), "user0 in the journal")
    once()  # that was history
    mail(1)
    mail(2, facility=3)  # somebody else's line
    wait_for(lambda: journal_has("user2@"), "user2 in the journal")
    once()
    agent = subprocess.Popen([program, "-c", config])
    time.sleep(0.3)  # killed wherever it is
    mail(3)
    agent.send_signal(signal.SIGKILL)
    agent.wait()
    mail(4)
    wait_for(lambda: journal_has("user4@"), "user4 in the journal")
    once()
    by_a_user(5)
    mail(6)
    wait_for(lambda: journal_has("user5@") and journal_has("user6@"), "user5 and user6 in the journal")
    once()
    once()
    for number, told in (5, False), (6, True):
        done = subprocess.run([ctl, "-c", config, "trace", f"user{number}@example.com"], capture_output=True, text=True)
        assert (f"user{number}@" in done.stdout, done.returncode) == (told, 0 if told else 1), done
finally:
    end_process(journald.pid)
"""


def test_each_entry_of_the_journal_counts_once():
    if os.geteuid() != 0 or not JOURNALD.exists():
        pytest.skip("needs root and journald")
    with Agent("journal", listen="none") as agent:
        script = agent.top / "inside.py"
        script.write_text(INSIDE.replace("THE-ID", UUID))
        done = subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c",
                               'mount -t tmpfs none /run && mount -t tmpfs none /var/log && exec "$@"', "sh", sys.executable,
                               script, PROGRAM, Path(__file__).parent, agent.config, PROGRAM.with_name("sendpostctl")], env=agent.environment(),
                              capture_output=True, check=False, timeout=240)
        if b"mount" in done.stderr and b"denied" in done.stderr:
            pytest.skip("needs to mount")
        if done.returncode == 77:
            pytest.skip("journald does not run here: it wants control groups, for one")
        assert done.returncode == 0, done.stderr.decode()
        assert [(event[0], event[1], event[2]) for event in agent.events()] == [
            ("delivered", UUID, f"user{number}@example.com") for number in (1, 3, 4, 6)]
