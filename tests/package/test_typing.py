"""From a fresh system with Postfix to the first message at the provider, as the README has it, by somebody who types, and who makes three
mistakes: none costs an answer that was right."""
import re
import shutil
import time

from conftest import KEY
from support import free_port, wait_for
from tpsp import PASSWORD, USERNAME
from tree import ENVIRONMENT, SETTINGS
from typist import Typist

ONCE = {"SendPost account id": ["117"], "SendPost sub-account id": ["4321"], "Name for this sending provider": [""], "Its id in SendPost": ["12"],
        "SMTP server": ["localhost"], "Security": [""], "Username": [USERNAME], "Messages an hour at most": [""],
        "Send a test message to": ["me@example.com"], "Add the transport to Postfix": [""], "Route all mail": ["y"]}


def trust(tree, ca):
    """The provider's CA, as an administrator adds one."""
    tree.path("/usr/local/share/ca-certificates").mkdir(parents=True, exist_ok=True)
    shutil.copy(ca.certificate, tree.path("/usr/local/share/ca-certificates/test.crt"))
    tree.run("update-ca-certificates")


def test_from_the_package_to_the_first_message_with_three_mistakes(builds, tree, tpsp, api, ca, capsys):
    trust(tree, ca)
    tree.configure_postfix(re.sub("(?m)^default_transport = .*\n", "", SETTINGS))
    tree.run("postfix", "start")
    tree.path("/root/package.deb").write_bytes(builds.deb.read_bytes())
    api.probes_expected = 1

    begun = time.monotonic()
    said = tree.run("apt-get", "install", "-y", "--no-install-recommends", "/root/package.deb")
    assert "Next: sendpostctl setup" in said, said
    hand = Typist("nsenter", "--target", tree.init, "--mount", "--pid", "--root", "--wd", "--", "sendpostctl", "setup", "--endpoint", api.url,
                  env=ENVIRONMENT, answers={
                      **ONCE, "Port": [str(free_port()), str(tpsp.port)], "Password": ["wrong", PASSWORD], "Event API key": ["wrong", KEY],
                      "What now?": ["", "", ""]})
    assert hand.work() == 0, hand.seen
    tree.run("postfix", "reload")
    tree.send("first@example.com")
    tree.wait_status("first@example.com", "sent")
    wait_for(lambda: "first@example.com" in {message.recipient for message in tpsp.messages()}, "the first message at the provider")
    with capsys.disabled():
        print(f"\nfrom apt install to the first message, with three mistakes: {time.monotonic() - begun:.1f} s", end=" ")

    asked = {prompt: hand.asked.count(prompt) for prompt in hand.answers}
    assert asked == {**{prompt: 1 for prompt in ONCE}, "Port": 2, "Password": 2, "Event API key": 2, "What now?": 3}
    for words in ("Connection refused at connect", "Auth rejected at auth", "SendPost refuses the event API key: HTTP 401",
                  "The message was accepted.", "SendPost takes the event API key."):
        assert words in hand.seen, hand.seen
    assert PASSWORD not in hand.seen and KEY not in hand.seen
    assert "first@example.com" in {event["recipient"] for event in api.wait_events(1)}


def test_deliveries_are_logged_though_no_syslog_daemon_runs(tree):
    """Postfix writes its own file here: setup has given our lines one, too, and check finds it well."""
    assert "SENDPOST_LOG_FILE=/var/log/postfix-sendpost.log" in tree.run("postconf", "-h", "export_environment")
    assert "to=<first@example.com>" in tree.path("/var/log/postfix-sendpost.log").read_text()
    assert tree.owner_and_mode("/var/log/postfix-sendpost.log") == "sendpost:adm 640"
    said = tree.call("sendpostctl", "check", "--offline").stdout.decode()
    assert "deliveries are logged to /var/log/postfix-sendpost.log" in said, said
