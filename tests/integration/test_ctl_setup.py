"""sendpostctl setup: from answers to a configuration that works; secrets unseen, nothing half-written."""
import http.server
import json
import os
import re
import pty
import select
import shutil
import signal
import subprocess
import termios
import threading
import time

import pytest

from scripted_tpsp import ScriptedTpsp, stall
from sendpost import USER, build_directory
from support import free_port, remove, scratch
from tpsp import PASSWORD, USERNAME
from typist import Typist

CTL = build_directory() / "sendpostctl"
KEY = "event-key-that-nobody-sees"
STAGED = ["config.yaml.new", "event-api-key.new", "uuid-key.new"]


class Machine:
    """An empty configuration directory, and files with the secrets for unattended use."""

    def __init__(self):
        self.top = scratch("spsu-")
        self.etc, self.config, self.state = self.top / "etc", self.top / "etc/config.yaml", self.top / "state"
        for name, secret in (("password", PASSWORD), ("key", KEY)):
            (self.top / name).write_text(secret + "\n")
            (self.top / name).chmod(0o600)

    def options(self, server, **more):
        options = {"account-id": "117", "subaccount-id": "4321", "host": "127.0.0.1", "port": str(server.port), "security": "none",
                   "endpoint": "none", "state-dir": str(self.state), "user": USER, "tpsp-id": "12", "test-to": "me@example.com", **more}
        return [f"--{name}={value}" for name, value in options.items() if value is not None]

    def run(self, *arguments, config=None, stdin=None):
        done = subprocess.run([str(CTL), "-c", str(config or self.config), "setup", *arguments], capture_output=True, text=True,
                              check=False, timeout=240, input=stdin, cwd=self.top)
        for secret in (PASSWORD, KEY):
            assert secret not in done.stdout + done.stderr
        return done

    def files(self):
        return sorted(path.name for path in self.etc.iterdir()) if self.etc.exists() else []

    def check(self):
        """What it says, but for the mail log, which this machine need not have; status 0 without another failure."""
        done = subprocess.run([str(CTL), "-c", str(self.config), "check", "--no-postfix", "--offline"], capture_output=True, text=True,
                              check=False, timeout=240)
        others = [line for line in done.stdout.splitlines() if line.startswith("failure") and "mail log:" not in line]
        return subprocess.CompletedProcess(done.args, 1 if others else 0, done.stdout, done.stderr)


@pytest.fixture
def machine():
    made = Machine()
    yield made
    remove(made.top)


@pytest.fixture
def server():
    with ScriptedTpsp() as made:
        yield made


def test_unattended_it_writes_what_works(machine, server):
    done = machine.run("--batch", *machine.options(server))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The message was accepted." in done.stdout and f"{machine.config} is written.\n" in done.stdout
    assert server.messages and machine.files() == ["config.yaml", "uuid-key"]
    assert machine.check().returncode == 0, machine.check().stdout


def test_secrets_get_files_of_their_own_that_others_cannot_read(machine, tpsp, ca):
    machine.etc.mkdir()
    done = machine.run("--batch", "--no-test", "--name", "backup", *machine.options(tpsp, security="starttls", host="localhost"),
                       f"--username={USERNAME}", f"--password-file={machine.top}/password", f"--api-key-file={machine.top}/key",
                       "--endpoint=https://localhost/events")
    assert done.returncode == 0, done.stderr
    assert machine.files() == ["backup.password", "config.yaml", "event-api-key", "uuid-key"]
    for path in machine.etc.iterdir():
        mode = path.stat().st_mode & 0o777
        assert mode == (0o640 if os.geteuid() == 0 else 0o600), path
    text = machine.config.read_text()
    assert PASSWORD not in text and KEY not in text
    assert (machine.etc / "backup.password").read_text() == PASSWORD + "\n"
    assert f'password-file: "{machine.etc}/backup.password"' in text and ".new" not in text
    assert f"loads for user {USER if os.geteuid() == 0 else ''}" in machine.check().stdout
    assert machine.state.stat().st_mode & 0o777 == (0o750 if os.geteuid() == 0 else 0o700)


