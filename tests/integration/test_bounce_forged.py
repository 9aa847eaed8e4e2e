"""Reports that somebody invented: whatever they claim, they make no event, and a flood of them costs little."""
import sqlite3
import time
import uuid

import pytest

import uuid_keys
from private_postfix import PrivatePostfix
from scripted_tpsp import ScriptedTpsp
from sendpost import USER, Sendpost, build_directory, replace_once
from support import TOP, wait_for
from test_bounce import counted, report

KEY, OLD_KEY, FOREIGN_KEY = uuid_keys.new_key(), uuid_keys.new_key(), uuid_keys.new_key()
OURS, THEIRS = "you@example.org", "victim@example.org"
DOMAIN = "sp-bounce.example.com"
TPSP = {"name": "primary", "id": 12, "host": "127.0.0.1"}


def address(value, subaccount=4321, domain=DOMAIN, word="bounces"):
    return f"{word}+{value}+{subaccount}@{domain}"


@pytest.fixture
def installation(postfix_runs):
    with Sendpost() as one:
        one.configure([TPSP], suppression={"on-hard-bounce": True}, return_path={"verify": "static", "domains": ["example.com"]},
                      uuid_key_file=one.secret_file("uuid-key", f"{KEY}\n{OLD_KEY}"))
        yield one


@pytest.fixture
def bounce(installation):
    def run(message, recipient, *options):
        done = installation.run("-f", "", *options, "--", recipient, message=message, program=installation.libexec / "sendpost-bounce")
        assert done.returncode == 0, done
        return done

    return run


def suppressed(installation):
    with sqlite3.connect(installation.state / "state.db") as database:
        return {row[0] for row in database.execute("SELECT address FROM suppression")}


def bounced(installation):
    return {(event["message_id"], event["recipient"]) for event in installation.events() if event["source"] == 2}


def sent(installation, value, recipient):
    """The store as pipe or agent leave it behind when a message has come in with a UUID of its own."""
    assert installation.run("-f", "", "--", "bounces@" + DOMAIN, message=b"", program=installation.libexec / "sendpost-bounce").returncode == 0
    with sqlite3.connect(installation.state / "state.db") as database:
        first = (int(value[:8], 16) + int(value[-8:], 16) & 0x7fffffff) << 32
        database.execute("INSERT INTO events (identity, state, event_id, message_id, cs, source, timestamp_ms, recipient, sender, queue_id)"
                         " VALUES (?, 3, ?, ?, 60, 0, 1, ?, 'me@example.com', '4bXyz')", (first, str(uuid.uuid4()), value, recipient))
    for leftover in installation.state.glob("state.db*"):
        installation.give(leftover, 0o640)


# --- forged ------------------------------------------------------------------------------------------------------------

PROVEN = uuid_keys.make(KEY, OURS)
FORGED = {
    "an invented UUID": (str(uuid.uuid4()), {}, {}),
    "an invented UUID of version 5": (str(uuid.uuid5(uuid.NAMESPACE_URL, "x")), {}, {}),
    "a foreign key": (uuid_keys.make(FOREIGN_KEY, OURS), {}, {}),
    "a UUID with another's proof": (uuid_keys.make(KEY, OURS)[:24] + PROVEN[24:], {}, {}),
    "a replay for another recipient": (PROVEN, {}, {"recipient": THEIRS}),
    "a replay for a longer domain": (PROVEN, {}, {"recipient": OURS + ".evil.example"}),
    "a replay for a sub-address": (PROVEN, {}, {"recipient": "you+x@example.org"}),
    "another sub-account": (PROVEN, {"subaccount": 4322}, {}),
    "a sub-account that wraps around": (PROVEN, {"subaccount": 4321 + (1 << 64)}, {"uuid": "none"}),
    "a foreign domain": (PROVEN, {"domain": "sp-bounce.example.net"}, {}),
    "a domain above ours": (PROVEN, {"domain": "example.com"}, {}),
    "a domain below ours": (PROVEN, {"domain": "sp-bounce.x.example.com"}, {}),
    "a domain that begins like ours": (PROVEN, {"domain": "sp-bounce.example.com.evil.example"}, {}),
    "no recipient": (PROVEN, {}, {"recipient": ""}),
}


