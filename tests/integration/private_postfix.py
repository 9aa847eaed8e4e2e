"""A Postfix instance of its own: configuration, queue, data and log in one scratch directory, on loopback.

The system's Postfix, running or not, is neither read nor touched. Needs root, as Postfix does.
"""
import json
import os
import re
import signal
import subprocess
from pathlib import Path

from support import alive, end_process, free_port, listens, remove, run, scratch, wait_for

BACKOFF = """\
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
transport_retry_time = 1s
"""

MAIN = """\
compatibility_level = 3.6
queue_directory = {top}/queue
data_directory = {top}/data
maillog_file = {top}/maillog
maillog_file_prefixes = {top}
myhostname = {name}
mydomain = {name}
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
biff = no
append_dot_mydomain = no
local_header_rewrite_clients =
smtputf8_enable = yes
message_size_limit = 104857600
mailbox_size_limit = 0
"""

READERS = ("qmgr", "pipe", "smtpd", "trivial-rewrite")  # of the settings that tests change

MASTER = """\
127.0.0.1:{port} inet n  -  n  -  {smtpd}  smtpd{smtpd_options}
pickup    unix  n  -  n  1     1  pickup
cleanup   unix  n  -  n  -     0  cleanup
qmgr      unix  n  -  n  1     1  qmgr
tlsmgr    unix  -  -  n  1000? 1  tlsmgr
rewrite   unix  -  -  n  -     -  trivial-rewrite
bounce    unix  -  -  n  -     0  bounce
defer     unix  -  -  n  -     0  bounce
trace     unix  -  -  n  -     0  bounce
verify    unix  -  -  n  -     1  verify
flush     unix  n  -  n  1000? 0  flush
proxymap  unix  -  -  n  -     -  proxymap
smtp      unix  -  -  n  -     -  smtp
relay     unix  -  -  n  -     -  smtp
showq     unix  n  -  n  -     -  showq
error     unix  -  -  n  -     -  error
retry     unix  -  -  n  -     -  error
discard   unix  -  -  n  -     -  discard
local     unix  -  n  n  -     -  local
virtual   unix  -  n  n  -     -  virtual
anvil     unix  -  -  n  -     1  anvil
scache    unix  -  -  n  -     1  scache
postlog   unix-dgram n - n -   1  postlogd
"""