def test_the_key_of_message_uuids_is_made_once(machine, server):
    machine.etc.mkdir()
    for times in (1, 2):
        done = machine.run("--batch", "--no-test", "--force", *machine.options(server))
        assert done.returncode == 0, done.stderr
        text = (machine.etc / "uuid-key").read_text()
        assert times == 1 or text == first
        first = text
        assert re.fullmatch(r"[0-9a-f]{64}\n", text) and f'uuid-key-file: "{machine.etc}/uuid-key"' in machine.config.read_text()
    assert "message UUIDs prove themselves; 1 key verifies" in machine.check().stdout
    assert not [path for path in machine.etc.iterdir() if path.suffix == ".new"]


def test_a_secret_may_come_on_standard_input(machine, server):
    done = machine.run("--batch", "--no-test", *machine.options(server, security="tls"), "--username=u", "--password-file=-",
                       stdin=PASSWORD + "\n")
    assert done.returncode == 0, done.stderr
    assert (machine.etc / "primary.password").read_text() == PASSWORD + "\n"


def test_a_test_that_fails_writes_nothing(machine):
    class Nobody:
        port = free_port()

    done = machine.run("--batch", *machine.options(Nobody))
    assert done.returncode == 1
    assert "Connection refused at connect." in done.stdout and "nothing was written" in done.stderr
    assert machine.files() == []
    assert machine.run("--batch", "--no-test", *machine.options(Nobody)).returncode == 0


def test_an_existing_configuration_is_kept(machine, server):
    machine.etc.mkdir()
    machine.config.write_text("mine\n")
    done = machine.run("--batch", *machine.options(server))
    assert done.returncode == 1 and "it was left as it is" in done.stderr
    assert machine.config.read_text() == "mine\n" and machine.files() == ["config.yaml"]
    assert machine.run("--batch", "--force", *machine.options(server)).returncode == 0
    assert (machine.etc / "config.yaml.old").read_text() == "mine\n"
    assert machine.files() == ["config.yaml", "config.yaml.old", "uuid-key"]


