"""sendpost-bounce: reports of failed delivery come back through a real Postfix and become events."""
import base64
import json
import os
import resource
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


def test_the_judge_is_given_no_secret_and_nothing_else_that_is_open(bounce, installation):
    seen = installation.top / "seen"
    seen.mkdir()
    installation.give(seen, 0o700)
    installation.replace("sendpost-judge", f"#!/bin/sh\nenv >{seen}/env\nls -l /proc/$$/fd >{seen}/files\n"
                                           f"tr '\\0' '\\n' </proc/$$/cmdline >{seen}/words\nexit 1\n")
    assert bounce(report(), environment={"TOKEN": SECRET_KEY}).returncode == 75
    if "SAN_OPTIONS" not in (seen / "env").read_text():
        assert {line.split("=")[0] for line in (seen / "env").read_text().split()} <= {"PWD", "_", "SHLVL"}
    files = (seen / "files").read_text()
    for word in ("state.db", "config", "key", "socket", "rates"):
        assert word not in files.replace(str(installation.libexec), ""), files
    assert str(installation.config) not in (seen / "words").read_text() and SECRET_KEY not in (seen / "words").read_text()


def foreign_report(charset, encoded):
    """A notice in words alone, in a character set: nothing else says what failed."""
    return (b"From: MAILER-DAEMON@mx.example.net\nSubject: Undelivered Mail Returned to Sender\nMIME-Version: 1.0\n"
            b"Content-Type: text/plain; charset=" + charset.encode() + b"\nContent-Transfer-Encoding: base64\n\n"
            + base64.encodebytes(encoded))


WORDS = "This is the mail system. I am sorry, your message could not be delivered.\n\n<you@example.org>: 550 5.1.1 user unknown\n"


@pytest.mark.parametrize("charset, codec", [("utf-16", "utf-16"), ("utf-16le", "utf-16-le"), ("iso-2022-jp", "iso2022_jp"), ("koi8-r", "koi8_r"),
                                            ("windows-1252", "cp1252"), ("UTF-7", "utf-7"), ("gb18030", "gb18030"), ("big5", "big5")])
def test_character_sets_in_use_are_understood_without_the_right_to_open_a_file(charset, codec, bounce):
    done = bounce(foreign_report(charset, WORDS.encode(codec)), "-n")
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["recipient"] == "you@example.org" and json.loads(line)["event_type"] == "bounced"


@pytest.mark.parametrize("charset", ["ibm037", "ebcdic-us", "no-such-charset", "../../etc/passwd", "x" * 5000])
def test_a_character_set_that_is_not_known_ends_nothing(charset, bounce, installation):
    assert bounce(foreign_report(charset, WORDS.encode())).returncode == 0
    assert "signal" not in installation.log()


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


REFUSED = {  # once: 75 until the report expired, and then nothing
    "a date that is far away": (report().replace(b"MIME-Version", b"Date: Fri, 1 Jan 2150 00:00:00 +0000\nMIME-Version"), ""),
    "a long address": (report().replace(b"Final-Recipient: rfc822; you", b"Original-Recipient: rfc822; you@example.org\n"
                                        b"Final-Recipient: rfc822; " + b"y" * 1005), ""),
    "a control character in an address": (report().replace(b"Final-Recipient: rfc822; you", b"Original-Recipient: rfc822; you@example.org\n"
                                                           b"Final-Recipient: rfc822; y\xc2\x85ou"), ""),
    "a long rule": (report(text="550 " + "no such user here " * 20), "[ours] hard\n" + "no such user here " * 20 + "\n"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_judge_says_of_any_report_is_taken(what, bounce, installation):
    message, rules = REFUSED[what]
    (installation.top / "classify").write_text(rules)
    done = bounce(message)
    assert done.returncode == 0 and len(installation.events()) == 1, done


# --- hostile input ------------------------------------------------------------------------------------------------------


def nested(levels):
    return b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (i, i) for i in range(levels))


FLOODS = {
    "100 MB body": report() + b"x" * 70 + b"\n" * (100 << 20),
    "10,000 parts": b"From: MAILER-DAEMON\nContent-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 10000,
    "endless header": b"Subject: x\n" + b"X-Header: endless\n" * 3000000,
    "one endless header line": b"Subject: " + b"x" * (50 << 20),
    "nested": nested(12000),
    "10,000 recipients": b"From: MAILER-DAEMON\nSubject: failure notice\n\n" + b"<you@example.org>:\n550 user unknown\n"
                         + b"".join(b"<a%d@example.org>:\n550 user unknown\n" % i for i in range(10000)),
}


def status_and_peak(run):
    """The exit status of what run() runs, and the memory (KB) of its largest process: in a process of our own, whose children are no others."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            status = run().returncode
            os.write(writer, f"{status} {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        words = told.read().split()
    os.waitpid(child, 0)
    return [int(word) for word in words]


@pytest.mark.parametrize("flood", FLOODS)
def test_any_input_costs_little(flood, bounce, installation):
    status, peak = status_and_peak(lambda: bounce(FLOODS[flood], timeout=240))
    assert status == 0, flood
    assert len(installation.events()) == {"100 MB body": 1, "10,000 recipients": 1}.get(flood, 0)
    assert peak < 500 << 10


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
