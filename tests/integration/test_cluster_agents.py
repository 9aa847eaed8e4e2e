"""What the agents of several hosts share through a real Valkey or Redis server: the suppression list, and how they are."""
import json
import random
import secrets
import sqlite3
import subprocess
import urllib.error
import urllib.request

import pytest

from agent_runner import Agent
from cuttable_proxy import CuttableProxy
from sendpost import build_directory
from support import wait_for
from valkey_server import PROGRAM

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no valkey-server or redis-server; run tools/deps test")
CTL = build_directory() / "sendpostctl"
KEY, OTHER_KEY = secrets.token_hex(32), secrets.token_hex(32)


class Member(Agent):
    """A host of the cluster: agent, store and configuration of its own."""

    def __init__(self, *servers, uuid_key=KEY, **settings):
        super().__init__()
        key = self.top / "uuid-key"
        key.write_text(uuid_key + "\n")
        key.chmod(0o600)
        self.log_path.write_text("")
        self.configure(cluster={"servers": list(servers), "tls": False}, uuid_key_file=str(key), **settings)

    def ctl(self, *arguments, text=None):
        return subprocess.run([CTL, "-c", self.config, *arguments], input=text, capture_output=True, text=True, check=False)

    def suppresses(self, address):
        return self.ctl("suppress", "check", address).returncode == 1

    def health(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=240) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def exported(self):
        return self.ctl("suppress", "export", "/dev/stdout").stdout

    def count(self):
        return sum(1 for line in self.exported().splitlines() if "@" in line)


@pytest.fixture
def members(valkey):
    made = [Member(valkey.address).start() for _ in range(3)]
    yield made
    for each in made:
        each.__exit__()


def everywhere(members, address, suppressed):
    wait_for(lambda: all(each.suppresses(address) == suppressed for each in members), f"{address} on every host: {suppressed}")


def test_what_one_host_adds_or_removes_all_know(members):
    assert members[0].ctl("suppress", "add", "Bob@Example.com", "--reason", "unsubscribe").returncode == 0
    everywhere(members, "Bob@example.com", True)
    assert members[2].ctl("suppress", "del", "Bob@Example.com").returncode == 0
    everywhere(members, "Bob@example.com", False)
    assert members[1].ctl("suppress", "add", "bad.example").returncode == 0
    everywhere(members, "anybody@bad.example", True)


def test_an_import_on_one_host_is_on_the_others_and_on_one_that_is_new(valkey, members):
    """In the order of its own; two hosts have changed some of it before."""
    numbers = list(range(3000))
    random.shuffle(numbers)
    path = members[0].top / "list"
    path.write_text("".join(f"user{number}@example.net\n" for number in numbers))
    assert members[1].ctl("suppress", "add", "user5@example.net").returncode == 0
    assert members[0].ctl("suppress", "import", str(path)).returncode == 0
    assert members[0].ctl("suppress", "del", "user7@example.net").returncode == 0
    wait_for(lambda: all(each.count() == 2999 for each in members), lambda: [each.count() for each in members])
    with Member(valkey.address) as new:
        new.start()
        wait_for(lambda: new.count() == 2999, lambda: new.count())
        assert all(each.exported() == new.exported() for each in members)
        assert "user7@example.net" not in new.exported()


def test_changes_made_while_the_server_is_away_are_told_later(valkey, members):
    members[0].ctl("suppress", "add", "before@example.com")
    everywhere(members, "before@example.com", True)
    valkey.kill()
    members[0].ctl("suppress", "add", "new@example.com")
    members[1].ctl("suppress", "del", "before@example.com")
    valkey.start()  # and it has lost everything
    everywhere(members, "new@example.com", True)
    everywhere(members, "before@example.com", False)


def test_a_host_that_is_new_copies_the_whole_list(valkey, members):
    for number in range(5):
        members[number % 3].ctl("suppress", "add", f"old{number}@example.com")
    members[0].ctl("suppress", "add", "gone@example.com")
    everywhere(members, "gone@example.com", True)
    members[0].ctl("suppress", "del", "gone@example.com")
    everywhere(members, "gone@example.com", False)
    with Member(valkey.address) as new:
        new.ctl("suppress", "add", "mine@example.com")
        new.start()
        everywhere([new, *members], "mine@example.com", True)
        everywhere([new], "old4@example.com", True)
        wait_for(lambda: new.count() == 6, lambda: new.count())
        assert not new.suppresses("gone@example.com")