def test_what_a_person_types_is_asked_again_until_it_fits(machine, server):
    answers = ["many", "117", "", "4321", "", "12", "two words", "127.0.0.1", "99999", str(server.port), "ssl",
               "none", "", "250", KEY, "nobody", "me@example.com", "n"]
    done = machine.run(f"--state-dir={machine.state}", f"--user={USER}", "--endpoint=none", stdin="\n".join(answers) + "\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a whole number is needed" in done.stdout and "an answer is needed" in done.stdout
    assert "one of starttls, tls and none is needed" in done.stdout and "neither a host name nor an IP address" in done.stdout
    assert "a port is a number from 1 to 65535" in done.stdout and "that is no address" in done.stdout
    text = machine.config.read_text()
    assert 'name: "primary"' in text and f"port: {server.port}\n" in text and "account-id: 117\n" in text
    assert "max-rate-per-hour: 250\n" in text
    assert b"me@example.com" in server.messages[0]


def test_the_log_is_where_postfix_says(machine, server):
    if shutil.which("postconf") is None:
        pytest.skip("Postfix is not installed; run tools/deps test")
    postfix = scratch("spetc-")
    (postfix / "main.cf").write_text("maillog_file = /srv/logs/mail\n")
    (postfix / "master.cf").write_text("")
    try:
        done = machine.run("--batch", *machine.options(server), f"--postfix-config={postfix}")
        assert done.returncode == 0, done.stderr
        assert "The agent will follow /srv/logs/mail.\n" in done.stdout
        assert 'log-path: "/srv/logs/mail"\n' in machine.config.read_text()
    finally:
        remove(postfix)


@pytest.mark.parametrize("main, line", [
    ("smtp_helo_name = out.example.com\n", '    helo-name: "out.example.com"\n'),
    ("myhostname = mx1.example.com\n", '    helo-name: "mx1.example.com"\n'),  # smtp_helo_name = $myhostname
    ("smtp_helo_name = $smtp_name\nsmtp_name = a.example.com\n", '    helo-name: "a.example.com"\n'),
    ("myhostname = localhost.localdomain\n", None), ("smtp_helo_name = [192.0.2.1]\n", None)])
def test_the_name_in_ehlo_is_that_of_postfix_where_others_may_know_it(machine, server, main, line):
    if shutil.which("postconf") is None:
        pytest.skip("Postfix is not installed; run tools/deps test")
    postfix = scratch("spetc-")
    (postfix / "main.cf").write_text(main)
    (postfix / "master.cf").write_text("")
    try:
        done = machine.run("--batch", *machine.options(server), f"--postfix-config={postfix}")
        assert done.returncode == 0, done.stderr
        text = machine.config.read_text()
        assert line in text if line else "helo-name" not in text
        if line:
            assert server.connections[0].commands[0] == "EHLO " + line.split('"')[1]
    finally:
        remove(postfix)


def test_an_end_of_input_writes_nothing(machine):
    done = machine.run(f"--user={USER}", stdin="117\n4321\n")
    assert done.returncode == 1 and "the input has ended; nothing was written" in done.stderr
    assert machine.files() == []


def refused_key():
    """An event API that knows no key."""
    class Api(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    api = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=api.serve_forever, daemon=True).start()
    return api


def ends_everywhere(machine, answers, *arguments):
    """setup again with an input that ends before each of the answers, and behind the last one; what the last run printed."""
    before = {path.name: path.read_bytes() for path in machine.etc.iterdir()} if machine.etc.exists() else {}
    postfix = machine.top / "postfix"  # postconf takes a second to say that there is none
    postfix.mkdir()
    for name in ("main.cf", "master.cf"):
        (postfix / name).write_text("")
    for count in range(len(answers) + 1):
        done = machine.run(*arguments, f"--postfix-config={postfix}", stdin="".join(f"{answer}\n" for answer in answers[:count]))
        assert done.returncode == 1, (count, done.returncode, done.stdout, done.stderr)
        assert "nothing was written" in done.stderr, (count, done.stdout, done.stderr)
        after = {path.name: path.read_bytes() for path in machine.etc.iterdir()} if machine.etc.exists() else {}
        assert after == before, (count, answers[:count], sorted(after))
    return done.stdout


def test_an_end_of_input_at_any_question_leaves_everything_as_it_was(machine):
    """Without a key of UUIDs, which is staged each time; with the section of tokens that is asked about, and a token of a place of its own."""
    secrets = machine.top / "secrets"
    secrets.mkdir()
    for name in ("token", "client-secret"):
        (secrets / name).write_text("a-" + name + "\n")
        (secrets / name).chmod(0o600)
    machine.etc.mkdir()
    port = free_port()
    machine.config.write_text(
        f"account-id: 117\nsubaccount-id: 4321\nendpoint: none\nstate-dir: {machine.state}\ntpsps:\n  - name: primary\n    host: 127.0.0.1\n"
        f"    port: {port}\n    username: relay\n    oauth: {{token-endpoint: 'https://127.0.0.1:{port}/token', client-id: relay, "
        f"client-secret-file: {secrets}/client-secret, refresh-token-file: {secrets}/token}}\n")
    first = ["", "", "", "", "", "", "", "", "", "", "", "", "", "", "another-token", "", "", "me@example.com"]
    tokens = ["", "", "", "", "another", "word", ""]
    said = ends_everywhere(machine, [
        *first, "c", *tokens, "o", str(port), "s", "starttls", "u", "relay", "", *tokens, "p", "word", "h", "127.0.0.1", "t", "you@example.com", "x", "a"],
        f"--user={USER}")
    assert said.count("What now?") == 10 and said.count("Token endpoint") == 3, said
    assert sorted(path.name for path in secrets.iterdir()) == ["client-secret", "token"]


def test_an_end_of_input_where_a_key_is_refused_leaves_nothing(machine, server):
    with refused_key() as api:
        said = ends_everywhere(machine, ["117", "4321", "", "12", "127.0.0.1", str(server.port), "none", "", "", "wrong-key", "me@example.com", "k"],
                               f"--state-dir={machine.state}", f"--user={USER}", f"--endpoint=http://127.0.0.1:{api.server_port}/events")
        api.shutdown()
    assert "SendPost refuses the event API key" in said and said.count("Event API key") == 2


def test_what_is_refused_cannot_be_written_anyway(machine, server):
    answers = ["117", "4321", "", "12", "127.0.0.1", str(server.port), "none", "relay", "word", "", "", "w"]
    done = machine.run(f"--state-dir={machine.state}", f"--user={USER}", "--endpoint=none", stdin="\n".join(answers) + "\n")
    assert done.returncode == 1 and "none would send the password in the clear" in done.stderr, done.stdout + done.stderr
    assert "nothing was written" in done.stderr and "cannot put" not in done.stderr and machine.files() == []


@pytest.fixture
def relay_site(machine, server):
    """A site where another than the packages' user delivers, or was to; a Postfix whose master.cf names him with whom()."""
    if os.geteuid() != 0:
        pytest.skip("only root writes for another user")
    if shutil.which("postconf") is None:
        pytest.skip("Postfix is not installed; run tools/deps test")
    machine.postfix = machine.top / "postfix"
    machine.postfix.mkdir()
    (machine.postfix / "main.cf").write_text("")
    (machine.postfix / "master.cf").write_text("")
    machine.whom = lambda user: (machine.postfix / "master.cf").write_text(
        f"sendpost unix - n n - 50 pipe flags=q user={user} null_sender= argv=/usr/libexec/sendpost-pipe -f ${{sender}} -- ${{recipient}}\n")
    machine.again = lambda *more: machine.run("--batch", "--no-test", "--force", *machine.options(server, user=None), f"--postfix-config={machine.postfix}", *more)
    yield machine
    shutil.rmtree(machine.postfix)


def readable(path, user, group):
    return subprocess.run(["cat", path], user=user, group=group, extra_groups=[], capture_output=True, check=False).returncode == 0


def test_setup_again_is_for_whom_master_cf_names(relay_site):
    relay_site.whom("daemon")
    assert relay_site.again("--user=daemon").returncode == 0
    assert relay_site.config.group() == "daemon" and relay_site.state.owner() == "daemon"
    done = relay_site.again()
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name: path.group() for path in relay_site.etc.iterdir()} == dict.fromkeys(["config.yaml", "config.yaml.old", "uuid-key"], "daemon")
    relay_site.whom("daemon:mail")  # the group that pipe(8) gives him, alone
    done = relay_site.again()
    assert done.returncode == 0, done.stdout + done.stderr
    assert readable(relay_site.config, "daemon", "mail") and readable(relay_site.etc / "uuid-key", "daemon", "mail")
    assert not readable(relay_site.config, "daemon", "daemon")


