"""sendpostctl setup where the provider wants OAuth tokens: by somebody at a terminal, with a browser elsewhere. A real OpenID provider, and a
TPSP that asks it about each token."""
import os
import re

import pytest
import yaml

from oauth_servers import ACCOUNT
from scripted_tpsp import ScriptedTpsp
from sendpost import USER, build_directory
from test_ctl_setup import machine  # noqa: F401 (fixture)
from test_oauth import module_provider, module_server, provider, server  # noqa: F401 (fixtures)
from typist import Typist

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes another CA the system's")
CTL = build_directory() / "sendpostctl"
SECRET = "relay-secret-5d0c"


class Hand(Typist):
    """Who enters the codes that are shown at the provider, and remembers them."""

    def __init__(self, *command, provider, **more):  # noqa: F811
        self.provider, self.codes = provider, []
        super().__init__(*command, **more)

    def prompt(self):
        for code in re.findall(r"and enter the code (\S+)\r?\n", self.seen):
            if code not in self.codes:
                self.codes.append(code)
                self.provider.order("approve", code=code)
        return super().prompt()


def typed(machine, provider, ca, answers, *arguments):  # noqa: F811
    """setup on a machine that trusts the test CA, to its end."""
    hand = Hand("unshare", "--mount", "sh", "-c", f'mount --bind {ca.hashed} /etc/ssl/certs && exec "$@"', "sh", CTL, "-c", machine.config, "setup",
                f"--user={USER}", *arguments, env=dict(os.environ), answers=answers, provider=provider)
    status = hand.work()
    assert SECRET not in hand.seen
    return hand, status


def first_answers(port, **more):
    return {"SendPost account id": ["117"], "SendPost sub-account id": ["4321"], "Name for": [""], "Its id": ["12"], "SMTP server": ["localhost"],
            "Port": [str(port)], "Security": ["starttls"], "Username": [ACCOUNT], "Messages an hour": [""], "Event API key": [""],
            "Send a test message to": ["me@example.com"], "Add the transport": ["n"], **more}


def section(machine):  # noqa: F811
    return yaml.safe_load(machine.config.read_text())["tpsps"][0]["oauth"]


def owners(machine):  # noqa: F811
    return {path.owner() for path in machine.state.rglob("*")}


def test_the_first_login_is_a_part_of_the_dialogue_and_a_mistake_costs_no_answer_that_was_right(machine, provider, server, ca):  # noqa: F811
    """Four mistakes: a provider that is none, an endpoint that is no URL, the wrong client, the wrong recipient."""
    once = first_answers(server.port)
    hand, status = typed(machine, provider, ca, {
        **once, "Send a test message to": ["nobody", "me@example.com"], "Password (empty: OAuth)": [""], "Who gives": ["yahoo", "other", ""],
        "Token endpoint": ["example.com", f"{provider.issuer}/token", ""], "Device authorization": [f"{provider.issuer}/device/auth", ""],
        "Scope": ["openid offline_access", ""], "Client id": ["wrong", "relay"], "Client secret": [SECRET, ""], "What now?": [""]},
        f"--state-dir={machine.state}", "--endpoint=none")
    assert status == 0, hand.seen
    assert "one of microsoft, google and other is needed" in hand.seen and "a URL is needed (https://" in hand.seen
    assert "begins no login: invalid_client" in hand.seen and "The message was accepted." in hand.seen, hand.seen
    assert {prompt: hand.asked.count(prompt) for prompt in once} == {**{prompt: 1 for prompt in once}, "Send a test message to": 2}
    assert len(hand.codes) == 1 and server.arrived(1)
    assert section(machine) == {"token-endpoint": f"{provider.issuer}/token", "device-endpoint": f"{provider.issuer}/device/auth",
                                "scope": "openid offline_access", "client-id": "relay", "client-secret-file": f"{machine.etc}/primary.client-secret",
                                "refresh-token-file": f"{machine.etc}/primary.refresh-token"}
    assert machine.files() == ["config.yaml", "primary.client-secret", "primary.refresh-token", "uuid-key"]
    assert {(machine.etc / name).stat().st_mode & 0o777 for name in machine.files()} == {0o640}
    assert owners(machine) == {USER}  # the token that the test has used, too

    kept = machine.config.read_text(), (machine.etc / "primary.refresh-token").read_text()
    granted = provider.granted()
    again, status = typed(machine, provider, ca, {prompt: [""] for prompt in [*once, "Password (empty: OAuth)", "Who gives", "Token endpoint",
                                                                             "Device authorization", "Scope", "Client id", "Client secret"]
                                                  if prompt != "Name for"} | {"Send a test message to": ["me@example.com"], "Add the transport": ["n"]})
    assert status == 0 and not again.codes, again.seen
    assert (machine.config.read_text(), (machine.etc / "primary.refresh-token").read_text()) == kept and provider.granted() == granted


