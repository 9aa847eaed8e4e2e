"""Every command of README.md, of the manual pages and of sendpostctl's own help is run, or another test is named that runs it.

The commands are read from the documents: shell blocks and inline code of the README, .Dl lines and the EXAMPLES of the
manuals, the examples of --help. What stands there and not in COMMANDS fails the first test, and the other way round.
They run one after the other in a fresh system with systemd, Postfix, a TPSP and an event API, first as README's "by hand", then with
the package.
"""
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field

import pytest

from booted import BootedTree
from conftest import KEY
from support import TOP, free_port, wait_for
from tpsp import PASSWORD, Tpsp

HOST = "smtp.example.net"  # the README's TPSP
PROGRAMS = ("apt autoreconf chgrp curl dnf editor install journalctl make openssl postconf postfix postmap postqueue printf "
            "runuser sendmail sendpost-agent sendpost-bounce sendpost-deliver sendpost-pipe sendpostctl systemctl tools/demo "
            "tools/deps tools/test useradd usermod watch ./configure").split()

# --- what the documents say ---------------------------------------------------------------------------------------


def is_command(text):
    words = text.split()
    return bool(words) and words[0].rsplit("/", 1)[-1 if words[0].startswith("/") else 0] in PROGRAMS and (
        words[1:2] != ["unix"] if len(words) > 1 else words[0] in ("tools/demo", "tools/test"))


def joined(block):
    """The commands of a shell block: lines that go on are one, comments are none."""
    text = re.sub(r" *\\\n\s*|(?<=\|)\n\s*", " ", block)
    return [re.sub(r"\s+", " ", re.sub(r"\s+# .*", "", line)).strip() for line in text.splitlines() if line.strip()]


def readme_commands():
    text = (TOP / "README.md").read_text()
    blocks = re.findall(r"(?ms)^ *```(\S*)\n(.*?)^ *```$", text)
    assert {kind for kind, _ in blocks} <= {"sh", "yaml", "text", "console"}, "commands are in blocks of the kind sh"
    found = [command for kind, block in blocks if kind == "sh" for command in joined(block)]
    found += [line[2:] for kind, block in blocks if kind == "console" for line in block.splitlines() if line.startswith("$ ")]
    prose = re.sub(r"(?ms)^ *```.*?^ *```$", "", text)
    return found + [code for code in re.findall(r"`([^`\n]+)`", prose) if is_command(code)]


def manual_commands():
    found = []
    for page in sorted((TOP / "man").glob("*.[0-9]")):
        text = page.read_text().replace(r"\(dq", '"').replace(r"\&", "")
        found += [line for line in re.findall(r"(?m)^\.Dl (.*)", text) if is_command(line)]
        examples = re.search(r"(?ms)^\.Sh EXAMPLES\n(.*?)^\.Sh ", text)
        for block in re.findall(r"(?ms)^\.Bd.*?\n(.*?)^\.Ed", examples.group(1) if examples else ""):
            found += [command for command in joined(block) if is_command(command)]
    return found


def help_commands(program):
    overview = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
    found = []
    for name in re.findall(r"(?m)^  (\S+)", overview.split("Commands:\n")[1].split("\n\n")[0]):
        text = subprocess.run([program, name, "--help"], capture_output=True, text=True, check=True).stdout
        found += joined(text.split("Examples:\n")[1])
    return found


# --- what is done about each --------------------------------------------------------------------------------------


@dataclass
class Run:
    """In the tree. says: in what it prints; becomes: (old, new) in the command, for what only this system has."""
    says: str = ""
    stdin: str = ""
    status: int = 0
    becomes: list = field(default_factory=list)
    first: object = None


@dataclass
class By:
    """Run by another test: "FILE::FUNCTION"."""
    test: str


@dataclass
class Because:
    """Not run."""
    reason: str


