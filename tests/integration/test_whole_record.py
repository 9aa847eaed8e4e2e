"""A message is sent only when the store has shown that it takes records, and what was accepted is never sent again, whatever
happens between the final dot and its record: a full disk, a death, a file that cannot be written."""
import os
import shutil
import signal
import sqlite3
import subprocess

import pytest

from event_api import Answer
from scripted_tpsp import DEFAULTS, ScriptedTpsp
from sendpost import Sendpost, build_directory

MESSAGE = b"From: a@example.org\nSubject: once\nX-Sendpost-Message-UUID: 3a2f7f64-6f0c-4a77-9a59-3c5f0c1c7d11\n\nhello\n"
VISITS = 4


@pytest.fixture
def inodes():
    return 1000


@pytest.fixture
def site(inodes):
    """Its state directory is a small file system, which can be filled."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("a small file system needs root and mount(8)")
    with Sendpost() as made:
        made.environment["SENDPOST_IDLE_SECONDS"] = "0"
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=12M,nr_inodes={inodes},mode=0700,uid={made.uid},gid={made.gid}", "tmpfs",
                        str(made.state)], check=True)
        try:
            yield made
            made.wait_settled()
        finally:
            subprocess.run(["umount", "-l", str(made.state)], check=True)


def configure(site, server, **settings):
    site.configure([{"name": "primary", "id": 12, "host": server.host, "port": server.port, "security": "none", "auth": "none",
                     "max-rate-per-hour": 0}], listen="none", **settings)


def visit(site, queue_id="4bXyz1", message=MESSAGE):
    return site.run("-q", queue_id, "-f", "a@example.org", "--", "user@example.com", message=message)


def fill(site):
    """To the last byte."""
    filler = site.state / "filler"
    with open(filler, "wb", buffering=0) as file:
        for size in (1 << 16, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                pass
    return filler


def make_room(site):
    (site.state / "filler").unlink()


def accepted(site):
    return [event for event in site.events() if event["cs"] == 60]


def intents(site):
    with sqlite3.connect(f"file:{site.state}/state.db?mode=ro", uri=True) as database:
        return database.execute("SELECT count(*) FROM intents").fetchone()[0]


def test_a_store_that_takes_nothing_contacts_nobody(site):
    with ScriptedTpsp() as server:
        configure(site, server)
        assert visit(site, "4bXyz0").returncode == 0
        fill(site)
        for _ in range(VISITS):
            done = visit(site)
            assert done.returncode == 75 and b"free some space" in done.stdout, done.stdout
        assert len(server.transactions) == 1
        make_room(site)
        assert visit(site).returncode == 0
        assert len(server.messages) == 2


@pytest.mark.parametrize("inodes", [2, 3, 4, 8])
def test_a_lack_of_inodes_is_told_from_a_lack_of_space_and_contacts_nobody(site, inodes):
    """At each of the files that a first delivery makes, SQLite's own among them."""
    with ScriptedTpsp() as server:
        configure(site, server)
        done = visit(site)
        assert done.returncode == 75 and b"df -i" in done.stdout, done.stdout
        assert not server.transactions
        subprocess.run(["mount", "-o", "remount,nr_inodes=1000", str(site.state)], check=True)
        assert visit(site).returncode == 0
        assert len(server.messages) == 1


def test_a_disk_that_fills_up_between_dot_and_record_sends_no_second_copy(site):
    def fill_first(connection):
        fill(site)
        connection.reply(DEFAULTS["dot"])

    with ScriptedTpsp(dot=fill_first) as server:
        configure(site, server)
        server.script["dot"] = DEFAULTS["dot"]
        assert visit(site, "4bXyz0").returncode == 0
        server.script["dot"] = fill_first
        done = visit(site)
        assert done.returncode == 75 and b"kept from being sent again" in done.stdout, done.stdout
        server.script["dot"] = DEFAULTS["dot"]
        for _ in range(VISITS):
            assert visit(site).returncode == 75
        assert len(server.transactions) == 2
        make_room(site)
        done = visit(site)
        assert done.returncode == 0 and b"queued as SCRIPTED" in done.stdout
        assert len(server.transactions) == 2
    assert sorted(event["queue_id"] for event in accepted(site)) == ["4bXyz0", "4bXyz1"]
    assert intents(site) == 0


def ctl(site, *arguments, program="sendpostctl"):
    return subprocess.run([str(build_directory() / program), "-c", str(site.config), *arguments], check=False, capture_output=True, text=True,
                          env=site.env())