def test_setup_again_without_a_transport_keeps_the_group_that_is_there(relay_site):
    assert relay_site.again("--user=daemon").returncode == 0
    done = relay_site.again()
    assert done.returncode == 0, done.stdout + done.stderr
    assert relay_site.config.group() == "daemon" and readable(relay_site.config, "daemon", "daemon")


def test_another_user_can_enter_what_the_packages_have_made(relay_site):
    """As they make it: a directory and a key for the user of theirs."""
    relay_site.etc.mkdir()
    shutil.chown(relay_site.etc, "root", "mail")
    relay_site.etc.chmod(0o750)
    key = relay_site.etc / "uuid-key"
    key.write_text("0123456789abcdef" * 4 + "\n")
    shutil.chown(key, "root", "mail")
    key.chmod(0o640)
    done = relay_site.again("--user=daemon")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{relay_site.etc} is given to the group of daemon." in done.stdout and f"{key} is given to the group of daemon." in done.stdout
    assert readable(relay_site.config, "daemon", "daemon") and readable(key, "daemon", "daemon")
    assert "systemctl edit sendpost-agent" in done.stdout and "/etc/tmpfiles.d" in done.stdout


def test_a_kept_secret_that_the_new_user_cannot_read_is_told(relay_site):
    password = relay_site.top / "password"
    assert relay_site.again("--user=mail", "--username=relay", "--security=starttls", f"--password-file={password}").returncode == 0
    done = relay_site.run("--no-test", "--user=daemon", f"--postfix-config={relay_site.postfix}", stdin="\n" * 12)
    assert done.returncode == 1 and "mail waits, for daemon, who delivers, cannot use it" in done.stderr, done.stdout + done.stderr
    assert "primary.password" in done.stderr


def test_what_yaml_would_misread_is_quoted(machine, server):
    done = machine.run("--batch", "--no-test", *machine.options(server, security="tls"), '--username=a "b": #c\\d', f"--password-file={machine.top}/password")
    assert done.returncode == 0, done.stderr
    assert machine.check().returncode == 0
    assert 'login as a "b": #c\\d,' in machine.check().stdout