def test_a_new_login_that_is_not_written_leaves_the_one_that_there_is(machine, provider, server, ca):  # noqa: F811
    tokens = {"Password (empty: OAuth)": [""], "Who gives": ["other"], "Token endpoint": [f"{provider.issuer}/token"],
              "Device authorization": [f"{provider.issuer}/device/auth"], "Scope": ["openid offline_access"], "Client id": ["relay"],
              "Client secret": [SECRET]}
    hand, status = typed(machine, provider, ca, {**first_answers(server.port), **tokens}, f"--state-dir={machine.state}", "--endpoint=none")
    assert status == 0 and len(hand.codes) == 1 and server.arrived(1), hand.seen
    kept = [path.read_bytes() for path in (machine.config, machine.etc / "primary.refresh-token", machine.state / "oauth/primary")]
    chain, key = ca.issue("tpsp.test")
    with ScriptedTpsp(security="starttls", chain=chain, key=key, tls_ehlo=["250-scripted", "250 AUTH XOAUTH2 OAUTHBEARER"], auth="235 2.7.0 Welcome",
                      rcpt="550 5.7.1 not from you") as tpsp:
        again, status = typed(machine, provider, ca, {
            **{prompt: [""] for prompt in [*first_answers(1), *tokens] if prompt != "Name for"}, "Port": [str(tpsp.port)],
            "Send a test message to": ["me@example.com"], "What now?": ["l", "q"]})
    assert status == 1 and len(again.codes) == 1 and "Logged in." in again.seen and len(tpsp.connections) == 2, again.seen
    assert kept == [path.read_bytes() for path in (machine.config, machine.etc / "primary.refresh-token", machine.state / "oauth/primary")]
    assert os.listdir(machine.state / "oauth") == ["primary"] and owners(machine) == {USER}


def test_a_server_that_takes_no_password_leads_to_the_tokens(machine, provider, ca):  # noqa: F811
    chain, key = ca.issue("tpsp.test")
    with ScriptedTpsp(security="starttls", chain=chain, key=key, tls_ehlo=["250-scripted", "250 AUTH XOAUTH2 OAUTHBEARER"], auth="235 2.7.0 Welcome") as tpsp:
        hand, status = typed(machine, provider, ca, {
            **first_answers(tpsp.port), "Password (empty: OAuth)": ["word"], "Who gives": ["other"], "Token endpoint": [f"{provider.issuer}/token"],
            "Device authorization": [f"{provider.issuer}/device/auth"], "Scope": ["openid offline_access"], "Client id": ["relay"],
            "Client secret": [SECRET]}, f"--state-dir={machine.state}", "--endpoint=none")
    assert status == 0 and len(hand.codes) == 1 and len(tpsp.messages) == 1, hand.seen
    assert "This server takes OAuth tokens, and no password." in hand.seen
    assert machine.files() == ["config.yaml", "primary.client-secret", "primary.refresh-token", "uuid-key"]


def test_a_password_gives_way_to_tokens_and_comes_back(machine, provider, server, ca):  # noqa: F811
    done = machine.run("--batch", "--no-test", *machine.options(server, security="starttls", host="localhost"), f"--username={ACCOUNT}",
                       f"--password-file={machine.top}/password")
    assert done.returncode == 0, done.stderr
    before = machine.config.read_text()
    same = {prompt: [""] for prompt in first_answers(1) if prompt != "Name for"} | {"Send a test message to": ["me@example.com"], "Add the transport": ["n"]}
    hand, status = typed(machine, provider, ca, {
        **same, "Password (empty: OAuth) [kept as it is; -: OAuth]": ["-"], "Who gives": [""], "Token endpoint": [f"{provider.issuer}/token"],
        "Device authorization": [f"{provider.issuer}/device/auth"], "Scope": ["openid offline_access"], "Client id": ["relay"],
        "Client secret": [SECRET]})
    assert status == 0 and len(hand.codes) == 1 and server.arrived(1), hand.seen
    assert "password" not in machine.config.read_text() and section(machine)["client-id"] == "relay"
    done = machine.run("--no-test", f"--user={USER}", f"--password-file={machine.top}/password", stdin="\n" * 9 + "n\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(machine.config.read_text().splitlines()) == sorted(before.splitlines())


@pytest.mark.parametrize("options, written", [
    (["--oauth-provider=microsoft", "--username=news@example.com"],
     {"token-endpoint": "https://login.microsoftonline.com/example.com/oauth2/v2.0/token",
      "device-endpoint": "https://login.microsoftonline.com/example.com/oauth2/v2.0/devicecode",
      "scope": "https://outlook.office.com/SMTP.Send offline_access", "client-id": "id", "refresh-token-file": "primary.refresh-token"}),
    (["--oauth-provider=google", "--username=news@example.com", "--oauth-refresh-token-file=password"],
     {"token-endpoint": "https://oauth2.googleapis.com/token", "scope": "https://mail.google.com/", "client-id": "id",
      "refresh-token-file": "primary.refresh-token"})], ids=["microsoft", "google"])
def test_unattended_each_provider_is_written_as_it_documents_it(machine, server, options, written):  # noqa: F811
    done = machine.run("--batch", "--no-test", *machine.options(server, security="starttls"), "--oauth-client-id=id", *options)
    assert done.returncode == 0, done.stderr
    assert section(machine) == {key: f"{machine.etc}/{value}" if key.endswith("-file") else value for key, value in written.items()}
    assert machine.check().returncode == 0, machine.check().stdout


@pytest.mark.parametrize("options, text", [
    (["--oauth-provider=yahoo"], "--oauth-provider: one of microsoft, google and other is needed"),
    (["--oauth-provider=google", "--oauth-client-id=id"], "--oauth-refresh-token-file: an answer is needed"),
    (["--oauth-provider=other"], "--oauth-token-endpoint is needed with --batch"),
    ([], "--password-file is needed with --batch")])
def test_unattended_what_is_missing_is_said(machine, server, options, text):  # noqa: F811
    done = machine.run("--batch", "--no-test", *machine.options(server, security="starttls"), f"--username={ACCOUNT}", *options)
    assert done.returncode == 64 and text in done.stderr, done.stderr
    assert machine.files() == []
