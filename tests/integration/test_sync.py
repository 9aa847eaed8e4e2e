"""The suppression list of the account and of this host are one list, whatever the API does: both are equal at the end, and nothing
is removed that nobody removed."""
import json
import random
import signal
import sqlite3
import subprocess
import time

import pytest

from dns_servers import Unbound
from sendpost import build_directory
from sendpost_api import SendPostApi
from support import free_port, remove, scratch, wait_for

KEY = "subaccount-key-4e1a"
DAY = 86400


@pytest.fixture
def api(ca):
    with SendPostApi(ca, KEY) as server:
        yield server


class Host:
    def __init__(self, api, ca):
        self.top = scratch("spsync-")
        self.state, self.config, self.log_path = self.top / "state", self.top / "config.yaml", self.top / "log"
        self.state.mkdir(mode=0o750)
        (self.top / "key").write_text(KEY + "\n")
        (self.top / "key").chmod(0o600)
        self.tree = {"account-id": 117, "subaccount-id": 4321, "state-dir": str(self.state), "endpoint": "none",
                     "log-path": str(self.top / "mail.log"), "listen": "none", "tpsps": [{"name": "primary", "host": "127.0.0.1"}],
                     "sendpost-api": {"endpoint": api.url, "subaccount-api-key-file": str(self.top / "key"),
                                      "sync": ["suppression", "domains"], "interval": "10s", "tls-ca-path": str(ca.hashed)}}
        self.write()

    def write(self):
        self.config.write_text(json.dumps(self.tree))
        self.config.chmod(0o600)

    def start(self, program, *arguments):
        return subprocess.Popen([str(build_directory() / program), "-c", str(self.config), *arguments], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, env={"PATH": "/usr/bin:/bin", "SENDPOST_LOG_FILE": str(self.log_path)})

    def ctl(self, *arguments):
        process = self.start("sendpostctl", *arguments)
        out, err = process.communicate(timeout=300)
        assert KEY not in out + err
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def sync(self, *arguments, status=0):
        done = self.ctl("sync", "--json", *arguments)
        assert done.returncode == status, done
        return json.loads(done.stdout)

    def query(self, sql, *values):
        with sqlite3.connect(self.state / "state.db", timeout=240) as database:
            return database.execute(sql, values).fetchall()

    def emails(self):
        return {address for (address,) in self.query("SELECT address FROM suppression")}

    def log(self):
        return self.log_path.read_text() if self.log_path.exists() else ""


@pytest.fixture
def host(api, ca):
    made = Host(api, ca)
    yield made
    assert KEY not in made.log()
    remove(made.top)


def equal(host, api):
    assert host.emails() == api.emails()
    return True


@pytest.mark.smoke
def test_both_lists_become_one_with_reason_and_time(host, api):
    host.ctl("suppress", "add", "here@example.com", "both@example.com")
    for number, reason in enumerate((0, 1, 2, 3)):
        api.add(f"There{number}@Example.com", reason, created=time.time() - 100 * DAY * number - 5 * DAY)
    api.add("BOTH@example.com", 3, created=time.time() - 400 * DAY)
    counts = host.sync()
    assert counts["sent"] == 2 and equal(host, api)
    assert host.query("SELECT reason FROM suppression WHERE address = 'there2@example.com'") == [(2,)]
    (since,) = host.query("SELECT since_ms FROM suppression WHERE address = 'there3@example.com'")[0]
    assert abs(since / 1000 - (time.time() - 305 * DAY)) < 60
    assert host.sync()["sent"] == 0 and host.sync()["taken"] == 0 and equal(host, api)


def test_changes_go_both_ways(host, api):
    for number in range(300):
        api.add(f"u{number}@example.com", created=time.time() - number * DAY)
    host.sync()
    host.ctl("suppress", "del", "u1@example.com")
    host.ctl("suppress", "add", "new@example.com")
    api.entries.pop("u2@example.com")
    api.add("newer@example.com", 1)
    counts = host.sync()
    assert (counts["sent"], counts["removed"], counts["taken"]) == (2, 1, 1) and equal(host, api)
    assert "u1@example.com" not in api.emails() and "u2@example.com" not in host.emails()
    assert {"new@example.com", "newer@example.com"} < host.emails()


def test_a_removal_there_of_what_was_added_here_holds(host, api):
    host.ctl("suppress", "add", "here@example.com")
    host.sync()
    api.entries.clear()
    host.sync()
    assert host.emails() == set() == api.emails()
    host.sync()
    assert api.emails() == set()


