"""The status page as it is served: to whom, what it shows, and what its clients cannot do."""
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import time
from html import unescape

import pytest

from agent_runner import Agent, LogWriter
from dns_servers import Unbound
from page_store import add_event
from sendpost import build_directory
from support import wait_for

CTL = build_directory() / "sendpostctl"
HOSTILE = "5.7.1 </td><script>alert(1)</script>\"'><img src=x onerror=alert(2)> \x1b[31m \u202e"


@pytest.fixture
def agent():
    with Agent() as instance:
        instance.log_path.write_text("")
        yield instance


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=240)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(str(self.path))


def ask(agent, path, method="GET", connection=None, **headers):
    """(status, header fields, body)"""
    connection = connection or http.client.HTTPConnection("127.0.0.1", agent.port, timeout=240)
    try:
        connection.request(method, path, headers={key.replace("_", "-"): value for key, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def link(agent):
    done = subprocess.run([CTL, "-c", agent.config, "ui", "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["url"]


def login(agent):
    """The cookie, as a browser sends it back."""
    status, fields, _ = ask(agent, link(agent).split(str(agent.port), 1)[1])
    assert status == 303 and fields["Location"] == "/"
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in fields["Set-Cookie"].split(";")}
    return fields["Set-Cookie"].split(";")[0]


def page(agent, cookie=None):
    """The document, when it has counted all there is."""
    def complete():
        text = ask(agent, "/", **({"Cookie": cookie} if cookie else {}))[2]
        return text if "being counted" not in text else None
    return wait_for(complete, "the page")


def page_with(agent, cookie, *texts):
    def found():
        text = page(agent, cookie)
        return text if all(part in text for part in texts) else None
    return wait_for(found, f"{texts} on the page")


def numbers(text, table):
    """{name of the row: its numbers}"""
    body = re.search(rf'<tbody id="{table}">(.*?)</tbody>', text, re.S)[1]
    return {unescape(re.search(r"<th[^>]*>(.*?)</th>", row)[1]):
            [int(number.replace(",", "")) for number in re.findall(r'<td class="number">([\d,]+)</td>', row)]
            for row in re.findall(r"<tr.*?</tr>", body, re.S)}


# --- to whom ----------------------------------------------------------------------------------------------------------------

def test_on_loopback_a_foreign_host_gets_nothing(agent):
    agent.start()
    for path in ("/", "/health", "/metrics", "/page.js", "/live", "/login?token=x"):
        for host in ("evil.example", f"evil.example:{agent.port}", "127.0.0.1.evil.example", "localhost.evil.example",
                     "[::1", "192.0.2.1", "[2001:db8::1]:80", "127.0.0.1:80evil"):
            assert ask(agent, path, Host=host)[0] == 403, (path, host)
    for host in ("127.0.0.1", f"127.0.0.1:{agent.port}", "localhost", "LOCALHOST:8080", "[::1]:9113", "127.1.2.3"):
        assert ask(agent, "/health", Host=host)[0] == 200, host
    with socket.create_connection(("127.0.0.1", agent.port), timeout=240) as stream:  # no Host comes from no browser
        stream.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        assert stream.recv(100).startswith(b"HTTP/1.0 200") or stream.recv(100)


def test_a_foreign_origin_gets_nothing(agent):
    agent.start()
    own = f"127.0.0.1:{agent.port}"
    for origin in ("http://evil.example", "null", f"http://{own}.evil.example", "http://localhost", ""):
        assert ask(agent, "/health", Host=own, Origin=origin)[0] == 403, origin
    assert ask(agent, "/health", Host=own, Origin=f"http://{own}")[0] == 200


def test_elsewhere_health_and_metrics_answer_any_host_and_the_page_only_its_own(agent):
    agent.configure(listen=f"0.0.0.0:{agent.port}")
    agent.start()
    for path in ("/health", "/metrics"):
        assert ask(agent, path, Host="mx.of.the.monitoring.example")[0] == 200
    for path in ("/", "/page.js", "/live"):
        assert ask(agent, path, Host="evil.example")[0] == 403
    for host in ("192.0.2.7:9113", "localhost", socket.gethostname()):
        assert ask(agent, "/", Host=host)[0] == 200, host


def test_a_proxy_comes_over_a_unix_socket_and_has_its_own_login(agent):
    path = agent.top / "page.socket"
    agent.configure(listen=f"unix:{path}")
    with socket.socket(socket.AF_UNIX) as left_over:  # by somebody who was killed
        left_over.bind(str(path))
    agent.process = subprocess.Popen([build_directory() / "sendpost-agent", "-c", agent.config], env=agent.environment(),
                                     stderr=subprocess.PIPE)
    wait_for(lambda: status_at(path) == 200, "an answer at the socket")
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    add_event(agent, "deferred", "seen@example.net", text="4.2.2 full", code=452)
    wait_for(lambda: "seen@example.net" in ask(agent, "/", connection=Unix(path), Host="status.example.org")[2], "the address")
    own = {"Host": "status.example.org", "Origin": "https://evil.example"}
    assert ask(agent, "/", connection=Unix(path), **own)[0] == 403
    done = subprocess.run([CTL, "-c", agent.config, "status", "--json"], capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["agent"]["status"] == "ok", done.stdout
    done = subprocess.run([CTL, "-c", agent.config, "ui"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "proxy" in done.stderr
    agent.kill(signal.SIGTERM)
    wait_for(lambda: not path.exists(), "the end of the socket")


def status_at(path):
    try:
        return ask(None, "/health", connection=Unix(path))[0]
    except OSError:
        return None


def test_without_the_cookie_no_address_is_shown(agent):
    agent.start()
    add_event(agent, "bounced", "secret@example.net", text="5.1.1 <secret@example.net>: User unknown", code=550)
    text = page_with(agent, None, "User unknown")
    assert "secret@" not in text and "example.net" not in text and "sendpostctl ui" in text
    assert ask(agent, "/live")[0] == 403
    cookie = login(agent)
    assert "secret@example.net" in page_with(agent, cookie, "User unknown")


def test_a_link_is_good_once_and_a_cookie_is_nobody_elses_making(agent):
    agent.start()
    path = link(agent).split(str(agent.port), 1)[1]
    assert ask(agent, "/login?token=" + "0" * 64)[0] == 403  # a wrong guess leaves the right one good
    status, fields, _ = ask(agent, path)
    assert status == 303
    assert ask(agent, path)[0] == 403
    for wrong in ("/login", "/login?token=", "/login?token=" + "0" * 9000):
        assert ask(agent, wrong)[0] in (403, 414, 431)
    good = fields["Set-Cookie"].split(";")[0]
    until, mac = good.split("=", 1)[1].split(".")
    for forged in ("sendpost=", f"sendpost={until}", f"sendpost={int(until) + 1}.{mac}", f"sendpost={until}.{'0' * 64}",
                   f"sendpost=99999999999999.{mac}", f"sendpost={until}.{mac}0", f"sendpost=-1.{mac}"):
        assert ask(agent, "/live", Cookie=forged)[0] == 403, forged
    path = agent.state / "page-login"
    token = link(agent).rsplit("=", 1)[1]
    path.write_text(f"{token} {int(time.time() * 1000) - 1}\n")
    assert ask(agent, f"/login?token={token}")[0] == 403, "a link that is too old"
    assert {stat.S_IMODE((agent.state / name).stat().st_mode) for name in ("page-login", "page-key")} == {0o600}
    assert token not in agent.log() and mac not in agent.log()


# --- what it shows ----------------------------------------------------------------------------------------------------------

def test_the_numbers_are_those_of_the_store(agent):
    agent.configure(tpsps=[{"name": "primary", "id": 12, "host": "127.0.0.1"}, {"name": "backup", "id": 13, "host": "127.0.0.1"}])
    agent.start()
    fates = ("delivered", "deferred", "dropped", "bounced", "soft_bounced")
    for number in range(120):
        what = fates[number % 5 if number % 3 else 0]
        add_event(agent, what, f"u{number}@gmail.com", ("gmail", "yahoo", "")[number % 3], "4.0.0 later", 400,
                  ("primary", "backup")[number % 2], 1200 * number, "pipe" if number % 3 < 2 else "bounce")

    def expected():
        """The hours turn while one looks."""
        since = (int(time.time()) // 3600 - 23) * 3600 * 1000
        with sqlite3.connect(agent.state / "state.db") as store:
            rows = store.execute("SELECT cs, CASE provider WHEN '' THEN 'gmail' ELSE provider END, count(*) FROM events "
                                 "WHERE timestamp_ms >= ? GROUP BY 1, 2", (since,)).fetchall()
            tpsps = store.execute("SELECT tpsp, count(*) FILTER (WHERE cs = 60), count(*) FILTER (WHERE cs = 61), "
                                  "count(*) FILTER (WHERE cs = 62) FROM events WHERE timestamp_ms >= ? GROUP BY 1", (since,)).fetchall()
        providers = {name: [sum(row[2] for row in rows if row[0] == cs and name in (row[1], "all")) for cs in (60, 61, 62, 63, 64)]
                     for name in ("all", "gmail", "yahoo")}
        return providers, {row[0]: list(row[1:]) for row in tpsps}

    def shown():
        return numbers(page(agent), "providers"), numbers(page(agent), "tpsps")
    wait_for(lambda: shown() == expected(), lambda: f"{expected()} {shown()}")
    before = expected()[0]["yahoo"][0]
    add_event(agent, "delivered", "new@yahoo.com", "yahoo")
    assert expected()[0]["yahoo"][0] == before + 1 or time.time() % 3600 < 60
    wait_for(lambda: shown()[0] == expected()[0], "the new one")


def test_a_store_that_is_replaced_is_counted_anew(agent):
    agent.start()
    for _ in range(3):
        add_event(agent, "delivered", "a@gmail.com", "gmail")
    wait_for(lambda: numbers(page(agent), "providers").get("gmail") == [3, 0, 0, 0, 0], "three")
    with sqlite3.connect(agent.state / "state.db") as store:
        store.execute("DELETE FROM events")
        store.execute("INSERT OR REPLACE INTO events (id, identity, state, event_id, message_id, cs, source, timestamp_ms, provider) "
                      "VALUES (1, 1, 3, 'x', 'y', 61, 0, ?, 'gmail')", (int(time.time() * 1000),))
    wait_for(lambda: numbers(page(agent), "providers").get("gmail") == [0, 1, 0, 0, 0], lambda: numbers(page(agent), "providers"))


def test_foreign_text_is_text(agent):
    agent.start()
    add_event(agent, "dropped", "\"<b>x</b>\"@example.net", text=HOSTILE, code=554, tpsp="<i>p</i>")
    text = page_with(agent, login(agent), "alert(1)")
    assert "<script>alert" not in text and "<img" not in text and "<b>x" not in text and "<i>p" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text and "\x1b" not in text
    text = page_with(agent, None, "alert(1)")
    assert "<script>alert" not in text and "<img" not in text


def test_what_is_wrong_is_said_with_its_remedy(agent):
    agent.log_path.unlink()
    agent.start()
    text = page_with(agent, None, "to be mended")
    assert "log-path" in text and '<code class="command">sendpostctl check</code>' in text
    agent.log_path.write_text("")
    wait_for(lambda: "All is well" in page(agent), "the end of the trouble")


def test_where_bounces_go_is_looked_up():
    servers = Unbound(["sp-bounce.good.example. CNAME sp.target.example.", "sp.target.example. A 192.0.2.1"])
    with servers, Agent(dns={"servers": [servers.address], "timeout": "2s"}, return_path={
            "verify": "static", "domains": ["good.example", "bad.example"], "cname-target": "sp.target.example"}) as agent:
        agent.log_path.write_text("")
        agent.start()
        text = page_with(agent, None, "Bounces of good.example", "Bounces of bad.example")
        assert re.search(r'good\.example</dt><dd><span class="ok">come back', text)
        assert re.search(r'bad\.example</dt><dd><span class="trouble">go astray', text)


def test_a_page_needs_nothing_from_elsewhere_and_is_small(agent):
    agent.start()
    bodies = []
    for path in ("/", "/page.js", "/style.css", "/icon.svg"):
        status, fields, body = ask(agent, path)
        assert status == 200
        policy = fields["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy and "*" not in policy
        assert fields["X-Content-Type-Options"] == "nosniff" and fields["Referrer-Policy"] == "no-referrer"
        bodies.append(body)
    assert sum(map(len, bodies)) < 100_000
    assert not re.search(r"""(?:src|href|action)\s*=\s*["']?(?:https?:)?//""", "".join(bodies))
    assert not re.search(r"""<[^>]*\s(?:style|on\w+)\s*=""", bodies[0]), "what the policy would not allow"
    assert "innerHTML" not in bodies[1] and "eval" not in bodies[1]


def test_a_search_tells_the_story_of_a_message(agent):
    agent.start()
    message = add_event(agent, "deferred", "who@example.net", text="4.2.2 <b>full</b>", code=452)
    add_event(agent, "deferred", "other@example.com", text="4.2.2 full", code=452)
    cookie = login(agent)
    for what in ("who@example.net", message, message[:9], "example.net"):
        text = ask(agent, "/?q=" + what, Cookie=cookie)[2]
        found = re.search(r'<section id="found".*?</section>', text, re.S)[0]
        assert "who@example.net" in found and message in found and "other@" not in found, what
        assert "&lt;b&gt;full" in found
    assert "Neither store" in ask(agent, "/?q=nobody@example.net", Cookie=cookie)[2]
    assert "&lt;script&gt;" in ask(agent, "/?q=%3Cscript%3E", Cookie=cookie)[2]
    assert ask(agent, "/?q=" + "x" * 600, Cookie=cookie)[0] == 414
    assert 'id="found"' not in ask(agent, "/?q=who@example.net")[2], "without a login"


# --- the live feed -----------------------------------------------------------------------------------------------------------

def follow(agent, cookie):
    stream = socket.create_connection(("127.0.0.1", agent.port), timeout=240)
    stream.sendall(f"GET /live HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n".encode())
    return stream


def read_until(stream, text):
    got = b""
    while text not in got:
        more = stream.recv(65536)
        assert more, got
        got += more
    return got


def test_what_happens_is_told_at_once_to_eight_at_most(agent):
    agent.start()
    add_event(agent, "delivered", "before@example.net")
    wait_for(lambda: numbers(page(agent), "providers")["all"][0] == 1, "the event before")
    cookie = login(agent)
    streams = [follow(agent, cookie) for _ in range(8)]
    for stream in streams:
        assert b"text/event-stream" in read_until(stream, b":\n\n")
    assert ask(agent, "/live", Cookie=cookie)[0] == 503
    add_event(agent, "deferred", "now@example.net", text="4.2.0 \r\ndata: {}\n\nlater", code=451)
    for stream in streams:
        got = read_until(stream, b"now@example.net").decode()
        data = json.loads(re.search(r"data: (\{.*?\})\n\n", got)[1])
        assert data["event_type"] == "deferred" and data["smtp_code"] == 451 and "before@" not in got
    streams.pop().close()

    def follows():
        with follow(agent, cookie) as stream:
            return b" 200 " in stream.recv(20)
    wait_for(follows, "a place that became free")
    for stream in streams:
        stream.close()


# --- what clients cannot do ------------------------------------------------------------------------------------------------------

def children(pid):
    listed = subprocess.run(["pgrep", "-x", "-P", str(pid), "sendpost-page"], capture_output=True, text=True, check=False).stdout
    return [int(child) for child in listed.split()]


def test_the_end_of_the_page_is_not_the_agents(agent):
    agent.start()
    page(agent)
    keeper, = children(agent.process.pid)
    server, = children(keeper)
    os.kill(server, signal.SIGKILL)
    writer = LogWriter(agent.log_path)
    writer.write(20)
    wait_for(lambda: len(agent.events()) == len(writer.expected), "the events")
    wait_for(lambda: children(keeper) not in ([], [server]), "another server")
    assert agent.get("/health")[0] == 200 and "is started again" in agent.log()
    agent.kill(signal.SIGKILL)
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}/exe") for pid in (keeper, *children(keeper))), "the end of both")


def test_a_server_that_is_stopped_holds_up_neither_log_nor_events(agent):
    agent.start()
    page(agent)
    keeper, = children(agent.process.pid)
    server, = children(keeper)
    os.kill(server, signal.SIGSTOP)
    try:
        writer = LogWriter(agent.log_path)
        writer.write(50)
        wait_for(lambda: len(agent.events()) == len(writer.expected), "the events")
    finally:
        os.kill(server, signal.SIGCONT)
    wait_for(lambda: agent.get("/health")[0] == 200, "an answer")
