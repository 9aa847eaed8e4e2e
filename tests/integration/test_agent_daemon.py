"""sendpost-agent as a service: HTTP, signals, readiness, and what it does when it cannot work."""
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from agent_runner import PROGRAM, Agent, LogWriter
from support import alive, free_port, listens, wait_for

TEST_PATH = "/api/v1/tpsp/test/custom-smtp"


@pytest.fixture
def agent():
    with Agent() as instance:
        instance.log_path.write_text("")
        yield instance


def post(agent, body, key="agent-key"):
    """(status, answer)"""
    request = urllib.request.Request(f"http://127.0.0.1:{agent.port}{TEST_PATH}", data=body.encode(),
                                     headers={"X-SP-Event-ApiKey": key} if key else {})
    try:
        with urllib.request.urlopen(request, timeout=240) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


@pytest.mark.smoke
def test_health_and_metrics_tell_what_was_done(agent):
    agent.configure(tpsps=[{"name": "primary", "host": "127.0.0.1", "max-rate-per-hour": 10}])
    agent.start()
    writer = LogWriter(agent.log_path)
    writer.write(20)
    wait_for(lambda: len(agent.events()) == len(writer.expected), "the events")
    wait_for(lambda: agent.metric("lines_total") > 0, "the figures")
    health = agent.health()
    assert set(health) >= {"status", "version", "uptime_seconds", "log", "last_report_at", "pending_events",
                           "rejected_events", "uncorrelated_lines", "parse_errors", "last_error"}
    assert health["status"] == "ok" and agent.get("/health")[0] == 200
    assert health["log"]["path"] == str(agent.log_path)
    assert health["log"]["position"] == agent.log_path.stat().st_size
    assert health["log"]["lag"]["bytes"] == 0
    assert agent.metric("lines_total") == len(agent.log_path.read_text().splitlines())
    for word in ("delivered", "bounced", "soft_bounced", "deferred"):
        assert agent.metric(f'events_total{{type="{word}"}}') == sum(fate[2] == word for fate in writer.expected)
    assert agent.metric('rate_slots_free{tpsp="primary",provider="",limit="10/h"}') == 10
    assert agent.get("/")[0] == 200 and agent.get("/nothing")[0] == 404
    with agent.log_path.open("a") as log:
        log.write("Nov 23 05:29:37 mx postfix/smtp[7]: 4AAAAA: to=<a@b>, relay=\n")
    wait_for(lambda: agent.health()["parse_errors"] == 1, "the parse error")


def test_what_made_no_event_of_a_bounce_is_in_the_metrics(agent):
    agent.start()
    assert agent.metric('bounces_without_event_total{reason="ignored"}') == 0
    agent.query("INSERT INTO meta VALUES ('bounce.ignored', '7'), ('bounce.unattributed', '3')")
    wait_for(lambda: agent.metric('bounces_without_event_total{reason="ignored"}') == 7, "the counter")
    assert agent.metric('bounces_without_event_total{reason="unattributed"}') == 3


def test_metrics_are_what_prometheus_takes(agent):
    agent.start()
    typed = set()
    for line in agent.get("/metrics")[1].splitlines():
        if line.startswith("# TYPE"):
            typed.add(line.split()[2])
        elif not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            float(value)
            base = name.split("{")[0]
            assert base in typed or base.rsplit("_", 1)[0] in typed, line


def test_slow_and_hostile_clients_do_not_keep_others_out(agent):
    agent.start()
    streams = []
    for _ in range(40):
        stream = socket.create_connection(("127.0.0.1", agent.port))
        stream.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        streams.append(stream)
    # all places are taken; they are given up within seconds
    wait_for(lambda: answers(agent), "an answer beside forty silent clients", timeout=240)
    for stream in streams:
        stream.close()
    for junk in (b"\x00" * 5000, b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"x" * 100000, b"POST /health HTTP/1.1\r\nContent-Length: "
                 b"99999999999\r\n\r\n" + b"y" * 100000, b"\r\n" * 50000):
        with socket.create_connection(("127.0.0.1", agent.port)) as stream:
            stream.settimeout(20)
            try:
                stream.sendall(junk)
                stream.shutdown(socket.SHUT_WR)
                while stream.recv(65536):
                    pass
            except OSError:
                pass
    wait_for(lambda: answers(agent), "an answer after the junk")


def answers(agent):
    try:
        return agent.get("/health")[0] == 200
    except OSError:
        return False


def test_sigterm_ends_it_cleanly_and_the_next_one_goes_on(agent):
    writer = LogWriter(agent.log_path)
    agent.start()
    writer.write(10)
    assert agent.kill(signal.SIGTERM) == 0
    writer.write(10)
    agent.start()
    wait_for(lambda: {(event[1], event[2], event[0]) for event in agent.events()} == writer.expected, "all events")
    assert len(agent.events()) == len(writer.expected)


def test_sighup_reads_the_configuration_again(agent):
    agent.start()
    old, agent.port = agent.port, free_port()
    agent.configure()
    agent.process.send_signal(signal.SIGHUP)
    wait_for(lambda: listens(agent.port), "the new port")
    assert not listens(old)
    agent.config.write_text("nonsense: [")
    agent.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "not reloaded" in agent.log(), "the complaint")
    assert agent.get("/health")[0] == 200
    writer = LogWriter(agent.log_path)
    writer.write(1)
    wait_for(lambda: len(agent.events()) == len(writer.expected), "an event after the failed reload")


