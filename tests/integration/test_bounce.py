"""sendpost-bounce: reports of failed delivery come back through a real Postfix and become events."""
import json
import os
import signal
import sqlite3
import subprocess

import pytest

import uuid_keys
from event_api import Answer, EventApi
from private_postfix import PrivatePostfix
from scripted_tpsp import ScriptedTpsp, stall
from sendpost import SECRET_KEY, USER, Sendpost, build_directory, replace_once
from support import TOP, free_port, remove, scratch, wait_for

KEY = uuid_keys.new_key()
UUID = uuid_keys.make(KEY, "you@example.org")
DOMAIN = "sp-bounce.example.com"
ADDRESS = f"bounces+{UUID}+4321@{DOMAIN}"
MESSAGE = b"From: me@example.com\nTo: you@unknown.test\nSubject: hello\n\nhello\n"
TPSP = {"name": "primary", "id": 12, "host": "127.0.0.1"}


def configure(installation, api=None, ca=None, **settings):
    installation.configure([TPSP], endpoint=api.url if api else "none", ca=ca,
                           uuid_key_file=installation.secret_file("uuid-key", KEY), **settings)


def report(recipient="you@example.org", status="5.1.1", action="failed", text="550 5.1.1 user unknown", uuid=UUID):
    """A report as Postfix writes it."""
    return (f"Return-Path: <>\nFrom: MAILER-DAEMON@mx.example.net\nTo: {ADDRESS}\nSubject: Undelivered Mail Returned to Sender\n"
            "MIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"
            f"--b\nContent-Type: text/plain\n\nI'm sorry.\n\n<{recipient}>: host mx.example.org said: {text}\n\n"
            "--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.net\n\n"
            f"Final-Recipient: rfc822; {recipient}\nAction: {action}\nStatus: {status}\nDiagnostic-Code: smtp; {text}\n\n"
            f"--b\nContent-Type: message/rfc822\n\nX-Sendpost-Message-UUID: {uuid}\nSubject: hello\n\nhello\n--b--\n").encode()


@pytest.fixture(scope="module")
def api(ca):
    with EventApi(ca, key=SECRET_KEY) as server:
        yield server


@pytest.fixture
def installation(api, ca, postfix_runs):
    api.forget()
    with Sendpost() as one:
        configure(one, api, ca)
        yield one


@pytest.fixture
def bounce(installation):
    """Runs sendpost-bounce as pipe(8) would."""

    def run(message, *options, recipient=ADDRESS, **more):
        return installation.run("-f", "", *options, "--", recipient, message=message,
                                program=installation.libexec / "sendpost-bounce", **more)

    return run


def counted(installation, why):
    """The counter of messages that made no event."""
    with sqlite3.connect(installation.state / "state.db") as database:
        row = database.execute("SELECT value FROM meta WHERE key = ?", (f"bounce.{why}",)).fetchone()
    return int(row[0]) if row else 0


# --- the whole way -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def closed_port():
    return free_port()


WAYS = {
    "unknown user": (dict(rcpt="550 5.1.1 <you@x.test>: Recipient address rejected: User unknown in virtual mailbox table"),
                     63, "5.1.1", 550),
    "over quota": (dict(rcpt="552 5.2.2 <you@x.test>: user is over quota"), 64, "5.2.2", 552),
    "refused content": (dict(dot="554 5.7.1 Message content rejected, looks like spam"), 64, "5.7.1", 554),
    "timeout": (dict(connect=stall), 64, "4.4.2", None),
}