@pytest.mark.parametrize("options, status, text", [
    (["--batch"], 64, "--account-id is needed with --batch"),
    (["--batch", "--account-id=x"], 64, "--account-id: a whole number is needed"),
    (["extra"], 64, "takes no operands"),
    (["--user=no-such-user"], 1, 'there is no user "no-such-user"'),
])
def test_wrong_words(machine, options, status, text):
    if "--user" in options[0] and os.geteuid() != 0:
        pytest.skip("only root cares for the user")
    if options[0] != "--user=no-such-user":
        options = [f"--user={USER}", *options]
    done = machine.run(*options, stdin="")
    assert done.returncode == status and text in done.stderr
    assert machine.files() == []


def test_what_the_configuration_refuses_leads_back_too(machine, server):
    answers = ["117", "4321", "", "12", "127.0.0.1", str(server.port), "none", "relay", "word", "", "", "u", "-", "me@example.com", "n"]
    done = machine.run(f"--state-dir={machine.state}", f"--user={USER}", "--endpoint=none", stdin="\n".join(answers) + "\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "none would send the password in the clear" in done.stderr and done.stdout.count("SMTP server") == 1
    assert machine.files() == ["config.yaml", "uuid-key"]


def test_three_mistakes_are_mended_one_by_one(machine, ca):
    chain, key = ca.issue("tpsp.test")
    with ScriptedTpsp(security="starttls", chain=chain, key=key, credentials=("relay", PASSWORD)) as server:
        machine.etc.mkdir()
        first = machine.run("--batch", "--no-test", *machine.options(server, security="starttls", host="localhost"), "--username=relay",
                            f"--password-file={machine.top}/password")
        assert first.returncode == 0, first.stderr
        text = machine.config.read_text() + "    # mine\n    tls-ca-path: " + str(ca.hashed) + "\n# and this\n"
        machine.config.write_text(text)
        # filled in: everything is kept but what is answered
        answers = ["", "", "", "", str(free_port()), "", "realy", "wrong", "", "", "me@example.com",
                   "o", str(server.port), "u", "relay", "wrong", "p", PASSWORD, "n", "n"]
        done = machine.run(f"--user={USER}", stdin="\n".join(answers) + "\n")
        assert done.returncode == 0, done.stdout + done.stderr
        assert [word in done.stdout for word in ("Connection refused at connect", "Auth rejected at auth", "The message was accepted.")] \
            == [True] * 3
        assert "[117]" in done.stdout and "[localhost]" in done.stdout and "[kept as it is; -: OAuth]" in done.stdout
        for prompt, times in (("SendPost account id", 1), ("SMTP server", 1), ("Port [", 2), ("Security:", 1), ("Username", 2), ("Password", 3), ("Messages an hour", 1)):
            assert done.stdout.count(prompt) == times, prompt
        assert len(server.messages) == 1
    assert machine.config.read_text() == text  # as it was: the mistakes have left nothing
    assert (machine.etc / "primary.password").read_text() == PASSWORD + "\n"
    assert not [name for name in machine.files() if name.endswith(".new")]


def test_a_second_run_changes_what_is_answered_and_nothing_else(machine, server):
    assert machine.run("--batch", "--no-test", *machine.options(server)).returncode == 0
    text = machine.config.read_text().replace("tpsps:", "# mine\nretry: {schedule: [1h]}\ntpsps:") + "    connect-timeout: 7s   # slow\n"
    machine.config.write_text(text)
    done = machine.run(f"--user={USER}", "--no-test", "--max-rate-per-hour=77", stdin="\n" * 6 + "\n\nn\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert machine.config.read_text() == text.replace("max-rate-per-hour: 100", "max-rate-per-hour: 77")
    assert (machine.etc / "config.yaml.old").read_text() == text
    (machine.etc / "config.yaml").write_text('{"account-id": 1, "subaccount-id": 2, "state-dir": "/x", "endpoint": "none", "tpsps": [{"name": "a", "host": "b"}]}')
    done = machine.run(f"--user={USER}", "--no-test", "--max-rate-per-hour=77", stdin="\n" * 12)
    assert done.returncode == 1 and "laid out in a way that cannot be changed here" in done.stderr


def test_a_further_tpsp_is_added(machine, server):
    assert machine.run("--add", "--batch", *machine.options(server)).returncode == 1  # to nothing
    assert machine.run("--batch", "--no-test", *machine.options(server)).returncode == 0
    before = machine.config.read_text()
    taken = machine.run("--add", "--batch", "--name=primary", *machine.options(server))
    assert taken.returncode == 64 and "there is one of this name already" in taken.stderr
    done = machine.run("--add", "--batch", "--max-rate-per-hour=5", *machine.options(server))  # a name that is free is suggested
    assert done.returncode == 0, done.stdout + done.stderr
    assert machine.config.read_text().startswith(before) and '\n  - name: "backup"\n' in machine.config.read_text()
    assert "backup  127.0.0.1" in done.stdout and "primary  127" not in done.stdout
    assert "pool default: to primary, backup" in machine.check().stdout
    nobody = machine.run(f"--user={USER}", "--no-test", "--name=nobody", stdin="")
    assert nobody.returncode == 64 and "--add adds one" in nobody.stderr


@pytest.mark.parametrize("pools, told", [
    ("pools: [{name: default, members: [{tpsp: primary}]}]\n", True),
    ("pools:\n  - {name: default, members: [{tpsp: primary}]}\n  - {name: news, members: [{tpsp: primary}]}\n", True), ("", False)])
def test_a_further_tpsp_that_is_in_no_pool_is_told(machine, server, pools, told):
    assert machine.run("--batch", "--no-test", *machine.options(server)).returncode == 0
    machine.config.write_text(pools + machine.config.read_text())
    done = machine.run("--add", "--batch", "--no-test", "--name=backup", *machine.options(server))
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("No mail goes through backup yet, for it is in no pool: add {tpsp: backup} to the members" in done.stdout) == told


def test_a_key_that_sendpost_refuses_is_asked_for_again(machine, server):
    class Api(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(202 if self.headers["X-SP-Event-ApiKey"] == KEY else 401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api) as api:
        threading.Thread(target=api.serve_forever, daemon=True).start()
        answers = ["117", "4321", "", "12", "127.0.0.1", str(server.port), "none", "", "", "wrong-key", "me@example.com", "", KEY, "n"]
        done = machine.run(f"--state-dir={machine.state}", f"--user={USER}", f"--endpoint=http://127.0.0.1:{api.server_port}/events",
                           stdin="\n".join(answers) + "\n")
        refused = machine.run("--batch", "--force", *machine.options(server, endpoint=f"http://127.0.0.1:{api.server_port}/events"),
                              "--api-key-file=-", stdin="wrong-key\n")
        api.shutdown()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SendPost refuses the event API key: HTTP 401" in done.stdout and "SendPost takes the event API key." in done.stdout
    assert len(server.messages) == 2 and done.stdout.count("The message was accepted.") == 1  # the test is not made twice
    assert (machine.etc / "event-api-key").read_text() == KEY + "\n"
    assert refused.returncode == 1 and "nothing was written" in refused.stderr


def test_for_programs_it_prints_one_json_object(machine, server):
    done = machine.run("--batch", "--json", *machine.options(server))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["ok"] and result["config"] == str(machine.config) and result["tpsp"] == "primary"
    assert result["test"][0]["ok"] and result["test"][0]["steps"]
    done = machine.run("--batch", "--json", "--force", *machine.options(server, port=str(free_port())))
    assert done.returncode == 1 and not json.loads(done.stdout)["ok"]


def test_only_who_may_write_is_asked(machine):
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    machine.etc.mkdir()
    done = subprocess.run([str(CTL), "-c", str(machine.config), "setup"], capture_output=True, text=True, check=False, timeout=240,
                          user=USER, input="117\n")
    assert done.returncode == 1 and "only root may write to" in done.stderr and done.stdout == ""


def test_all_mail_is_routed_here_where_that_is_wanted(machine, server):
    if shutil.which("postconf") is None:
        pytest.skip("Postfix is not installed; run tools/deps test")
    postfix = scratch("spetc-")
    (postfix / "main.cf").write_text("default_transport = smtp\n")
    (postfix / "master.cf").write_text("")
    try:
        done = machine.run("--batch", "--postfix", "--route-all", *machine.options(server), f"--postfix-config={postfix}")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "default_transport = sendpost:default" in (postfix / "main.cf").read_text()
        assert "back again: postconf -e 'default_transport = smtp'" in done.stdout
        assert "sendpost-pipe" in (postfix / "master.cf").read_text()
    finally:
        remove(postfix)


def test_what_the_configuration_refuses_is_not_written(machine, server):
    done = machine.run("--batch", "--no-test", *machine.options(server, host="two words"))
    assert done.returncode == 64 and "neither a host name nor an IP address" in done.stderr
    assert machine.files() == []
    done = machine.run("--batch", "--no-test", *machine.options(server), "--name=../../escape")
    assert done.returncode == 64 and "make a name" in done.stderr


def test_a_secret_is_not_echoed_on_a_terminal(machine, server):
    """Through a pseudo-terminal, as a person would."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(str(CTL), ["sendpostctl", "-c", str(machine.config), "setup", "--no-test", f"--state-dir={machine.state}",
                            f"--user={USER}", "--endpoint=none"])
    seen = b""

    def await_text(text):
        nonlocal seen
        end = time.monotonic() + 30
        while text not in seen:
            assert time.monotonic() < end and select.select([terminal], [], [], 30)[0], (text, seen)
            seen += os.read(terminal, 4096)

    for prompt, answer in (("account id", "117"), ("sub-account id", "4321"), ("provider", ""), ("Its id", "12"), ("SMTP server", "127.0.0.1"),
                           ("Port [587]", "465"), ("Security: starttls, tls or none [tls]", ""), ("Username", "u"), ("Password", PASSWORD), ("an hour", ""), ("API key", KEY),
                           ("main.cf and master.cf?", "n")):
        await_text(prompt.encode())
        if not seen.endswith(b": "):
            seen = seen[seen.rindex(prompt.encode()):]
            await_text(b": ")
        seen = b""
        os.write(terminal, answer.encode() + b"\n")
        if prompt in ("Password", "API key"):
            await_text(b"\n")
            assert answer.encode() not in seen
    await_text(b"and sendpostctl check")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert status == 0
    assert (machine.etc / "primary.password").read_text() == PASSWORD + "\n"
    assert (machine.etc / "event-api-key").read_text() == KEY + "\n"


class Ended(Exception):
    pass


class Leaver(Typist):
    """Who ends it with a signal at one prompt; None: with control-C."""

    def __init__(self, *command, at, signal_number, **more):
        self.at_prompt, self.number = at, signal_number
        super().__init__(*command, **more)

    def echoes(self):
        return bool(termios.tcgetattr(self.terminal)[3] & termios.ECHO)

    def type(self, prompt):
        if prompt != self.at_prompt:
            super().type(prompt)
            return
        self.echoed_at_prompt = self.echoes()
        if self.number is None:
            os.write(self.terminal, b"\x03")
        else:
            os.kill(self.pid, self.number)
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        raise Ended

    def leave(self):
        with pytest.raises(Ended):
            self.work()
        echoes = self.echoes()
        os.close(self.terminal)
        return echoes


def person_of(kind, machine, server, username="", endpoint="none", **more):
    answers = {"SendPost account id": ["117"], "SendPost sub-account id": ["4321"], "Name for": [""], "Its id": ["12"], "SMTP server": ["localhost"],
               "Port": [str(server.port)], "Security": ["none"], "Username": [username], "Password (empty": [PASSWORD], "Messages an hour": [""],
               "Event API key": [KEY], "Send a test message to": [""], "Add the transport": ["n"], "What now?": ["q"]}
    return kind(CTL, "-c", machine.config, "setup", f"--user={USER}", f"--state-dir={machine.state}", f"--endpoint={endpoint}", env=dict(os.environ),
                answers=answers, **more)


def leave(machine, server, at, number, username=""):
    return person_of(Leaver, machine, server, username, at=at, signal_number=number)


@pytest.mark.parametrize("number", [None, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_it_and_leaves_nothing(machine, server, number):
    person = leave(machine, server, "Send a test message to", number)
    assert person.leave()
    assert person.status == -(number or signal.SIGINT) and machine.files() == [], person.seen


@pytest.mark.parametrize("number", [None, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_a_secret_ends_it_at_once_and_the_terminal_echoes_again(machine, server, number):
    person = leave(machine, server, "Password (empty", number, USERNAME)
    assert person.leave() and not person.echoed_at_prompt
    assert person.status == -(number or signal.SIGINT), person.seen


def test_what_a_run_has_left_that_was_killed_is_removed_by_the_next(machine, server):
    leave(machine, server, "Send a test message to", signal.SIGKILL).leave()
    assert machine.files() == STAGED
    (machine.etc / "old.password.new").write_text("of a TPSP of another name\n")
    (machine.etc / "config.yaml.dpkg-new").write_text("a package's own\n")
    done = machine.run("--batch", "--name=backup", *machine.options(server))
    assert done.returncode == 0, done.stdout + done.stderr
    assert machine.files() == ["config.yaml", "config.yaml.dpkg-new", "uuid-key"]


def ends_in_the_middle_of_the_test(machine, person, seen):
    """seen: the files that there were when somebody pressed control-C, which the other side of the test did."""
    terminal = os.dup(person.terminal)
    assert person.work() == -signal.SIGINT, person.seen
    echoes = termios.tcgetattr(terminal)[3] & termios.ECHO
    os.close(terminal)
    assert seen == STAGED and machine.files() == [] and echoes, (seen, person.seen)


@pytest.mark.parametrize("stage", ["connect", "dot"])
def test_a_signal_in_the_middle_of_the_test_message_leaves_nothing(machine, stage):
    seen = []

    def press(connection):
        seen.extend(machine.files())
        os.write(person.terminal, b"\x03")
        stall(connection)

    with ScriptedTpsp(**{stage: press}) as server:
        person = person_of(Typist, machine, server)
        ends_in_the_middle_of_the_test(machine, person, seen)


def test_a_signal_in_the_middle_of_the_test_of_the_key_leaves_nothing(machine, server):
    seen = []

    class Api(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            seen.extend(machine.files())
            os.write(person.terminal, b"\x03")
            self.rfile.read()  # until the client goes

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api) as api:
        threading.Thread(target=api.serve_forever, daemon=True).start()
        person = person_of(Typist, machine, server, endpoint=f"http://127.0.0.1:{api.server_port}/events")
        ends_in_the_middle_of_the_test(machine, person, seen)
        api.shutdown()


class Pauser(Typist):
    """Who thinks about one prompt, until go_on()."""

    def __init__(self, *command, at, **more):
        self.pause_at = at
        super().__init__(*command, **more)

    def type(self, prompt):
        if prompt == self.pause_at:
            raise Ended
        super().type(prompt)

    def work_to_pause(self):
        with pytest.raises(Ended):
            self.work()

    def go_on(self):
        super().type(self.pause_at)
        return self.work()


@pytest.mark.parametrize("at, there", [("Event API key", []), ("Send a test message to", STAGED)])
def test_a_second_run_leaves_alone_what_another_works_on(machine, server, at, there):
    machine.etc.mkdir()
    person = person_of(Pauser, machine, server, at=at)
    person.work_to_pause()
    done = machine.run("--batch", "--json", *machine.options(server))
    assert machine.files() == there, done
    assert done.returncode == 1 and f"another sendpostctl setup is at work in {machine.etc}: finish" in json.loads(done.stdout)["error"], done
    assert person.go_on() == 0, person.seen
    assert machine.files() == ["config.yaml", "event-api-key", "uuid-key"] and (machine.etc / "event-api-key").read_text() == KEY + "\n"
    assert machine.run("--batch", "--no-test", "--force", *machine.options(server)).returncode == 0


def test_of_two_first_runs_the_second_to_stage_leaves_alone_what_the_first_has_staged(machine, server):
    """There is no directory yet when they begin."""
    first = person_of(Pauser, machine, server, at="Send a test message to")
    second = person_of(Pauser, machine, server, at="Event API key")
    second.work_to_pause()
    first.work_to_pause()
    assert second.go_on() == 1 and "another sendpostctl setup is at work" in second.seen and machine.files() == STAGED, second.seen
    assert first.go_on() == 0, first.seen
    assert machine.files() == ["config.yaml", "event-api-key", "uuid-key"]
