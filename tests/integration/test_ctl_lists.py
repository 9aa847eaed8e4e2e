"""sendpostctl for people: lists that fit, the last events, retry that tells Postfix, the suppression list by pattern, help."""
import json
import os
import pty
import re
import select
import sqlite3
import subprocess
import time

import pytest

from private_postfix import PrivatePostfix
from scripted_tpsp import ScriptedTpsp
from sendpost import PEOPLES_TIME, Sendpost, build_directory, ctl
from support import wait_for

CTL = str(build_directory() / "sendpostctl")
MESSAGE = b"From: a@example.org\r\nSubject: hello\r\n\r\nhello\r\n"
PLAIN = {"name": "primary", "id": 12, "host": "127.0.0.1", "security": "none", "auth": "none", "max-rate-per-hour": 0}


def on_a_terminal(installation, *arguments):
    """What a person sees on a terminal of 80 columns."""
    pid, terminal = pty.fork()
    if pid == 0:
        subprocess.run(["stty", "cols", "80"], check=False)
        os.environ["TERM"] = "xterm"
        os.execv(CTL, ["sendpostctl", "-c", str(installation.config), *arguments])
    seen = b""
    while select.select([terminal], [], [], 30)[0]:
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        seen += data
    os.waitpid(pid, 0)
    os.close(terminal)
    return seen.decode().replace("\r", "")


@pytest.fixture(name="installation")
def fixture_installation():
    with Sendpost() as made:
        yield made


def test_events_shows_the_last_fifty_and_more_when_asked(installation):
    with ScriptedTpsp() as server:
        installation.configure([{**PLAIN, "port": server.port}], listen="none")
        for number in range(53):
            assert installation.run("-q", f"4bXyz{number}", "-f", "a@example.org", "--", f"user{number}@example.com", message=MESSAGE).returncode == 0
    done = ctl(installation, "events")
    rows = done.stdout.splitlines()[1:]
    assert len(rows) == 50 and "user3@" in rows[0] and "user52@" in rows[-1] and "the last 50" in done.stderr
    assert re.match(r"20\d\d-\d\d-\d\dT\S+Z ", rows[0])  # a pipe gets all of it
    assert len(json.loads(ctl(installation, "events", "--json", "--limit", "0").stdout)) == 53
    assert [event["recipient"] for event in json.loads(ctl(installation, "events", "--json", "-n", "2").stdout)] \
        == ["user51@example.com", "user52@example.com"]
    assert len(json.loads(ctl(installation, "events", "--json", "--since", "1h").stdout)) == 53
    assert len(json.loads(ctl(installation, "events", "--json", "--state", "local", "-n", "5").stdout)) == 5
    assert ctl(installation, "events", "-n", "x").returncode == 64
    seen = on_a_terminal(installation, "events", "-n", "3")
    lines = [re.sub(r"\x1b\[\d+m", "", line) for line in seen.splitlines() if "@example.com" in line]
    assert len(lines) == 3 and all(len(line) <= 80 for line in lines), seen
    assert re.match(PEOPLES_TIME + " ", lines[0]) and "\x1b[32mdelivered\x1b[0m" in seen
    uuid = installation.events()[-1]["message_id"]
    assert f" {uuid[:8]} " in lines[-1] and uuid not in seen


