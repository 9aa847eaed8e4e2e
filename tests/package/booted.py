"""A Tree in which systemd runs as the first process, in namespaces and a control group of its own: units are started for real.

Needs root, and a control group tree of version 2 that may be written to: a machine, or a container that is let.
"""
import contextlib
import os
import re
import subprocess
import uuid
from pathlib import Path

import pytest

from support import wait_for
from tree import Tree

# / is the tree from here on. What systemd wants of a container: https://systemd.io/CONTAINER_INTERFACE/
# It makes its mounts shared by itself on a machine alone, and credentials are mounted by a child of it: with private mounts nobody
# else sees them, and a service finds the empty directory that only root may enter.
BOOT = """\
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount -o bind,ro proc/sys proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
mount -t tmpfs tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
for device in null zero full random urandom tty; do : >dev/$device; mount --bind /dev/$device dev/$device; done
mount --make-rshared .
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=tree chroot . /lib/systemd/systemd --system --log-target=journal
"""

# what looks after machines and networks has no business in here
MACHINE = ("systemd-networkd.service", "systemd-networkd.socket", "systemd-networkd-wait-online.service",
           "systemd-resolved.service", "systemd-timesyncd.service", "systemd-udevd.service")


def group_root():
    """Where control groups of version 2 are mounted; None when nowhere."""
    found = re.search(r"(?m)^\S+ (\S+) cgroup2 (?:\S*,)?rw", Path("/proc/mounts").read_text())
    return Path(found.group(1)) if found else None


class BootedTree(Tree):
    """Skips the test, with the reason, where this cannot be."""

    # syslog as Debian has it: to the journal, and from there to /var/log/mail.log
    settings = re.sub("(?m)^(maillog_file|default_transport) = .*\n", "", Tree.settings)

    def __init__(self, tarball):
        root = group_root()
        if root is None:
            pytest.skip("no writable control groups of version 2 are mounted: systemd cannot be started")
        self.group = root / f"postfix-sendpost-test-{os.getpid()}"
        try:
            self.group.mkdir()
        except OSError as error:
            pytest.skip(f"no control group can be made ({error}): systemd cannot be started")
        super().__init__(tarball)

    def start(self):
        (self.top / "etc/machine-id").write_text(uuid.uuid4().hex + "\n")
        for service in MACHINE:
            (self.top / f"etc/systemd/system/{service}").unlink(missing_ok=True)
            (self.top / f"etc/systemd/system/{service}").symlink_to("/dev/null")
        (self.top / "etc/systemd/system/default.target").write_text(
            "[Unit]\nRequires=basic.target\nAfter=basic.target\nWants=rsyslog.service\nAllowIsolate=yes\n")
        return subprocess.Popen(
            ["sh", "-c", 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"', "sh", self.group,
             "unshare", "--mount", "--uts", "--ipc", "--pid", "--cgroup", "--fork", "--kill-child", "sh", "-c", BOOT, "sh",
             self.top], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=(self.top / "boot.log").open("w"))

    def children(self):
        if self.process.poll() is not None:
            pytest.skip(f"systemd cannot be started here: {(self.top / 'boot.log').read_text()}")
        return super().children()

    def is_up(self):
        with contextlib.suppress(OSError):  # the group is best systemd's alone; where it may not be, systemd makes do
            (self.group.parent / "cgroup.procs").write_text(str(self.process.pid))
        return bool(self.children()) and self.call("systemctl", "is-active", "default.target").returncode == 0

    def close(self):
        super().close()
        for group in sorted(self.group.glob("**/"), reverse=True):
            wait_for(lambda: not (group / "cgroup.procs").read_text(), f"the end of {group}")
            group.rmdir()

    # --- units ------------------------------------------------------------------------------------------------------

    def show(self, unit):
        return dict(line.split("=", 1) for line in self.run("systemctl", "show", unit).splitlines())

    def journal(self, unit):
        return self.run("journalctl", "--no-pager", "-u", unit)

    def drop_in(self, unit, name, text):
        directory = self.path(f"/etc/systemd/system/{unit}.d")
        directory.mkdir(exist_ok=True)
        (directory / f"{name}.conf").write_text(text)
        self.run("systemctl", "daemon-reload")

    def start_postfix(self, more=""):
        """As a service."""
        self.configure_postfix(self.settings + more)
        self.run("systemctl", "start", "postfix")