@pytest.mark.parametrize("kind", FORGED)
def test_what_is_forged_makes_no_event(kind, installation, bounce):
    value, where, what = FORGED[kind]
    done = bounce(report(**{"uuid": value, **what}), address(value, **where))
    assert done.stdout.startswith(b"2.0.0 no event: ")
    assert installation.events() == [] and suppressed(installation) == set()
    assert counted(installation, "unbelieved") + counted(installation, "unattributed") == 1
    assert "status=ignored (" in installation.log()


def test_a_good_uuid_in_the_returned_header_does_not_help_a_bad_address(installation, bounce):
    for recipient in (address(uuid.uuid4()), address(PROVEN, subaccount=1), address(PROVEN, domain="sp-bounce.evil.example")):
        bounce(report(uuid=PROVEN), recipient)
    assert installation.events() == [] and counted(installation, "unbelieved") == 3


def test_a_recipient_who_has_seen_his_copy_has_power_over_nobody_else(installation, bounce):
    """He knows his own UUID and its proof, and whom else the message went to."""
    other = uuid_keys.make(KEY, THEIRS)
    sent(installation, PROVEN, OURS)
    sent(installation, other, THEIRS)
    bounce(report(recipient=THEIRS, uuid=PROVEN), address(PROVEN))
    assert bounced(installation) == {(PROVEN, OURS)} and suppressed(installation) == {OURS}


# --- believed ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [KEY, OLD_KEY], ids=["the key that makes", "an older key"])
@pytest.mark.parametrize("where", ["bounce address", "returned header"])
def test_a_proof_is_believed_although_the_store_knows_nothing(key, where, installation, bounce):
    value = uuid_keys.make(key, OURS)
    bounce(report(uuid=value if where == "returned header" else "none"),
           address(value) if where == "bounce address" else "bounces@" + DOMAIN)
    assert bounced(installation) == {(value, OURS)} and suppressed(installation) == {OURS}


def test_spelling_does_not_count_and_makes_one_event(installation, bounce):
    for number, recipient in enumerate(("You@example.org", "YOU@EXAMPLE.ORG", '"you"@example.org')):
        value = PROVEN.upper() if number else PROVEN
        bounce(report(recipient=recipient, uuid=value), address(value, domain="SP-Bounce.Example.Com", word="Bounces"))
    assert bounced(installation) == {(PROVEN, OURS)} and len(installation.events()) == 1


def test_the_one_that_was_asked_for_is_believed_where_the_mail_was_forwarded(installation, bounce):
    forwarded = report(recipient=THEIRS, uuid=PROVEN).replace(
        b"Final-Recipient:", f"Original-Recipient: rfc822; {OURS}\nFinal-Recipient:".encode())
    bounce(forwarded, address(PROVEN))
    assert bounced(installation) == {(PROVEN, OURS)} and suppressed(installation) == {OURS}


def group(status, action="failed", final=THEIRS, original=""):
    """What a report says of one address that a message was forwarded to."""
    return (f"Original-Recipient: rfc822; {original}\n" if original else "") + (
        f"Final-Recipient: rfc822; {final}\nAction: {action}\nStatus: {status}\n\n")


def report_of(*groups):
    text = report(recipient=THEIRS, uuid=PROVEN)
    head, rest = text.split(b"Final-Recipient:")
    return head + "".join(groups).encode() + rest[rest.index(b"--b"):]


