"""Logins with OAuth tokens: a real OpenID provider, a TPSP that asks it about each token, and everything that can go wrong
between. Every failure is ours: deferred, no attempt, nothing bounced."""
import json
import os
import re
import signal
import subprocess
import threading
import time

import pytest

from oauth_servers import ACCOUNT, OidcProvider, TokenTpsp
from sendpost import Sendpost, build_directory
from support import free_port, wait_for

MESSAGE = b"From: a@example.org\r\nTo: b@example.com\r\nSubject: token\r\n\r\nhello\r\n"


@pytest.fixture(scope="module")
def module_provider(ca):
    with OidcProvider(ca) as provider:
        yield provider


@pytest.fixture
def provider(module_provider):
    module_provider.behave()
    yield module_provider
    module_provider.behave()


@pytest.fixture(scope="module")
def module_server(ca, module_provider, postfix_runs):
    with TokenTpsp(ca, module_provider) as server:
        yield server


@pytest.fixture
def server(module_server):
    module_server.postfix.forget()
    return module_server


class Account(Sendpost):
    def __init__(self, ca, provider, server):
        super().__init__()
        self.ca, self.provider, self.server = ca, provider, server
        self.oauth = {"token-endpoint": f"{provider.issuer}/token", "client-id": "relay", "scope": "openid offline_access",
                      "client-secret-file": self.secret_file("client-secret", "relay-secret-5d0c"),
                      "tls-ca-path": str(ca.hashed)}
        self.environment["SENDPOST_IDLE_SECONDS"] = "0"

    def login(self, token=None, **settings):
        if token:
            self.oauth["refresh-token-file"] = self.secret_file("refresh-token", token)
        entry = self.tpsp(self.server, self.ca, username=ACCOUNT, oauth=self.oauth, **settings)
        del entry["password-file"]
        self.configure([entry])

    def send(self, number=1, **options):
        return self.run("-q", f"Q{number}", "-f", "a@example.org", "--", f"user{number}@example.com", message=MESSAGE, **options)

    def token_file(self):
        path = self.state / "oauth/primary"
        return dict(line.split(" ", 1) for line in path.read_text().splitlines() if " " in line) if path.exists() else {}

    def age(self, **fields):
        """As if the token had been there for long: edits of the file."""
        path = self.state / "oauth/primary"
        text = "".join(line + "\n" if line.split(" ", 1)[0] not in fields else f"{line.split(' ', 1)[0]} {fields[line.split(' ', 1)[0]]}\n"
                       for line in path.read_text().splitlines())
        path.write_text(text)
        self.give(path, 0o600)

    def expire(self):
        self.age(expires=1, received=1)


@pytest.fixture
def account(ca, provider, server):
    made = Account(ca, provider, server)
    yield made
    secrets = [made.oauth.get("client-secret-file"), made.oauth.get("refresh-token-file")]
    for path in filter(None, secrets):
        assert open(path).read().strip() not in made.log(), "a secret is in the log"
    made.__exit__()


def delivered(done):
    assert done.returncode == 0 and done.stdout.startswith(b"2.0.0 "), done
    return True


def deferred(done, *words):
    assert done.returncode == 75, done
    for word in words:
        assert word.encode() in done.stdout, done
    return True


@pytest.mark.smoke
@pytest.mark.parametrize("auth", ["auto", "xoauth2", "oauthbearer"])
def test_a_refresh_token_logs_in_and_is_rotated(account, provider, server, auth):
    account.login(provider.refresh_token(), auth=auth)
    assert delivered(account.send(1)) and delivered(account.send(2)) and server.arrived(2)
    first = account.token_file()
    assert oct((account.state / "oauth/primary").stat().st_mode)[-3:] == "600"
    granted = provider.granted()
    account.expire()
    assert delivered(account.send(3)) and delivered(account.send(4)) and server.arrived(4)
    second = account.token_file()
    assert provider.granted() == granted + 1 and second["refresh"] != first["refresh"] and second["access"] != first["access"]


def test_client_credentials_need_no_login(account, provider, server):
    account.login()
    assert delivered(account.send()) and server.arrived(1)
    assert "refresh" not in account.token_file()


def test_a_refresh_token_that_comes_with_client_credentials_is_not_used(account, provider, server):
    """Or nothing could be done when the session behind it ends: nobody has logged in who could log in again."""
    account.login()
    provider.behave("generous")
    before = provider.order("count")
    assert delivered(account.send(1))
    assert {"refresh", "refresh-expires"}.isdisjoint(key for key, value in account.token_file().items() if value != "0")
    account.expire()
    assert delivered(account.send(2)) and server.arrived(2)
    after = provider.order("count")
    assert after["client_credentials"] == before.get("client_credentials", 0) + 2
    assert after.get("refresh_token", 0) == before.get("refresh_token", 0)