class PrivatePostfix:
    def __init__(self, name="mta.test", main="", master="", smtpd_options="", smtpd="-", backoff=BACKOFF):
        self.name, self.main, self.master, self.backoff = name, main, master, backoff
        self.smtpd_options, self.smtpd = smtpd_options, smtpd
        self.top = scratch("spfx-")
        self.etc, self.log_path = self.top / "etc", self.top / "maillog"
        self.port = None
        for directory in ("etc", "queue", "data"):
            (self.top / directory).mkdir()
            (self.top / directory).chmod(0o755)
        self.log_path.touch(mode=0o644)
        # postsuper(1), which has given up root's rights, logs what a killed Postfix has left in incoming/
        run("chown", "postfix", self.top / "data", self.log_path)

    # --- life ---------------------------------------------------------------------------------------------

    def start(self):
        for _ in range(5):
            self.port = free_port()
            self.write_configuration()
            run("postfix", "-c", self.etc, "start")
            try:
                wait_for(lambda: listens(self.port) or not self.running(), "Postfix to listen", timeout=20)
            except TimeoutError:
                pass
            if self.running() and listens(self.port):
                return self
            self.stop()  # somebody took the port meanwhile
        raise RuntimeError(f"Postfix does not start:\n{self.log()}")

    def write_configuration(self):
        text = MAIN.format(top=self.top, name=self.name) + self.backoff + self.main
        settings = dict(line.split(" = ", 1) if " = " in line else (line.rstrip(" ="), "")
                        for line in text.splitlines() if line and not line.startswith("#"))  # the last one counts
        (self.etc / "main.cf").write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
        (self.etc / "master.cf").write_text(
            MASTER.format(port=self.port, smtpd_options=self.smtpd_options, smtpd=self.smtpd) + self.master)

    def reload(self):
        """As "postfix reload", which takes two seconds for its own checks, and until nobody goes by the settings of before."""
        self.write_configuration()
        for name in ("main.cf", "master.cf"):  # whoever reads one waits until it has been at rest for two seconds
            os.utime(self.etc / name, (1, 1))
        old = [pid for pid in group_members(self.pid()) if name_of(pid) in READERS]
        os.kill(self.pid(), signal.SIGHUP)
        wait_for(lambda: not any(alive(pid) for pid in old), "the end of those who have read the settings of before")

    def pid(self):
        try:
            return int((self.top / "queue/pid/master.pid").read_text())
        except (OSError, ValueError):
            return None

    def running(self):
        pid = self.pid()
        return pid is not None and alive(pid)

    def stop(self):
        """End master, which ends its children with it, and make sure that they are gone."""
        pid = self.pid()
        if pid is None or not alive(pid):
            return
        end_process(pid)
        try:
            wait_for(lambda: not group_members(pid), "the end of Postfix's processes", timeout=5)
        except TimeoutError:
            for member in group_members(pid):
                end_process(member, patience=2)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        remove(self.top)

    # --- mail in --------------------------------------------------------------------------------------------

    def sendmail(self, message, recipients, sender="sender@example.org", options=()):
        """Hand a message over with sendmail(1), bytes in; returns the queue id."""
        if isinstance(recipients, str):
            recipients = [recipients]
        known = set(self.picked_up())
        done = subprocess.run(["sendmail", "-C", str(self.etc), "-i", "-f", sender, *options, "--", *recipients],
                              input=message, capture_output=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"sendmail: {done.returncode} {done.stderr.decode()}")
        return wait_for(lambda: set(self.picked_up()) - known, lambda: f"a queue id in\n{self.log()}").pop()

    def picked_up(self):
        """Queue ids of what sendmail(1) brought; bounces of earlier messages come in by another door."""
        return re.findall(r"postfix/pickup\S*: ([0-9A-Za-z]{6,}): uid=", self.log())

    # --- what became of it ----------------------------------------------------------------------------------

    def log(self):
        try:
            return self.log_path.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def lines(self, queue_id="", pattern=""):
        return [line for line in self.log().splitlines() if f" {queue_id}" in line and re.search(pattern, line)]

    def wait_log(self, pattern, queue_id="", count=1, timeout=240):
        """The lines of queue_id that match pattern, as soon as there are count of them."""

        def enough():
            found = self.lines(queue_id, pattern)
            return found if len(found) >= count else None

        return wait_for(enough, lambda: f"{count} x /{pattern}/ for {queue_id or 'any message'} in\n{self.log()[-6000:]}",
                        timeout=timeout)

    def wait_status(self, queue_id, status, timeout=240):
        """The delivery line "status=STATUS (…)" of a message."""
        return self.wait_log(rf"to=<.*status={status} ", queue_id, timeout=timeout)[-1]

    def queue(self):
        """The queue as postqueue -j shows it."""
        done = run("postqueue", "-c", self.etc, "-j")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def in_queue(self, queue_id):
        """Whether it is there; a file that the queue manager just moves may be missed once, so look more than once."""
        try:
            return wait_for(lambda: any(entry["queue_id"] == queue_id for entry in self.queue()), "", timeout=60)
        except TimeoutError:
            return False

    def wait_deferred(self, *queue_ids):
        """Until they are where a flush finds them: behind the line that says "deferred" they are active for a moment."""
        wait_for(lambda: {entry["queue_id"] for entry in self.queue() if entry["queue_name"] == "deferred"} >= set(queue_ids),
                 lambda: f"{queue_ids} in the queue of deferred mail: {self.queue()}")

    def delete_queue(self):
        subprocess.run(["postsuper", "-c", str(self.etc), "-d", "ALL"], capture_output=True, check=False)

    def flush(self):
        run("postqueue", "-c", self.etc, "-f")

    def wait_empty(self, timeout=240):
        """Twice: what goes from one queue to the other while postqueue looks may be missed once."""
        wait_for(lambda: not self.queue() and not self.queue(), lambda: f"an empty queue; in it: {self.queue()[:3]}\n{self.log()[-4000:]}",
                 timeout=timeout, interval=0.1)

    def wait_gone(self, queue_id, timeout=240):
        wait_for(lambda: self.lines(queue_id, ": removed$"), f"the removal of {queue_id}", timeout=timeout)


def name_of(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return None  # it has ended


def group_members(group):
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                if int(fields[2]) == group and fields[0] != "Z":
                    members.append(int(entry.name))
            except (OSError, IndexError):
                continue
    return members