@pytest.mark.parametrize("clock", [-7200, 7200])
def test_clocks_that_differ_lose_no_change(host, api, clock):
    api.clock = clock
    api.add("a@example.com")
    host.ctl("suppress", "add", "b@example.com")
    host.sync()
    assert equal(host, api)
    host.ctl("suppress", "del", "a@example.com")
    host.sync()
    assert equal(host, api) and "a@example.com" not in host.emails()
    api.add("a@example.com", 3)  # again, later in truth, earlier perhaps by its clock
    host.sync()
    assert equal(host, api) and "a@example.com" in host.emails()
    host.ctl("suppress", "del", "b@example.com")
    host.sync()
    assert equal(host, api) and "b@example.com" not in api.emails()


def test_pages_that_are_short_or_overlap_lose_nothing(host, api):
    for number in range(230):
        api.add(f"u{number}@example.com", created=time.time() - number * DAY)
    api.cap, api.overlap = 7, 3
    host.sync()
    assert equal(host, api)


def test_what_this_version_does_not_understand_is_not_gone(host, api):
    """Reasons of a later API: what was taken before stays here, at a pass over all and where one is looked up."""
    for number in range(20):
        api.add(f"u{number}@example.com", created=time.time() - number * DAY)
    host.sync()
    before = host.emails()
    for number, reason in enumerate((9, "hardBounce", -1, None, 2 ** 40)):
        api.entries[f"u{number}@example.com"]["reason"] = reason
    for options in ([], ["--confirm"]):
        counts = host.sync(*options)
        assert counts["removed"] == counts["waiting_for_confirmation"] == 0 and host.emails() == before
    api.half = True  # not shown, so looked up
    assert host.sync("--confirm")["removed"] == 0 and host.emails() == before


def test_half_a_list_removes_nothing(host, api):
    for number in range(250):
        api.add(f"u{number}@example.com", created=time.time() - number * DAY)
    host.sync()
    before = host.emails()
    api.half = True
    counts = host.sync(status=1)
    assert counts["waiting_for_confirmation"] == 125 and counts["removed"] == 0 and host.emails() == before
    assert "before sendpostctl sync --confirm says so" in host.log()
    assert host.sync("--confirm")["removed"] == 0 and host.emails() == before  # each was looked up, and is there
    api.half = False
    assert host.sync()["removed"] == 0 and equal(host, api)


def test_many_that_are_gone_wait_for_a_person(host, api):
    for number in range(200):
        api.add(f"u{number}@example.com", created=time.time() - number * DAY)
    host.sync()
    for number in range(50):
        api.entries.pop(f"u{number}@example.com")
    assert host.sync(status=1)["waiting_for_confirmation"] == 50
    assert len(host.emails()) == 200
    assert host.sync("--confirm")["removed"] == 50 and equal(host, api)
    assert host.sync()["waiting_for_confirmation"] == 0


@pytest.mark.parametrize("answer", [(429, {"Retry-After": "1"}, b"slow"), (500, {}, b"oops"), (200, {}, b"<html>"), (200, {}, b"{}"),
                                    (503, {}, b"")], ids=lambda answer: f"{answer[0]} {answer[2].decode()}")
def test_an_api_in_trouble_changes_nothing_and_is_asked_again(host, api, answer):
    for number in range(30):
        api.add(f"u{number}@example.com", created=time.time() - number * 9 * DAY)
    host.ctl("suppress", "add", "here@example.com")
    api.script = [answer, answer]
    host.sync()
    assert equal(host, api)
    api.script = [answer] * 1000
    done = host.ctl("sync")
    assert done.returncode == 1 and "what was done stays done" in done.stderr
    api.script = []
    host.sync()
    assert equal(host, api)


def test_what_the_api_refuses_holds_up_nothing_else(host, api):
    host.ctl("suppress", "add", "one@example.com", "two@example.com", "three@example.com", "@example.org")
    original = api.post_suppression

    def picky(query, body):
        if b"two@" in body:
            raise ValueError("two is not to my liking")
        return original(query, body)
    api.post_suppression = picky
    counts = host.sync()
    assert counts["refused"] == 1 and api.emails() == {"one@example.com", "three@example.com"}
    assert "suppression of <two@example.com> is not shared" in host.log()
    assert "two@example.com" in host.emails() and "@example.org" in host.emails()