class Site:
    """The system that the commands find."""

    def __init__(self, tree, tpsp, api, ca, deb):
        self.tree, self.tpsp, self.api, self.deb = tree, tpsp, api, deb
        self.agent_port = free_port()
        tree.path("/etc/hosts").write_text(f"127.0.0.1 localhost {HOST}\n")
        tree.path("/usr/local/share/ca-certificates").mkdir(parents=True, exist_ok=True)
        tree.path("/usr/local/share/ca-certificates/test.crt").write_text(ca.certificate.read_text())
        tree.run("update-ca-certificates")
        # who writes secrets: the file's name says which
        editor = tree.path("/usr/bin/editor")
        editor.write_text(f"#!/bin/sh\ncase $1 in *key) echo {shlex.quote(KEY)} ;; *) echo {shlex.quote(PASSWORD)} ;; esac >$1\n")
        editor.chmod(0o755)
        for name, text in {"password": PASSWORD, "key": KEY, "message.eml": "From: news@example.com\nSubject: hello\n\nHello\n",
                           "complaints.csv": "gone@example.org\nlost@example.org\n",
                           "report.eml": REPORT}.items():
            tree.path(f"/root/{name}").write_text(text + "\n")

    def real(self, command):
        """Names and numbers of the documents, as they are here."""
        for old, new in (("HOST:PORT", f"{HOST}:{self.tpsp.port}"), ("ADDRESS", "user@example.org"), ("127.0.0.1:9113", f"127.0.0.1:{self.agent_port}"),
                         ("sendpostctl setup", f"sendpostctl setup --endpoint {self.api.url}"),
                         (f"--host {HOST} ", f"--host {HOST} --port {self.tpsp.port} ")):
            command = command.replace(old, new)
        return command

    def run(self, command, stdin=""):
        done = self.tree.call("bash", "-c", f"cd /root && {command}", input=stdin.encode())
        return done.returncode, (done.stdout + done.stderr).decode(errors="replace")

    def adapt(self, text):
        """The README's configuration, for this TPSP and this API."""
        return (f"endpoint: {self.api.url}\nlisten: 127.0.0.1:{self.agent_port}\n" +
                text.replace("port: 587", f"port: {self.tpsp.port}").replace("relay@example.net", "relay@tpsp.test"))

    # --- what a command needs before ---

    def write_configuration(self):
        (block,) = re.findall(r"(?ms)^ *```yaml\n(.*?)^ *```$", (TOP / "README.md").read_text())
        path = self.tree.path("/etc/postfix-sendpost/config.yaml")
        path.write_text(self.adapt(re.sub("(?m)^   ", "", block)))
        path.chmod(0o640)
        self.tree.run("chgrp", "sendpost", "/etc/postfix-sendpost/config.yaml")
        self.tree.path("/root/postfix-sendpost_0.deb").write_bytes(self.deb.read_bytes())

    def copy_configuration(self):
        self.tree.run("cp", "-p", "/etc/postfix-sendpost/config.yaml", "/etc/postfix-sendpost/new.yaml")

    def second_postfix(self):
        self.tree.run("cp", "-a", "/etc/postfix", "/etc/postfix-out")

    def settle(self):
        """setup has written a configuration of its own: the agent's port is ours again."""
        path = self.tree.path("/etc/postfix-sendpost/config.yaml")
        if "listen:" not in path.read_text():
            path.write_text(f"listen: 127.0.0.1:{self.agent_port}\n" + path.read_text())

    def wait_sent(self):
        wait_for(lambda: "you@example.com" in self.run("sendpostctl events")[1], lambda: f"the event\n{self.tree.log()[-3000:]}")

    def wait_agent(self):
        wait_for(lambda: "ok" in self.run(f"curl -s http://127.0.0.1:{self.agent_port}/health")[1], "the agent")

    def defer(self):
        """A message waits for the TPSP, which is away; its queue id takes the place of the documents'."""
        self.tpsp.stop()
        self.tree.send("waiting@example.com")
        self.tree.wait_status("waiting@example.com", "deferred")
        self.queue_id = re.findall(r"(\w+): to=<waiting@example.com>.*status=deferred", self.tree.log())[-1]


