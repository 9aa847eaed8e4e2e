"""sendpostctl status: what happened, counted; and what is not well, in the exit status."""
import http.server
import json
import re
import subprocess
import threading

import pytest

from scripted_tpsp import ScriptedTpsp
from sendpost import Sendpost, build_directory
from support import free_port

CTL = build_directory() / "sendpostctl"
MESSAGE = b"From: a@example.org\r\nSubject: hello\r\n\r\nhello\r\n"


def status(sendpost, *arguments):
    return subprocess.run([str(CTL), "-c", str(sendpost.config), "status", *arguments], capture_output=True, text=True, check=False,
                          timeout=60)


@pytest.fixture
def installation():
    with Sendpost() as made:
        yield made


def configure(installation, server, **settings):
    tpsp = {"name": "primary", "id": 12, "host": "127.0.0.1", "port": server.port, "security": "none", "auth": "none",
            "max-rate-per-hour": 40}
    installation.configure([tpsp], **{"listen": "none", "retry": {"schedule": ["1h"]}, **settings})


def deliver(installation, recipient, queue_id):
    return installation.run("-q", queue_id, "-f", "a@example.org", "--", recipient, message=MESSAGE).returncode


def test_what_happened_is_counted(installation):
    def rcpt(connection):
        line = connection.recipient
        connection.reply("550 5.1.1 no such user \x1b[2J" if b"bad" in line else
                         "451 4.3.0 later" if b"slow" in line else "250 2.1.5 Ok")

    with ScriptedTpsp(rcpt=rcpt) as server:
        configure(installation, server)
        for number, (recipient, code) in enumerate((("one@example.com", 0), ("two@example.com", 0), ("bad@example.com", 69),
                                                    ("slow@example.com", 75))):
            assert deliver(installation, recipient, f"4bXyz{number}") == code
    done = status(installation, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    (tpsp,) = result["tpsps"]
    assert tpsp == {"tpsp": "primary", "breaker": "closed", "failures_in_a_row": 0, "max_rate_per_hour": 40,
                    "accepted_last_hour": 2, "accepted_last_day": 2, "deferred_last_day": 1, "dropped_last_day": 1}
    assert result["ok"] and result["waiting_messages"] == 1 and result["agent"] is None
    assert [failure["recipient"] for failure in result["last_failures"]] == ["slow@example.com", "bad@example.com"]
    text = status(installation).stdout
    row = next(line for line in text.splitlines() if line.startswith("primary "))
    assert row.split() == ["primary", "in", "use", "[#...................]", "2", "of", "40", "2", "1", "1"]
    assert re.search(r"^Messages  1 wait for another attempt, the first one in (59|60) min$", text, re.MULTILINE)
    assert "CSDropped  <bad@example.com>  primary: 5.1.1 no such user" in text
    assert "\x1b" not in text
    assert {file.stat().st_uid for file in installation.state.iterdir()} == {installation.uid}  # also what root has opened


def test_a_tpsp_that_is_left_alone_is_not_well(installation):
    class Nobody:
        port = free_port()

    configure(installation, Nobody)
    for number in range(5):
        assert deliver(installation, "one@example.com", f"4bXyz{number}") == 75
    done = status(installation)
    assert done.returncode == 1
    assert "primary  left alone for " in done.stdout and "(5 failures)" in done.stdout
    assert json.loads(status(installation, "--json").stdout)["tpsps"][0]["breaker"] == "open"


@pytest.mark.parametrize("body, code, well, text", [
    ({"status": "ok", "version": "9", "uptime_seconds": 7200, "uncorrelated_lines": 3}, 200, True,
     "ok, version 9, up for 2 h, 3 uncorrelated lines"),
    ({"status": "trouble", "version": "9", "uptime_seconds": 5, "uncorrelated_lines": 0, "last_error": "no \x1b[1mlog"}, 503, False,
     "trouble, version 9, up for 5 s, 0 uncorrelated lines: no ?[1mlog"),
    ("who are you", 200, False, "what answers there is not the agent"),
    (None, 0, False, "does not answer at "),
])
def test_the_agent_is_asked(installation, body, code, well, text):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            assert self.path == "/health"
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server, ScriptedTpsp() as tpsp:
        if body is not None:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            address = f"127.0.0.1:{server.server_port}"
        else:
            address = f"127.0.0.1:{free_port()}"
        configure(installation, tpsp, listen=address)
        done = status(installation)
        if body is not None:
            server.shutdown()
    assert text in done.stdout
    assert done.returncode == (0 if well else 1)