@pytest.mark.parametrize("way", [*WAYS, "host unknown", "connection refused"])
def test_a_report_of_postfix_comes_back_as_an_event(way, installation, api, closed_port):
    behaviour, cs, status, code = WAYS.get(way, ({}, *{"host unknown": (63, "5.4.4", None),
                                                       "connection refused": (64, "4.4.1", None)}.get(way, ())))
    with ScriptedTpsp(offers=(), **behaviour) as server:
        route = {"connection refused": f"smtp:[127.0.0.1]:{closed_port}",
                 "host unknown": "error:5.4.4 Host or domain name not found. Name service error for name=x.test type=A: Host not found"
                 }.get(way, f"smtp:[127.0.0.1]:{server.port}")
        main = ((TOP / "postfix-conf/bounce/main.cf").read_text().replace("sp-bounce.example.com", DOMAIN)
                + f"relay_recipient_maps = regexp:{TOP}/postfix-conf/bounce/sendpost-bounce-recipients\n"
                f"transport_maps = inline:{{ {{{DOMAIN} = sendpost-bounce:}}, {{x.test = {route}}} }}\n"
                f"maximal_queue_lifetime = 0\nsmtp_helo_timeout = {2 if way == 'timeout' else 120}s\n"
                f"export_environment = TZ MAIL_CONFIG LANG SENDPOST_LOG_FILE={installation.log_path}\n")
        master = (TOP / "postfix-conf/bounce/master.cf.in").read_text()
        master = replace_once(master, "user=sendpost", f"user={USER}")
        master = replace_once(master, "@pkglibexecdir@/sendpost-bounce",
                              f"{installation.libexec / 'sendpost-bounce'} -c {installation.config}")
        with PrivatePostfix("front.test", main=main, master=master) as postfix:
            message_id = uuid_keys.make(KEY, "you@x.test")
            postfix.sendmail(MESSAGE, "you@x.test", sender=f"bounces+{message_id}+4321@{DOMAIN}")
            postfix.wait_status("", "sent \\(delivered via sendpost-bounce service")
            event = api.wait_events(1)[0]
            postfix.wait_empty()
    assert not api.problems
    assert (event["message_id"], event["recipient"], event["source"]) == (message_id, "you@x.test", "bounce")
    assert (event["cs_event_id"], event["smtp_enhanced_code"], event.get("smtp_code")) == (cs, status, code), event
    assert len(installation.events()) == 1


# --- what is no bounce ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", [
    b"From: a@example.org\nSubject: lunch\n\nat twelve?\n",
    b"Return-Path: <>\nFrom: a@example.org\nAuto-Submitted: auto-replied\nSubject: Out of office\n\nback on Monday\n",
    report(action="delivered", status="2.0.0", text="250 Ok"),
    b"",
    b"\x00\xff\r\r\n\n",
], ids=["ordinary", "vacation", "confirmation", "empty", "noise"])
def test_what_is_no_bounce_is_logged_counted_and_gone(message, bounce, installation, api):
    for times in (1, 2):
        done = bounce(message, "-q", "4XYZ")
        assert done.returncode == 0 and done.stdout.startswith(b"2.0.0 no event: "), done
        assert counted(installation, "ignored") == times
    assert "4XYZ: to=<bounces+" in installation.log() and "status=ignored (" in installation.log()
    assert installation.events() == [] and api.requests == []


def test_a_report_about_no_message_of_ours_is_counted(bounce, installation, api):
    done = bounce(report(uuid="none"), recipient="bounces@sp-bounce.example.com")
    assert done.returncode == 0 and counted(installation, "unattributed") == 1
    status = subprocess.run([build_directory() / "sendpostctl", "-c", installation.config, "status"], capture_output=True,
                            text=True, check=False)
    assert "Bounces   without an event: 1 of no message of ours, 0 not believed, 0 that were no bounces" in status.stdout
    assert installation.events() == [] and api.requests == []


def test_the_returned_header_names_the_message_where_the_address_does_not(bounce, api):
    assert bounce(report(), recipient="bounces@sp-bounce.example.com").returncode == 0
    assert api.wait_events(1)[0]["message_id"] == UUID


def test_the_same_report_again_is_the_same_event(bounce, installation, api):
    for _ in range(2):
        assert bounce(report()).returncode == 0
    assert len({event["event_id"] for event in api.wait_events(1)}) == 1 and len(installation.events()) == 1


def test_a_notice_of_delay_does_not_take_the_place_of_the_failure_behind_it(bounce, installation, api):
    delay = report(action="delayed", status="4.4.1", text="connect to mx.example.org: Connection timed out")
    for message in (delay, report(status="5.7.1", text="554 5.7.1 message blocked as spam"), delay):
        assert bounce(message).returncode == 0
    events = {event["event_id"]: (event["event_type"], event["smtp_enhanced_code"]) for event in api.wait_events(2)}
    assert sorted(events.values()) == [("soft_bounced", "4.4.1"), ("soft_bounced", "5.7.1")]
    assert len(installation.events()) == 2


# --- nothing is lost ----------------------------------------------------------------------------------------------------


