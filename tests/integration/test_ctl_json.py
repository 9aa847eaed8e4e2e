"""JSON of sendpostctl has one layout: every command is run, and every value of what it prints is looked at, by rules that know nothing of
the command. The keys are those of the section JSON of sendpostctl(8)."""
import json
import os
import re
import subprocess

import pytest

from private_postfix import PrivatePostfix
from scripted_tpsp import ScriptedTpsp
from sendpost import USER, Sendpost, build_directory
from sendpost_api import SendPostApi
from support import TOP, end_process, free_port, listens, wait_for

MESSAGE = b"From: a@example.org\r\nMessage-ID: <id@example.org>\r\nSubject: hello\r\n\r\nhello\r\n"
KEY = "subaccount-key-4e1a"
RFC3339 = re.compile(r"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
TIMES = {"at", "until", "since", "timestamp", "next_attempt", "expires", "login_needed"}
TWO_TYPES = {"messages": {"number", "list"}}  # how many, and, of trace, which
WORDS = {"event_type": {"delivered", "sent", "deferred", "dropped", "bounced", "soft_bounced"},
         "cs_event": {"CSSent", "CSDelivered", "CSDeferred", "CSDropped", "CSHardBounced", "CSSoftBounced"}}
STATES = {"pending", "reported", "rejected", "local",  # of an event
          "due", "waiting", "held", "queued", "gone", *WORDS["event_type"],  # of a message
          "closed", "try", "open"}  # of a TPSP


class Number(str):
    """A number as it is written."""


def glossary():
    text = (TOP / "man/sendpostctl.8").read_text()
    section = re.search(r"(?ms)^\.Sh JSON\n(.*?)^\.Sh ", text)[1]
    return {key for line in re.findall(r"(?m)^\.It (.*)$", section) for key in re.findall(r"[a-z][a-z0-9_]*", line.replace("Li ", ""))}


def each(value, key=None):
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name, inner
            yield from each(inner, name)
    elif isinstance(value, list):
        for inner in value:
            if not isinstance(inner, (dict, list)):
                yield key, [inner]
            yield from each(inner, key)


def kind(value):
    return "number" if isinstance(value, Number) else "flag" if isinstance(value, bool) else "text" if isinstance(value, str) else type(value).__name__


def faults(value):
    """What is against the rules in one output."""
    for key, inner in each(value):
        shown = f"{key}: {inner!r}"
        if not re.fullmatch(r"[a-z][a-z0-9_]*", key):
            yield f"{shown}: is no name"
        if isinstance(inner, Number) and not re.fullmatch(r"-?\d+(\.\d{1,3})?", inner):
            yield f"{shown}: says more than is known"
        if inner == "" and not isinstance(inner, Number):
            yield f"{shown}: what is not known is null"
        if isinstance(inner, str) and re.match(r"\d{4}-\d\d-\d\d|\w{3} +\d+ \d\d:", inner) and not RFC3339.fullmatch(inner):
            yield f"{shown}: is no time of RFC 3339"
        if (key in TIMES or key.endswith("_at")) and inner is not None and not RFC3339.fullmatch(str(inner)):
            yield f"{shown}: is no time of RFC 3339"
        if re.search(r"(^|_)(seconds|bytes|ms|us|limit|count)$", key) and inner is not None and not isinstance(inner, Number):
            yield f"{shown}: is no number"
        if key in WORDS and inner not in WORDS[key] or key == "state" and inner not in STATES:
            yield f"{shown}: is no word of ours"


@pytest.mark.parametrize("value, found", [
    ({"seconds": Number("0.13700000000000001")}, "says more"), ({"since": "1970-01-01T00:00:00.000Z"}, "RFC 3339"), ({"x": [{"y": ""}]}, "is null"),
    ({"last_at": "2026-11-26 10:00:00"}, "RFC 3339"), ({"event_type": "CSDropped"}, "no word"), ({"ms": "3 ms"}, "no number"), ({"A-b": None}, "no name")])
def test_the_rules_find_what_is_against_them(value, found):
    assert any(found in fault for fault in faults(value))


class Site:
    def __init__(self, installation, environment):
        self.installation, self.environment, self.outputs = installation, environment, []

    def run(self, *arguments):
        done = subprocess.run([str(build_directory() / "sendpostctl"), "-c", str(self.installation.config), *map(str, arguments), "--json"],
                              capture_output=True, text=True, check=False, timeout=240, env={**os.environ, **self.environment})
        assert done.returncode in (0, 1) and done.stdout, (arguments, done)
        value = json.loads(done.stdout, parse_float=Number, parse_int=Number)
        self.outputs.append((arguments, value))
        return value


@pytest.fixture(name="site")
def fixture_site(ca):
    """Two TPSPs, mail of every kind, an agent, Postfix, SendPost's API."""
    def rcpt(connection):
        line = connection.recipient
        connection.reply("550 5.1.1 no such user" if b"bad" in line else "451 4.3.0 later" if b"slow" in line else "250 2.1.5 Ok")

    with (Sendpost() as installation, ScriptedTpsp(rcpt=rcpt) as server, ScriptedTpsp(mail="530 5.7.0 Authentication required") as strict,
          SendPostApi(ca, KEY) as api):
        plain = {"host": "127.0.0.1", "security": "none", "auth": "none"}
        tpsps = [{**plain, "name": "primary", "id": 12, "port": server.port, "rates": ["7/m"], "max-connections": 4,
                  "warm-up": {"start": "2020-01-01", "plan": [50, 100]}, "provider-rates": {"gmail": 5, "default": 0}},
                 {**plain, "name": "strict", "id": 13, "port": strict.port, "shadow": ["global"]}]
        settings = {"listen": f"127.0.0.1:{free_port()}", "retry": {"schedule": ["1h"]},
                    "pools": [{"name": "default", "members": [{"tpsp": "primary"}]}, {"name": "strict", "members": [{"tpsp": "strict"}]}],
                    "sendpost-api": {"endpoint": api.url, "subaccount-api-key-file": installation.secret_file("subaccount-key", KEY),
                                     "sync": ["suppression"], "interval": "10s", "tls-ca-path": str(ca.hashed)}}
        installation.configure(tpsps, **settings)
        main = installation.main_cf("transport_maps = inline:{{strict.example=sendpost:strict}}\n")
        with PrivatePostfix(main=main, master=installation.master_cf(), backoff="") as postfix:
            installation.configure(tpsps, **settings, log_path=str(postfix.log_path))
            agent = subprocess.Popen([build_directory() / "sendpost-agent", "-c", installation.config, "--from-start"], user=installation.uid,
                                     stderr=subprocess.DEVNULL, env=installation.env())
            try:
                for recipient, end in (("one@example.com", "sent"), ("bad@example.com", "bounced"), ("slow@example.com", "deferred"),
                                       ("held@strict.example", "deferred")):
                    postfix.sendmail(MESSAGE, recipient)
                    wait_for(lambda: re.search(f"to=<{recipient}>.*status={end}", postfix.log()), f"{recipient} to be {end}")
                wait_for(lambda: listens(int(settings["listen"].split(":")[1])), "the agent")
                site = Site(installation, {"MAIL_CONFIG": str(postfix.etc)})
                site.postfix = postfix
                yield site
            finally:
                end_process(agent.pid)
                agent.wait()


def test_every_command_keeps_to_the_rules(site):
    top = site.installation.top
    (top / "list.csv").write_text("three@example.com\n")
    waiting = site.run("deliveries")[0]["queue_id"]
    site.run("status")
    site.run("rates")
    site.run("top")
    site.run("suspend", "primary/gmail", "--for", "1h", "--reason", "maintenance")
    site.run("suspend")
    site.run("status")
    site.run("resume", "--all")
    site.run("rates", "reset", "primary")
    for words in (["events"], ["events", "flush"], ["events", "retry", "--all"], ["trace", "example.com"], ["trace", waiting],
                  ["trace", "held@strict.example"], ["trace", "nobody@example.net"], ["deliveries", "retry", waiting], ["retry", "--all"],
                  ["suppress", "add", "two@example.com"], ["suppress", "check", "two@example.com", "free@example.com"], ["suppress", "list"],
                  ["suppress", "rm", "two@example.com"], ["suppress", "import", top / "list.csv"], ["sync"],
                  ["explain", "user@gmail.com"], ["explain", "three@example.com"], ["rehearse", site.installation.config],
                  ["classify", "550 5.1.1 user unknown"], ["classify", "qwertz"], ["classify", "--tpsp", "primary", "--stage", "rcpt", "450 4.7.1 too many messages, slow down"],
                  ["classify", "--tpsp", "primary", "--stage", "dot", "qwertz"], ["check"], ["check", "--offline", "--no-postfix"], ["test"], ["test", "--no-send", "strict"],
                  ["postfix", "show", "--postfix-config", site.postfix.etc], ["ui"],
                  ["setup", "--batch", "--no-test", "--force", "--account-id=117", "--subaccount-id=4321", "--host=127.0.0.1", "--port=2525", "--security=none",
                   "--max-rate-per-hour=10", "--endpoint=none", f"--state-dir={site.installation.state}", f"--user={USER}"]):
        site.run(*words)
    overview = subprocess.run([str(build_directory() / "sendpostctl"), "--help"], capture_output=True, text=True, check=True).stdout
    commands = set(re.findall(r"(?m)^  (\S+)", overview.split("Commands:\n")[1].split("\n\n")[0]))
    assert commands == {arguments[0] for arguments, _ in site.outputs}
    found = [f"{' '.join(map(str, arguments[:2]))}: {fault}" for arguments, value in site.outputs for fault in faults(value)]
    assert not found, "\n".join(found)
    types, keys = {}, set()
    for _, value in site.outputs:
        for key, inner in each(value):
            keys.add(key)
            if inner is not None:
                types.setdefault(key, set()).add(kind(inner))
    assert {key: kinds for key, kinds in types.items() if len(kinds) > 1} == TWO_TYPES
    assert not keys - glossary(), f"not in sendpostctl(8), JSON: {sorted(keys - glossary())}"
