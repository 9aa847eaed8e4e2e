"""Real mail servers other than Postfix: OpenSMTPD and Exim, which cannot be installed beside it, and Dovecot's submission.

tools/deps test puts the unpacked packages of the first two, with all that they need, into tarballs in CACHE. A copy becomes
the root directory of the server's processes, so that its users, spool and configuration are in nobody's way. Each server
listens on loopback with STARTTLS on one port and implicit TLS on another, takes mail for example.com after a login, refuses
senders and recipients named refused@, the content of senders named content@, and keeps the rest in a maildir.
"""
import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from support import CACHE, alive, end_process, free_port, listens, remove, run, scratch, wait_for
from tpsp import PASSWORD, UID, USERNAME, Tpsp

# The server's root is $1. The first process stays this shell, which ends with us, and everything else with it: Linux forgets
# whom to end for a process that changes its user.
ENTER = 'mount -t proc proc "$1/proc" && env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$@"; exit $?'


def descendants(pid):
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [each for child in children for each in [int(child), *descendants(int(child))]]


class Server:
    """starttls_port, tls_port, and what it took."""

    def __init__(self):
        self.starttls_port, self.tls_port = free_port(), free_port()

    def wait_listening(self):
        wait_for(lambda: self.process.poll() is not None or listens(self.starttls_port) and listens(self.tls_port),
                 lambda: f"{self.name} to listen\n{self.log()}", timeout=240)
        if self.process.poll() is not None:
            self.stop()
            raise RuntimeError(f"{self.name} does not start:\n{self.log()}")

    def taken(self):
        return [path.read_bytes() for path in (self.maildir / "new").glob("*")]

    def wait_taken(self, count):
        wait_for(lambda: len(self.taken()) >= count, lambda: f"{count} messages at {self.name}\n{self.log()}")

    def hang(self):
        """Every process of it stands still, until the answer is called."""
        stopped = [pid for first in self.firsts() for pid in [first, *descendants(first)]]

        def send_all(number):
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):  # it had ended by itself
                    os.kill(pid, number)

        send_all(signal.SIGSTOP)
        return lambda: send_all(signal.SIGCONT)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        remove(self.top)


class Rooted(Server):
    """A server in a tree of its own: first process of a process and mount namespace."""

    def __init__(self, ca, expired=False):
        if os.geteuid() != 0:
            pytest.skip("a root directory of its own needs root")
        tarball = CACHE / f"{self.package}.tar"
        if not tarball.exists():
            pytest.skip(f"{tarball} is not there; run tools/deps test")
        super().__init__()
        self.top = scratch("spmta-")
        run("tar", "-C", self.top, "--numeric-owner", "-xf", tarball)
        self.maildir = self.top / "srv/mail"
        self.maildir.mkdir(parents=True)
        os.chown(self.maildir, UID, UID)
        certificate, key = ca.issue("mta.test", alternatives=("DNS:localhost",), expired=expired)
        for name, text in {"etc/hosts": "127.0.0.1 localhost\n", "etc/passwd": self.users("%s:x:%d:%d::%s:/usr/sbin/nologin\n"),
                           "etc/group": self.users("%s:x:%d:\n"), self.configuration: self.settings(),
                           "etc/ssl/certs/ca-certificates.crt": ca.certificate.read_text(),
                           "etc/certificate.pem": certificate.read_text(), "etc/key.pem": key.read_text()}.items():
            (self.top / name).parent.mkdir(parents=True, exist_ok=True)
            (self.top / name).write_text(text)
        self.prepare()

    def users(self, line):
        rows = [("root", 0, "/root"), ("nobody", UID, "/nonexistent"),
                *((name, 901 + number, "/var/empty") for number, name in enumerate(self.accounts))]
        return "".join(line % ((name, number, number, home) if line.count("%") == 4 else (name, number))
                       for name, number, home in rows)

    def directory(self, name, owner):
        (self.top / name).mkdir(parents=True, exist_ok=True)
        os.chown(self.top / name, owner, owner)

    def start(self):
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "sh", self.top, *self.command],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=(self.top / "said").open("w"))
        self.wait_listening()

    def log(self):
        files = [self.top / "said", *(self.top / "var/log").glob("exim4/*")]
        return "".join(path.read_text(errors="replace") for path in files)

    def firsts(self):
        return descendants(self.process.pid)[:1]

    def stop(self):
        first = self.firsts()
        self.process.kill()  # and with it all others
        self.process.wait()
        wait_for(lambda: not any(map(alive, first)), f"the end of {self.name}")