def test_an_event_that_the_api_does_not_take_is_kept(bounce, installation, api):
    api.default = Answer(503)
    assert bounce(report()).returncode == 0
    assert len(installation.events()) == 1 and api.events == []
    assert "event kept for later" in installation.log()


@pytest.mark.parametrize("harm", ["state", "config", "secret"])
def test_trouble_on_our_side_defers(harm, bounce, installation, api):
    path, mode = {"state": (installation.state, 0o500), "config": (installation.config, 0o000),
                  "secret": (installation.config, 0o644)}[harm]
    if harm == "secret":
        installation.config.write_text(installation.config.read_text().replace("account-id", "acount-id"))
        mode = 0o600
    installation.give(path, mode)
    done = bounce(report())
    assert done.returncode == 75 and done.stdout.startswith(b"4.3."), done
    assert done.stdout.count(b"\n") == 1 and api.requests == []


@pytest.mark.parametrize("program, text, said", [
    ("sendpost-record", "#!/bin/sh\nkill -SEGV $$\n", b"signal 11"),
    ("sendpost-record", "#!/bin/sh\nkill -KILL $$\n", b"signal 9"),
    ("sendpost-record", "#!/bin/sh\nexit 0\n", b"no result"),
    ("sendpost-record", "#!/bin/sh\nexit 127\n", b"cannot be started"),
    ("sendpost-record", "#!/bin/sh\nprintf '\\0\\0\\0\\26status\\00069\\0text\\0005.0.0 x\\0' >&3\n", b"4.3.0"),
    ("sendpost-record", "not a program\n", b"4.3.0"),
    ("sendpost-record", None, b"cannot start"),
    ("sendpost-judge", "#!/bin/sh\nkill -SEGV $$\n", b"signal 11"),
    ("sendpost-judge", "#!/bin/sh\nkill -SYS $$\n", b"signal 31"),
    ("sendpost-judge", "#!/bin/sh\nulimit -t 1\nwhile :; do :; done\n", b"signal 9"),
    ("sendpost-judge", "#!/bin/sh\nexit 0\n", b"no judgement"),
    ("sendpost-judge", "#!/bin/sh\nexit 1\n", b"status 1"),
    ("sendpost-judge", "#!/bin/sh\nexit 127\n", b"cannot be started"),
    ("sendpost-judge", "#!/bin/sh\nyes\n", b"judge"),
    ("sendpost-judge", "#!/bin/sh\nexec >&-\nexec sleep 1000\n", b"signal 9"),
    ("sendpost-judge", "#!/bin/sh\necho '{\"message_id\":\"\",\"date_ms\":0,\"recipients\":[{\"address\":7}]}'\n", b"see its address"),
    ("sendpost-judge", "not a program\n", b"cannot start"),
    ("sendpost-judge", None, b"cannot start"),
])
def test_whatever_becomes_of_its_processes_the_report_stays_with_postfix(program, text, said, bounce, installation, api):
    if text is None:
        (installation.libexec / program).unlink()
    else:
        installation.replace(program, text)
    done = bounce(report())
    assert done.returncode == 75 and done.stdout.startswith(b"4.3.0 ") and said in done.stdout, done
    assert not installation.events() and not api.events
    wait_for(lambda: not installation.leftovers(), "the end of the processes")


def test_a_kill_at_any_moment_loses_no_event(installation, ca, api):
    """Front and judge die together, as when the machine goes down; Postfix would hand the report over again."""
    configure(installation)
    environment = {"PATH": "/usr/bin:/bin", "SENDPOST_LOG_FILE": str(installation.log_path)}
    killed = 0
    for number in range(40):
        address = f"bounces+{uuid_keys.make(KEY, 'you@example.org')}+4321@{DOMAIN}"
        for patience in (number / 2000, number / 1000, 60):
            process = subprocess.Popen([installation.libexec / "sendpost-bounce", "-c", installation.config, "-f", "", "--", address],
                                       stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment,
                                       cwd="/", user=installation.uid, group=installation.gid, extra_groups=[], start_new_session=True)
            try:
                process.communicate(report(), timeout=patience)
            except subprocess.TimeoutExpired:
                killed += 1
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
            if process.returncode == 0:
                break
        assert process.returncode == 0
        assert sum(row["message_id"] in address for row in installation.events()) == 1
    assert killed > 0