def test_retry_makes_due_what_waits_and_tells_postfix(installation):
    with ScriptedTpsp(rcpt="451 4.3.0 later") as server:
        installation.configure([{**PLAIN, "port": server.port}], listen="none", retry={"schedule": ["1h"]})
        with PrivatePostfix(main=installation.main_cf(), master=installation.master_cf(), backoff="") as postfix:
            environment = {"MAIL_CONFIG": str(postfix.etc)}
            one = postfix.sendmail(MESSAGE, "one@example.com")
            two = postfix.sendmail(MESSAGE, "two@example.net")
            postfix.wait_deferred(one, two)
            server.script["rcpt"] = "250 2.1.5 Ok"
            done = ctl(installation, "retry", "--recipient", "example.com", "--json", **environment)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout) == {"due": 1, "postfix_told": True}
            wait_for(lambda: f"{one}: removed" in postfix.log(), "the message to leave the queue")
            assert len(server.messages) == 1
            assert ctl(installation, "retry", "--tpsp", "primary", **environment).stdout == "1 due now, and Postfix is told\n"
            wait_for(lambda: len(server.messages) == 2, "the other one")
            server.script["rcpt"] = "451 4.3.0 later"
            third = postfix.sendmail(MESSAGE, "three@example.com")
            postfix.wait_deferred(third)
            server.script["rcpt"] = "250 2.1.5 Ok"
            done = ctl(installation, "deliveries", "retry", third, **environment)
            assert (done.returncode, done.stdout) == (0, "1 due now, and Postfix is told\n"), done.stderr
            wait_for(lambda: f"{third}: removed" in postfix.log(), "the third message to leave the queue")
            done = ctl(installation, "deliveries", "retry", third, "--json", **environment)
            assert done.returncode == 1 and json.loads(done.stdout) == {"queue_id": third, "due": 0, "postfix_told": False}
            assert "no delivery with queue id" in done.stderr
    assert ctl(installation, "retry").returncode == 64 and ctl(installation, "retry", "--all", "--tpsp", "primary").returncode == 64
    assert ctl(installation, "retry", "--tpsp", "nobody").returncode == 64


def test_the_suppression_list_is_shown_by_pattern(installation):
    installation.configure([{**PLAIN, "port": 1}], listen="none")
    for address in ("one@example.com", "two@example.com", "example.net"):
        assert ctl(installation, "suppress", "add", address).returncode == 0
    assert [entry["address"] for entry in json.loads(ctl(installation, "suppress", "list", "example.com", "--json").stdout)] \
        == ["one@example.com", "two@example.com"]
    assert [entry["address"] for entry in json.loads(ctl(installation, "suppress", "list", "one*", "--json").stdout)] == ["one@example.com"]
    for pattern in ("ONE", "One@Example.com", "ONE*", "oN?@*"):
        assert [entry["address"] for entry in json.loads(ctl(installation, "suppress", "list", pattern, "--json").stdout)] == ["one@example.com"], pattern
    assert len(ctl(installation, "suppress", "list").stdout.splitlines()) == 4
    assert ctl(installation, "suppress", "rm", "one@example.com").stdout == "one@example.com no longer suppressed\n"
    assert "one@" not in ctl(installation, "suppress", "list").stdout


def test_the_list_is_shown_by_pattern_as_deliveries_compare(installation):
    installation.configure([{**PLAIN, "port": 1}], listen="none", suppression={"case-sensitive": True})
    assert ctl(installation, "suppress", "add", "Bob@example.com").returncode == 0
    assert "Bob@" in ctl(installation, "suppress", "list", "Bob").stdout and "Bob@" not in ctl(installation, "suppress", "list", "bob").stdout
    installation.configure([{**PLAIN, "port": 1}], listen="none")
    assert "Bob@" in ctl(installation, "suppress", "list", "bob").stdout  # from then


def test_an_internationalised_domain_is_one_however_it_is_written(installation):
    installation.configure([{**PLAIN, "port": 1}], listen="none")
    written = ["one@m\u00fcnchen.de", "one@M\u00dcNCHEN.de", "one@xn--mnchen-3ya.de"]
    for listed in written:
        assert ctl(installation, "suppress", "add", listed).returncode == 0
        for address in written:
            assert ctl(installation, "suppress", "check", address).returncode == 1, (listed, address)
    assert len(json.loads(ctl(installation, "suppress", "list", "--json").stdout)) == 2
    assert ctl(installation, "suppress", "rm", written[1]).stdout == "one@m\u00fcnchen.de no longer suppressed\n"
    assert ctl(installation, "suppress", "check", *written).returncode == 0
    assert not json.loads(ctl(installation, "suppress", "list", "--json").stdout)


