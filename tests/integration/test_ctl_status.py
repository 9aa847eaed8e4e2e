"""sendpostctl status: what is not well, in its first line and the exit status; what happened, counted; what mail waits for."""
import http.server
import json
import os
import re
import subprocess
import threading

import pytest

from plain_relay import while_open
from private_postfix import PrivatePostfix
from scripted_tpsp import ScriptedTpsp
from sendpost import Sendpost, build_directory
from support import free_port, wait_for

CTL = build_directory() / "sendpostctl"
MESSAGE = b"From: a@example.org\r\nSubject: hello\r\n\r\nhello\r\n"


def status(sendpost, *arguments, **environment):
    return subprocess.run([str(CTL), "-c", str(sendpost.config), "status", *arguments], capture_output=True, text=True, check=False,
                          timeout=240, env={**os.environ, **environment})


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
    counts = {"delivered": 2, "deferred": 1, "dropped": 1, "bounced": 0, "soft_bounced": 0}
    (limit,) = tpsp.pop("limits")
    assert tpsp == {"tpsp": "primary", "breaker": {"state": "closed", "failures": 0, "of_all_hosts": False, "retry_seconds": 0}, "max_rate_per_hour": 40,
                    "accepted_last_hour": 2, "accepted_last_day": 2, "deferred_last_day": 1, "dropped_last_day": 1,
                    "last_day": counts, "slow_down": [], "certificate_expires_at": None}
    assert (limit["limit"], limit["used"], limit["free"], limit["next_slot_seconds"]) == (40, 4, 6, 0)
    assert result["ok"] and result["trouble"] == [] and result["last_day"] == counts
    assert result["waiting_messages"] == 1 and result["agent"] is None
    assert [failure["recipient"] for failure in result["last_failures"]] == ["slow@example.com", "bad@example.com"]
    text = status(installation).stdout
    assert text.startswith("postfix-sendpost is healthy: mail and events flow\n")
    row = next(line for line in text.splitlines() if line.startswith("primary "))
    assert row.split() == ["primary", "in", "use", "2", "1", "1", "0", "0"]
    assert "Rate      primary 40/h: 4 used this hour, 6 more at once\n" in text
    assert re.search(r"^Messages  1 wait for another attempt, the first one in (5[0-9]|60) min$", text, re.MULTILINE)
    assert "  dropped  <bad@example.com>  primary: 5.1.1 no such user" in text
    assert re.search(r"^Disk      \d+ % of \S+ is free", text, re.MULTILINE)
    assert "\x1b" not in text
    assert {file.stat().st_uid for file in installation.state.iterdir()} == {installation.uid}  # also what root has opened


def test_a_tpsp_that_is_left_alone_is_not_well(installation):
    class Nobody:
        port = free_port()

    configure(installation, Nobody)

    def fail(number):
        assert deliver(installation, "one@example.com", f"4bXyz{number}") == 75

    def look(_):
        done = status(installation)
        assert done.returncode == 1
        assert "primary  left alone for " in done.stdout and "(5 failures)" in done.stdout
        first, second = done.stdout.splitlines()[:2]
        assert first.startswith("postfix-sendpost is not healthy: ") and second == "  mend it: sendpostctl test primary"
        result = json.loads(status(installation, "--json").stdout)
        assert result["tpsps"][0]["breaker"]["state"] == "open" and not result["ok"]
        assert [(trouble["text"], trouble["command"]) for trouble in result["trouble"]] \
            == [(first.removeprefix("postfix-sendpost is not healthy: "), "sendpostctl test primary")]

    while_open([installation], fail, look)


def test_the_first_line_says_what_comes_next_and_the_second_what_mends_it(installation):
    """Each trouble once, the gravest first."""
    with ScriptedTpsp() as server:
        configure(installation, server, listen=f"127.0.0.1:{free_port()}", endpoint="http://127.0.0.1:1/")
        assert deliver(installation, "one@example.com", "4bXyz0") == 0
    subprocess.run(["sqlite3", installation.state / "state.db", "UPDATE events SET state = 2"], check=True, user=installation.uid)
    done = status(installation)
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert lines[0] == "postfix-sendpost is not healthy: 1 event was refused by the event API"
    assert lines[1] == "  mend it: sendpostctl events --state rejected"
    assert lines[2].startswith("  and the agent does not answer at 127.0.0.1:")
    assert lines[3] == "  mend it: systemctl restart sendpost-agent"


def test_the_limit_is_spread_before_it_is_used_up(installation):
    with ScriptedTpsp() as server:
        configure(installation, server, rate_burst=2)
        for number in range(4):
            deliver(installation, "one@gmail.com", f"4bXyz{number}")
    text = status(installation).stdout
    assert re.search(r"^Rate      primary 40/h: 2 used this hour, spread, next slot in \d+ s$", text, re.MULTILINE), text


