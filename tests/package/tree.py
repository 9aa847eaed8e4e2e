"""A Debian system of its own in a directory, with Postfix, in which packages are installed: its own root, processes and
mounts, so that whatever it starts ends with it; the loopback network is shared. No service manager runs in a Tree; a
booted.BootedTree has systemd.

The tree as debootstrap would make it is kept in CACHE (SENDPOST_TEST_CACHE, else /var/cache/postfix-sendpost-test).
"""
import hashlib
import os
import re
import subprocess
import time
from pathlib import Path

from support import CACHE, alive, remove, run, scratch, wait_for

AGE_MAX = 7 * 24 * 3600
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
SETTINGS = """\
compatibility_level = 3.6
myhostname = front.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
maillog_file = /var/log/mail.log
default_transport = sendpost
alias_maps =
alias_database =
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
transport_retry_time = 1s
"""
if os.environ.get("SENDPOST_SYSTEM"):  # Postfix 3.9 and later let nobody but root read the log, unless told so
    SETTINGS += "maillog_file_permissions = 0644\n"


def base(packages):
    """A tarball of a minimal system with these packages, of the Debian in which the packages are built."""
    system = os.environ.get("SENDPOST_SYSTEM", "/")
    suite = re.search(r"VERSION_CODENAME=(\w+)", Path(system, "etc/os-release").read_text()).group(1)
    key = hashlib.sha256(" ".join([suite, *sorted(packages)]).encode()).hexdigest()[:12]
    tarball = CACHE / f"{suite}-{key}.tar"
    if not tarball.exists() or tarball.stat().st_mtime < time.time() - AGE_MAX:
        CACHE.mkdir(parents=True, exist_ok=True)
        made = tarball.with_suffix(f".{os.getpid()}.tar")
        run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}", suite, made)
        made.rename(tarball)
    return tarball


class Tree:
    settings = SETTINGS

    def __init__(self, tarball):
        self.top = scratch("sptree-")
        run("tar", "-C", self.top, "--numeric-owner", "-xf", tarball)
        (self.top / "etc/hosts").write_text("127.0.0.1 localhost\n")
        self.process = self.start()
        self.init = None
        try:
            self.init = wait_for(self.children, "the tree's first process")[0]
            wait_for(self.is_up, "the tree")
        except BaseException:
            self.close()
            raise

    def children(self):
        if self.process.poll() is not None:
            raise RuntimeError("the tree does not start: no namespaces can be made here")
        return Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()

    def start(self):
        policy = self.top / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        return subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--root", str(self.top), "sh", "-c",
             "mount -t proc proc /proc && { sleep infinity & wait; }"],  # which buries the dead
            env=ENVIRONMENT,
            cwd="/", stderr=subprocess.DEVNULL)

    def is_up(self):
        return self.call("test", "-e", "/proc/self/exe").returncode == 0

    def close(self):
        self.process.kill()  # and with it all others
        self.process.wait()
        wait_for(lambda: self.init is None or not alive(int(self.init)), "the end of the tree's processes")
        remove(self.top)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def call(self, *command, check=False, **options):
        return subprocess.run(["nsenter", "--target", self.init, "--mount", "--pid", "--root", "--wd", "--",
                               *[str(word) for word in command]],
                              capture_output=True, env=ENVIRONMENT, check=check, **options)

    def run(self, *command, **options):
        done = self.call(*command, **options)
        said = (done.stdout + done.stderr).decode(errors="replace")
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))}: status {done.returncode}\n{said}")
        return said

    def path(self, inside):
        return self.top / str(inside).lstrip("/")

    def exists(self, inside):
        return os.path.lexists(self.path(inside))

    def owner_and_mode(self, inside):
        """As "root:sendpost 750", by the tree's own names."""
        return self.run("stat", "-c", "%U:%G %a", inside).strip()

    # --- Postfix ----------------------------------------------------------------------------------------------------

    def configure_postfix(self, settings):
        self.path("/etc/postfix/main.cf").write_text(settings)
        self.run("postconf", "-F", "*/*/chroot = n")
        self.run("postconf", "-MX", "smtp/inet")

    def start_postfix(self):
        self.configure_postfix(SETTINGS)
        self.run("postfix", "start")

    def log(self):
        try:
            return self.path("/var/log/mail.log").read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def send(self, recipient, sender="sender@example.org"):
        message = f"From: {sender}\nTo: {recipient}\nSubject: packaged\n\nHello\n"
        self.run("sendmail", "-i", "-f", sender, "--", recipient, input=message.encode())

    def statuses(self, recipient=""):
        """What became of each attempt for a recipient (all recipients), in order: sent, deferred, bounced."""
        return re.findall(rf"postfix/\w+\[\d+\]: \w+: to=<{re.escape(recipient) or '[^>]*'}>.* status=(\w+)", self.log())

    def wait_status(self, recipient, status):
        wait_for(lambda: status in self.statuses(recipient),
                 lambda: f"status={status} for {recipient}\n{self.log()[-5000:]}")

    def wait_nobody_idle(self):
        """A deliverer stays for a moment when it has delivered; it has the libraries of before."""
        name = "sendpost-deliver"[:15]  # Linux keeps no more
        wait_for(lambda: name not in self.run("sh", "-c", "cat /proc/[0-9]*/comm 2>/dev/null || true").split(),
                 "the end of idle deliverers")

    def queue(self):
        """What a warning says beside it is no message."""
        done = self.call("postqueue", "-j", check=True)
        return done.stdout.decode().splitlines()
