"""The servers of doc/cluster.md, as it is written there: TLS, a user with least rights, a replica, and a master that is fenced without it."""
import json
import re
import signal
import ssl
import socket
import subprocess

import pytest

from support import TOP, free_port, remove, scratch, wait_for
from test_cluster_agents import Member, everywhere
from valkey_server import PROGRAM

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no valkey-server or redis-server; run tools/deps test")
PASSWORD = "parole-2c7e"
SERVER, REPLICA = re.findall(r"```text\n(.*?)```", (TOP / "doc/cluster.md").read_text(), re.DOTALL)[:2]


class DocumentedServer:
    """The blocks of the manual, with paths, ports and passwords of the test."""

    def __init__(self, ca, text, replicates=None):
        self.top, self.port, self.ca = scratch("spvk-"), free_port(), ca
        chain, key = ca.issue("localhost")
        for old, new in (("/etc/valkey/server.pem", chain), ("/etc/valkey/server.key", key), ("/etc/valkey/ca.pem", ca.certificate),
                         ("tls-port 6379", f"tls-port {self.port}"), ("PASSWORD", PASSWORD),
                         ("valkey1.example.net 6379", f"localhost {replicates.port if replicates else 0}")):
            text = text.replace(old, str(new))
        lines = [line.strip() for line in text.splitlines() if replicates or not line.strip().startswith("replicaof")]
        (self.top / "server.conf").write_text("\n".join([*lines, f"dir {self.top}", 'save ""', "repl-diskless-sync-delay 0", "bind 127.0.0.1",
                                                         "user watcher on >watcher +info +replicaof", ""]))
        self.process = subprocess.Popen([PROGRAM, self.top / "server.conf"], stdout=(self.top / "log").open("wb"), stderr=subprocess.STDOUT)
        wait_for(self.is_ready, lambda: (self.top / "log").read_text())

    def is_ready(self):
        try:
            return "role:" in self.command("INFO")
        except OSError:
            return False

    def command(self, *words):
        context = ssl.create_default_context(cafile=self.ca.certificate)
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as tcp, context.wrap_socket(tcp, server_hostname="localhost") as tls:
            stream = tls.makefile("rwb")
            stream.write(b"AUTH watcher watcher\r\n" + " ".join(words).encode() + b"\r\n")
            stream.flush()
            assert stream.readline().startswith(b"+OK")
            reply = stream.readline().decode().strip()
            return stream.read(int(reply[1:])).decode() if reply.startswith("$") else reply

    def close(self):
        self.process.kill()
        self.process.wait()
        remove(self.top)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class TlsMember(Member):
    def __init__(self, ca, *servers):
        super().__init__(*[f"localhost:{server.port}" for server in servers])
        tree = json.loads(self.config.read_text())
        tree["cluster"] = {"servers": tree["cluster"]["servers"], "username": "sendpost", "password": PASSWORD, "tls-ca-path": str(ca.hashed)}
        tree["tpsps"][0]["max-rate-per-hour"] = 100
        self.config.write_text(json.dumps(tree))
        self.start()

    def findings(self):
        done = self.ctl("check", "--no-postfix", "--json")
        assert PASSWORD not in done.stdout + done.stderr
        return [(line["status"], line["text"]) for line in json.loads(done.stdout)["checks"] if line["check"] == "cluster"]

    def is_there(self):
        told = self.health().get("cluster", {})
        return told.get("away_since") is None and told.get("server")


def test_tls_and_the_least_rights_are_enough_for_all_that_hosts_do(ca):
    with DocumentedServer(ca, SERVER) as server, TlsMember(ca, server) as first, TlsMember(ca, server) as second:
        first.ctl("suppress", "add", "a@example.com")
        everywhere([first, second], "a@example.com", True)
        wait_for(lambda: len(first.health()["cluster"]["hosts"]) == 2, "both hosts")
        found = wait_for(lambda: (now := first.findings()) and any("limits are kept" in text for _, text in now) and now, "the limits")
        assert all(status == "ok" for status, _ in found) and any("master, TLS verified" in text for _, text in found), found
        assert "NOPERM" not in first.own_log.read_text() + second.own_log.read_text()


def test_a_master_without_its_replica_gives_nothing_out_and_the_replica_takes_over(ca):
    with DocumentedServer(ca, SERVER + REPLICA) as master, DocumentedServer(ca, SERVER + REPLICA, master) as replica:
        wait_for(lambda: "master_link_status:up" in replica.command("INFO"), lambda: (replica.top / "log").read_text())
        wait_for(lambda: "state=online" in master.command("INFO"), "a replica that is online")
        with TlsMember(ca, master, replica) as host:
            wait_for(host.is_there, "the master")
            replica.process.send_signal(signal.SIGKILL)
            wait_for(lambda: "NOREPLICAS" in (host.health()["last_error"] or ""), lambda: host.health())
        with DocumentedServer(ca, SERVER + REPLICA, master) as other, TlsMember(ca, master, other) as host:
            wait_for(host.is_there, lambda: host.health())
            master.process.send_signal(signal.SIGKILL)
            wait_for(lambda: host.health()["cluster"]["away_since"], "the outage")
            with DocumentedServer(ca, SERVER + REPLICA, other):  # a master needs a replica
                assert other.command("REPLICAOF", "NO", "ONE") == "+OK"
                wait_for(lambda: host.is_there() == f"localhost:{other.port}", lambda: host.health())
