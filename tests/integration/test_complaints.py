"""Complaints: a provider's report that a recipient has called a message spam (RFC 5965) stops mail to him, here and at SendPost, and
makes no event. Whatever a report claims, only what its message UUID proves, or the store knows, counts."""
import json
import sqlite3
import subprocess
import uuid

import pytest

import uuid_keys
from private_postfix import PrivatePostfix
from sendpost import USER, Sendpost, build_directory, replace_once
from sendpost_api import SendPostApi
from support import TOP
from test_bounce import counted
from test_bounce_forged import DOMAIN, FOREIGN_KEY, KEY, OURS, THEIRS, TPSP, address, bounced, sent

PROVEN = uuid_keys.make(KEY, OURS)
LOOP = f"complaints@{DOMAIN}"


def complaint(kind="abuse", recipient=OURS, value=PROVEN, returned="message/rfc822", mail_from="", to="undisclosed-recipients:;"):
    """As large providers write it."""
    lines = [f"Feedback-Type: {kind}", "User-Agent: Loop/1.0", "Version: 1", "Source-IP: 192.0.2.1", "Reporting-MTA: dns; mx.provider.example"]
    lines += [f"Original-Rcpt-To: {each}" for each in ([recipient] if isinstance(recipient, str) else recipient) if each]
    lines += [f"Original-Mail-From: <{mail_from}>"] if mail_from else []
    header = (f"X-Sendpost-Message-UUID: {value}\n" if value else "") + f"From: me@example.com\nTo: {to}\nSubject: offer\n"
    return (f"From: feedback@provider.example\nTo: {LOOP}\nSubject: FW: offer\nMIME-Version: 1.0\n"
            "Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n"
            "--b\nContent-Type: text/plain\n\nOne of our users does not want this.\n\n"
            "--b\nContent-Type: message/feedback-report\n\n" + "\n".join(lines) + "\n\n"
            f"--b\nContent-Type: {returned}\n\n{header}\n--b--\n").encode()


@pytest.fixture
def installation():
    with Sendpost() as one:
        one.configure([TPSP], return_path={"verify": "static", "domains": ["example.com"]}, uuid_key_file=one.secret_file("uuid-key", KEY))
        yield one


@pytest.fixture
def report(installation):
    def run(message, recipient=LOOP, *options):
        done = installation.run("-f", "feedback@provider.example", *options, "--", recipient, message=message,
                                program=installation.libexec / "sendpost-bounce")
        assert done.returncode == 0, done
        return done.stdout.decode()

    return run


def suppressed(installation):
    with sqlite3.connect(installation.state / "state.db") as database:
        return dict(database.execute("SELECT address, reason FROM suppression"))


def complaints(installation):
    return counted(installation, "complaints")


def nothing_came_of_it(installation, said):
    assert said.startswith("2.0.0 no event: ") and suppressed(installation) == {} and complaints(installation) == 0
    return installation.events() == []


# --- believed ---------------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize("kind", ["abuse", "fraud", "opt-out", "Abuse"])
def test_a_complaint_stops_mail_to_who_complained_and_makes_no_event(kind, installation, report):
    assert report(complaint(kind)) == f"2.0.0 uuid={PROVEN} complaint\n"
    assert suppressed(installation) == {OURS: 3} and installation.events() == [] and complaints(installation) == 1
    assert f"to=<{OURS}>, uuid={PROVEN}, status=complaint, suppressed ({kind}, reported by dns; mx.provider.example)" in installation.log()
    done = installation.run("-q", "4bNext", "-f", "me@example.com", "--", OURS, message=b"From: me@example.com\n\nx\n")
    assert done.returncode == 69 and b"5.7.1" in done.stdout and b"spam complaint" in done.stdout


@pytest.mark.parametrize("kind", ["not-spam", "auth-failure", "virus", "other", "dmarc", "", "abuse-not"])
def test_what_is_no_complaint_changes_nothing(kind, installation, report):
    assert nothing_came_of_it(installation, report(complaint(kind))) and counted(installation, "ignored") == 1


