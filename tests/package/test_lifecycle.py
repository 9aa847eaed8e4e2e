"""A package from installation to removal, in a fresh system with a real Postfix. The tests follow each other.

Throughout, mail is being sent: nothing may be bounced and nothing lost, whatever the package manager is doing.
"""
import re
import json
import threading

import pytest

from conftest import configure
from support import TOP, wait_for

LIBEXEC = "/usr/libexec/postfix-sendpost"


class Traffic:
    """A message every now and then, to recipients PREFIX1@, PREFIX2@ … until the block ends."""

    def __init__(self, tree, prefix):
        self.tree, self.prefix, self.sent = tree, prefix, []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.error = None

    def work(self):
        try:
            while not self.stop.is_set():
                recipient = f"{self.prefix}{len(self.sent)}@example.com"
                self.tree.send(recipient)
                self.sent.append(recipient)
        except Exception as error:  # shown by __exit__
            self.error = error

    def __enter__(self):
        self.thread.start()
        wait_for(lambda: len(self.sent) >= 3 or self.error, "the first messages")
        return self

    def __exit__(self, *_):
        more = len(self.sent) + 5
        wait_for(lambda: len(self.sent) >= more or self.error, "messages behind the change")
        self.stop.set()
        self.thread.join()
        assert self.error is None, self.error

    def wait_delivered(self):
        for recipient in self.sent:
            self.tree.wait_status(recipient, "sent")


@pytest.fixture
def tree(package):
    yield package.tree
    assert "bounced" not in package.tree.statuses(), package.tree.log()


def test_installs_user_directories_and_programs(package, tree):
    package.install()
    assert tree.owner_and_mode("/etc/postfix-sendpost") == "root:sendpost 750"
    assert tree.owner_and_mode("/etc/postfix-sendpost/uuid-key") == "root:sendpost 640"
    assert re.fullmatch("[0-9a-f]{64}\n", tree.path("/etc/postfix-sendpost/uuid-key").read_text())
    assert tree.owner_and_mode("/var/lib/postfix-sendpost") == "sendpost:sendpost 750"
    assert tree.run("getent", "passwd", "sendpost").strip().endswith("nologin")
    for program in (f"{LIBEXEC}/sendpost-pipe", f"{LIBEXEC}/sendpost-bounce", "sendpost-agent", "sendpostctl"):
        assert "0.1.0" in tree.run(program, "--version")
    assert package.verify() == ""


def test_every_file_of_the_package_that_a_document_names_is_there(tree):
    texts = [TOP / "README.md", *TOP.glob("man/*"), *TOP.glob("doc/*.md"), *(path for path in TOP.glob("postfix-conf/**/*") if path.is_file())]
    names = {name.rstrip(".") for text in texts
             for name in re.findall(r"/usr/[a-z]+/[A-Za-z0-9./_-]*sendpost[A-Za-z0-9./_-]*", text.read_text())}
    names.add("/usr/share/doc/postfix-sendpost/doc/cluster.md")  # the remedies of check name it
    assert len(names) > 5 and sorted(name for name in names if not tree.exists(name)) == []


def test_without_a_configuration_mail_waits(tree):
    tree.start_postfix()
    tree.run("sendpostctl", "postfix", "install")
    tree.run("postfix", "reload")
    tree.send("early@example.com")
    tree.wait_status("early@example.com", "deferred")


def test_delivers_and_reports(tree, tpsp, api, ca):
    configure(tree, tpsp, api, ca)
    tree.send("first@example.com")
    tree.wait_status("first@example.com", "sent")
    tree.wait_status("early@example.com", "sent")
    recipients = {event["recipient"] for event in api.wait_events(2) if event["event_type"] == "delivered"}
    assert {"first@example.com", "early@example.com"} <= recipients
    assert {message.recipient for message in tpsp.wait_messages(2)} == {"first@example.com", "early@example.com"}


def test_check_finds_nothing_wrong_with_what_was_installed(tree, api):
    api.probes_expected = 1
    findings = json.loads(tree.call("sendpostctl", "check", "--json").stdout)["checks"]
    assert len(findings) > 10 and not [finding for finding in findings if finding["status"] == "failure"], findings
    assert [finding for finding in findings if "does not refuse the key of the account" in finding["text"]]
    assert not api.problems
    api.forget()


@pytest.mark.parametrize("library", ["libesmtp.so.6", "libcurl.so.4"])
def test_a_missing_library_defers(tree, library):
    recipient = f"{library}@example.com"
    real = tree.run("sh", "-c", f"readlink -f /usr/lib/*/{library}").strip()
    tree.wait_nobody_idle()
    tree.path(real).rename(tree.path(real + ".away"))
    try:
        tree.send(recipient)
        if library == "libesmtp.so.6":
            tree.wait_status(recipient, "deferred")
        else:  # it carries the event: the message goes, the event stays pending
            tree.wait_status(recipient, "sent")
    finally:
        tree.path(real + ".away").rename(tree.path(real))
    tree.wait_status(recipient, "sent")


def test_an_upgrade_keeps_configuration_and_state_while_mail_flows(package, tree):
    configuration = tree.path("/etc/postfix-sendpost/config.yaml")
    configuration.write_text(configuration.read_text() + "# the postmaster's own words\n")
    kept = configuration.read_bytes()
    events = tree.run("sendpostctl", "events", "--json", "--limit", "0").count('"first@example.com"')
    with Traffic(tree, "upgrade") as traffic:
        package.upgrade()
    traffic.wait_delivered()
    assert configuration.read_bytes() == kept
    assert tree.run("sendpostctl", "events", "--json", "--limit", "0").count('"first@example.com"') == events >= 1
    assert tree.owner_and_mode("/etc/postfix-sendpost/primary.password") == "root:sendpost 640"
    assert package.verify() == ""


def test_removal_leaves_mail_in_the_queue(package, tree):
    with Traffic(tree, "remove") as traffic:
        package.remove()
    assert not tree.exists("/usr/sbin/sendpostctl") and not tree.exists(LIBEXEC)
    last = traffic.sent[-1]
    tree.wait_status(last, "deferred")
    assert "sent" not in tree.statuses(last)
    assert tree.queue()
    assert tree.exists("/etc/postfix-sendpost/config.yaml") and tree.exists("/var/lib/postfix-sendpost/state.db")


def test_installed_again_it_delivers_what_waited(package, tree, tpsp):
    package.install()
    wait_for(lambda: not tree.queue(), lambda: f"an empty queue\n{tree.queue()}\n{tree.log()[-8000:]}", timeout=240)
    sent = {f"remove{number}@example.com" for number in range(3)}
    assert sent <= {message.recipient for message in tpsp.messages()}
    copies = [message.recipient for message in tpsp.messages()]
    assert len(copies) == len(set(copies)), "something was delivered twice"
