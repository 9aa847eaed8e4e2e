"""What a postmaster reports as misread, and the table that tools/evaluate makes of a folder of samples."""
import json
import subprocess
import sys

from sendpost import build_directory
from support import TOP, remove, scratch

UUID = "00000000-0000-4000-8000-000000000001"


def classify(*arguments):
    return subprocess.run([build_directory() / "sendpostctl", "-c", "/nonexistent", "classify", *arguments], capture_output=True,
                          text=True, check=False)


def evaluate(folder):
    done = subprocess.run([sys.executable, TOP / "tools/evaluate", "--build", build_directory(), "--json", folder],
                          capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return {line["samples"]: (line["right"], line["n"]) for line in found["samples"]}, found["wrong"]


def test_a_misread_text_is_reported_without_its_addresses_and_evaluated():
    folder = scratch("spev-")
    try:
        path = folder / "replies.jsonl"
        text = "550 5.1.1 <jane@example.com>: User unknown, jane@example.com from news@shop.example"
        for should_be in ("soft", "hard"):
            done = classify("--report", path, "--should-be", should_be, text)
            assert done.returncode == 0 and done.stdout.startswith("hard "), done
        assert "judged so already" in done.stderr
        (row,) = map(json.loads, path.read_text().splitlines())
        assert row["smtp_description"] == ("550 5.1.1 <user1@domain1.example>: User unknown, user1@domain1.example from "
                                           "user2@domain2.example")
        assert (row["reply_code"], row["status"], row["hard"], row["kind"]) == ("550", "5.1.1", False, "bounce")
        assert path.stat().st_mode & 0o777 == 0o600
        classify("--report", path, "--should-be", "hard", "--code", "450", "mailbox is full")
        figures, wrong = evaluate(folder)
        assert figures == {"replies.jsonl": (0, 2)} and len(wrong) == 2
        for arguments in (["--report", path], ["--should-be", "hard"], ["--report", path, "--should-be", "well"]):
            assert classify(*arguments, "x").returncode == 64
        assert classify("--report", "/nonexistent/x", "--should-be", "soft", text).returncode == 1
    finally:
        remove(folder)


def test_every_kind_of_sample_is_read():
    folder = scratch("spev-")
    try:
        report = ("From: MAILER-DAEMON@x.example\nSubject: Undelivered\nContent-Type: multipart/report; "
                  "report-type=delivery-status; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n"
                  "Final-Recipient: rfc822; bob@example.org\nAction: failed\nStatus: 5.1.1\n\n--b--\n")
        (folder / "dsn").mkdir()
        (folder / "cases").mkdir()
        for name in ("dsn/one.eml", "cases/one.eml"):
            (folder / name).write_text(report)
        (folder / "cases/other.eml").write_text("From: a@b.example\nSubject: lunch\n\nat twelve?\n")
        line = "Nov 23 03:30:52 mx postfix/smtp[1]: 4AAA111: to=<c@d.example>, relay=mx[192.0.2.1]:25, delay=1, dsn=2.0.0, status=sent (250 ok)"
        (folder / "cases/mail.log").write_text(
            f"Nov 23 03:30:52 mx postfix/smtpd[1]: 4AAA111: client=localhost[127.0.0.1]\nNov 23 03:30:52 mx postfix/cleanup[1]: 4AAA111: "
            f"info: header X-Sendpost-Message-UUID: {UUID} from localhost[127.0.0.1]; from=<a@b> to=<c@d>\n{line}\n")
        label = {"file": "one.eml", "recipient": "bob@example.org", "recipient_accepted": ["bob@example.org"], "hard": True, "kind": "bounce"}
        (folder / "dsn/labels.jsonl").write_text(json.dumps(label) + "\n")
        expected = [{"file": "one.eml", "event_type": "bounced", "recipient": "bob@example.org"},
                    {"file": "other.eml", "event_type": None, "recipient": None},
                    {"file": "mail.log", "events": [{"message_id": UUID, "event_type": "delivered", "recipient": "c@d.example"}]}]
        (folder / "cases/expected.jsonl").write_text("".join(json.dumps(row) + "\n" for row in expected))
        rows = [{"line": line, "kind": "delivery", "expect": {"queue_id": "4AAA111", "to": "c@d.example", "status": "sent"}},
                {"line": line.replace("to=<", "for=<"), "kind": "none", "expect": {"queue_id": "4AAA111"}}]
        (folder / "lines.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        figures, wrong = evaluate(folder)
        assert figures == {"cases/expected.jsonl, reports": (2, 2), "cases/expected.jsonl, logs": (1, 1),
                           "dsn/labels.jsonl, recipients": (1, 1), "lines.jsonl": (2, 2)}, wrong
    finally:
        remove(folder)
