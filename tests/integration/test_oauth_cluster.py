"""Hosts of a cluster that have one refresh token between them, where the provider rotates it: check says so."""
import json

import pytest

from oauth_servers import ACCOUNT, OidcProvider
from support import wait_for
from test_cluster_agents import Member
from valkey_server import PROGRAM, ValkeyServer

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no valkey-server or redis-server; run tools/deps test")


class TokenHost(Member):
    def __init__(self, server, provider, ca, token):
        super().__init__(server.address)
        oauth = {"token-endpoint": f"{provider.issuer}/token", "client-id": "relay", "client-secret": "relay-secret-5d0c",
                 "scope": "openid offline_access", "refresh-token": token, "tls-ca-path": str(ca.hashed)}
        tree = json.loads(self.config.read_text())
        tree["tpsps"] = [{"name": "primary", "id": 12, "host": "127.0.0.1", "username": ACCOUNT, "oauth": oauth}]
        self.config.write_text(json.dumps(tree))
        self.start()

    def has_token(self):
        path = self.state / "oauth/primary"
        return path.exists() and "\naccess " in path.read_text()

    def findings(self):
        done = self.ctl("check", "--no-postfix", "--json")
        return [line["text"] for line in json.loads(done.stdout)["checks"] if line["check"] == "cluster" and line["status"] == "failure"]


def test_a_shared_refresh_token_that_rotates_is_found(ca):
    with ValkeyServer() as server, OidcProvider(ca) as provider:
        shared, own = provider.refresh_token(), provider.refresh_token()
        with TokenHost(server, provider, ca, shared) as first, TokenHost(server, provider, ca, own) as other:
            wait_for(lambda: first.has_token() and other.has_token(), "tokens")
            wait_for(lambda: len(first.health()["cluster"]["hosts"]) == 2, "both hosts")
            assert first.findings() == []
            with TokenHost(server, provider, ca, shared):
                found = wait_for(first.findings, "the shared one")
                assert len(found) == 1 and "tpsp primary: hosts " in found[0] and "rotates it" in found[0]
                assert shared not in found[0] and other.findings() == []
