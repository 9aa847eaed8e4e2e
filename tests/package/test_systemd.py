"""The unit under a real systemd, with its whole sandbox, from installation to removal. The tests follow each other.

The agent follows the log of a Postfix in the same system, which sends straight to a receiver: what the agent is for.
A system call that the filter refuses kills it here; as shipped it would only be refused.
"""
import json
import signal
import urllib.error
import urllib.request
import uuid

import pytest

from booted import BootedTree
from conftest import KEY, configure
from formats import Deb
from support import free_port, wait_for
from tpsp import Tpsp

UNIT = "sendpost-agent.service"


@pytest.fixture(scope="module")
def tree(base_tree):
    with BootedTree(base_tree) as system:
        yield system


@pytest.fixture(scope="module")
def deb(builds, tree):
    return Deb(builds, tree)


@pytest.fixture(scope="module")
def receiver(ca):
    with Tpsp(ca, name="receiver.test", tls="none", login=False) as server:
        yield server


class Site:
    """What the tests know of the installation."""

    def __init__(self, tree, receiver, api, ca):
        self.tree, self.receiver, self.api, self.ca = tree, receiver, api, ca
        self.port = free_port()
        self.recipients = []

    def configure(self, log_path, **more):
        configure(self.tree, self.receiver, self.api, self.ca, **{
            "log-path": log_path, "listen": f"127.0.0.1:{self.port}", "flush-interval": "1s", **more})

    def health(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=240) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)

    def send(self, name):
        """A message straight to the receiver, with a VERP sender."""
        self.recipients.append(f"{name}@example.com")
        self.tree.send(self.recipients[-1], f"bounces+{uuid.uuid4()}+4321@sp-bounce.example.org")

    def wait_reported(self):
        """Every message so far, once each."""
        def reported():
            return sorted(event["recipient"] for event in self.api.events)
        wait_for(lambda: reported() == sorted(self.recipients),
                 lambda: f"{sorted(self.recipients)}; the API has {reported()}\n{self.tree.journal(UNIT)}")

    def agent(self):
        return self.tree.show(UNIT)


@pytest.fixture(scope="module")
def site(tree, receiver, api, ca):
    return Site(tree, receiver, api, ca)


def test_installed_it_is_enabled_and_waits_for_a_configuration(tree, deb, site):
    deb.install()
    state = site.agent()
    assert (state["UnitFileState"], state["ActiveState"], state["ConditionResult"]) == ("enabled", "inactive", "no")
    assert not tree.run("systemctl", "--failed", "--plain", "--no-legend")


def test_configured_it_starts_and_is_ready(tree, site, receiver):
    tree.drop_in(UNIT, "strict", "[Service]\nSystemCallErrorNumber=kill\n")
    tree.start_postfix(f"relayhost = [127.0.0.1]:{receiver.port}\n")
    site.send("early")  # makes the log, which begins before the agent does
    wait_for(lambda: "early@" in tree.log(), "a line in mail.log")
    wait_for(lambda: "sent" in tree.statuses("early@example.com"), "the delivery before the agent")
    site.recipients.clear()
    site.configure("/var/log/mail.log")
    tree.run("systemctl", "start", UNIT)  # Type=notify: comes back when the agent says READY
    state = site.agent()
    assert (state["ActiveState"], state["SubState"], state["NRestarts"]) == ("active", "running", "0")
    assert site.health()["status"] == "ok"


def test_the_sandbox_is_closed(tree, site):
    pid = site.agent()["MainPID"]
    said = dict(line.split(":\t", 1) for line in tree.run("cat", f"/proc/{pid}/status").splitlines())
    assert said["NoNewPrivs"] == "1" and said["Seccomp"] == "2"
    assert all(int(said[name], 16) == 0 for name in ("CapBnd", "CapEff", "CapPrm", "CapAmb"))
    assert said["Uid"].split() == [tree.run("id", "-u", "sendpost").strip()] * 4
    mounts = {line.split()[4]: line.split()[5].split(",") for line in tree.run("cat", f"/proc/{pid}/mountinfo").splitlines()}
    assert "ro" in mounts["/"] and "rw" in mounts["/var/lib/postfix-sendpost"]


