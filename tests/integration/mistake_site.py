"""A whole installation that is well, for making one mistake at a time in it: Postfix, transport, TPSP (STARTTLS, and one with TLS from the
first byte), event API, name server and agent are all real, and what each says of the mistake is read as a postmaster would read it.
"""
import hashlib
import html
import os
import re
import subprocess

from dns_servers import Unbound
from event_api import EventApi
from private_postfix import PrivatePostfix
from sendpost import SECRET_KEY, Sendpost, build_directory, replace_once
from support import end_process, free_port, listens, wait_for
from tls_ca import CertificateAuthority
from tpsp import Tpsp

CTL, AGENT = build_directory() / "sendpostctl", build_directory() / "sendpost-agent"
MESSAGE = b"From: sender@example.org\nTo: user@example.com\nSubject: mistaken\n\nbody\n"


class MistakeSite:
    def __init__(self, ca):
        self.ca = ca
        self.sendpost = Sendpost()
        self.other_ca = CertificateAuthority(self.sendpost.top / "other-ca", "Another CA")
        self.names = Unbound(["smtp.example. A 127.0.0.1"])
        self.tpsp = Tpsp(ca, main="smtpd_client_connection_count_limit = 2\nsmtpd_client_event_limit_exceptions =\n").start()
        self.implicit = Tpsp(ca, name="implicit.test", wrapper_tls=True).start()
        self.api = EventApi(ca, key=SECRET_KEY)
        self.front = PrivatePostfix("front.test", main=self.sendpost.main_cf("allow_min_user = yes\nservice_throttle_time = 1s\n"),
                                    master=self.sendpost.master_cf(maxproc=7)).start()
        self.well = (self.front.main, self.front.master)
        self.tpsp_main, self.certificate = self.tpsp.main, None
        self.agent, self.undo, self.logged = None, [], 0
        self.restore()

    def close(self):
        self.stop_agent()
        self.undo_all()
        for part in (self.front, self.tpsp, self.implicit, self.names, self.api):
            part.__exit__(None, None, None)
        self.sendpost.close()

    # --- well, and not -------------------------------------------------------------------------------------------

    def restore(self):
        """As it was before any mistake."""
        self.stop_agent()
        self.undo_all()
        self.front.delete_queue()
        self.sendpost.wait_settled()
        self.sendpost.renew()
        self.api.forget()
        self.port = free_port()
        self.entry = self.sendpost.tpsp(self.tpsp, self.ca, connect_timeout="1s", command_timeout="2s", helo_name="front.example.org")
        self.settings = {"endpoint": self.api.url, "ca": self.ca, "log_path": str(self.front.log_path), "listen": f"127.0.0.1:{self.port}",
                         "dns": {"servers": [], "timeout": "1s"}, "flush_interval": "1s", "uuid_key_file": self.sendpost.secret_file("uuid-key", hashlib.sha256(b"mistakes").hexdigest()),
                         "validation": {"max-message-size": "100M"},
                         "retry": {"schedule": ["1h"]}}
        self.configure()
        self.serve_with(None)
        if (self.front.main, self.front.master) != self.well:
            self.front.main, self.front.master = self.well
            self.reload()

    def undo_all(self):
        while self.undo:
            self.undo.pop()()

    def configure(self, **settings):
        self.settings.update(settings)
        self.sendpost.configure([self.entry], **self.settings)

    def set_tpsp(self, **settings):
        self.entry.update({key.replace("_", "-"): value for key, value in settings.items()})
        self.configure()

    def change_postfix(self, main="", master=("", "")):
        """A line more in main.cf, and words replaced in master.cf."""
        self.front.main += main
        self.front.master = replace_once(self.front.master, *master) if master[0] else self.front.master
        self.reload()

    def serve_with(self, certificate):
        """Another certificate and key at the TPSP; None: its own."""
        if certificate == self.certificate:
            return
        self.certificate = certificate
        wanted = f"smtpd_tls_chain_files = {certificate[1]}, {certificate[0]}\n" if certificate else ""
        self.tpsp.main = self.tpsp_main + wanted
        self.reload(self.tpsp)

    def reload(self, postfix=None):
        (postfix or self.front).reload()

    def start_agent(self):
        """As the unit does: with the rights of who delivers."""
        self.agent = subprocess.Popen([AGENT, "-c", self.sendpost.config], stderr=subprocess.PIPE, user=self.sendpost.uid,
                                      group=self.sendpost.gid, extra_groups=[],
                                      env=self.sendpost.env({"MAIL_CONFIG": str(self.front.etc), "PATH": os.environ["PATH"]}))
        wait_for(lambda: listens(self.port) or self.agent.poll() is not None, "the agent to listen, or to give up")

    def stop_agent(self):
        if self.agent is not None:
            if self.agent.poll() is None:
                end_process(self.agent.pid)
            self.agent.wait()
            self.agent.stderr.close()
            self.agent = None

    # --- what is said ---------------------------------------------------------------------------------------------

    def send(self):
        return self.front.sendmail(MESSAGE, "user@example.com")

    def ctl(self, *arguments):
        done = subprocess.run([str(CTL), "-c", str(self.sendpost.config), *arguments], capture_output=True, text=True, check=False, timeout=240)
        return done.stdout + done.stderr

    def check(self):
        return self.ctl("check", "--postfix-config", str(self.front.etc))

    def status(self):
        return self.ctl("status")

    def http(self, path):
        done = subprocess.run(["curl", "-s", "-m", "5", f"http://127.0.0.1:{self.port}{path}"], capture_output=True, text=True, check=False)
        return done.stdout

    def health(self):
        return self.http("/health")

    def page(self):
        """What is wrong now, by the status page, as text."""
        found = re.search(r'(?s)<ul class="findings">.*?</ul>', self.http("/"))
        return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", found[0]))) if found else ""

    def forget_log(self):
        self.logged = len(self.front.log())

    def log(self):
        """Postfix's, since forget_log(), and our own."""
        return self.front.log()[self.logged:] + self.sendpost.log()

    def statuses(self, queue_id):
        return re.findall(rf"{queue_id}: to=<.* status=(\w+)", self.front.log())