@pytest.mark.parametrize("who", ["deliverer", "sendpostctl", "agent"])
def test_what_was_accepted_and_never_comes_back_has_its_event_all_the_same(site, ca, api, who):
    """The disk fills up, and somebody deletes the message from the queue: the next one who comes along puts it on record."""
    def fill_first(connection):
        fill(site)
        connection.reply(DEFAULTS["dot"])

    with ScriptedTpsp() as server:
        configure(site, server, endpoint=api.url, ca=ca, log_path=str(site.log_path))
        assert visit(site, "4bXyz0").returncode == 0
        server.script["dot"] = fill_first
        assert visit(site).returncode == 75
        if who == "sendpostctl":
            assert "1 delivery is accepted and not on record yet" in ctl(site, "check", "--offline").stdout
        server.script["dot"] = DEFAULTS["dot"]
        make_room(site)
        if who == "deliverer":
            assert visit(site, "4bXyz2").returncode == 0
        done = ctl(site, "--once", program="sendpost-agent") if who == "agent" else ctl(site, "events", "flush")
        assert done.returncode == 0, done.stderr
    expected = ["4bXyz0", "4bXyz1", *(["4bXyz2"] if who == "deliverer" else [])]
    assert sorted(event["queue_id"] for event in accepted(site)) == expected
    assert sorted(event["queue_id"] for event in api.events) == expected
    if who == "sendpostctl":
        assert "not on record yet" not in ctl(site, "check", "--offline").stdout


def deliverers(site):
    return [pid for pid in site.leftovers() if "deliver" in os.readlink(f"/proc/{pid}/exe")]


def test_no_descriptor_left_behind_the_dot_sends_no_second_copy(site):
    """As with ENFILE: whatever is opened from here on cannot be."""
    def none_left(connection):
        for pid in deliverers(site):
            subprocess.run(["prlimit", f"--pid={pid}", "--nofile=3:3"], check=True, user=site.uid, group=site.gid, extra_groups=[])
        connection.reply(DEFAULTS["dot"])

    with ScriptedTpsp(dot=none_left) as server:
        configure(site, server)
        done = [visit(site) for _ in range(VISITS)]
        statuses = [one.returncode for one in done]
        print([one.stdout for one in done])
        assert set(statuses) <= {0, 75} and statuses[-1] == 0
        assert len(server.transactions) == 1
    assert len(accepted(site)) == 1


@pytest.mark.parametrize("mode", [0o600, 0o644], ids=["not read", "not written"])
@pytest.mark.parametrize("name", ["state.db-wal", "state.db"])
def test_a_store_that_cannot_be_written_sends_nothing(site, name, mode):
    """SQLite opens what can only be read as if nothing were amiss, and fails at the first record: behind the dot, once."""
    with ScriptedTpsp() as server:
        configure(site, server)
        assert visit(site, "4bXyz0").returncode == 0
        os.chown(site.state / name, 0, 0)
        os.chmod(site.state / name, mode)
        for _ in range(VISITS):
            assert visit(site).returncode == 75
        assert len(server.transactions) == 1
        site.give(site.state / name, 0o600)
        assert visit(site).returncode == 0


