"""Whoever renews a token is killed as it begins a step: of the answer's way from the provider to our disk, one run a step. No mail is lost
and none bounced, and a new login is needed only where the provider had rotated the token and the new one was not yet in its place."""
import os
import re
import shutil
import subprocess

import pytest

from sendpost import build_directory
from support import wait_for
from test_oauth import account, deferred, delivered, module_provider, module_server, provider, server  # noqa: F401 (fixtures)

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="run tools/deps test")
FULL = bool(os.environ.get("SENDPOST_FULL"))
DISK = ("openat", "unlinkat", "fallocate", "pwrite64", "ftruncate", "fsync", "renameat")
CALLS = (*DISK, "connect", "sendto", "recvfrom", "read", "write", "poll", "close", "flock", "fcntl")


class Renewal:
    """One renewal by one of our programs, under strace."""

    def __init__(self, installation):
        self.site = installation
        self.log, self.sent = installation.top / "steps", []
        self.log.write_text("")
        installation.give(self.log, 0o600)

    def strace(self, step=None):
        """A call at which one is killed is not carried out. strace(1) counts each kind of call for itself, in each thread."""
        inject = f"-e inject={step[0]}:signal=KILL:when={step[1]}" if step else ""
        return f"strace -D -f -qqq -o {self.log} -e trace={','.join(CALLS)} {inject}".split()

    def steps(self):
        """The calls from the place that is made for the new token to the one that makes the directory durable: name, and which of that name.
        What they are called with is not to be read: our programs keep others out of their memory."""
        threads = {}
        for thread, name in re.findall(r"(?m)^(\d+) +(\w+)\(", self.log.read_text()):
            threads.setdefault(thread, []).append(name)
        for names in threads.values():
            ends = re.search(r"fallocate (?:(?!fallocate)\w+ )*?pwrite64 ftruncate fsync renameat fsync", " ".join(names))
            if ends:
                first = len(" ".join(names)[:ends.start()].split()) - 1  # the openat before
                return [(names[at], names[:at + 1].count(names[at])) for at in range(first, first + len(ends[0].split()) + 1)]
        raise AssertionError(f"no renewal in {self.log.read_text()[-3000:]}")


class ByDeliverer(Renewal):
    def __init__(self, installation):
        super().__init__(installation)
        shutil.copy2(installation.libexec / "sendpost-deliver", installation.libexec / "real-deliver")

    def run(self, step=None):
        self.site.replace("sendpost-deliver", f"#!/bin/sh\nexec {' '.join(self.strace(step))} {self.site.libexec}/real-deliver \"$@\"\n")
        self.sent.append(200 + len(self.sent))
        done = self.site.send(self.sent[-1])
        self.site.replace("sendpost-deliver", f"#!/bin/sh\nexec {self.site.libexec}/real-deliver \"$@\"\n")
        wait_for(lambda: not self.site.leftovers(), "the end of the killed")
        assert done.returncode in (0, 75), done


class ByAgent(Renewal):
    def __init__(self, installation):
        super().__init__(installation)
        (installation.top / "mail.log").write_text("")
        installation.give(installation.top / "mail.log", 0o644)

    def run(self, step=None):
        before = self.site.token_file()["received"]
        agent = subprocess.Popen([*self.strace(step), build_directory() / "sendpost-agent", "-c", self.site.config], env=self.site.env(),
                                 user=self.site.uid, group=self.site.gid, extra_groups=[], cwd="/")
        wait_for(lambda: agent.poll() is not None or self.site.token_file()["received"] != before, "the end of agent or token")
        if agent.poll() is None:
            agent.terminate()
        agent.wait(timeout=240)


class ByCheck(Renewal):
    """sendpostctl check, which tries a token as everything else."""

    def run(self, step=None):
        subprocess.run([*self.strace(step), build_directory() / "sendpostctl", "-c", self.site.config, "check", "--no-postfix"],
                       env=self.site.env(), user=self.site.uid, group=self.site.gid, extra_groups=[], cwd="/", stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=300, check=False)


def sample(steps, most):
    """Those on the disk all, of the others some."""
    rest = [step for step in steps if step[0] not in DISK]
    some = rest if FULL else rest[::-(-len(rest) // most) or 1]
    return [step for step in steps if step in some or step[0] in DISK and step[0] != "openat"]


@pytest.mark.parametrize("who", [ByDeliverer, ByAgent, ByCheck], ids=["deliverer", "agent", "check"])
def test_a_renewal_that_is_killed_at_a_step_loses_no_mail_and_a_login_only_on_the_way(account, provider, server, who):  # noqa: F811
    account.login(provider.refresh_token())
    assert delivered(account.send(0))
    renewal = who(account)
    account.expire()
    renewal.run()
    steps = renewal.steps()
    logins, killed, sent = 0, 0, [0]
    for turn, step in enumerate(sample(steps, 6)):
        account.expire()
        granted = provider.granted()
        renewal.run(step)
        killed += "SIGKILL" in renewal.log.read_text()
        rotated = provider.granted() > granted
        account.age(**{"next-try": 0})
        done = account.send(100 + turn)
        if done.returncode != 0:
            assert deferred(done, "invalid_grant") and rotated and step != steps[-1], (step, done)
            logins += 1
            account.login(provider.refresh_token())
            assert delivered(account.send(100 + turn))
        sent.append(100 + turn)
    assert all(delivered(account.send(number)) for number in renewal.sent)
    assert 6 < killed and 0 < logins and server.arrived(len(sent) + len(renewal.sent))
