"""Who comes from SendPost's own agent finds its configuration read and its options understood; and keys that systemd hands over."""
import json
import subprocess
from pathlib import Path

import pytest

from agent_runner import Agent
from event_api import EventApi
from reporting import KEY, Reporting
from sendpost import build_directory
from support import wait_for
from test_ctl_setup import KEY as SETUP_KEY, Machine
from scripted_tpsp import ScriptedTpsp

UUID = "00000000-0000-5000-8000-000000000001"
LOG = (f"Nov 23 06:00:00 mx postfix/cleanup[1]: 4bAAAA1: info: header X-Sendpost-Message-UUID: {UUID} from local; from=<a@example.org> "
       "to=<b@example.com>\n")


@pytest.fixture
def machine():
    from support import remove
    made = Machine()
    yield made
    remove(made.top)


def theirs(machine, **keys):
    path = machine.top / "theirs.yaml"
    path.write_text("# SendPost agent\n" + "".join(f"{key.replace('_', '-')}: {json.dumps(value)}\n" for key, value in keys.items()))
    path.chmod(0o600)
    return path


def test_setup_imports_what_their_agent_was_told(machine):
    log = machine.top / "maillog"
    log.write_text("")
    path = theirs(machine, api_key=SETUP_KEY, mta="postfix", endpoint="https://127.0.0.1:9/events", log_path=str(log), batch_size=50,
                  tracing={"on": True})
    with ScriptedTpsp() as server:
        done = machine.run("--batch", f"--import={path}", "--no-test", *machine.options(server, endpoint=None))
    assert done.returncode == 0, done
    text = machine.config.read_text()
    assert f'log-path: "{log}"' in text and 'endpoint: "https://127.0.0.1:9/events"' in text and SETUP_KEY not in text
    assert (machine.etc / "event-api-key").read_text() == SETUP_KEY + "\n"


@pytest.mark.parametrize("keys, words", [({"mta": "exim"}, "another mail server than Postfix"), ({"api-key": ["x"]}, "api-key: must be")])
def test_what_cannot_be_imported_is_said_and_nothing_written(machine, keys, words):
    with ScriptedTpsp() as server:
        done = machine.run("--batch", f"--import={theirs(machine, **keys)}", "--no-test", *machine.options(server))
    assert done.returncode == 1 and words.split(":")[0] in done.stderr and machine.files() == []


def test_the_agent_takes_their_options_and_hides_the_key(ca):
    with EventApi(ca, key=KEY) as api:
        agent = Agent()
        try:
            other = agent.top / "other.log"
            other.write_text("")
            agent.configure(report={"tls-ca-path": str(ca.hashed)}, flush_interval="1s")
            with Reporting(api.url, ca) as account:  # a pending event in the agent's store
                account.state.rename(account.top / "own")
                agent.state.rmdir()
                account.state.symlink_to(agent.state)
                agent.state.mkdir(mode=0o750)
                account.add(1)
                agent.start("--api-key", KEY, "--mta", "postfix", "--endpoint", api.url, f"--log-path={other}")
                api.wait_events(1)
                command = Path(f"/proc/{agent.process.pid}/cmdline").read_bytes()
                assert KEY.encode() not in command and b"--mta" in command
                assert agent.health()["log"]["path"] == str(other)
        finally:
            agent.stop()


@pytest.mark.parametrize("option, words", [("--mta=exim", "--mta names"), ("--endpoint=ftp://x/", "--endpoint is no URL"),
                                           ("--endpoint=http://example.com/", "unencrypted"), ("--log-path=mail.log", "--log-path is no absolute"),
                                           ("--api-key=two words", "--api-key holds a space"), ("--api-key=", "--api-key is empty")])
def test_an_option_that_cannot_be_used_is_named(option, words):
    agent = Agent()
    try:
        done = subprocess.run([build_directory() / "sendpost-agent", "-c", agent.config, "--once", option], env=agent.environment(),
                              capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == 75 and words in done.stderr
    finally:
        agent.stop()


def test_a_credential_is_the_agents_and_the_others_leave_events_to_it(ca):
    with EventApi(ca, key=KEY) as api, Reporting(api.url, ca) as account:
        credentials = account.top / "credentials"
        credentials.mkdir()
        (credentials / "events").write_text(KEY + "\n")
        (credentials / "events").chmod(0o400)
        tree = json.loads(account.config.read_text())
        account.config.write_text(json.dumps({**tree, "api-key-file": "cred:events"}))
        result = account.one(1)
        assert result["result"] == "kept" and "credential of sendpost-agent" in result["last_error"] and api.requests == []
        assert account.pauses() == []
        done = account.run("tests/integration/event_probe", account.config, "pending", 60000,
                           environment={"CREDENTIALS_DIRECTORY": str(credentials)})
        assert '"result":"done"' in done.stdout and len(api.events) == 1
        account.config.write_text(json.dumps({**tree, "api-key-file": "cred:../key"}))
        done = account.flush()
        assert "names no credential; the form is cred:NAME" in done.stderr