def test_a_refresh_token_that_an_older_version_kept_of_client_credentials_is_left_alone(account, provider, server):
    account.login()
    assert delivered(account.send(1))
    path = account.state / "oauth/primary"
    text = path.read_text().replace("\nreceived ", "\nrefresh of-a-session-that-has-ended\nreceived ")
    path.write_text("".join(line for line in text.splitlines(True) if line.split(" ")[0] not in ("refresh-for", "failure-for")))
    account.expire()
    assert delivered(account.send(2)) and server.arrived(2)
    assert "refresh" not in account.token_file()


def test_a_provider_that_wants_basic_authentication_gets_it(account, provider, server):
    account.oauth.update({"client-id": "basic", "client-secret-file": account.secret_file("client-secret", "basic-secret-5d0c")})
    account.login(provider.refresh_token("basic"))
    assert delivered(account.send()) and server.arrived(1)


def test_a_token_that_was_revoked_is_renewed_once_and_tried_again(account, provider, server):
    account.login(provider.refresh_token())
    assert delivered(account.send(1))
    provider.order("revoke", token=account.token_file()["access"])
    account.age(received=int(time.time() - 1000) * 1000)
    assert delivered(account.send(2)) and server.arrived(2)
    provider.order("revoke", token=account.token_file()["access"])
    granted = provider.granted()
    assert deferred(account.send(3)) and deferred(account.send(4))  # a fresh one that is refused: no storm of renewals
    assert provider.granted() == granted and len(account.events()) == 2


