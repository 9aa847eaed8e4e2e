"""A TPSP that is a real Postfix: STARTTLS with a certificate of the test's own CA, login by Cyrus SASL, one maildir.

Without a login it takes no mail. What it took is read from the maildir: envelope from the headers that virtual(8) adds,
and below them the message with LF line ends.
"""
import re
import shutil
import subprocess

from private_postfix import PrivatePostfix
from support import run, wait_for

USERNAME, PASSWORD = "relay@tpsp.test", "correct horse; battery \"staple\""
UID = 65534

MAIN = """\
virtual_mailbox_domains = {domains}
virtual_mailbox_base = {top}/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{uid}
virtual_mailbox_limit = 0
smtpd_tls_security_level = {tls}
smtpd_tls_chain_files = {key}, {certificate}
smtpd_tls_loglevel = 1
smtpd_tls_auth_only = {auth_only}
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = cyrus
smtpd_sasl_path = smtpd
cyrus_sasl_config_path = {top}/etc/sasl
smtpd_sasl_security_options = noanonymous
smtpd_relay_restrictions = {restrictions}
smtpd_recipient_restrictions =
smtpd_hard_error_limit = 100
"""


class Tpsp(PrivatePostfix):
    def __init__(self, ca, name="tpsp.test", domains="example.com example.net", tls="may", login=True, main="",
                 smtpd_options="", wrapper_tls=False):
        super().__init__(name, main="", smtpd_options=smtpd_options)
        if wrapper_tls:
            self.smtpd_options += "\n  -o smtpd_tls_wrappermode=yes"
        certificate, key = ca.issue(name)
        self.make_login()
        self.maildir = self.top / "mail/all"
        (self.top / "mail").mkdir()
        shutil.chown(self.top / "mail", UID, UID)
        self.main = MAIN.format(
            top=self.top, domains=domains, uid=UID, tls=tls, key=key, certificate=certificate,
            auth_only="yes" if tls != "none" else "no",
            restrictions="permit_sasl_authenticated, reject" if login else "permit_mynetworks, reject") + main

    def make_login(self):
        sasl = self.etc / "sasl"  # where Debian's Postfix looks, whatever cyrus_sasl_config_path says
        sasl.mkdir()
        sasl.chmod(0o755)
        (sasl / "smtpd.conf").write_text("pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\n"
                                         f"sasldb_path: {self.top}/sasldb2\n")
        user, realm = USERNAME.split("@")
        subprocess.run(["saslpasswd2", "-p", "-c", "-f", str(self.top / "sasldb2"), "-u", realm, user],
                       input=PASSWORD, text=True, check=True, capture_output=True)
        run("chown", "postfix", self.top / "sasldb2")

    # --- what it took -----------------------------------------------------------------------------------------

    def files(self):
        return sorted((self.maildir / "new").glob("*")) if (self.maildir / "new").is_dir() else []

    def messages(self):
        return [Received(path.read_bytes(), path.name) for path in self.files()]

    def wait_messages(self, count=1, timeout=240):
        wait_for(lambda: len(self.files()) >= count,
                 lambda: f"{count} messages at the TPSP ({len(self.files())} there)\n{self.log()[-3000:]}", timeout=timeout)
        return self.messages()

    def forget(self):
        """What it took, and what it has accepted and not yet put into the mailbox."""
        self.wait_empty()
        for path in self.files():
            path.unlink()


class Received:
    """One message as the TPSP's virtual(8) wrote it."""

    def __init__(self, raw, name=""):
        self.raw, self.name = raw, name
        trace, self.message = self.split(raw)
        fields = dict(line.split(b": ", 1) for line in trace.split(b"\n") if b": " in line and line[:1] not in b" \t")
        self.sender = fields[b"Return-Path"].strip(b"<>").decode()
        self.recipient = fields[b"X-Original-To"].decode()

    @staticmethod
    def split(raw):
        """The TPSP's own trace (Return-Path … its Received field) and what it was sent."""
        lines = raw.split(b"\n")
        at = next(i for i, line in enumerate(lines) if line.startswith(b"Received:")) + 1
        while lines[at][:1] in (b" ", b"\t"):
            at += 1
        return b"\n".join(lines[:at]), b"\n".join(lines[at:])

    def header(self, name):
        """The values of a header field, unfolded, in order."""
        head = self.message.split(b"\n\n", 1)[0].replace(b"\n ", b" ").replace(b"\n\t", b" ")
        wanted = name.lower().encode() + b":"
        return [line[len(wanted):].strip().decode(errors="surrogateescape") for line in head.split(b"\n")
                if line.lower().startswith(wanted)]

    @property
    def arrival(self):
        """Seconds and microseconds, from the name that virtual(8) gave the file."""
        seconds, microseconds = re.match(r"(\d+)\..*M(\d+)", self.name).groups()
        return int(seconds), int(microseconds)

    @property
    def uuid(self):
        (uuid,) = self.header("X-Sendpost-Message-UUID")
        return uuid

    @property
    def body(self):
        return self.message.split(b"\n\n", 1)[1]