def test_of_two_changes_made_apart_the_later_one_counts(valkey):
    proxy = CuttableProxy(valkey.port)
    with Member(valkey.address) as here, Member(proxy.address) as there:
        here.start()
        there.start()
        here.ctl("suppress", "add", "a@example.com")
        here.ctl("suppress", "add", "b@example.com")
        everywhere([here, there], "b@example.com", True)
        proxy.set_cut(True)
        there.ctl("suppress", "del", "a@example.com")
        here.ctl("suppress", "add", "a@example.com", "--reason", "manual")  # later: it stays
        here.ctl("suppress", "add", "b@example.com", "--reason", "manual")
        there.ctl("suppress", "del", "b@example.com")  # later: it goes
        proxy.set_cut(False)
        everywhere([here, there], "b@example.com", False)
        everywhere([here, there], "a@example.com", True)
    proxy.close()


def changes(valkey):
    return int(valkey.command("XLEN", "{sendpost}:suppression:changes")[1:])


@pytest.mark.parametrize("known", [0, 3])
def test_a_host_that_is_too_far_behind_for_the_stream_copies_the_list(valkey, known):
    proxy = CuttableProxy(valkey.port)
    with Member(valkey.address) as here, Member(proxy.address) as there:
        here.start()
        there.start()
        for number in range(known):
            here.ctl("suppress", "add", f"known{number}@example.com")
        wait_for(lambda: there.count() == known and there.health().get("cluster", {}).get("suppression_complete_at"), "both to be up to date")
        proxy.set_cut(True)
        before = changes(valkey)
        here.ctl("suppress", "add", *[f"u{number}@example.com" for number in range(20)])
        wait_for(lambda: changes(valkey) == before + 20, "the changes in the stream")
        valkey.command("XTRIM", "{sendpost}:suppression:changes", "MAXLEN", "1")
        proxy.set_cut(False)
        wait_for(lambda: there.count() == 20 + known, lambda: there.count())
    proxy.close()


def test_a_server_that_was_emptied_is_told_the_whole_list_again(valkey, members):
    """FLUSHALL: it is the same server still, and nothing in the stream tells that it held more."""
    for number in range(6):
        members[number % 3].ctl("suppress", "add", f"old{number}@example.com")
    wait_for(lambda: all(each.count() == 6 for each in members), lambda: [each.count() for each in members])
    valkey.command("FLUSHALL")
    wait_for(lambda: int(valkey.command("HLEN", "{sendpost}:suppression")[1:]) == 6, lambda: valkey.command("HLEN", "{sendpost}:suppression"))
    with Member(valkey.address) as new:
        new.start()
        wait_for(lambda: new.count() == 6, lambda: new.count())


def test_health_tells_of_the_cluster_and_of_who_is_in_it(valkey, members):
    wait_for(lambda: all(len(each.health()["cluster"]["hosts"]) == 3 for each in members), "all hosts to hear of all")
    told = members[0].health()
    assert told["status"] == "ok" and told["cluster"]["server"] == valkey.address
    assert all(host["same_uuid_key"] for host in told["cluster"]["hosts"])
    valkey.kill()
    wait_for(lambda: members[0].health()["status"] == "trouble", "the outage in /health")
    told = members[0].health()
    assert valkey.address in told["last_error"] and told["cluster"]["away_since"]
    valkey.start()
    wait_for(lambda: members[0].health()["status"] == "ok", "the recovery in /health")


def test_a_list_that_is_not_exchanged_is_told_with_its_age(valkey):
    def checked(host):
        done = json.loads(host.ctl("check", "--no-postfix", "--json").stdout)
        return [(line["status"], line["text"]) for line in done["checks"] if "suppression list" in line["text"]]

    with Member(valkey.address) as host:
        host.start()
        wait_for(lambda: checked(host) == [("ok", "the suppression list is that of the other hosts")], lambda: checked(host))
        # somebody else has that key
        valkey.command("DEL", "{sendpost}:suppression:changes")
        valkey.command("SET", "{sendpost}:suppression:changes", "x")
        wait_for(lambda: "WRONGTYPE" in (host.health()["last_error"] or ""), lambda: host.health())
        assert host.health()["status"] == "trouble"
        valkey.command("DEL", "{sendpost}:suppression:changes")
        wait_for(lambda: host.health()["status"] == "ok", lambda: host.health())
        host.kill()
        with sqlite3.connect(host.state / "state.db") as database:
            database.execute("UPDATE meta SET value = value - 400000 WHERE key = 'cluster.suppression.complete'")
        status, text = checked(host)[0]
        assert status == "warning" and "last that of the other hosts at" in text
        assert "suppression list the others' at" in host.ctl("status").stdout


def test_a_host_with_another_uuid_key_is_loud(valkey, members):
    with Member(valkey.address, uuid_key=OTHER_KEY) as stranger:
        stranger.start()
        wait_for(lambda: "UUID key" in (members[0].health()["last_error"] or ""), "the difference in /health")
        metrics = urllib.request.urlopen(f"http://127.0.0.1:{members[0].port}/metrics", timeout=240).read().decode()
        assert "sendpost_agent_cluster_hosts_with_other_uuid_key 1" in metrics