REPORT = """From: MAILER-DAEMON@mx.example.org
To: bounces@sp-bounce.example.com
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b

failed

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org

Final-Recipient: rfc822; user@example.org
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 user unknown

--b--
"""

# a configuration is there: its TPSP has its name already; at the end transport, no route, nothing to start
ANSWERS = f"117\n4321\n12\n{HOST}\nPORT\n\nrelay@tpsp.test\n{PASSWORD}\n\n{KEY}\nme@example.com\ny\nn\nn\n"
LIBEXEC = "/usr/libexec/postfix-sendpost"

# In the order in which they run.
COMMANDS = {
    "sendpostctl sync": By("tests/integration/test_sync.py::test_both_lists_become_one_with_reason_and_time"),
    "sendpostctl sync --confirm": By("tests/integration/test_sync.py::test_many_that_are_gone_wait_for_a_person"),
    "sendpostctl setup --oauth NAME": By("tests/integration/test_oauth.py::test_a_first_login_needs_no_browser_on_this_machine"),
    "sendpostctl setup --import /etc/sendpost-agent/config.yaml": By("tests/integration/test_from_sendposts_agent.py::test_setup_imports_what_their_agent_was_told"),
    "sendpostctl setup --oauth primary": By("tests/integration/test_oauth.py::test_a_first_login_needs_no_browser_on_this_machine"),
    "sendpostctl setup --add": By("tests/integration/test_ctl_setup.py::test_a_further_tpsp_is_added"),
    "sendpostctl trace 4bXyz1Qwz9": By("tests/integration/test_ctl_trace.py::test_each_word_leads_to_the_message"),
    "sendpostctl trace user@example.com": By("tests/integration/test_ctl_trace.py::test_each_word_leads_to_the_message"),
    "sendpostctl trace example.com --limit 100 --json | jq '.messages[].state'":
        By("tests/integration/test_ctl_trace.py::test_each_word_leads_to_the_message"),
    "sendpostctl trace 4bXyz1Qwz9 -f": By("tests/integration/test_ctl_trace.py::test_following_ends_when_the_message_is_through"),
    "sendpostctl retry --all": By("tests/integration/test_ctl_lists.py::test_retry_makes_due_what_waits_and_tells_postfix"),
    "sendpostctl retry --tpsp primary": By("tests/integration/test_ctl_lists.py::test_retry_makes_due_what_waits_and_tells_postfix"),
    "sendpostctl retry --recipient example.com": By("tests/integration/test_ctl_lists.py::test_retry_makes_due_what_waits_and_tells_postfix"),
    "sendpostctl suppress list @example.com": By("tests/integration/test_ctl_lists.py::test_the_suppression_list_is_shown_by_pattern"),
    "sendpostctl suppress rm user@example.com": By("tests/integration/test_ctl_lists.py::test_the_suppression_list_is_shown_by_pattern"),
    # by hand
    "useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin sendpost": Run(),
    "install -d -m 0750 -o root -g sendpost /etc/postfix-sendpost": Run(),
    "install -d -m 0750 -o sendpost -g sendpost /var/lib/postfix-sendpost": Run(),
    "install -d -m 0755 -o sendpost -g sendpost /run/postfix-sendpost": Run(),
    "install -m 0640 -o root -g sendpost /dev/null /etc/postfix-sendpost/event-api-key": Run(),
    "install -m 0640 -o root -g sendpost /dev/null /etc/postfix-sendpost/primary.password": Run(),
    "install -m 0640 -o root -g sendpost /dev/null /etc/postfix-sendpost/uuid-key": Run(),
    "od -An -v -tx1 -N 32 /dev/urandom | tr -d ' \\n' > /etc/postfix-sendpost/uuid-key": Run(),
    "editor /etc/postfix-sendpost/event-api-key": Run(),
    "editor /etc/postfix-sendpost/primary.password": Run(),
    "apt install ./postfix-sendpost_*.deb": Run(first=Site.write_configuration),
    "printf 'From: you@example.com\\nTo: you@example.com\\nSubject: first\\n\\nHello\\n' | runuser -u sendpost -- "
    "/usr/libexec/postfix-sendpost/sendpost-pipe -v -f you@example.com you@example.com": Run("2.0.0 uuid="),
    "sendpostctl postfix show": Run("master.cf to add: sendpost unix"),
    "sendpostctl postfix install": Run("master.cf added: sendpost unix"),
    "sendpostctl postfix remove": Run("master.cf removed"),

    # with setup
    "sendpostctl setup": Run("The message was accepted.", ANSWERS),
    "sendpostctl postfix install && postfix reload": Run("Everything is there already."),
    "postconf -e default_transport=sendpost:default": Run(),
    "postfix reload": Run(),
    "systemctl restart sendpost-agent": Run(first=Site.settle),
    "sendpostctl check": Run("the API answers, and does not refuse the key", first=Site.wait_agent),
    "printf 'Subject: first\\n\\nHello\\n' | sendmail you@example.com": Run(),
    "sendpostctl events": Run("delivered", first=Site.wait_sent),
    "sendpostctl setup --batch --account-id 117 --subaccount-id 4321 --host smtp.example.net --username relay@example.net "
    "--password-file /root/password --api-key-file /root/key --postfix": Run(
        "Everything is there already.", becomes=[("relay@example.net", "relay@tpsp.test --force --tpsp-id 12 --test-to me@example.com")]),

    # looking
    "sendpostctl check --json | jq '.checks[] | select(.status != \"ok\")'": Run(first=Site.settle),
    "sendpostctl -c /etc/postfix-sendpost/new.yaml check --offline --no-postfix": Run("new.yaml loads", first=Site.copy_configuration),
    "sendpostctl check --postfix-config /etc/postfix-out": Run("transport sendpost:", first=Site.second_postfix),
    "sendpostctl test": Run("The message was accepted.", status=1,
                            becomes=[("test", "test; sendpostctl test --to you@example.com; false")]),
    "sendpostctl test primary -v": Run("C: MAIL FROM", becomes=[("-v", "-v --to you@example.com")]),
    "sendpostctl test primary --from news@example.com --to me@example.net": Run("The message was accepted."),
    "sendpostctl test primary --no-send": Run("The session stands."),
    "sendpostctl test --json | jq '.[] | {tpsp, ok, error}'": Run('"tpsp": "primary"'),
    "sendpostctl status": Run("primary"),
    "sendpostctl status --json | jq .pending_events": Run("0"),
    "sendpostctl events --since 1h --recipient user@example.com": Run(),
    "sendpostctl events --since 1d --recipient user@example.com": Run(),
    "sendpostctl events --state pending": Run(),
    "sendpostctl events --state rejected --json": Run("[]"),
    "sendpostctl events -f --json | jq -c 'select(.event_type == \"dropped\")'":
        By("tests/integration/test_ctl_follow.py::test_json_is_an_object_a_line_and_filters_hold"),
    "sendpostctl events -f": By("tests/integration/test_ctl_follow.py::test_the_last_ones_and_then_each_as_it_comes"),
    "sendpostctl top": By("tests/integration/test_ctl_top.py::test_the_screen_fits_and_shows_what_goes"),
    "sendpostctl top --once": Run("primary"),
    "sendpostctl events flush": Run(),
    "sendpostctl events flush -v": Run(),
    "sendpostctl events retry --all": Run("0 rejected events are pending again"),
    "sendpostctl rates": Run("100"),
    "sendpostctl rates --json | jq '.[].limits[] | select(.free == 0)'": Run(),
    "sendpostctl rates reset primary": Run(),
    "sendpostctl suspend primary --for 2h --reason maintenance": Run("is suspended until"),
    "sendpostctl suspend primary/gmail --until 18:00": Run("provider gmail"),
    "sendpostctl suspend --pool default": Run("pool default is suspended"),
    "sendpostctl suspend": Run("maintenance"),
    "sendpostctl resume primary": Run("TPSP primary is resumed."),
    "sendpostctl resume --all": Run("pool default is resumed."),
    "sendpostctl explain user@example.com --sender news@example.org": Run("pass"),
    "sendpostctl explain user@example.org": Run("pass"),
    "sendpostctl explain user@gmail.com": Run("gmail"),
    "sendpostctl explain user@gmail.com --sender news@example.com": Run("way"),
    "sendpostctl rehearse new-config.yaml": Run("would go at once", becomes=[("new-config.yaml", "/etc/postfix-sendpost/config.yaml")]),
    "sendpostctl rehearse new-config.yaml --since 7d --json | jq '.limits'": Run(
        "[", becomes=[("new-config.yaml", "/etc/postfix-sendpost/config.yaml")]),
    "sendpostctl classify '550 5.1.1 <a@example.com>: user unknown'": Run("hard"),
    "sendpostctl classify --code 552 --status 5.2.2 'Mailbox is full'": Run("soft"),
    "sendpostctl classify --report misread.jsonl --should-be hard '550 kein solcher Nutzer'": Run(),
    "sendpostctl classify --tpsp primary --stage rcpt '550 5.4.5 Daily sending quota exceeded'": Run("account"),
    "sendpostctl classify --provider yahoo '421 4.7.0 [TSS04] Messages temporarily deferred'": Run("yahoo-volume"),
    "sendpostctl classify --report misread.jsonl --should-be soft 'TEXT'": Run("soft"),
    "openssl s_client -connect HOST:PORT -starttls smtp": Run("Verify return code: 0 (ok)"),
    "curl http://127.0.0.1:9113/health": Run('"status":"ok"', first=Site.wait_agent),
    "curl -s http://127.0.0.1:9113/health | jq": Run('"status": "ok"'),
    "sendpostctl ui": Run("/login?token="),
    f"{LIBEXEC}/sendpost-pipe -n -f news@example.com user@example.org < message.eml": Run("X-Sendpost-Message-UUID"),
    f"{LIBEXEC}/sendpost-pipe -v -f news@example.com user@example.org < message.eml": Run("250 ", becomes=[("example.org", "example.net")]),
    f"{LIBEXEC}/sendpost-bounce -n bounces+UUID+4321@sp-bounce.example.com < report.eml": Run(
        "user@example.org", becomes=[("UUID", "6f1c2d3e-4b5a-4c7d-8e9f-0a1b2c3d4e5f")]),

    # changing
    "sendpostctl suppress add user@example.org": Run("suppressed"),
    "sendpostctl suppress check ADDRESS": Run("user@example.org suppressed by", status=1),
    "sendpostctl suppress add user@example.com example.net --reason unsubscribe": Run("(unsubscribe)"),
    "sendpostctl suppress check user@example.com": Run("suppressed by", status=1),
    "sendpostctl suppress import complaints.csv --reason spam-complaint": Run("2 imported, 0 rejected"),
    "sendpostctl suppress export backup.csv": Run(),
    "sendpostctl deliveries": Run("waiting@example.com", first=Site.defer),
    "sendpostctl deliveries retry QUEUE_ID": Run("and Postfix is told"),
    "sendpostctl deliveries retry 4bXyz1Qwz9": Run("and Postfix is told"),
    "sendpostctl postfix install --postfix-config /etc/postfix-out --maxproc 100": Run("Everything is there already."),
    "apt install --no-install-recommends libgmime-3.0-0": Run(),
    "sendpostctl postfix install --bounces": Run("master.cf added: sendpost-bounce unix"),
    "systemctl enable --now sendpost-agent": Run(),
    "sendpost-agent --once --from-start": Run(first=lambda site: site.tree.run("systemctl", "stop", "sendpost-agent")),
    "openssl rehash /etc/ssl/certs": Run(),
    "usermod -aG postdrop sendpost": Run(),
    "chgrp adm /var/log/maillog && chmod 640 /var/log/maillog": Run(first=lambda site: site.tree.path("/var/log/maillog").write_text("")),
    "postconf -e default_transport=smtp": Run(),

    # elsewhere
    "dnf install ./postfix-sendpost-[0-9]*.rpm": By("tests/package/test_lifecycle.py::test_installs_user_directories_and_programs"),
    "make deb": By("tests/package/builds.py::by_make"),
    "make rpm": By("tests/package/builds.py::by_make"),
    "make distcheck": By("tools/test::job_distcheck"),
    "make": By("tools/test::job_distcheck"),
    "make check": By("tools/test::job_distcheck"),
    "make install": By("tools/test::job_distcheck"),
    "./configure --prefix=/usr --sysconfdir=/etc --localstatedir=/var --libexecdir=/usr/libexec": By("tools/test::job_distcheck"),
    "autoreconf -fi": By("tools/test::job_distcheck"),
    "autoreconf -fi && ./configure": By("tools/test::job_distcheck"),
    "tools/deps build": By("tests/package/test_documented_commands.py::test_the_dependencies_are_there"),
    "tools/deps package": By("tests/package/test_documented_commands.py::test_the_dependencies_are_there"),
    "tools/demo": By("tests/package/test_documented_commands.py::test_the_demo_runs"),
    "tools/test": Because("it is what runs this test"),
    "watch sendpostctl status": Because("it does not end; the command that it repeats is run above"),
}