def test_fifty_processes_renew_one_token_once(account, provider, server):
    account.login(provider.refresh_token())
    assert delivered(account.send(0))
    granted = provider.granted()
    account.expire()
    results = []
    threads = [threading.Thread(target=lambda n=n: results.append(account.send(n))) for n in range(1, 51)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(delivered(done) for done in results) and server.arrived(51)
    assert provider.granted() == granted + 1


@pytest.mark.parametrize("as_, words", [("down", "HTTP 503"), ("lie", "without a token of type Bearer"), ("wordy", "invalid_request")])
def test_a_provider_in_trouble_defers_and_is_not_asked_again_at_once(account, provider, server, as_, words):
    account.login(provider.refresh_token())
    provider.behave(as_)
    assert deferred(account.send(1), "4.7.0", "no OAuth token for tpsp primary", words)
    assert deferred(account.send(2), "not asked again for")
    assert server.arrived(0) and account.events() == []
    provider.behave()
    account.age(**{"next-try": 0})
    assert delivered(account.send(2)) and server.arrived(1)
    assert "relay-secret" not in account.log()


def test_what_a_provider_echoes_of_a_rotated_token_is_not_shown(account, provider, server):
    account.login(provider.refresh_token())
    assert delivered(account.send(1))
    account.expire()
    provider.behave("wordy")
    done = account.send(2)
    assert deferred(done, "invalid_request", "grant_type=refresh_token")
    held = account.token_file()
    assert held["refresh"] not in done.stdout.decode() + held["error"] + account.log()


def test_what_a_provider_echoes_of_a_long_token_is_not_shown_in_part(account, provider, server):
    token = "".join(f"{number:03}-" for number in range(400))
    account.login(token)
    provider.behave("wordy")
    done = account.send(1)
    assert deferred(done, "invalid_request", "grant_type=refresh_token")
    assert token[:4] not in done.stdout.decode() + account.token_file()["error"] + account.log()


def test_while_the_token_is_good_trouble_of_the_provider_is_none(account, provider, server):
    account.login(provider.refresh_token())
    assert delivered(account.send(1))
    now = int(time.time() * 1000)
    account.age(received=now - 3500 * 1000, expires=now + 100 * 1000)
    for as_ in ("down", "lie"):
        provider.behave(as_)
        account.age(**{"next-try": 0})
        assert delivered(account.send(2 if as_ == "down" else 3))
    assert server.arrived(3)


def test_a_provider_that_is_silent_costs_its_deadline_and_the_message_stays(account, provider, server):
    account.login(provider.refresh_token())
    account.configure(json.loads(account.config.read_text())["tpsps"], delivery_timeout="8s")
    provider.behave("silent")
    assert deferred(account.send(1), "no answer in time")
    provider.behave()
    account.age(**{"next-try": 0})
    assert delivered(account.send(1))


def test_a_rotated_token_that_was_lost_on_its_way_needs_one_new_login(account, provider, server):
    account.login(provider.refresh_token())
    assert delivered(account.send(1))
    account.expire()
    provider.behave("lose")
    assert deferred(account.send(2))
    provider.behave()
    account.age(**{"next-try": 0})
    assert deferred(account.send(2), "invalid_grant", "log in again")
    account.login(provider.refresh_token())  # the new seed counts, whatever the state directory holds
    assert delivered(account.send(2)) and server.arrived(2)


@pytest.mark.parametrize("key, wrong, words", [
    ("token-endpoint", "/tokem", "invalid_request"), ("client-id", "nobody", "invalid_client"),
    ("client-secret-file", "mistyped", "invalid_client"), ("scope", "openid nonsense", "invalid_scope")])
def test_a_setting_that_was_wrong_for_a_while_costs_no_login(account, provider, server, key, wrong, words):
    account.login(provider.refresh_token())
    assert delivered(account.send(1))
    right, before = account.oauth[key], account.token_file()
    if key == "token-endpoint":
        wrong = provider.issuer + wrong
    account.oauth[key] = account.secret_file("wrong-secret", wrong) if key == "client-secret-file" else wrong
    account.login()
    assert deferred(account.send(2), words)
    account.age(**{"next-try": int(time.time() + 200) * 1000})
    assert deferred(account.send(2), "not asked again for")  # all the same
    account.oauth[key] = right
    account.login()
    granted = provider.granted()
    assert delivered(account.send(2)) and provider.granted() == granted  # the token is as good as before
    assert account.token_file()["refresh"] == before["refresh"]
    account.expire()
    assert delivered(account.send(3)) and server.arrived(3)


def test_another_scope_goes_on_with_the_login_there_was(account, provider, server):
    account.login(provider.refresh_token())
    assert delivered(account.send(1))
    account.oauth["scope"] = "openid"
    account.login()
    granted = provider.granted()
    assert delivered(account.send(2)) and server.arrived(2)
    assert provider.granted() == granted + 1  # what was given for another scope is not used


def test_without_room_for_the_new_token_the_provider_is_not_asked(account, provider, server):
    account.login(provider.refresh_token())
    assert delivered(account.send(1))
    granted = provider.granted()
    account.expire()
    (account.state / "oauth").chmod(0o500)
    assert deferred(account.send(2), "4.3.0", "cannot be kept")
    assert provider.granted() == granted
    (account.state / "oauth").chmod(0o700)
    assert delivered(account.send(2))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_that_cannot_be_read_is_not_replaced(account, provider, server):
    account.login(provider.refresh_token())
    assert delivered(account.send(1))
    account.expire()
    path, granted = account.state / "oauth/primary", provider.granted()
    os.chown(path, 0, 0)  # as a copy that was brought back by root
    assert deferred(account.send(2), "4.3.0", "oauth/primary in state-dir", "Permission denied")
    assert provider.granted() == granted
    account.give(path, 0o600)
    assert delivered(account.send(2)) and server.arrived(2)


def test_a_kill_at_any_instant_of_a_renewal_loses_at_most_one_login(account, provider, server):
    account.login(provider.refresh_token())
    assert delivered(account.send(0))
    logins = 0
    for delay in [number * 0.004 for number in range(25)]:
        account.expire()
        started = subprocess.Popen([str(account.program), "-c", str(account.config), "-q", "QK", "-f", "a@example.org", "--",
                                    "k@example.com"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env=account.env(), cwd="/", user=account.uid, group=account.gid, extra_groups=[],
                                   start_new_session=True)
        started.stdin.write(MESSAGE)
        started.stdin.close()
        time.sleep(delay)
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()
        for pid in account.leftovers():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_for(lambda: not account.leftovers(), "the killed")
        account.age(**{"next-try": 0})
        done = account.send(1000 + int(delay * 1000))
        if done.returncode == 75:
            assert b"invalid_grant" in done.stdout, done
            account.login(provider.refresh_token())
            logins += 1
            assert delivered(account.send(2000 + int(delay * 1000)))
    assert logins < 25


@pytest.mark.parametrize("damage", ["", "sendpost-oauth 1\n", "\x00" * 100, "sendpost-oauth 1\nfor x\naccess y\nend\n", "x" * 100000])
def test_a_damaged_token_file_is_as_none(account, provider, server, damage):
    account.login()
    assert delivered(account.send(1))
    path = account.state / "oauth/primary"
    path.write_text(damage)
    account.give(path, 0o600)
    assert delivered(account.send(2)) and server.arrived(2)


def test_the_dialogue_shows_no_secret(account, provider, server):
    token = provider.refresh_token()
    account.login(token)
    done = account.send(1, environment={})
    assert delivered(done)
    account.expire()
    done = account.run("-v", "-q", "Q2", "-f", "a@example.org", "--", "b@example.com", message=MESSAGE)
    assert delivered(done)
    held = account.token_file()
    for secret in (token, held["access"], held["refresh"], "relay-secret-5d0c"):
        assert secret.encode() not in done.stderr and secret not in account.log()
    assert b"POST /token HTTP/1.1" in done.stderr


# --- people, and the agent --------------------------------------------------------------------------------------------------


def ctl(account, *arguments, **options):
    return account.run(*arguments, program=account.libexec / "sendpostctl", **options)


def minutes_of(said):
    """Of an hour, which is whole for a moment."""
    found = re.search(rb"a token for (\d+) min more", said)
    return found and int(found[1])


def test_check_and_status_say_how_the_token_is(account, provider, server):
    account.login(provider.refresh_token())
    done = ctl(account, "status")
    assert b"no token now" in done.stdout
    began = time.monotonic()
    done = ctl(account, "check", "--json")
    lines = [line for line in done.stdout.decode().splitlines() if "token" in line.lower()]
    left = range(int(3599 - (time.monotonic() - began)) // 60, 61)
    assert minutes_of(done.stdout) in left and minutes_of(ctl(account, "status").stdout) in left, lines
    account.expire()
    provider.behave("down")
    assert b"no OAuth token for tpsp primary" in ctl(account, "check").stdout
    assert b"the last renewal failed: HTTP 503" in ctl(account, "status").stdout


class RunningAgent:
    def __init__(self, account):
        log = account.top / "mail.log"
        log.write_text("")
        account.give(log, 0o644)
        self.account, self.port = account, free_port()
        self.configure()
        self.process = subprocess.Popen([str(build_directory() / "sendpost-agent"), "-c", str(account.config)], env=account.env(),
                                        user=account.uid, group=account.gid, extra_groups=[], cwd="/")

    def configure(self):
        """As login() wrote it, with what the agent needs."""
        self.account.configure(json.loads(self.account.config.read_text())["tpsps"], log_path=str(self.account.top / "mail.log"),
                               listen=f"127.0.0.1:{self.port}")

    def page(self, path):
        return subprocess.run(["curl", "-s", f"http://127.0.0.1:{self.port}{path}"], capture_output=True, text=True, check=False).stdout

    def token_ends(self):
        """As the agent sees it."""
        said = self.page("/health")
        return json.loads(said)["oauth"][0]["expires"] if '"oauth"' in said else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(timeout=240) == 0


def test_the_agent_renews_before_a_delivery_has_to(account, provider, server):
    account.login(provider.refresh_token())
    with RunningAgent(account) as agent:
        wait_for(lambda: "access" in account.token_file(), "a token without any delivery")
        page = wait_for(lambda: agent.page("/metrics") if 'oauth_failing{tpsp="primary"} 0' in agent.page("/metrics") else None,
                        "the token in the metrics")
        assert 'sendpost_agent_oauth_token_expires_timestamp_seconds{tpsp="primary"} ' in page
        assert json.loads(agent.page("/health"))["oauth"][0]["tpsp"] == "primary"
    granted = provider.granted()
    assert delivered(account.send(1)) and provider.granted() == granted


def test_a_new_login_is_not_lost_to_an_agent_that_has_read_the_old_one(account, provider, server):
    """Nobody tells the agent of the new login. What the old one has come to is of no use any more: it was exchanged."""
    account.login(provider.refresh_token())
    with RunningAgent(account) as agent:
        first = wait_for(agent.token_ends, "a token by the old login")
        account.login(provider.refresh_token())
        agent.configure()
        assert b"a token for " in ctl(account, "check").stdout  # the new login is exchanged, by whom ever
        kept = account.token_file()
        wait_for(lambda: agent.token_ends() not in (None, first), "the new token in the agent's eyes")
    assert account.token_file()["refresh"] == kept["refresh"]
    account.expire()
    assert delivered(account.send(1)) and server.arrived(1)


def test_a_first_login_needs_no_browser_on_this_machine(account, provider, server):
    token_path = account.top / "made-by-setup"
    account.oauth.update({"refresh-token-file": str(token_path), "device-endpoint": f"{provider.issuer}/device/auth"})
    account.login()
    assert deferred(account.send(1), "there was no login yet; run sendpostctl setup --oauth")
    account.top.chmod(0o777)
    setup = subprocess.Popen([str(account.libexec / "sendpostctl"), "-c", str(account.config), "setup", "--oauth", "primary"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=account.env(), user=account.uid,
                             group=account.gid, extra_groups=[], cwd="/")
    line = setup.stdout.readline()
    assert f"{provider.issuer}/device" in line, (line, setup.communicate())
    provider.order("approve", code=line.split()[-1])
    out, err = setup.communicate(timeout=240)
    assert setup.returncode == 0, err
    assert str(token_path) in out and oct(token_path.stat().st_mode)[-3:] in ("600", "640")
    assert delivered(account.send(1)) and server.arrived(1)