class OpenSmtpd(Rooted):
    name, package = "OpenSMTPD", "opensmtpd"
    configuration, accounts = "etc/smtpd.conf", ("opensmtpd", "opensmtpq")
    command = ("/usr/sbin/smtpd", "-d")
    without_login = "mail"  # where it says that a login is wanted

    def prepare(self):
        (self.top / "etc/key.pem").chmod(0o600)
        crypted = run("openssl", "passwd", "-6", "-stdin", input=PASSWORD).stdout.strip()
        (self.top / "etc/logins").write_text(f"{USERNAME} {crypted}\n")

    def settings(self):
        return f"""\
pki main cert "/etc/certificate.pem"
pki main key "/etc/key.pem"
table logins file:/etc/logins
table all {{ "@" = "nobody" }}
filter "senders" phase mail-from match mail-from regex "^refused@" reject "550 5.7.1 Sender unwelcome"
filter "recipients" phase rcpt-to match rcpt-to regex "^refused@" reject "550 5.1.1 No such user"
filter "content" phase data match mail-from regex "^content@" reject "554 5.7.1 Content unwelcome"
listen on 127.0.0.1 port {self.starttls_port} tls-require pki main auth <logins> filter {{ "senders", "recipients", "content" }}
listen on 127.0.0.1 port {self.tls_port} smtps pki main auth <logins> filter {{ "senders", "recipients", "content" }}
action keep maildir "/srv/mail" virtual <all>
match auth from any for domain "example.com" action keep
"""


class Exim(Rooted):
    name, package = "Exim", "exim4-daemon-light"
    configuration, accounts = "etc/exim4/exim4.conf", ("Debian-exim",)
    command = ("/usr/sbin/exim4", "-bdf", "-q30m")
    without_login = "rcpt"

    def __init__(self, ca, expired=False, more=""):
        self.more = more
        super().__init__(ca, expired)

    def prepare(self):
        os.chown(self.top / "etc/key.pem", 901, 901)
        (self.top / "etc/key.pem").chmod(0o600)
        (self.top / "etc/password").write_text(PASSWORD)
        for name in ("var/spool/exim4", "var/log/exim4", "run/exim4"):
            self.directory(name, 901)

    def settings(self):
        return f"""\
primary_hostname = mta.test
{self.more}
keep_environment =
local_interfaces = 127.0.0.1
daemon_smtp_ports = {self.starttls_port} : {self.tls_port}
tls_on_connect_ports = {self.tls_port}
tls_advertise_hosts = *
tls_certificate = /etc/certificate.pem
tls_privatekey = /etc/key.pem
auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}
acl_smtp_mail = mail
acl_smtp_rcpt = rcpt
acl_smtp_data = data
begin acl
mail:
  deny senders = ^refused@
       message = Sender unwelcome
  accept senders = ^slow@
         delay = 1m
  accept
rcpt:
  deny local_parts = refused
       message = No such user
  require authenticated = *
  accept
data:
  deny senders = ^content@
       message = Content unwelcome
  accept
begin routers
all:
  driver = accept
  transport = keep
begin transports
keep:
  driver = appendfile
  maildir_format
  directory = /srv/mail
  user = nobody
  group = nobody
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${{if and{{{{eq{{$auth2}}{{{USERNAME}}}}}{{eq{{$auth3}}{{${{readfile{{/etc/password}}}}}}}}}}}}
  server_set_id = $auth2
"""


DOVECOT = """\
protocols = {protocols}
base_dir = {top}/run
log_path = {top}/log
ssl = {ssl}
ssl_cert = <{certificate}
ssl_key = <{key}
auth_mechanisms = {mechanisms}
auth_failure_delay = 0
first_valid_uid = 1
mail_location = maildir:~/mail
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {top}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={uid} home={top}/home
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  unix_listener {top}/auth {{
    mode = 0666
  }}
}}
"""

SUBMISSION = """\
hostname = submission.test
submission_relay_host = 127.0.0.1
submission_relay_port = {relay}
service submission-login {{
  inet_listener submission {{
    address = 127.0.0.1
    port = {starttls}
  }}
  inet_listener submissions {{
    address = 127.0.0.1
    port = {tls}
    ssl = yes
  }}
}}
"""