@pytest.mark.parametrize("table", ["deliveries", "intents", "events"])
def test_a_page_that_cannot_be_read_costs_one_visit_at_most(site, table):
    """Each process that meets it ends for it: one has to begin a new store before."""
    with ScriptedTpsp() as server:
        configure(site, server)
        assert visit(site, "4bXyz0").returncode == 0
        with sqlite3.connect(site.state / "state.db") as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (size,), (page,) = database.execute("PRAGMA page_size").fetchone(), database.execute(
                "SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
        database.close()
        with open(site.state / "state.db", "r+b") as file:
            file.seek((page - 1) * size)
            file.write(b"\xfe" * size)
        for path in site.state.glob("state.db*"):
            site.give(path, 0o600)
        assert visit(site).returncode in (0, 75)
        site.wait_settled()
        assert visit(site).returncode == 0
        assert len(list(site.state.glob("state.db.corrupt-*Z"))) == 1
        assert len(server.messages) == 2


def test_a_death_behind_the_dot_is_in_doubt_and_told(site):
    def kill_first(_):
        for pid in deliverers(site):
            os.kill(pid, signal.SIGKILL)

    with ScriptedTpsp(dot=kill_first) as server:
        configure(site, server)
        assert visit(site).returncode == 75
        server.script["dot"] = DEFAULTS["dot"]
        assert visit(site).returncode == 0
        assert "may have been accepted then" in site.log()
    assert len(accepted(site)) == 1


def test_marks_that_are_cut_short_under_us_keep_the_dot_back(site):
    """Nothing could say afterwards that the dot was reached."""
    def cut(connection):
        os.truncate(site.state / "marks", 0)
        connection.reply(DEFAULTS["data"])

    with ScriptedTpsp(data=cut) as server:
        configure(site, server)
        done = visit(site)
        assert done.returncode == 75 and b"marks was taken away" in done.stdout, done.stdout
        assert not server.messages
        server.script["data"] = DEFAULTS["data"]
        assert visit(site).returncode == 0
        assert len(server.messages) == 1 and "may have been accepted" not in site.log()


def test_a_death_before_the_dot_is_no_doubt(site):
    def kill_first(_):
        for pid in deliverers(site):
            os.kill(pid, signal.SIGKILL)

    with ScriptedTpsp(rcpt=kill_first) as server:
        configure(site, server)
        assert visit(site).returncode == 75
        server.script["rcpt"] = DEFAULTS["rcpt"]
        assert visit(site).returncode == 0
        assert "may have been accepted" not in site.log()


def test_after_a_power_cut_an_intent_is_in_doubt(site):
    with ScriptedTpsp(rcpt="421 4.3.2 bye") as server:
        configure(site, server)
        assert visit(site, "4bXyz0").returncode == 75
        # as the store would look: an intent whose mark is of a boot that nobody remembers
        def kill_first(_):
            for pid in deliverers(site):
                os.kill(pid, signal.SIGKILL)

        with ScriptedTpsp(rcpt=kill_first) as deadly:
            configure(site, deadly)
            assert visit(site).returncode == 75
        with sqlite3.connect(site.state / "state.db") as database:
            assert database.execute("UPDATE intents SET boot = 1").rowcount == 1
        for path in site.state.glob("state.db*"):
            site.give(path, 0o600)
    with ScriptedTpsp() as server:
        configure(site, server)
        assert visit(site).returncode == 0
        assert "may have been accepted then" in site.log()


def test_two_messages_of_one_uuid_and_recipient_are_two(site, ca, api):
    """An application gave both the same UUID: neither is taken for the other, and both events are kept."""
    with ScriptedTpsp() as server:
        configure(site, server, endpoint=api.url, ca=ca)
        assert visit(site, "4bXyz1").returncode == 0
        assert visit(site, "4bXyz2").returncode == 0
        assert len(server.messages) == 2
        assert visit(site, "4bXyz2").returncode == 0  # a retry that lost its answer
        assert len(server.messages) == 2
        # a queue id that is used again
        assert visit(site, "4bXyz2", MESSAGE.replace(b"hello", b"other")).returncode == 0
        assert len(server.messages) == 3
    assert len(accepted(site)) == 3
    assert len({event["event_id"] for event in api.events}) == 3
    assert {event["message_id"] for event in api.events} == {"3a2f7f64-6f0c-4a77-9a59-3c5f0c1c7d11"}


def test_a_store_replaced_while_the_api_is_asked_keeps_the_event(site, ca, api):
    """Nothing is called kept that is not there: the row is written anew into the file that is there now."""
    def replace_store(_):
        for path in site.state.glob("state.db*"):
            path.unlink()
        api.default = Answer(503)
        return api.default

    with ScriptedTpsp() as server:
        configure(site, server, endpoint=api.url, ca=ca)
        api.default = replace_store
        assert visit(site).returncode == 0
        assert [request.answer.status for request in api.requests] == [503]
    (event,) = site.events()
    assert event["state"] == 0 and event["cs"] == 60
    api.default = Answer(200)
    assert ctl(site, "events", "flush").returncode == 0
    assert len(api.events) == 1


@pytest.mark.parametrize("ladder", [False, True])
def test_what_was_dropped_stays_dropped(sendpost, ladder):
    """Postfix does not hear of it (a kill, postfix stop) and comes again: the event is out, and nobody is asked any more, however well
    disposed. Queued anew (postsuper -r) it is another message."""
    with ScriptedTpsp(rcpt="451 4.2.2 asleep" if ladder else "550 5.1.1 no such user") as server:
        configure(sendpost, server, retry={"schedule": ["1h"]})
        if ladder:
            assert visit(sendpost).returncode == 75
            with sqlite3.connect(sendpost.state / "state.db") as database:
                database.execute("UPDATE deliveries SET due_ms = 0")
        assert visit(sendpost).returncode == 69
        asked = len(server.transactions)
        server.script["rcpt"] = DEFAULTS["rcpt"]
        for _ in range(2):
            done = visit(sendpost)
            assert done.returncode == 69 and b"dropped at 20" in done.stdout, done.stdout
            assert (b"given up after 2 attempts" if ladder else b"no such user") in done.stdout, done.stdout
        assert len(server.transactions) == asked
        assert [event["cs"] for event in sendpost.events()] == [61, 62] if ladder else [62]
        assert visit(sendpost, "4bXyz2").returncode == 0
        assert len(server.messages) == 1


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
@pytest.mark.parametrize("rcpt, status", [("250 Ok", 0), ("550 5.1.1 no such user", 69), ("451 4.2.2 asleep", 75)])
def test_without_an_endpoint_the_end_of_a_message_is_on_disk_before_postfix_is_told(sendpost, tmp_path, rcpt, status):
    """Nobody else has its event; a deferral ends nothing."""
    sendpost.environment["SENDPOST_IDLE_SECONDS"] = "0"
    trace = sendpost.state / "calls"
    with ScriptedTpsp() as server:
        configure(sendpost, server, retry={"schedule": ["1h"]})
        assert visit(sendpost, "4bXyz0").returncode == 0  # makes the files
        server.script["rcpt"] = rcpt
        done = subprocess.run(["strace", "-f", "-e", "trace=fdatasync,fsync,write", "-o", trace, sendpost.program, "-c", sendpost.config,
                               "-q", "4bXyz1", "-f", "a@example.org", "--", "user@example.com"], input=MESSAGE, capture_output=True,
                              check=False, env=sendpost.env(), cwd="/", user=sendpost.uid, group=sendpost.gid, extra_groups=[])
        assert done.returncode == status, done
    calls = trace.read_text(errors="replace")
    assert ("fdatasync(" in calls[:calls.rindex("write(3,")]) == (status != 75), calls  # 3: the deliverer's way to the supervisor