WAYS = {
    "to its bounce address": (complaint(value=""), address(PROVEN)),
    "header alone": (complaint(returned="text/rfc822-headers"), LOOP),
    "bounce address in the report": (complaint(value="", mail_from=address(PROVEN)), LOOP),
    "recipient in the returned header": (complaint(recipient="", to=f'"Doe, You" <{OURS}>, {THEIRS}'), LOOP),
    "recipient among others": (complaint(recipient=[THEIRS, "x@example.net", OURS.upper()]), LOOP),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_proof_is_found(way, installation, report):
    message, recipient = WAYS[way]
    report(message, recipient)
    assert suppressed(installation) == {OURS: 3}


def test_who_is_hidden_is_known_to_the_store(installation, report):
    """The usual case: a provider hides its users (RFC 6590)."""
    sent(installation, PROVEN, OURS)
    report(complaint(recipient="redacted"))
    assert suppressed(installation) == {OURS: 3}


def test_a_uuid_from_outside_counts_for_whom_the_store_knows(installation, report):
    value = str(uuid.uuid4())
    sent(installation, value, OURS)
    report(complaint(recipient=THEIRS, value=value))
    assert suppressed(installation) == {} and counted(installation, "unbelieved") == 1
    report(complaint(value=value))
    assert suppressed(installation) == {OURS: 3}


@pytest.mark.parametrize("way", ["header", "bounce address"])
def test_who_is_hidden_stops_nobodys_mail_by_a_uuid_from_outside(way, installation, report):
    """It may stand for several recipients. Somebody whose copy went another way, which the store does not know, has it, too."""
    value = str(uuid.uuid4())
    sent(installation, value, OURS)
    said = report(complaint(recipient="redacted", value=value if way == "header" else ""), LOOP if way == "header" else address(value))
    assert said == "2.0.0 no event: it names no recipient, and its message UUID proves itself for none known here\n"
    assert suppressed(installation) == {} and counted(installation, "unbelieved") == 1


def test_the_stronger_reason_counts_and_the_first_complaint_keeps_its_date(installation, report):
    report(complaint("not-spam"))
    with sqlite3.connect(installation.state / "state.db") as database:
        database.execute("INSERT INTO suppression VALUES (?, 2, 1000)", (OURS,))
    report(complaint())
    assert suppressed(installation) == {OURS: 3}
    with sqlite3.connect(installation.state / "state.db") as database:
        database.execute("UPDATE suppression SET since_ms = 2000")
        changes = database.execute("SELECT max(sequence) FROM suppression_change").fetchall()
    report(complaint())
    with sqlite3.connect(installation.state / "state.db") as database:
        assert database.execute("SELECT since_ms FROM suppression").fetchall() == [(2000,)]
        assert database.execute("SELECT max(sequence) FROM suppression_change").fetchall() == changes  # nothing to tell others
    assert complaints(installation) == 1


def test_a_complaint_that_comes_again_is_counted_once(installation, report):
    """The counter is one of recipients that were suppressed for it: a report that is delivered twice suppresses nobody a second time."""
    for _ in range(2):
        assert report(complaint()) == f"2.0.0 uuid={PROVEN} complaint\n"
    assert suppressed(installation) == {OURS: 3} and complaints(installation) == 1
    assert installation.log().count("status=complaint, suppressed (abuse") == 1
    assert installation.log().count("status=complaint, suppressed before (abuse") == 1


# --- forged -----------------------------------------------------------------------------------------------------------------

FORGED = {
    "an invented UUID": (complaint(value=str(uuid.uuid4())), LOOP),
    "a foreign key": (complaint(value=uuid_keys.make(FOREIGN_KEY, OURS)), LOOP),
    "for another recipient": (complaint(recipient=THEIRS), LOOP),
    "for very many others": (complaint(recipient=[f"u{number}@example.org" for number in range(500)]), LOOP),
    "no UUID": (complaint(value=""), LOOP),
    "another sub-account": (complaint(), address(PROVEN, subaccount=1)),
    "a foreign domain": (complaint(), address(PROVEN, domain="sp-bounce.example.net")),
    "hidden, and nothing is known": (complaint(recipient="redacted"), LOOP),
    "a recipient that is no address": (complaint(recipient="a@b>\r\n RCPT TO:<" + OURS), LOOP),
}


@pytest.mark.parametrize("kind", FORGED)
def test_what_is_forged_stops_no_mail(kind, installation, report):
    message, recipient = FORGED[kind]
    assert nothing_came_of_it(installation, report(message, recipient))
    assert counted(installation, "unbelieved") + counted(installation, "unattributed") == 1


def test_who_has_a_copy_has_power_over_nobody_else(installation, report):
    sent(installation, PROVEN, OURS)
    sent(installation, uuid_keys.make(KEY, THEIRS), THEIRS)
    report(complaint(recipient=[THEIRS, OURS]))
    assert suppressed(installation) == {OURS: 3}


def test_a_bounce_with_the_words_of_a_complaint_is_none(installation, report):
    report(complaint().replace(b"message/feedback-report", b"text/plain"))
    assert suppressed(installation) == {} and bounced(installation) == set()


def test_a_dry_run_shows_and_changes_nothing(installation):
    """It prints events as JSON, and a complaint is none."""
    done = installation.run("-n", "-f", "feedback@provider.example", "--", LOOP, message=complaint(),
                            program=installation.libexec / "sendpost-bounce")
    assert done.returncode == 0 and b"{" not in done.stdout
    assert (f"no event: complaint (abuse, reported by dns; mx.provider.example), to=<{OURS}>, uuid={PROVEN}: would be suppressed"
            in installation.log())
    assert not (installation.state / "state.db").exists()


# --- the whole way ----------------------------------------------------------------------------------------------------------


def test_through_postfix_and_to_sendposts_list(installation, ca, postfix_runs):
    with SendPostApi(ca, "subaccount-key-4e1a") as api:
        tree = json.loads(installation.config.read_text())
        tree["sendpost-api"] = {"endpoint": api.url, "subaccount-api-key-file": installation.secret_file("subaccount-key", "subaccount-key-4e1a"),
                                "sync": ["suppression"], "tls-ca-path": str(ca.hashed)}
        installation.config.write_text(json.dumps(tree))
        main = ((TOP / "postfix-conf/bounce/main.cf").read_text()
                + f"relay_recipient_maps = regexp:{TOP}/postfix-conf/bounce/sendpost-bounce-recipients\n"
                f"transport_maps = inline:{{ {{{DOMAIN} = sendpost-bounce:}} }}\n"
                f"export_environment = TZ MAIL_CONFIG LANG SENDPOST_LOG_FILE={installation.log_path}\n")
        master = replace_once((TOP / "postfix-conf/bounce/master.cf.in").read_text(), "user=sendpost", f"user={USER}")
        master = replace_once(master, "@pkglibexecdir@/sendpost-bounce", f"{installation.libexec / 'sendpost-bounce'} -c {installation.config}")
        with PrivatePostfix("mta.test", main=main, master=master) as postfix:
            postfix.sendmail(complaint(), LOOP, sender="feedback@provider.example")
            postfix.wait_log("status=sent \\(delivered via sendpost-bounce service", count=1)
            postfix.wait_empty()
        assert suppressed(installation) == {OURS: 3}
        done = installation.run("sync", "--json", program=installation.libexec / "sendpostctl")
        assert done.returncode == 0, done
        assert {email: entry["reason"] for email, entry in api.entries.items()} == {OURS: 3}
    shown = subprocess.run([build_directory() / "sendpostctl", "-c", installation.config, "status"], capture_output=True, text=True, check=False)
    assert "1 recipients have called a message spam, and are suppressed" in shown.stdout and "lists the same at 20" in shown.stdout
