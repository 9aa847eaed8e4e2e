"""What a report may hold: its judge has no rights that a hostile one could use, reads what is in use, and is never ended by the rest."""
import base64
import json
import os
import resource

import pytest

from sendpost import SECRET_KEY
from test_bounce import api, bounce, installation, report  # noqa: F401 (fixtures)

# --- rights -------------------------------------------------------------------------------------------------------------


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


# --- character sets -----------------------------------------------------------------------------------------------------


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


# --- values and amounts --------------------------------------------------------------------------------------------------


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