BAD, GONE, FULL = ("5.1.1", "failed", "bad@x.example"), ("5.1.2", "failed", "gone@x.example"), ("5.2.2", "failed", "full@x.example")
SLOW, DONE = ("4.4.1", "delayed", "slow@x.example"), ("2.0.0", "delivered", "done@x.example")
FORWARDED = {
    "bad, full": ((BAD, FULL), "5.2.2"), "full, bad": ((FULL, BAD), "5.2.2"), "delivered, bad": ((DONE, BAD), "5.1.1"),
    "bad, delivered": ((BAD, DONE), "5.1.1"), "bad, full, slow": ((BAD, FULL, SLOW), "4.4.1"), "bad, bad": ((GONE, BAD), "5.1.2"),
}


@pytest.mark.parametrize("known, original", [(True, OURS), (True, ""), (False, OURS)], ids=["named each time", "named nowhere", "proven"])
@pytest.mark.parametrize("what", FORWARDED)
def test_a_forwarded_message_that_failed_for_some_is_as_bad_as_the_best(what, known, original, installation, bounce):
    groups, status = FORWARDED[what]
    if known:
        sent(installation, PROVEN, OURS)
    bounce(report_of(*(group(*each, original) for each in groups)), address(PROVEN))
    (event,) = (event for event in installation.events() if event["source"] == 2)
    hard = status == "5.1.2"
    assert (event["cs"], event["smtp_enhanced_code"], event["recipient"]) == (63 if hard else 64, status, OURS)
    assert suppressed(installation) == ({OURS} if hard else set())


def test_a_uuid_from_outside_is_believed_of_whom_the_store_knows(installation, bounce):
    value = str(uuid.uuid4())
    sent(installation, value, "You@Example.org")
    bounce(report(recipient=THEIRS, uuid=value), address(value))
    assert bounced(installation) == set() and counted(installation, "unbelieved") == 1
    bounce(report(uuid=value), address(value))
    assert bounced(installation) == {(value, "You@Example.org")}


def test_without_a_key_the_store_decides(installation, bounce):
    installation.configure([TPSP])
    value = str(uuid.uuid5(uuid.NAMESPACE_URL, "x"))
    bounce(report(uuid=value), address(value))
    assert installation.events() == []
    sent(installation, value, OURS)
    bounce(report(uuid=value), address(value))
    assert bounced(installation) == {(value, OURS)}


def test_a_dry_run_judges_without_proof_key_or_configuration(installation, bounce):
    installation.config.unlink()
    done = bounce(report(uuid=str(uuid.uuid4())), address(uuid.uuid4(), subaccount=9), "-n")
    assert b'"event_type":"bounced"' in done.stdout
    assert not (installation.state / "state.db").exists()


# --- the whole way -----------------------------------------------------------------------------------------------------------


def test_of_what_comes_through_postfix_only_what_is_proven_counts(installation):
    """A message leaves by the pipe, is refused by the receiving server, and its report comes back, among forged ones."""
    with ScriptedTpsp() as tpsp, ScriptedTpsp(offers=(), rcpt="550 5.1.1 <you@example.org>: User unknown") as receiver:
        installation.configure([{**TPSP, "port": tpsp.port, "security": "none"}], suppression={"on-hard-bounce": True},
                               return_path={"verify": "static", "domains": ["example.com"]},
                               uuid_key_file=installation.secret_file("uuid-key", KEY))
        done = installation.run("-q", "4bOut", "-f", "me@example.com", "--", OURS,
                                message=b"From: me@example.com\nSubject: x\n\nx\n")
        assert done.returncode == 0, done
        (envelope_sender, _), (content,) = tpsp.transactions[0], tpsp.messages
        verp = envelope_sender.split(b"<")[1].split(b">")[0].decode()

        main = ((TOP / "postfix-conf/bounce/main.cf").read_text()
                + f"relay_recipient_maps = regexp:{TOP}/postfix-conf/bounce/sendpost-bounce-recipients\n"
                f"transport_maps = inline:{{ {{{DOMAIN} = sendpost-bounce:}}, {{example.org = smtp:[127.0.0.1]:{receiver.port}}} }}\n"
                f"export_environment = TZ MAIL_CONFIG LANG SENDPOST_LOG_FILE={installation.log_path}\n")
        master = replace_once((TOP / "postfix-conf/bounce/master.cf.in").read_text(), "user=sendpost", f"user={USER}")
        master = replace_once(master, "@pkglibexecdir@/sendpost-bounce",
                              f"{installation.libexec / 'sendpost-bounce'} -c {installation.config}")
        with PrivatePostfix("mta.test", main=main, master=master) as postfix:
            value = verp.split("+")[1]
            forged = [(report(uuid=str(number)), address(number)) for number in (uuid.uuid4(), uuid.uuid4())]
            forged += [(report(recipient=THEIRS, uuid=value), address(value, subaccount=1)),
                       (report(recipient=THEIRS, uuid=uuid_keys.make(FOREIGN_KEY, THEIRS)), address(uuid_keys.make(FOREIGN_KEY, THEIRS)))]
            for message, recipient in forged:
                postfix.sendmail(message, recipient, sender="")
            postfix.sendmail(content, OURS, sender=verp)  # the provider's hop
            postfix.wait_log("to=<bounces.*status=sent \\(delivered via sendpost-bounce service", count=len(forged) + 1)
            postfix.wait_empty()
    assert bounced(installation) == {(value, OURS)} and suppressed(installation) == {OURS}
    assert counted(installation, "unbelieved") == len(forged)