def test_a_wrong_key_is_said(host, api):
    api.key = "another"
    done = host.ctl("sync")
    assert done.returncode == 1 and "HTTP 401" in done.stderr and "correct subaccount-api-key-file" in done.stderr


def test_a_kill_at_any_instant_goes_on_where_it_was(host, api):
    for number in range(400):
        api.add(f"u{number}@example.com", random.randrange(4), created=time.time() - number * 5 * DAY)
    host.ctl("suppress", "add", *[f"h{number}@example.com" for number in range(50)])
    api.cap = 11
    for number in range(12):
        process = host.start("sendpostctl", "sync")
        try:
            process.wait(timeout=0.05 + number * 0.03)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
    host.sync()
    assert equal(host, api) and len(host.emails()) == 450


def test_the_account_says_which_sender_domains_are_verified_and_what_their_bounces_are_called(host, api):
    host.tree["return-path"] = {"verify": "sendpost", "rewrite": True}
    host.write()
    api.domain("example.org", True)
    api.domain("old.example", True, host="sp-bounce.old.example", target="sp.sendpost.info")
    api.domain("bad.example", False)
    host.sync()
    for sender, words in (("a@sub.example.org", "@sp-bounces.example.org"), ("a@old.example", "@sp-bounce.old.example"),
                          ("a@bad.example", "without a verified return path"), ("a@none.example", "neither it nor a domain above it")):
        assert words in host.ctl("explain", "user@example.com", "--sender", sender).stdout
    api.domains.pop(0)
    host.sync()
    assert "neither it nor" in host.ctl("explain", "user@example.com", "--sender", "a@example.org").stdout
    with Unbound(["sp-bounces.example. CNAME way.example.", "way.example. CNAME sp.sendpost.email."]) as names:
        api.domain("example", True)
        api.domain("wrong.example", True)
        host.tree["dns"] = {"servers": [names.address], "timeout": "2s"}
        host.write()
        host.sync()
        found = [(line["status"], line["text"], line.get("remedy")) for line in json.loads(host.ctl("check", "--no-postfix", "--json").stdout)["checks"]
                 if line["check"] == "domains"]
        shown = {text.split(":")[0]: (status, text, remedy) for status, text, remedy in found}
        assert shown["example"][0] == "ok" and "sp-bounces.example leads to sp.sendpost.email, and SendPost has verified it" in shown["example"][1]
        assert shown["wrong.example"][0] == "warning" and shown["wrong.example"][2] == "publish  sp-bounces.wrong.example.  CNAME  sp.sendpost.email."
        assert shown["bad.example"][0] == "warning" and "mail from it is dropped" in shown["bad.example"][1]


def test_the_agent_does_it_by_itself(host, api):
    api.add("there@example.com")
    (host.top / "mail.log").write_text("")
    port = free_port()
    host.tree["listen"] = f"127.0.0.1:{port}"
    host.write()
    host.ctl("suppress", "add", "here@example.com")
    agent = host.start("sendpost-agent")
    try:
        wait_for(lambda: host.emails() == api.emails() and len(api.emails()) == 2, "one list")
        page = wait_for(lambda: (text := subprocess.run(["curl", "-s", f"http://127.0.0.1:{port}/metrics"], capture_output=True, text=True,
                                                        check=False).stdout) and "sync_failing 0" in text and text, "the metrics")
        assert "sendpost_agent_sync_unconfirmed 0" in page
    finally:
        agent.terminate()
        agent.communicate(timeout=240)


def test_the_stand_in_lists_by_type_as_the_description_says(api, ca):
    for kind, reason in (("manual", 0), ("unsubscribe", 1), ("hardBounce", 2), ("spamComplaint", 3)):
        api.add(f"{kind}@example.com", reason, created=time.time() - DAY)
    first, last = (time.strftime("%Y-%m-%d", time.gmtime(time.time() + days * DAY)) for days in (-2, 1))

    def listed(words):
        done = subprocess.run(["curl", "-s", "--capath", str(ca.hashed), "-H", f"X-SubAccount-ApiKey: {KEY}",
                               f"{api.url}/subaccount/suppression?from={first}&to={last}{words}"], capture_output=True, check=True)
        return json.loads(done.stdout)

    assert len(listed("")) == 4
    for kind in ("manual", "unsubscribe", "hardBounce", "spamComplaint"):
        assert [entry["email"] for entry in listed(f"&type={kind}")] == [f"{kind}@example.com"]
    assert listed("&type=hardBounce&search=MANUAL") == [] and "type is none of" in listed("&type=2")["message"]