def test_it_knows_how_long_the_queue_is(tree, site):
    """As a member of postdrop, for without new privileges postqueue is not set-group-id."""
    assert "postdrop" in tree.run("id", "-nG", "sendpost").split()
    wait_for(lambda: "sendpost_agent_queue_known 1" in tree.run("curl", "-s", f"http://127.0.0.1:{site.port}/metrics"), "the queue")


def test_check_sees_that_the_unit_may_read_the_log_and_runs(tree, site):
    checks = json.loads(tree.call("sendpostctl", "check", "--json").stdout)["checks"]
    assert {"/var/log/mail.log is readable for the agent (user sendpost, groups adm systemd-journal)", f"answers at 127.0.0.1:{site.port}: ok"} <= {
        finding["text"] for finding in checks if finding["status"] == "ok"}, checks
    site.api.probes_expected += 1


def test_what_postfix_did_is_reported(site):
    site.send("first")
    site.wait_reported()
    assert [event["event_type"] for event in site.api.events] == ["delivered"]


def test_a_reload_reads_the_configuration_again_in_the_same_process(tree, site):
    before = site.agent()["MainPID"]
    site.configure("journal")
    tree.run("systemctl", "reload", UNIT)
    wait_for(lambda: "configuration reloaded" in tree.journal(UNIT), lambda: f"the agent's word\n{tree.journal(UNIT)}")
    site.send("journal")
    site.wait_reported()
    assert (site.agent()["MainPID"], site.agent()["NRestarts"]) == (before, "0")


def test_the_watchdog_is_fed(tree, site):
    tree.drop_in(UNIT, "watchdog", "[Service]\nWatchdogSec=20s\nRestartSec=0\n")
    tree.run("systemctl", "restart", UNIT)
    seen = set()
    wait_for(lambda: seen.add(site.agent()["WatchdogTimestampMonotonic"]) or len(seen) >= 4, "signs of life", interval=0.2)
    assert site.agent()["NRestarts"] == "0"


def test_an_agent_that_hangs_is_replaced_and_misses_nothing(tree, site):
    tree.run("systemctl", "kill", "--signal", str(int(signal.SIGSTOP)), "--kill-whom", "main", UNIT)
    site.send("hanging")
    wait_for(lambda: site.agent()["NRestarts"] == "1", lambda: f"a new agent: {site.agent()}")
    site.wait_reported()
    assert "Watchdog timeout" in tree.journal(UNIT)


def test_it_stops_cleanly_and_goes_on_where_it_was(tree, site):
    tree.run("systemctl", "stop", UNIT)
    state = site.agent()
    assert (state["ActiveState"], state["Result"], state["ExecMainStatus"]) == ("inactive", "success", "0")
    site.send("while-stopped")
    wait_for(lambda: "sent" in tree.statuses("while-stopped@example.com"), "the delivery")
    tree.run("systemctl", "start", UNIT)
    site.send("after")
    site.wait_reported()


def test_the_key_may_be_a_credential_that_root_alone_can_read(tree, site):
    secret = tree.path("/root/events.key")
    secret.write_text(KEY + "\n")
    secret.chmod(0o600)
    tree.drop_in(UNIT, "credential", "[Service]\nLoadCredential=events:/root/events.key\n")
    site.configure("journal", **{"api-key-file": "cred:events"})
    tree.path("/etc/postfix-sendpost/event-api-key").unlink()
    tree.run("systemctl", "restart", UNIT)
    site.send("credential")
    site.wait_reported()
    assert site.health()["status"] == "ok"


def test_an_upgrade_starts_the_new_one(tree, deb, site):
    before = site.agent()["MainPID"]
    deb.upgrade()
    state = site.agent()
    assert state["ActiveState"] == "active" and state["MainPID"] != before
    site.send("upgraded")
    site.wait_reported()


def test_removal_stops_it(tree, deb, site):
    pid = site.agent()["MainPID"]
    deb.remove()
    assert tree.call("test", "-e", f"/proc/{pid}").returncode == 1
    assert not tree.run("systemctl", "--failed", "--plain", "--no-legend")
    deb.dpkg("-P", "postfix-sendpost")
    assert not tree.exists("/var/lib/postfix-sendpost")