def test_a_list_without_line_feeds_is_refused_and_told_how_to_mend(installation, tmp_path):
    installation.configure([{**PLAIN, "port": 1}], listen="none")
    path, lines = tmp_path / "mac.csv", tmp_path / "lines.csv"
    path.write_bytes(b"one@example.com\rtwo@example.com\r")
    done = ctl(installation, "suppress", "import", str(path))
    assert done.returncode == 1 and "mac.csv:1: a carriage return within the line; tr '\\r' '\\n' <FILE >NEW" in done.stderr, done
    assert "@" not in ctl(installation, "suppress", "list").stdout
    lines.write_bytes(subprocess.run(["tr", "\\r", "\\n"], input=path.read_bytes(), capture_output=True, check=True).stdout)
    assert ctl(installation, "suppress", "import", str(lines)).returncode == 0
    assert ctl(installation, "suppress", "check", "two@example.com").returncode == 1


def test_help_and_what_was_meant(installation):
    installation.configure([{**PLAIN, "port": 1}], listen="none")
    assert ctl(installation, "help", "retry").stdout == ctl(installation, "retry", "--help").stdout
    assert ctl(installation, "help").stdout == ctl(installation, "--help").stdout
    wrong = ctl(installation, "stauts")
    assert wrong.returncode == 64 and "did you mean status?" in wrong.stderr
    assert "did you mean" not in ctl(installation, "xyzzy").stderr


@pytest.mark.parametrize("words", [
    ("check",), ("test",), ("status",), ("events",), ("events", "flush"), ("events", "retry", "--all"), ("deliveries",),
    ("deliveries", "retry", "4bXyz1"), ("suppress", "add", "a@example.com"), ("suppress", "rm", "a@example.com"),
    ("suppress", "check", "a@example.com"), ("suppress", "list"), ("suppress", "export"), ("suppress", "import", os.devnull), ("rates",),
    ("rates", "reset", "primary"), ("classify", "--tpsp", "primary", "--stage", "rcpt", "no"), ("explain", "a@example.com"),
    ("trace", "a@example.com"), ("retry", "--all"), ("sync",), ("ui",)], ids=" ".join)