def test_the_service_manager_is_told(agent):
    path = agent.top / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(path))
        notify.settimeout(20)
        agent.start(NOTIFY_SOCKET=str(path), WATCHDOG_USEC="400000")
        assert notify.recv(4096) == b"READY=1"
        assert notify.recv(4096) == b"WATCHDOG=1"
        assert notify.recv(4096) == b"WATCHDOG=1"
        agent.process.send_signal(signal.SIGTERM)
        wait_for(lambda: notify.recv(4096) == b"STOPPING=1", "STOPPING")


def test_a_log_that_cannot_be_read_is_said_and_waited_for(agent):
    if os.geteuid() == 0 and subprocess.run(["setpriv", "--version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs setpriv")
    agent.log_path.chmod(0)
    for path in (agent.top, agent.state, agent.config):
        os.chown(path, 65534, 65534)
    agent.own_log.write_text("")
    os.chown(agent.own_log, 65534, 65534)
    agent.process = subprocess.Popen(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", PROGRAM, "-c", agent.config],
                                     env=agent.environment(), stderr=subprocess.PIPE)
    wait_for(lambda: listens(agent.port), "the agent to listen")
    wait_for(lambda: agent.get("/health")[0] == 503, "trouble in /health")
    assert "read access" in agent.health()["last_error"]
    writer = LogWriter(agent.log_path)
    writer.write(2)
    agent.log_path.chmod(0o644)
    wait_for(lambda: len(agent.events()) == len(writer.expected), "the events", timeout=240)
    wait_for(lambda: agent.get("/health")[0] == 200, "recovery")


def test_a_new_log_that_root_alone_may_read_is_said(agent):
    if os.geteuid() != 0 or subprocess.run(["setpriv", "--version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs root, and setpriv")
    for path in (agent.top, agent.state, agent.config):
        os.chown(path, 65534, 65534)
    agent.own_log.write_text("")
    os.chown(agent.own_log, 65534, 65534)

    def once():
        return subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", PROGRAM, "-c", agent.config, "--once",
                               "--from-start"], env=agent.environment(), capture_output=True, check=False, timeout=300).returncode

    writer = LogWriter(agent.log_path)
    writer.write(2)
    assert once() == 0
    agent.log_path.rename(agent.top / "mail.log.1")
    writer.write(2)
    agent.log_path.chmod(0)
    assert once() == 75
    assert f"cannot read {agent.log_path} as user id 65534" in agent.log() and "rotation's create rule" in agent.log()
    agent.log_path.chmod(0o644)
    assert once() == 0
    assert len(agent.events()) == len(writer.expected)


def test_wrong_usage_and_wrong_configuration_are_told_apart():
    assert subprocess.run([PROGRAM, "--nonsense"], capture_output=True, check=False).returncode == 64
    done = subprocess.run([PROGRAM, "-c", "/nonexistent/config.yaml", "--once"], capture_output=True, check=False)
    assert done.returncode == 75 and b"/nonexistent/config.yaml" in done.stderr
    for option in ("--help", "--version"):
        assert subprocess.run([PROGRAM, option], capture_output=True, check=False).returncode == 0


def test_the_connectivity_test_answers_step_by_step(agent, session_tpsp):
    agent.configure(api_key="agent-key")
    agent.start()
    body = json.dumps({"host": "127.0.0.1", "port": session_tpsp.port, "security": "none", "from": "a@example.org",
                       "to": "b@example.com"})
    status, answer = post(agent, body)
    assert status == 200 and not answer["ok"]  # this TPSP wants a login
    assert answer["stage"] in ("mail", "rcpt") and answer["error"] in ("MAIL FROM failure", "RCPT TO failure")
    assert [step["stage"] for step in answer["steps"]][:3] in (["connect", "greeting", "ehlo"], ["resolve", "connect", "greeting"])
    status, answer = post(agent, json.dumps({"host": "127.0.0.1", "port": free_port(), "security": "none",
                                             "from": "a@example.org", "to": "b@example.com"}))
    assert status == 200 and answer["error"] == "Connection refused" and answer["stage"] == "connect"


def test_the_connectivity_test_asks_for_the_key_and_for_sense(agent):
    agent.configure(api_key="agent-key")
    agent.start()
    assert post(agent, "{}", key=None)[0] == 401
    assert post(agent, "{}", key="agent-kez")[0] == 401
    for body in ("", "[]", "{}", '{"host":5}', '{"host":"x y","from":"a@b"}', '{"host":"h","port":70000,"from":"a@b.c"}',
                 '{"host":"h","from":"a@b\\u0000c"}', '{"host":"h","from":"a@b>\\r\\nX"}',
                 '{"host":"h","security":"ssl","from":"a@b.c"}', "[" * 1000):
        status, answer = post(agent, body)
        assert status == 400 and answer["error"], body
    assert post(agent, json.dumps({"host": "x" * 20000}))[0] == 413


def test_it_ends_while_a_connectivity_test_hangs(agent):
    agent.configure(api_key="agent-key")
    agent.start()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(5)
        import threading
        thread = threading.Thread(target=lambda: swallow(agent, silent.getsockname()[1]), daemon=True)
        thread.start()
        connection, _ = silent.accept()
        status, answer = post(agent, json.dumps({"host": "127.0.0.1", "from": "a@b.example"}))
        assert status == 503 and "running" in answer["error"]
        begun = time.monotonic()
        agent.process.send_signal(signal.SIGTERM)
        connection.close()
        assert agent.process.wait(timeout=240) == 0
        assert time.monotonic() - begun < 60
        thread.join()


def swallow(agent, port):
    try:
        post(agent, json.dumps({"host": "127.0.0.1", "port": port, "security": "none", "from": "a@b.example"}))
    except OSError:
        pass


def test_nothing_is_left_running(agent):
    agent.start()
    pid = agent.process.pid
    agent.stop()
    assert not alive(pid)