def test_a_bounce_is_counted_with_the_tpsp_that_took_the_message(installation):
    with ScriptedTpsp() as server:
        configure(installation, server)
        assert deliver(installation, "one@example.com", "4bXyz0") == 0
    (event,) = installation.events()
    report = (b"From: MAILER-DAEMON@mx.example.com\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
              b"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.com\r\n\r\n"
              b"Final-Recipient: rfc822; one@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n"
              b"Diagnostic-Code: smtp; 550 5.1.1 user unknown\r\n\r\n--b--\r\n")
    done = installation.run("-f", "", "--", f"bounces+{event['message_id']}+4321@sp-bounce.example.org", message=report,
                            program=installation.libexec / "sendpost-bounce")
    assert done.returncode == 0, done
    result = json.loads(status(installation, "--json").stdout)
    assert result["tpsps"][0]["last_day"] == {"delivered": 1, "deferred": 0, "dropped": 0, "bounced": 1, "soft_bounced": 0}
    assert result["last_day"]["bounced"] == 1


def test_postfixs_queue_is_told_by_what_it_waits_for(installation):
    """A real Postfix: a rate, the next attempt, trouble of ours, a hold, and a transport that is not ours."""
    def rcpt(connection):
        connection.reply("451 4.3.0 later" if b"slow" in connection.recipient else "250 2.1.5 Ok")

    with ScriptedTpsp(rcpt=rcpt) as server, ScriptedTpsp(auth="535 5.7.8 wrong") as strict:
        tpsps = [{"name": "primary", "id": 12, "host": "127.0.0.1", "port": server.port, "security": "none", "auth": "none",
                  "rates": ["1/h"], "provider-rates": {"default": 0}},
                 {"name": "strict", "id": 13, "host": "127.0.0.1", "port": strict.port, "security": "none", "auth": "plain",
                  "auth-without-tls": True, "username": "me", "password": "secret"}]
        installation.configure(tpsps, listen="none", retry={"schedule": ["1h"]},
                               pools=[{"name": "default", "members": [{"tpsp": "primary"}]}, {"name": "strict", "members": [{"tpsp": "strict"}]}])
        main = installation.main_cf("transport_maps = inline:{{strict.example=sendpost:strict}, {away.example=smtp:[127.0.0.1]:1}}\n")
        with PrivatePostfix(main=main, master=installation.master_cf(), backoff="") as postfix:
            environment = {"MAIL_CONFIG": str(postfix.etc)}
            text = status(installation, **environment).stdout
            assert "Queue     Postfix's is empty\n" in text and text.startswith("postfix-sendpost is healthy"), text
            for recipient in ("slow@example.com", "rate@example.com", "other@example.com", "one@strict.example", "two@away.example"):
                queue_id = postfix.sendmail(MESSAGE, recipient)
                wait_for(lambda: re.search(f"{queue_id}: to=<{recipient}>.*status=deferred", postfix.log()), recipient)
            subprocess.run([CTL, "-c", installation.config, "suspend", "--pool", "strict"], check=True, capture_output=True, env={**os.environ, **environment})
            late = postfix.sendmail(MESSAGE, "late@strict.example")
            wait_for(lambda: re.search(f"{late}: to=.*is suspended", postfix.log()), "the one that finds its pool suspended")
            stopped = postfix.sendmail(MESSAGE, "three@away.example")
            wait_for(lambda: re.search(f"{stopped}: to=.*status=deferred", postfix.log()), "the last one")
            subprocess.run(["postsuper", "-c", postfix.etc, "-h", stopped], check=True, capture_output=True)
            done = status(installation, "--json", **environment)
            queue = json.loads(done.stdout)["queue"]
            assert queue["read"] and queue["complete"] and queue["messages"] == 7 and queue["why"] is None
            assert {wait["what"]: wait["recipients"] for wait in queue["waits"]} == {"moving": 0, "rate": 2, "suspended": 1, "alone": 0, "attempt": 1, "held": 1, "stopped": 1, "other": 1}
            assert queue["oldest_at"] and queue["next_attempt"] > queue["oldest_at"]
            (reason,) = queue["reasons"]
            assert reason["recipients"] == 1 and "Connection refused" in reason["text"]
            done = status(installation, **environment)
    lines = done.stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("Queue     7 messages in Postfix's, the oldest came "))
    assert [re.sub(r"\b(5[0-9]|60) min", "an hour", line.strip()) for line in lines[at + 1:at + 8]] == [
        "2 wait for a rate", "1 waits for what is suspended", "1 waits for its next attempt, the first in an hour", "1 waits for trouble to be mended that is not its own",
        "1 is on hold, where somebody has put it (postsuper -H)", "1 waits for something else", f"1: {reason['text']}"]
    assert any(line.startswith("Suspended pool strict is suspended until it is resumed, since ") for line in lines)
    assert done.returncode == 1 and lines[0].startswith("postfix-sendpost is not healthy: 1 message waits for strict: ")


def test_a_queue_that_cannot_be_asked_is_not_known(installation):
    with ScriptedTpsp() as server:
        configure(installation, server)
        (installation.top / "etc").mkdir()
        done = status(installation, "--json", MAIL_CONFIG=str(installation.top / "etc"))
    queue = json.loads(done.stdout)["queue"]
    assert done.returncode == 0 and not queue["read"] and "main.cf" in queue["why"] and set(queue) == {"read", "why"}


def test_one_screen_is_enough_for_one_tpsp(installation):
    with ScriptedTpsp() as server:
        configure(installation, server)
        for number in range(3):
            assert deliver(installation, "one@example.com", f"4bXyz{number}") == 0
        lines = status(installation).stdout.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 110, lines


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