def test_without_a_configuration_each_command_names_the_file(words, tmp_path):
    missing = tmp_path / "missing.yaml"
    done = subprocess.run([str(CTL), "-c", str(missing), *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 1 and f"{missing}: the configuration file does not exist" in done.stdout + done.stderr, done
    done = subprocess.run([str(CTL), "-c", str(missing), *words, "--json"], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    value = json.loads(done.stdout)
    assert done.returncode == 1 and str(missing) in done.stdout and value["ok"] is False, done


def trouble(installation, *words):
    done = ctl(installation, *words, "--json")
    value = json.loads(done.stdout)
    assert done.returncode == 1 and value["ok"] is False and value["error"] in done.stderr, done
    return value["error"]


def test_what_fails_tells_programs_why(installation):
    """Nothing else is printed there: an object says so, and why."""
    installation.configure([{**PLAIN, "port": 1}], listen="none")
    assert "nothing is suspended" in trouble(installation, "resume", "--all").lower()
    assert 'no TPSP is named "nope"' in trouble(installation, "rates", "reset", "nope")
    assert "there is no sendpost-api" in trouble(installation, "sync")
    assert "listen: none" in trouble(installation, "ui")
    for path in installation.state.glob("state.db*"):
        path.unlink()
    (installation.state / "state.db").mkdir()
    for words in (["status"], ["events"], ["events", "flush"], ["deliveries"], ["trace", "a@example.com"], ["explain", "a@example.com"]):
        assert "state.db" in trouble(installation, *words), words
    (installation.state / "rates").unlink(missing_ok=True)
    (installation.state / "rates").mkdir()
    for words in (["rates"], ["rates", "reset", "primary"]):
        assert f"{installation.state}/rates" in trouble(installation, *words), words


def test_a_list_that_cannot_be_read_is_no_empty_one(installation, tmp_path):
    """Neither is what was read before: a program that takes it for an answer would send to whom the list has."""
    installation.configure([{**PLAIN, "port": 1, "max-rate-per-hour": 5}], listen="none")
    assert ctl(installation, "events").returncode == 0
    with sqlite3.connect(installation.state / "state.db") as database:
        for table in ("deliveries", "suppression", "events", "event_block", "tally"):
            database.execute(f"DROP TABLE {table}")
    for words in (["deliveries"], ["events"], ["suppress", "list"], ["suppress", "check", "a@example.com"], ["suppress", "add", "a@example.com"],
                  ["suppress", "rm", "a@example.com"], ["suppress", "export"], ["suppress", "export", tmp_path / "list"], ["status"],
                  ["top", "--once"]):
        assert trouble(installation, *words), words
    assert json.loads((tmp_path / "list").read_text())[-1]["ok"] is False


def pages_of(database, table):
    return [number for (number,) in database.execute("SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY pageno", (table,))]


@pytest.mark.parametrize("words", [["list"], ["export"]])
def test_a_list_whose_reading_fails_half_way_says_so_in_its_place_or_at_its_end(installation, words):
    installation.configure([{**PLAIN, "port": 1}], listen="none")
    assert ctl(installation, "events").returncode == 0
    path = installation.state / "state.db"
    with sqlite3.connect(path) as database:
        database.executemany("INSERT INTO suppression (address, reason, since_ms) VALUES (?, 0, 1)", [(f"user{number:03}@example.com",) for number in range(900)])
    (size,), pages = database.execute("PRAGMA page_size").fetchone(), pages_of(database, "suppression")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    database.close()
    assert len(pages) > 3
    with path.open("r+b") as file:  # the last page of those in the order of addresses
        for page in pages:
            file.seek((page - 1) * size)
            if b"user899@" in file.read(size):
                file.seek((page - 1) * size)
                file.write(b"\xff" * 64)
    done = ctl(installation, "suppress", *words, "--json")
    value = json.loads(done.stdout)
    assert done.returncode == 1, done
    if words == ["export"]:  # some were printed by then
        assert value[0]["address"] == "user000@example.com"
        value = value[-1]
    assert value["ok"] is False and value["error"] in done.stderr, done


def gone_from_the_queue(installation, postfix):
    """Two minutes ago a delivery of a message was put off that Postfix has no more; what the list says of it."""
    ctl(installation, "deliveries")
    at = int(time.time() * 1000) - 120000
    with sqlite3.connect(installation.state / "state.db", timeout=30) as database:
        database.execute("INSERT OR REPLACE INTO deliveries (queue_id, recipient, message_id, sender, tpsp, attempts, due_ms, first_ms, last_ms, smtp_code,"
                         " smtp_enhanced_code, smtp_description) VALUES ('4bXyz9', 'one@example.com', '01234567-89ab-4cde-8f01-23456789abcd',"
                         " 'a@example.org', 'primary', 1, ?1, ?1, ?1, 451, '4.3.0', 'later')", (at,))
    done = ctl(installation, "deliveries", "--json", MAIL_CONFIG=str(postfix.etc))
    assert done.returncode == 0, done
    return json.loads(done.stdout)


@pytest.mark.parametrize("parameter", [None, "alternate_config_directories", "multi_instance_directories"])
def test_the_ladder_of_another_postfix_is_left_alone(installation, parameter):
    """Its queue is not asked, so nothing in it is known to be gone."""
    if os.geteuid() != 0:
        pytest.skip("only root may ask a Postfix of a directory of its own")
    installation.configure([{**PLAIN, "port": 1}], listen="none")
    os.chown(installation.state, 0, 0)  # so that root, whom postqueue(1) lets name a directory, asks it
    other = installation.top / "postfix-other"
    with PrivatePostfix(main=f"{parameter} = {other}\n" if parameter else "") as postfix:
        left = gone_from_the_queue(installation, postfix)
    assert [row["queue_id"] for row in left] == (["4bXyz9"] if parameter else [])