# What Postfix behind Dovecot refuses, as the others do; at once, and not as late as RCPT.
ACCESS = """\
smtpd_delay_reject = no
smtpd_sender_restrictions = check_sender_access inline:{{refused@example.org = 550 5.7.1 Sender unwelcome}}
smtpd_recipient_restrictions = check_recipient_access inline:{{refused@example.com = 550 5.1.1 No such user}}
smtpd_data_restrictions = check_sender_access inline:{{content@example.org = 554 5.7.1 Content unwelcome}}
"""


class Dovecot:
    """The daemon, in the foreground; protocols may be none: then it answers for logins alone."""

    def __init__(self, top, ca, protocols, more="", expired=False, mechanisms="plain login"):
        if shutil.which("dovecot") is None or os.geteuid() != 0:
            pytest.skip("Dovecot needs root, and to be installed: run tools/deps test")
        self.top = top
        certificate, key = ca.issue("mta.test", alternatives=("DNS:localhost",), expired=expired)
        (top / "home").mkdir()
        os.chown(top / "home", UID, UID)
        (top / "users").write_text(f"{USERNAME}:{{PLAIN}}{PASSWORD}\n")
        (top / "dovecot.conf").write_text(DOVECOT.format(protocols=protocols, top=top, certificate=certificate, key=key, uid=UID, mechanisms=mechanisms,
                                                         ssl="yes" if protocols else "no") + more)

    def start(self):
        self.process = subprocess.Popen(["dovecot", "-F", "-c", self.top / "dovecot.conf"], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=(self.top / "log").open("a"))
        wait_for(lambda: self.process.poll() is not None or (self.top / "auth").exists(), "Dovecot's login socket")

    def stop(self):
        if self.process.poll() is None:
            end_process(self.process.pid)
        self.process.wait()


class DovecotSubmission(Server):
    """Dovecot in front of a Postfix that believes it."""
    name, without_login = "Dovecot submission", "mail"

    def __init__(self, ca, expired=False, mechanisms="plain login"):
        super().__init__()
        self.top, self.mechanisms = scratch("spdov-"), mechanisms
        self.relay = Tpsp(ca, name="behind.test", tls="none", login=False, main=ACCESS)
        self.ca, self.expired, self.maildir = ca, expired, self.relay.maildir

    def start(self):
        self.relay.start()
        self.dovecot = Dovecot(self.top, self.ca, "submission",
                               SUBMISSION.format(relay=self.relay.port, starttls=self.starttls_port, tls=self.tls_port), self.expired, self.mechanisms)
        self.dovecot.start()
        self.process = self.dovecot.process
        self.wait_listening()

    def firsts(self):
        return [self.process.pid]

    def log(self):
        return (self.top / "log").read_text() + self.relay.log()

    def stop(self):
        self.dovecot.stop()
        self.relay.__exit__()


class PostfixDovecot(Server):
    """Postfix, for which Dovecot judges logins: two services, as on most mail servers."""
    name, without_login = "Postfix with Dovecot", "rcpt"

    def __init__(self, ca, expired=False):
        super().__init__()
        self.top = scratch("spdov-")
        self.dovecot = Dovecot(self.top, ca, "", expired=expired)
        certificate, key = ca.issue("mta.test", alternatives=("DNS:localhost",), expired=expired)
        self.postfix = Tpsp(ca, name="postfix.test", main=ACCESS + f"smtpd_sasl_type = dovecot\nsmtpd_sasl_path = {self.top}/auth\n"
                            f"smtpd_tls_chain_files = {key}, {certificate}\n")
        self.postfix.master += f"127.0.0.1:{self.tls_port} inet n - n - - smtpd\n  -o smtpd_tls_wrappermode=yes\n"
        self.maildir = self.postfix.maildir

    def start(self):
        self.dovecot.start()
        self.postfix.start()
        self.starttls_port = self.postfix.port
        self.process = self.dovecot.process
        self.wait_listening()

    def firsts(self):
        return [self.postfix.pid()]

    def log(self):
        return (self.top / "log").read_text() + self.postfix.log()

    def stop(self):
        self.postfix.__exit__()
        self.dovecot.stop()


SERVERS = (PostfixDovecot, DovecotSubmission, OpenSmtpd, Exim)