def test_a_full_disk_defers_and_the_report_is_taken_when_there_is_room(api, ca, postfix_runs):
    disk = scratch("spdisk-")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", disk], check=True)
    try:
        with Sendpost(state_dir=disk) as installation:
            configure(installation)
            (disk / "filler").write_bytes(b"x" * (508 << 10))
            run = lambda: installation.run("-f", "", "--", ADDRESS, message=report(), program=installation.libexec / "sendpost-bounce")  # noqa: E731
            done = run()
            assert done.returncode == 75 and done.stdout.startswith(b"4.3.0 ") and b"full" in done.stdout, done
            (disk / "filler").unlink()
            assert run().returncode == 0 and len(installation.events()) == 1
            wait_for(lambda: not installation.leftovers(), "the end of the processes")
    finally:
        subprocess.run(["umount", "-l", disk], check=False)
        remove(disk)


# --- policy -----------------------------------------------------------------------------------------------------------------


def test_a_hard_bounce_is_suppressed_and_whom_else_it_names_is_not(bounce, installation, api, ca):
    configure(installation, api, ca, suppression={"enabled": True, "on-hard-bounce": True})
    ctl = [str(build_directory() / "sendpostctl"), "-c", str(installation.config)]
    assert bounce(report(recipient="victim@example.org")).returncode == 0
    assert installation.events() == []
    assert bounce(report()).returncode == 0
    assert "to=<you@example.org>, uuid=" in installation.log() and "suppressed after a hard bounce: 550 5.1.1" in installation.log()
    assert subprocess.run([*ctl, "suppress", "check", "you@example.org"], check=False, capture_output=True).returncode == 1
    assert subprocess.run([*ctl, "suppress", "check", "victim@example.org"], check=False, capture_output=True).returncode == 0


def test_a_report_that_comes_again_suppresses_nobody_again(bounce, installation, api, ca):
    """It says nothing new: who is on the list keeps his date, and who was taken off it by hand stays off."""
    configure(installation, api, ca, suppression={"enabled": True, "on-hard-bounce": True})
    suppress = [str(build_directory() / "sendpostctl"), "-c", str(installation.config), "suppress"]

    def listed():
        return json.loads(subprocess.run([*suppress, "list", "--json"], check=True, capture_output=True).stdout)

    assert bounce(report()).returncode == 0
    before = listed()
    assert bounce(report()).returncode == 0
    assert listed() == before and [entry["address"] for entry in before] == ["you@example.org"]
    assert installation.log().count("suppressed after a hard bounce") == 1
    subprocess.run([*suppress, "rm", "you@example.org"], check=True, capture_output=True)
    assert bounce(report()).returncode == 0
    assert listed() == [] and installation.log().count("suppressed after a hard bounce") == 1


def test_the_postmasters_rules_decide_and_broken_ones_are_said(bounce, installation, api):
    (installation.top / "classify").write_text("[ours] soft\nuser unknown\n")
    assert bounce(report()).returncode == 0
    assert api.wait_events(1)[0]["cs_event_id"] == 64
    (installation.top / "classify").write_text("user unknown\n")
    assert bounce(report()).returncode == 0
    assert api.wait_events(2)[1]["cs_event_id"] == 63
    assert "classify:1: the first line must begin a section" in installation.log()


# --- by hand ----------------------------------------------------------------------------------------------------------------


def test_a_dry_run_prints_a_line_for_each_recipient_and_stores_nothing(bounce, installation, api):
    two = report().replace(b"\n\n--b\nContent-Type: message/rfc822",
                           b"\n\nFinal-Recipient: rfc822; b@example.org\nAction: failed\nStatus: 5.2.2\n\n--b\nContent-Type: message/rfc822")
    done = bounce(two, "-n")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert [(row["recipient"], row["event_type"], row["status"]) for row in rows] == [
        ("you@example.org", "bounced", "5.1.1"), ("b@example.org", "soft_bounced", "5.2.2")]
    assert all(row["message_id"] == UUID for row in rows)
    assert not (installation.state / "state.db").exists() and api.requests == []
    assert bounce(MESSAGE, "-n").stdout == b""


@pytest.mark.parametrize("arguments", [["-f"], ["--no-such-option", ADDRESS], [], [ADDRESS, ADDRESS]])
def test_wrong_usage_defers(arguments, installation):
    done = installation.run(*arguments, program=installation.libexec / "sendpost-bounce")
    assert done.returncode == 75 and done.stdout.startswith(b"4.3.5 "), done
