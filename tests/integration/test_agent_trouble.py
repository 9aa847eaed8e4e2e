"""sendpost-agent with a disk that runs full, a clock that jumps, and an API that asks for a day's patience: no event is
lost or stored twice, and it goes on by itself."""
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time

import pytest

from agent_runner import PROGRAM, Agent, LogWriter
from event_api import Answer, EventApi
from sendpost import build_directory, ctl
from support import end_process, listens, remove, scratch, wait_for

DAY = 86400


@pytest.fixture
def api():
    with EventApi(tls=False, key="agent-key") as api:
        yield api


@pytest.fixture
def agent(api):
    with Agent() as agent:
        agent.report_to(api)
        yield agent


def flush(agent):
    return subprocess.run([build_directory() / "sendpostctl", "-c", agent.config, "events", "flush"], capture_output=True,
                          text=True, check=False, timeout=240)


# --- disk -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def disk():
    """A file system of 1 MB, and one to grow it."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("a small file system needs root")
    path = scratch("spdisk-")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M,mode=0750", "tmpfs", path], check=False).returncode != 0:
        remove(path)
        pytest.skip("no file system can be mounted here")
    yield path
    subprocess.run(["umount", "-l", path], check=True)
    remove(path)


def test_a_disk_that_runs_full_while_events_are_stored_loses_none(agent, api, disk):
    agent.state = disk
    agent.report_to(api)
    writer = LogWriter(agent.log_path)
    writer.write(1)
    agent.start("--from-start")
    wait_for(lambda: len(set(api.ids())) == len(writer.expected), "the first event")
    writer.write(4000)
    wait_for(lambda: "free some space on its file system" in agent.log(), "the disk to be full")
    wait_for(lambda: agent.get("/health")[0] == 503, agent.health)
    assert "free some space on its file system" in agent.health()["last_error"]
    subprocess.run(["mount", "-o", "remount,size=50M", disk], check=True)
    wait_for(lambda: set(api.ids()) == {event[5] for event in agent.events()} and len(agent.events()) == len(writer.expected),
             lambda: f"{len(writer.expected)} events; stored are {len(agent.events())}", timeout=240)
    wait_for(lambda: agent.get("/health")[0] == 200, agent.health)
    assert {(event[1], event[2], event[0]) for event in agent.events()} == writer.expected
    with sqlite3.connect(disk / "state.db") as store:
        assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


# --- clock ------------------------------------------------------------------------------------------------------------


def test_a_clock_that_was_days_ahead_holds_nothing_up(agent, api):
    """The pauses and due times in the store are of a clock that has been put back since."""
    api.default = Answer(500)
    writer = LogWriter(agent.log_path)
    writer.write(10)
    assert agent.once("--from-start") == 75
    with sqlite3.connect(agent.state / "state.db") as store:
        ahead = 3 * DAY * 1000
        (pause,) = store.execute("SELECT value FROM meta WHERE key LIKE 'report.pause.%'").fetchone()
        until, failures, since, why = pause.split(" ", 3)
        store.execute("UPDATE meta SET value = ? WHERE key LIKE 'report.pause.%'",
                      (f"{int(until) + ahead + DAY * 1000} {failures} {int(since) + ahead} {why}",))
        store.execute("UPDATE events SET due_ms = due_ms + ?1, timestamp_ms = timestamp_ms + ?1", (ahead,))
        store.execute("UPDATE events SET tries = 1, put_off_ms = due_ms + 30000 WHERE id % 3 = 0")  # put off
    api.default = Answer(202)
    agent.start()
    wait_for(lambda: len(set(api.ids())) == len(writer.expected), lambda: f"{len(api.ids())} events")
    wait_for(lambda: agent.health()["pending_events"] == 0, agent.health)


def test_a_log_whose_clock_is_ahead_does_not_delay_its_events(agent, api):
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() + DAY / 2))
    message = "5f8b8ee2-47a7-4d0e-9a59-0f2b3b1d7c11"
    agent.log_path.write_text(
        f"{stamp} mx postfix/cleanup[7]: 4AAAAAA: info: header X-Sendpost-Message-UUID: {message} from a[192.0.2.9]; from=<a@b> to=<c@d>\n"
        f"{stamp} mx postfix/smtp[7]: 4AAAAAA: to=<c@d.example>, relay=mx[192.0.2.1]:25, delay=1, delays=1/0/0/0, dsn=2.0.0, "
        "status=sent (250 Ok)\n")
    agent.start("--from-start")
    assert api.wait_events(1)[0]["message_id"] == message


# --- a day's patience -------------------------------------------------------------------------------------------------------


def test_a_retry_after_of_a_day_is_kept_and_a_person_can_end_it(agent, api):
    api.default = Answer(429, headers={"Retry-After": str(DAY)})
    writer = LogWriter(agent.log_path)
    writer.write(20)
    agent.start("--from-start")
    wait_for(lambda: agent.get("/health")[0] == 503, agent.health)
    wait_for(lambda: agent.health()["pending_events"] == len(writer.expected), agent.health)
    asked = len(api.requests)
    assert asked == 1
    writer.write(20)
    wait_for(lambda: agent.health()["pending_events"] == len(writer.expected), agent.health)
    assert "429" in agent.health()["last_error"] and "not asked again for 8" in agent.health()["last_error"]
    agent.stop()
    agent.start()  # the patience outlives the process
    wait_for(lambda: "not asked again for 8" in (agent.health()["last_error"] or ""), agent.health)
    assert len(api.requests) == asked
    done = flush(agent)
    assert done.returncode == 1 and len(api.requests) == asked + 1
    api.default = Answer(202)
    assert flush(agent).returncode == 0
    assert len(set(api.ids())) == len(writer.expected)
    writer.write(5)
    wait_for(lambda: len(set(api.ids())) == len(writer.expected), "the agent to go on by itself")
    wait_for(lambda: agent.get("/health")[0] == 200, agent.health)


# --- stop ---------------------------------------------------------------------------------------------------------------------


def test_a_stopped_reporter_does_not_stop_the_others_for_good(agent, api):
    """A process that hangs with a request in hand keeps its turn; killed, it has lost it."""
    api.default = Answer(act="hang")
    writer = LogWriter(agent.log_path)
    writer.write(20)
    agent.start("--from-start")
    wait_for(lambda: len(api.requests) == 1, "a request")
    os.kill(agent.process.pid, signal.SIGSTOP)
    api.default = Answer(202)
    other = subprocess.Popen([build_directory() / "sendpostctl", "-c", agent.config, "events", "flush"], env=agent.environment(),
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(timeout=1)
        agent.kill()
        assert other.wait(timeout=240) == 0
    finally:
        end_process(other.pid)
    assert set(api.ids()) == {event[5] for event in agent.events()}
    assert len(agent.events()) == len(writer.expected)


def test_a_second_agent_leaves_the_log_to_the_first(agent, api):
    """Both would keep the table of correlations in memory, and save over each other."""
    writer = LogWriter(agent.log_path)
    writer.write(5)
    agent.start("--from-start")
    assert agent.once() == 75
    assert f"another sendpost-agent follows the log with state directory {agent.state}" in agent.log()
    agent.stop()
    writer.write(5)
    assert agent.once() == 0
    assert set(api.ids()) == {event[5] for event in agent.events()} and len(agent.events()) == len(writer.expected)


# --- what is over, and what is not ----------------------------------------------------------------------------------------


def wait_all_refused(agent, writer):
    """Events that were refused for good; how many."""
    wait_for(lambda: len(agent.events()) == len(writer.expected) and not agent.query("SELECT 1 FROM events WHERE state = 0"), agent.health)
    ((count,),) = agent.query("SELECT count(*) FROM events WHERE state = 2")
    wait_for(lambda: agent.health()["rejected_events"] == count and agent.health()["pending_events"] == 0, agent.health)
    return count


def test_health_recovers_when_what_was_refused_is_all_there_was(agent, api):
    api.default = Answer(400)
    writer = LogWriter(agent.log_path)
    writer.write(3)
    agent.start("--from-start")
    assert wait_all_refused(agent, writer) > 0
    wait_for(lambda: agent.get("/health")[0] == 200, agent.health)
    assert agent.health()["last_error"] is None


def test_rejected_events_go_out_when_they_are_put_back(agent, api):
    api.default = Answer(400)
    writer = LogWriter(agent.log_path)
    writer.write(7)
    agent.start("--from-start")
    rejected = wait_all_refused(agent, writer)
    api.default = Answer(200)
    ((one, its),) = agent.query("SELECT message_id, count(*) FROM events WHERE state = 2 GROUP BY message_id LIMIT 1")
    done = ctl(agent, "events", "retry", one.upper(), "--json")
    assert done.returncode == 0 and json.loads(done.stdout) == {"retried": its}, (done.stdout, done.stderr)
    wait_for(lambda: agent.health()["rejected_events"] == rejected - its, agent.health)
    done = ctl(agent, "events", "retry", "--all")
    assert done.returncode == 0 and done.stdout.startswith(f"{rejected - its} rejected events are pending again")
    wait_for(lambda: agent.query("SELECT count(*) FROM events WHERE state = 1") == [(rejected,)], agent.health)
    wait_for(lambda: agent.health()["rejected_events"] == 0, agent.health)
    assert ctl(agent, "events", "retry", "--all").stdout.startswith("0 rejected")
    assert ctl(agent, "events", "retry", one).returncode == 1
    for wrong in (["events", "retry"], ["events", "retry", "x"], ["events", "retry", one, "--all"], ["events", "--all"],
                  ["events", "retry", "--all", "--state", "rejected"]):
        assert ctl(agent, *wrong).returncode == 64, wrong


def test_a_port_that_is_taken_is_waited_for_and_all_else_goes_on(agent, api):
    with socket.create_server(("127.0.0.1", agent.port)):
        writer = LogWriter(agent.log_path)
        writer.write(3)
        agent.process = subprocess.Popen([PROGRAM, "-c", agent.config, "--from-start"], env=agent.environment(), stderr=subprocess.PIPE)
        wait_for(lambda: len(set(api.ids())) == len(writer.expected), "the events")
        wait_for(lambda: f"cannot listen on 127.0.0.1:{agent.port}: Address already in use" in agent.log(), "the word of who would listen")
    wait_for(lambda: listens(agent.port), "the agent to listen")
    wait_for(lambda: agent.get("/health")[0] == 200, agent.health)
    assert agent.log().count("cannot listen") == 1 and f"listening on 127.0.0.1:{agent.port} now" in agent.log()


def test_a_log_that_is_not_there_is_no_health(agent):
    agent.start()
    wait_for(lambda: agent.get("/health")[0] == 503, agent.health)
    assert "is not there: name Postfix's log as log-path" in agent.health()["last_error"]
    agent.log_path.write_text("")
    wait_for(lambda: agent.get("/health")[0] == 200, agent.health)
    agent.log_path.unlink()
    wait_for(lambda: agent.get("/health")[0] == 503, agent.health)


def test_a_store_that_was_corrupt_is_told_of_until_its_file_is_removed(agent, api):
    (agent.state / "state.db").write_bytes(b"this is no database" * 1000)
    agent.log_path.write_text("")
    agent.start()
    wait_for(lambda: agent.metric("corrupt_stores_aside") == 1, "the metric")
    (aside,) = agent.state.glob("state.db.corrupt-*")
    status = ctl(agent, "status")
    assert status.returncode == 1 and f"was corrupt: 1 file aside, the latest {aside.name}" in status.stdout
    checked = ctl(agent, "check", "--offline", "--no-postfix").stdout
    assert f"the latest {aside.name}" in checked and f"then rm {aside}*" in checked
    aside.unlink()
    wait_for(lambda: ctl(agent, "status").returncode == 0, "status, and the agent, to be well again")


# --- a store that is exchanged under the agent ------------------------------------------------------------------------------


def wait_reported(agent, api, writer):
    wait_for(lambda: len(set(api.ids())) == len(writer.expected), lambda: f"{len(writer.expected)} events; reported are {len(set(api.ids()))}")


def start_with_nothing_to_do(agent):
    """Until the reporter has nothing to write, not even at its look after old events: that is a minute away, or finds nothing."""
    agent.start()
    wait_for(lambda: agent.query("SELECT value + 0 >= (SELECT max(id) FROM events) FROM meta WHERE key = 'events.indexed'") == [(1,)],
             "the index of events")
    wait_for(lambda: agent.health()["pending_events"] == 0, agent.health)


def test_a_store_that_was_moved_away_is_left_by_the_reporter_too(agent, api):
    writer = LogWriter(agent.log_path)
    writer.write(20)
    agent.start("--from-start")
    wait_reported(agent, api, writer)
    agent.stop()
    start_with_nothing_to_do(agent)
    (agent.state / "away").mkdir()
    for path in agent.state.glob("state.db*"):
        path.rename(agent.state / "away" / path.name)
    writer.write(20)
    wait_reported(agent, api, writer)
    agent.query("INSERT INTO meta VALUES ('bounce.ignored', '7')")
    wait_for(lambda: agent.metric('bounces_without_event_total{reason="ignored"}') == 7, "a figure of the new store")


def spoil(agent, table):
    """The table's first page on disk, and nobody has it in memory."""
    store = sqlite3.connect(agent.state / "state.db", timeout=60)
    with store:
        store.execute("INSERT INTO meta VALUES ('test', '1')")
    wait_for(lambda: store.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0, "the checkpoint")
    (size,), (page,) = store.execute("PRAGMA page_size").fetchone(), store.execute(
        "SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    store.close()
    with open(agent.state / "state.db", "r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xfe" * size)


@pytest.mark.parametrize("table", ["correlation", "log_position"])
def test_what_the_agent_loads_may_be_spoilt_and_it_goes_on(agent, api, table):
    writer = LogWriter(agent.log_path)
    writer.write(500)
    agent.start("--from-start")
    wait_reported(agent, api, writer)
    spoil(agent, table)
    writer.write(20)
    wait_reported(agent, api, writer)
    wait_for(lambda: list(agent.state.glob("state.db.corrupt-*Z")), "the spoilt file aside")
    assert agent.process.poll() is None
