"""What the commands and the status page say of that which all hosts of a cluster have together: the connections to a TPSP, and that it is
left alone. Shown by a host that has neither a connection nor a refusal of its own. A real Valkey or Redis server and agent."""
import json
import re
import subprocess
import threading
import urllib.request
from html import unescape
from http.cookiejar import CookieJar

import pytest

from plain_relay import entry, send
from scripted_tpsp import ScriptedTpsp
from sendpost import Sendpost, build_directory
from support import end_process, free_port, listens, wait_for
from valkey_server import PROGRAM, ValkeyServer

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no valkey-server or redis-server; run tools/deps test")
ACCOUNT = "550 5.7.1 Your account is suspended"


class Host(Sendpost):
    def __init__(self, server, tpsp):
        super().__init__()
        self.port, self.agent = free_port(), None
        self.environment = {"SENDPOST_IDLE_SECONDS": "0"}
        self.log_path = self.top / "mail.log"
        self.log_path.touch()
        self.configure([entry(tpsp, max_connections=3)], rate_limit_wait="0s", delivery_timeout="900s", listen=f"127.0.0.1:{self.port}", log_path=str(self.log_path),
                       cluster={"servers": [f"127.0.0.1:{server.port}"], "tls": False})
        self.agent = subprocess.Popen([build_directory() / "sendpost-agent", "-c", self.config], env=self.env(), cwd="/", user=self.uid,
                                      group=self.gid, extra_groups=[], stderr=subprocess.DEVNULL)
        wait_for(lambda: listens(self.port) or self.agent.poll() is not None, "the agent to listen")

    def end(self):
        end_process(self.agent.pid)
        self.agent.wait()
        self.__exit__()

    def ctl(self, *words):
        return self.run(*words, program=self.libexec / "sendpostctl")

    def words(self, command):
        return self.ctl(command).stdout.decode()

    def told(self, command):
        return json.loads(self.ctl(command, "--json").stdout)

    def checked(self):
        """Of the cluster: (status, text, remedy)"""
        found = json.loads(self.ctl("check", "--no-postfix", "--json").stdout)["checks"]
        return [(line["status"], line["text"], line.get("remedy")) for line in found if line["check"] == "cluster"]

    def page(self):
        """The words of the row of the TPSP, and those of the whole page."""
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        with opener.open(self.told("ui")["url"], timeout=240) as answer:
            html = answer.read().decode()
        row = re.search(r'<th scope="row">primary</th>.*?</tr>', html, re.DOTALL).group(0)
        return [re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", part))) for part in (row, html)]


@pytest.fixture
def hosts():
    with ValkeyServer() as server, ScriptedTpsp(auth="") as tpsp:
        made = [Host(server, tpsp) for _ in range(2)]
        yield *made, tpsp
        for host in made:
            host.end()


def test_connections_of_all_hosts_are_shown_by_each(hosts):
    busy, quiet, tpsp = hosts
    reached, go_on = threading.Event(), threading.Event()

    def wait(connection):
        reached.set()
        go_on.wait(600)
        connection.reply("250 2.1.0 Ok")
    wait_for(lambda: send(busy, "user@example.com")[0] == 0, "the beginning of the epoch")
    tpsp.script["mail"] = wait
    # a server of the cluster that is late once is away for a moment
    sending = threading.Thread(target=lambda: wait_for(lambda: "is away" not in send(busy, "user@example.com")[1], "the TPSP"))
    sending.start()
    try:
        assert reached.wait(240)
        for host, here in ((busy, 1), (quiet, 0)):
            words = f"in use, 1 of 3 connections ({here} here)"
            wait_for(lambda: words in host.words("rates") and words in host.words("status"), words)
            in_use = {"used": here, "limit": 3, "cluster": 1}
            wait_for(lambda: host.told("rates")[0]["connections"] == in_use, "the connections in rates")
            wait_for(lambda: host.told("status")["tpsps"][0]["connections"] == in_use, "the connections in status")
            wait_for(lambda: ("ok", "primary: 1 of 3 connections are in use by all hosts", None) in host.checked(), "the line of check")
            wait_for(lambda: "1 of 3 connections, of all hosts" in host.page()[0], "the connections on the page")
    finally:
        go_on.set()
        sending.join()


def test_what_is_left_alone_by_all_hosts_is_said_to_be(hosts):
    refused, other, tpsp = hosts
    wait_for(lambda: send(refused, "user@example.com")[0] == 0, "the beginning of the epoch")
    assert other.told("rates")[0]["breaker"]["of_all_hosts"] is False
    assert not [line for line in other.checked() if "left alone" in line[1]]
    tpsp.script["mail"] = ACCOUNT
    wait_for(lambda: "is away" not in send(refused, "user@example.com")[1], "an answer of the TPSP")
    wait_for(lambda: other.told("rates")[0]["breaker"]["of_all_hosts"], "the word of the other host, which its agent hears")
    assert other.told("status")["tpsps"][0]["breaker"]["failures"] == 5
    for command in ("rates", "status"):
        assert re.search(r"(left alone for \S+ \S+|to be tried) \(5 failures of all hosts\)", other.words(command))
    assert "primary is left alone after 5 failures in a row of all hosts" in other.words("status")
    top = wait_for(lambda: (lambda text: text if "Cluster: " in text and "hosts, an answer takes" in text else None)(other.words("top")), "the agent")
    assert re.search(r"(?m)^primary +(left alone by all|to be tried)", top), top
    assert ("warning", "primary is left alone by all hosts after 5 failures in a row",
            "sendpostctl test primary; once it works again: sendpostctl rates reset primary") in other.checked()
    # whose agent may have missed the server for a moment
    page = wait_for(lambda: (lambda row, page: page if re.search(r"(left alone|to be tried) +of all hosts", row) else None)(*other.page()),
                    "the word of all hosts in the row of the page")
    assert "primary is left alone after 5 failures in a row of all hosts" in page

    wait_for(lambda: other.ctl("rates", "reset", "primary").returncode == 0, "a server that answers in time")
    assert other.told("rates")[0]["breaker"] == {"state": "closed", "failures": 0, "of_all_hosts": False, "retry_seconds": 0}
    assert not [line for line in other.checked() if "left alone" in line[1]]
    wait_for(lambda: "of all hosts" not in refused.words("status"), "the same at the other host")
