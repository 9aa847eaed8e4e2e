"""Real servers for OAuth: oidc-provider (tools/deps installs it into the test cache) as provider of tokens, and a Postfix
whose logins Dovecot judges by asking that provider about the token."""
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from foreign_mta import Dovecot
from support import TOP, remove, scratch
from tpsp import Tpsp

ACCOUNT = "relay@tpsp.test"
CACHE = Path(os.environ.get("SENDPOST_TEST_CACHE", "/var/cache/postfix-sendpost-test"))

LOGINS = """\
auth_mechanisms = xoauth2 oauthbearer
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {top}/oauth2.conf
}}
"""
INTROSPECTION = """\
introspection_mode = post
introspection_url = https://dovecot:dovecot-secret-5d0c@localhost:{port}/token/introspection
tls_ca_cert_file = {ca}
username_attribute = user
active_attribute = active
active_value = true
"""


class OidcProvider:
    def __init__(self, ca):
        modules = CACHE / "node_modules"
        if shutil.which("node") is None or not (modules / "oidc-provider").exists():
            pytest.skip("oidc-provider is not installed; run tools/deps test")
        certificate, key = ca.issue("localhost")
        self.top = scratch("spoidc-")
        shutil.copy(certificate, self.top / "server.pem")
        shutil.copy(key, self.top / "server.key")
        self.lock = threading.Lock()
        self.process = subprocess.Popen(["node", str(TOP / "tests/integration/oidc_provider.mjs"), str(CACHE),
                                         str(self.top / "server.pem"), str(self.top / "server.key"), ACCOUNT],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=(self.top / "log").open("w"), text=True)
        first = self.process.stdout.readline()
        assert first.startswith("{"), (self.top / "log").read_text()
        self.issuer = json.loads(first)["issuer"]
        self.port = int(self.issuer.rsplit(":", 1)[1])

    def order(self, do, **more):
        with self.lock:
            self.process.stdin.write(json.dumps({"do": do, **more}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        while not line.startswith("{"):  # its notices
            line = self.process.stdout.readline()
        answer = json.loads(line)
        assert "error" not in answer, answer
        return answer

    def refresh_token(self, client="relay"):
        return self.order("grant", client=client)["token"]

    def behave(self, as_="well", life=3600):
        self.order("behave", **{"as": as_, "life": life})

    def granted(self):
        """How many tokens were given out."""
        return sum(count for kind, count in self.order("count").items() if kind in ("refresh_token", "client_credentials"))

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=240)
        self.process.stdout.close()
        remove(self.top)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class TokenTpsp:
    """A Postfix that takes mail after a login with a token alone."""

    def __init__(self, ca, provider):
        self.top = scratch("spdov-")
        (self.top / "oauth2.conf").write_text(INTROSPECTION.format(port=provider.port, ca=ca.certificate))
        self.dovecot = Dovecot(self.top, ca, "", more=LOGINS.format(top=self.top))
        self.postfix = Tpsp(ca, name="postfix.test", main=f"smtpd_sasl_type = dovecot\nsmtpd_sasl_path = {self.top}/auth\n")

    def __enter__(self):
        self.dovecot.start()
        self.postfix.start()
        return self

    def __exit__(self, *_):
        self.postfix.__exit__()
        self.dovecot.stop()
        remove(self.top)

    @property
    def port(self):
        return self.postfix.port

    def arrived(self, count):
        """So many messages and no more."""
        if count:
            self.postfix.wait_messages(count)
        return len(self.postfix.files()) == count