# --- a flood ------------------------------------------------------------------------------------------------------------------


def test_a_flood_costs_bounded_disk_and_a_few_lines(installation, bounce):
    begun = time.monotonic()
    bounce(report(uuid="none"), address(uuid.uuid4()))

    def size():
        return sum(path.stat().st_size for path in installation.state.iterdir())

    def flood(count):
        for _ in range(count):
            bounce(report(recipient=f"{uuid.uuid4()}@example.org", uuid="none"), address(uuid.uuid4()))

    flood(60)
    before = size()
    flood(60)
    assert counted(installation, "unbelieved") == 121 and installation.events() == []
    assert installation.log().count("status=ignored") <= 2 + (time.monotonic() - begun) // 60  # one a minute
    # each is one small transaction: the write-ahead log turns around at its bound
    assert size() - before < 60 * 16384
    with sqlite3.connect(installation.state / "state.db") as database:
        assert database.execute("SELECT count(*) FROM meta").fetchone()[0] < 20


def test_a_report_on_a_message_to_very_many_is_bounded(installation, bounce):
    """A UUID that came in from outside stands for all recipients of its message."""
    value = str(uuid.uuid4())
    sent(installation, value, OURS)
    first = (int(value[:8], 16) + int(value[-8:], 16) & 0x7fffffff) << 32
    with sqlite3.connect(installation.state / "state.db") as database:
        database.executemany("INSERT INTO events (identity, state, event_id, message_id, cs, source, timestamp_ms, recipient, sender, queue_id)"
                             " VALUES (?, 3, ?, ?, 60, 0, 1, ?, 'me@example.com', '4bXyz')",
                             ((first + number, str(number), value, f"user{number}@example.org") for number in range(100000)))
    for leftover in installation.state.glob("state.db*"):
        installation.give(leftover, 0o640)
    for _ in range(3):
        bounce(report(recipient=THEIRS, uuid=value), address(value))
    assert bounced(installation) == set()
    bounce(report(recipient="user7@example.org", uuid=value), address(value))
    assert bounced(installation) == {(value, "user7@example.org")}


def test_what_is_not_believed_shows_in_the_status(installation, bounce):
    import subprocess
    bounce(report(uuid="none"), address(uuid.uuid4()))
    done = subprocess.run([build_directory() / "sendpostctl", "-c", installation.config, "status"], capture_output=True, text=True, check=False)
    assert "0 of no message of ours, 1 not believed, 0 that were no bounces" in done.stdout
    wait_for(lambda: not installation.leftovers(), "the end of the processes")