def test_every_command_is_accounted_for(builds):
    documented = {*readme_commands(), *manual_commands(), *help_commands(builds.directory / "next/usr/sbin/sendpostctl")}
    assert len(documented) > 60
    assert documented - COMMANDS.keys() == set(), "documented, but run by no test: add it to COMMANDS"
    assert COMMANDS.keys() - documented == set(), "in COMMANDS, but no longer documented"


def test_what_is_said_to_be_run_elsewhere_is_there():
    for what in COMMANDS.values():
        if isinstance(what, By):
            file, function = what.test.split("::")
            assert re.search(rf"(?m)^\s*(def )?{function}\(", (TOP / file).read_text()), what.test


@pytest.fixture(scope="module")
def site(builds, base_tree, api, ca):
    with Tpsp(ca, name=HOST, domains="example.com example.net") as tpsp, BootedTree(base_tree) as tree:
        tree.start_postfix()
        api.probes_expected = 1000
        yield Site(tree, tpsp, api, ca, builds.deb)


@pytest.mark.parametrize("command", [command for command, what in COMMANDS.items() if isinstance(what, Run)])
def test_does_what_it_says(site, command):
    what = COMMANDS[command]
    if what.first:
        what.first(site)
    real = site.real(command)
    for old, new in [*what.becomes, *((name, site.queue_id) for name in ("QUEUE_ID", "4bXyz1Qwz9") if hasattr(site, "queue_id"))]:
        real = real.replace(old, new)
    status, said = site.run(real, what.stdin.replace("PORT", str(site.tpsp.port)))
    if status != what.status or what.says not in said:
        pytest.fail(f"{real}: status {status}, wanted {what.status} and {what.says!r}\n{said}", pytrace=False)


@pytest.mark.parametrize("group", ["build", "package"])
def test_the_dependencies_are_there(builds, group):
    done = subprocess.run([TOP / "tools/deps", group], capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0 and done.stdout == f'tools/deps: everything for "{group}" is installed\n', done.stdout + done.stderr


def test_the_demo_runs(demo):
    if shutil.which("postfix") is None:
        pytest.skip("Postfix is not installed; run tools/deps demo")
    demo.finish()
    assert "the servers are stopped, their directories removed\n" in demo.log.read_text()
