"""The status page of TPSPs in trouble, in a real browser: one that said "slower", one that asked for a pause, one that is left alone, and
logins with tokens, of which one is refused."""
import json
import os
import subprocess

import pytest

from oauth_servers import ACCOUNT, OidcProvider
from plain_relay import entry, send
from scripted_tpsp import ScriptedTpsp
from sendpost import Sendpost, build_directory
from support import end_process, free_port, listens, wait_for
from test_page_browser import By, cells, start_browser

SLOWER = "450 4.7.1 too many messages, slow down <script>alert(1)</script>"
PAUSE = "454 4.7.0 Throttling failure: Daily message quota exceeded."


class Site(Sendpost):
    """Four ways to be in trouble, each a pool of its own; and the agent, with the rights of who delivers."""

    def __init__(self, ca, provider, servers):
        super().__init__()
        self.servers, self.port = servers, free_port()
        tokens = {"host": "127.0.0.1", "port": 1, "username": ACCOUNT, "tls-ca-path": str(ca.hashed)}
        oauth = {"token-endpoint": f"{provider.issuer}/token", "client-id": "relay", "scope": "openid", "tls-ca-path": str(ca.hashed)}
        secrets = {name: self.secret_file(f"{name}.secret", secret) for name, secret in (("fresh", "relay-secret-5d0c"), ("refused", "wrong"))}
        tpsps = [entry(servers["slow"], "slow", max_rate_per_hour=1000), entry(servers["paused"], "paused", service="ses"),
                 entry(servers["away"], "away"),
                 *({"name": name, **tokens, "oauth": {**oauth, "client-secret-file": secret}} for name, secret in secrets.items())]
        self.configure(tpsps, listen=f"127.0.0.1:{self.port}", log_path=str(self.log_path), rate_limit_wait="0s",
                       pools=[{"name": tpsp["name"], "members": [tpsp["name"]]} for tpsp in tpsps])
        self.agent = subprocess.Popen([build_directory() / "sendpost-agent", "-c", self.config], user=self.uid, group=self.gid, extra_groups=[],
                                      env=self.env(), stderr=subprocess.DEVNULL)
        wait_for(lambda: listens(self.port) or self.agent.poll() is not None, "the agent to listen")

    def close(self):
        end_process(self.agent.pid)
        self.agent.wait()
        super().close()

    def try_to_send(self, pool, times):
        for _ in range(times):
            assert send(self, "user@example.com", "-p", pool)[0] == 75

    def link(self):
        done = subprocess.run([build_directory() / "sendpostctl", "-c", self.config, "ui", "--json"], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)["url"]


@pytest.fixture(scope="module")
def site(ca):
    if os.geteuid() != 0:
        pytest.skip("becoming the delivery user needs root")
    with OidcProvider(ca) as provider:
        servers = {name: ScriptedTpsp(auth="").__enter__() for name in ("slow", "paused", "away")}
        with Site(ca, provider, servers) as made:
            yield made
        for server in servers.values():
            server.__exit__(None, None, None)


@pytest.fixture(scope="module")
def browser(site):
    driver = start_browser()
    try:
        driver.get(site.link())
        yield driver
        assert driver.get_log("browser") == [], "nothing is complained about: no error, no breach of the policy"
    finally:
        driver.quit()


def tpsp(browser, name):
    """The text of its row, one blank between words."""
    rows = [" ".join(text.split()) for text in cells(browser, "#tpsps tr")]
    return next((row for row in rows if row.startswith(name)), "")


def findings(browser):
    return [" ".join(text.split()) for text in cells(browser, "ul.findings li")]


def test_before_anything_is_said_all_are_in_use(browser):
    wait_for(lambda: tpsp(browser, "slow"), "the row")
    for name in ("slow", "paused", "away"):
        assert "in use" in tpsp(browser, name) and "slowed down" not in tpsp(browser, name) and "paused for" not in tpsp(browser, name)


def test_a_tpsp_that_said_slower_is_shown_with_its_words_and_what_is_left_of_the_limit(site, browser):
    site.servers["slow"].script["mail"] = SLOWER
    site.try_to_send("slow", 3)
    row = wait_for(lambda: "slowed down" in tpsp(browser, "slow") and tpsp(browser, "slow"), "the word, without a reload")
    assert "slowed down to 50 %" in row and "450 4.7.1 too many messages, slow down <script>alert(1)</script>" in row
    assert "slowed down" not in tpsp(browser, "paused")


def test_a_pause_is_shown_with_its_end(site, browser):
    site.servers["paused"].script["mail"] = PAUSE
    site.try_to_send("paused", 2)
    row = wait_for(lambda: "paused for" in tpsp(browser, "paused") and tpsp(browser, "paused"), "the word, without a reload")
    assert "Daily message quota exceeded" in row and ("paused for 9 min" in row or "paused for 10 min" in row), row


def test_a_tpsp_that_is_left_alone_is_said_to_be_wrong_with_what_shows_more(site, browser):
    assert send(site, "user@example.com", "-p", "away")[0] == 0  # it has greeted us: silence is its own
    site.servers.pop("away").__exit__(None, None, None)

    def left_alone():
        send(site, "user@example.com", "-p", "away")
        return "left alone for" in tpsp(browser, "away")
    wait_for(left_alone, lambda: tpsp(browser, "away"), interval=0.2)
    (finding,) = [text for text in findings(browser) if "away is left alone after" in text]
    assert finding.startswith("Wrong:") and "sendpostctl test away" in finding


def test_tokens_are_shown_with_their_end_and_a_refused_one_as_wrong(browser):
    def ends():
        names, texts = cells(browser, "#expiry dt"), cells(browser, "#expiry dd")
        return dict(zip(names, texts))
    shown = wait_for(lambda: "good for" in ends().get("Token for fresh", "") and ends(), lambda: f"the token's end: {ends()}")
    assert shown["Token for refused"] == "there is none"
    finding = wait_for(lambda: [text for text in findings(browser) if "The login token for refused:" in text], "the finding")[0]
    assert finding.startswith("Wrong:") and "sendpostctl test refused" in finding and "fresh" not in finding


def test_the_state_counts_what_is_to_be_mended(site, browser):
    """The refused token, and the TPSP that is left alone: for a minute, which may be over, and then until the next failure."""
    def counted():
        send(site, "user@example.com", "-p", "away")
        grave = [text for text in findings(browser) if text.startswith("Wrong:")]
        state = browser.find_element(By.ID, "state").text
        return len(grave) >= 2 and state.startswith(f"{len(grave)} things have to be mended")
    wait_for(counted, lambda: (browser.find_element(By.ID, "state").text, findings(browser)), interval=0.2)
