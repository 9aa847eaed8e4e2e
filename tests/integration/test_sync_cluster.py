"""The hosts of a cluster are one towards SendPost: one of them synchronises for all, what it takes goes to the others, what they change
goes out once, and another takes over where it left off."""
import json

import pytest

from sendpost_api import SendPostApi
from support import wait_for
from test_cluster_agents import Member
from valkey_server import PROGRAM

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no valkey-server or redis-server; run tools/deps test")
KEY = "subaccount-key-4e1a"


@pytest.fixture
def api(ca):
    with SendPostApi(ca, KEY) as server:
        yield server


@pytest.fixture
def hosts(valkey, api, ca):
    settings = {"endpoint": api.url, "subaccount-api-key": KEY, "sync": ["suppression"], "interval": "1d", "tls-ca-path": str(ca.hashed)}
    made = [Member(valkey.address, sendpost_api=settings).start() for _ in range(3)]
    wait_for(lambda: sorted(leads(host) for host in made) == [False, False, True], "one that leads")
    made.sort(key=leads, reverse=True)
    wait_for(lambda: made[0].health()["sync"]["last_at"], "its first round")
    yield made
    for host in made:
        host.__exit__()


def leads(host):
    return host.health()["sync"]["leads"]


def knows_the_leader(host):
    sync = host.health()["sync"]
    return sync["leads"] or bool(sync["leader"])


def emails(host):
    return {line.split(",")[0] for line in host.ctl("suppress", "export", "/dev/stdout").stdout.splitlines() if "@" in line}


def same_everywhere(hosts, api):
    wait_for(lambda: all(emails(host) == api.emails() for host in hosts), lambda: [sorted(api.emails()), *[sorted(emails(host)) for host in hosts]])


def sync(host, *options):
    done = host.ctl("sync", "--json", *options)
    assert done.returncode == 0, done
    return json.loads(done.stdout)


def posts_of(api, email):
    return sum(1 for method, _, body in api.requests if method == "POST" and f'"{email}"'.encode() in body)


def test_one_host_synchronises_and_all_have_the_list(hosts, api):
    leader, follower, other = hosts
    for number in range(20):
        api.add(f"there{number}@example.com", number % 4)
    follower.ctl("suppress", "add", "mine@example.com")
    other.ctl("suppress", "add", "other@example.com")
    wait_for(lambda: {"mine@example.com", "other@example.com"} <= emails(leader), "the changes of the others")
    assert sync(leader)["sent"] == 2
    same_everywhere(hosts, api)
    for host in hosts:
        wait_for(lambda host=host: host.health()["cluster"]["suppression_complete_at"], "an exchange")
    assert sync(leader) | {"seen": 0} == {"seen": 0, "taken": 0, "removed": 0, "sent": 0, "refused": 0, "waiting_for_confirmation": 0,
                                           "error": None}
    assert posts_of(api, "mine@example.com") == 1 and not any(posts_of(api, f"there{number}@example.com") for number in range(20))

    other.ctl("suppress", "del", "mine@example.com")
    other.ctl("suppress", "del", "there3@example.com")
    api.entries.pop("there4@example.com")
    wait_for(lambda: "there3@example.com" not in emails(leader), "the removals")
    counts = sync(leader)
    assert (counts["sent"], counts["removed"]) == (2, 1)
    same_everywhere(hosts, api)
    assert len(api.emails()) == 19


def test_another_takes_over_and_sends_what_is_missing_and_no_more(valkey, hosts, api):
    leader, follower, other = hosts
    for number in range(20):
        api.add(f"there{number}@example.com")
    for host in hosts:
        host.ctl("suppress", "add", f"from{host.port}@example.com")
    wait_for(lambda: len(emails(leader)) == 3, "all changes")
    sync(leader)
    same_everywhere(hosts, api)
    leader.kill()
    follower.ctl("suppress", "add", "new@example.com")
    follower.ctl("suppress", "del", "there1@example.com")
    api.entries.pop("there2@example.com")
    api.add("newer@example.com", 3)
    api.requests.clear()
    valkey.command("DEL", "{sendpost}:lease:sendpost")  # it ends by itself 20 seconds after its holder
    wait_for(lambda: any(leads(host) for host in (follower, other)), "another that leads")
    same_everywhere([follower, other], api)
    sent = sorted((method, item["email"]) for method, _, body in api.requests if method != "GET"
                  for items in json.loads(body).values() for item in items)
    assert sent == [("DELETE", "there1@example.com"), ("POST", "new@example.com")]
    assert "there2@example.com" not in emails(other) and {"new@example.com", "newer@example.com"} < emails(other)


def test_while_the_server_is_away_nobody_takes_over_and_nothing_is_lost(valkey, hosts, api):
    leader, follower, _ = hosts
    api.add("there@example.com")
    sync(leader)
    same_everywhere(hosts, api)
    valkey.kill()
    follower.ctl("suppress", "add", "mine@example.com")
    api.add("newer@example.com")
    assert leads(leader) and not leads(follower)
    valkey.start()
    wait_for(lambda: all(host.health()["cluster"]["away_since"] is None for host in hosts), "the server")
    wait_for(lambda: sorted(leads(host) for host in hosts) == [False, False, True] and all(map(knows_the_leader, hosts)), "one that leads")
    wait_for(lambda: "mine@example.com" in emails(leader), "the change")
    sync(next(host for host in hosts if leads(host)))
    same_everywhere(hosts, api)
    assert api.emails() == {"there@example.com", "mine@example.com", "newer@example.com"} and posts_of(api, "mine@example.com") == 1


def test_by_hand_any_host_may(hosts, api):
    leader, follower, _ = hosts
    api.add("there@example.com")
    leader.ctl("suppress", "add", "mine@example.com")
    wait_for(lambda: emails(follower) == {"mine@example.com"}, "the change")
    assert sync(follower)["sent"] == 1
    same_everywhere(hosts, api)
    assert "keeps the lists the same" in follower.ctl("status").stdout
    sync(leader)
    same_everywhere(hosts, api)
