"""The stages of policy in a delivery: what they decide, and that they come in their order. Through sendpost-pipe, with a
scripted TPSP and a scripted DNS server that count who comes."""
import subprocess

import pytest

from dns_servers import Scripted, reply
from scripted_tpsp import DEFAULTS, ScriptedTpsp
from sendpost import Sendpost, build_directory

MESSAGE = b"From: News <news@example.org>\nTo: user@example.com\nSubject: policy\n\nbody\n"
UUID = "11111111-1111-4111-8111-111111111111"
NOT_VERIFIED = "No verified return path domain configured for sender domain"


class Site:
    def __init__(self, installation, tpsp, dns):
        self.sendpost, self.tpsp, self.dns = installation, tpsp, dns
        self.targets = {"sp-bounce.example.org": "target.example."}

    def configure(self, tpsp=None, dns_timeout="20s", **settings):
        entry = {"name": "primary", "id": 12, "host": "127.0.0.1", "port": self.tpsp.port, "security": "none",
                 "max-rate-per-hour": 0, **(tpsp or {})}
        self.sendpost.configure([entry], dns={"servers": [self.dns.address], "timeout": dns_timeout}, **settings)

    def send(self, recipient="user@example.com", sender="bounce@example.net", message=MESSAGE, queue_id="4bTest",
             uuid=UUID):
        """Exit status and line; what happened is in the scripted servers."""
        done = self.sendpost.run("-q", queue_id, "-u", uuid, "-f", sender, "--", recipient, message=message)
        return done.returncode, done.stdout.decode().rstrip("\n")

    def ctl(self, *arguments):
        return subprocess.run([str(build_directory() / "sendpostctl"), "-c", str(self.sendpost.config), *arguments],
                              capture_output=True, text=True, check=False, user=self.sendpost.uid, group=self.sendpost.gid,
                              extra_groups=[])

    @property
    def connections(self):
        return len(self.tpsp.connections)

    def last_event(self):
        return self.sendpost.events()[-1]


@pytest.fixture
def site():
    def script(query, tcp):
        name = query.question[0].name.to_text()
        target = site.targets.get(name.rstrip("."))
        if target is None:
            return reply(query, rcode="NXDOMAIN")
        return None if target == "silence" else reply(query, f"{name} 0 CNAME {target}")

    with Sendpost() as installation, ScriptedTpsp() as tpsp, Scripted(script) as dns:
        installation.environment["SENDPOST_IDLE_SECONDS"] = "0"  # each delivery asks the server anew
        site = Site(installation, tpsp, dns)
        yield site


# --- what each stage decides ---------------------------------------------------------------------------------------------


def test_a_verified_domain_gets_the_return_path_that_names_the_message(site):
    site.configure(return_path={"verify": "dns", "cname-target": "target.example"})
    status, line = site.send()
    assert status == 0, line
    assert f"<bounces+{UUID}+4321@sp-bounce.example.org>" in site.tpsp.connections[-1].sender.decode()
    assert site.send(sender="", uuid=UUID.replace("1", "2"))[0] == 0
    assert "<>" in site.tpsp.connections[-1].sender.decode()


@pytest.mark.parametrize("verify", ["dns", "static"])
def test_an_unverified_domain_is_dropped_and_opens_no_connection(site, verify):
    site.configure(return_path={"verify": verify, "cname-target": "target.example", "domains": ["example.org"]})
    status, line = site.send(message=MESSAGE.replace(b"@example.org", b"@example.edu"))
    assert (status, line) == (69, f"5.7.1 {NOT_VERIFIED}")
    assert site.connections == 0
    event = site.last_event()
    assert (event["cs"], event["smtp_description"]) == (62, NOT_VERIFIED)


def test_trouble_with_dns_defers_without_an_attempt_or_an_event(site):
    settings = {"return_path": {"verify": "dns", "cname-target": "target.example"}, "retry": {"schedule": ["1h"]}}
    site.configure(dns_timeout="1s", **settings)
    site.targets["sp-bounce.example.org"] = "silence"
    status, line = site.send()
    assert status == 75 and line.startswith("4.4.3 "), line
    assert site.connections == 0 and not site.sendpost.events()
    site.configure(**settings)
    site.targets["sp-bounce.example.org"] = "target.example."
    assert site.send()[0] == 0


@pytest.mark.parametrize("entry, recipient", [
    ("user@example.com", "user@EXAMPLE.com"), ("example.com", "anyone@example.com"), ("user@example.com", "user+x@example.com")])
def test_a_suppressed_recipient_is_dropped_and_opens_no_connection(site, entry, recipient):
    site.configure(suppression={"sub-address": True})
    assert site.ctl("suppress", "add", "--reason", "spam-complaint", entry).returncode == 0
    status, line = site.send(recipient)
    assert status == 69 and line.startswith("5.7.1 recipient is suppressed (spam complaint since "), line
    assert site.connections == 0 and site.last_event()["cs"] == 62
    assert site.ctl("suppress", "del", entry).returncode == 0
    assert site.send(recipient)[0] == 69  # its event is out
    assert site.send(recipient, queue_id="4bAnew")[0] == 0


@pytest.mark.parametrize("message, recipient, code", [
    (b"To: user@example.com\n\nbody\n", "user@example.com", "5.6.0"),
    (b"From:\nTo: user@example.com\n\nbody\n", "user@example.com", "5.6.0"),
    (MESSAGE + b"x" * 2000 + b"\n", "user@example.com", "5.3.4"),
    (MESSAGE, "user", "5.1.3")])
def test_what_is_no_valid_message_is_dropped(site, message, recipient, code):
    site.configure(validation={"max-message-size": 1000})
    status, line = site.send(recipient, message=message)
    assert status == 69 and line.startswith(code + " "), line
    assert site.connections == 0 and site.last_event()["cs"] == 62


def test_the_event_names_provider_and_attempt(site):
    site.configure()
    assert site.send("user@googlemail.com")[0] == 0
    assert (site.last_event()["provider"], site.last_event()["attempt"]) == ("gmail", 1)


# --- the order ------------------------------------------------------------------------------------------------------------

WRONG = {
    "validation": {"message": b"To: user@example.com\n\nFrom is missing\n"},
    "suppression": {"recipient": "suppressed@example.com"},
    "return path": {"message": MESSAGE.replace(b"@example.org", b"@example.edu")},
    "retry ladder": {"queue_id": "4bEarly", "uuid": "22222222-2222-4222-8222-222222222222"},
}
VERDICTS = {"validation": "5.6.0 ", "suppression": "5.7.1 recipient is suppressed", "return path": f"5.7.1 {NOT_VERIFIED}",
            "retry ladder": "4.2.1 not due before "}


def everything_in_force(site):
    """All stages have something to say: one slot an hour, one entry on the list, one message that is not due."""
    site.configure(return_path={"verify": "dns", "cname-target": "target.example"}, retry={"schedule": ["1h"]},
                   provider_lookup="mx")
    assert site.ctl("suppress", "add", "suppressed@example.com").returncode == 0
    site.tpsp.script["rcpt"] = "451 4.2.1 try later"
    assert site.send(**WRONG["retry ladder"])[0] == 75
    site.tpsp.script.update(DEFAULTS)
    site.configure(return_path={"verify": "dns", "cname-target": "target.example"}, retry={"schedule": ["1h"]},
                   provider_lookup="mx", tpsp={"max-rate-per-hour": 1})


@pytest.mark.parametrize("stage", WRONG)
def test_what_a_stage_stops_takes_no_rate_slot_and_opens_no_connection(site, stage):
    everything_in_force(site)
    connections, asked = site.connections, site.dns.asked("example.com", "MX")
    for number in range(3):
        assert site.send(**{"queue_id": f"4bWrong{number}", **WRONG[stage]})[1].startswith(VERDICTS[stage])
    assert (site.connections, site.dns.asked("example.com", "MX")) == (connections, asked)
    status, line = site.send()  # the one slot of the hour is still there
    assert status == 0, line


@pytest.mark.parametrize("earlier, later", [(a, b) for i, a in enumerate(WRONG) for b in list(WRONG)[i + 1:]])
def test_of_two_stages_the_earlier_one_speaks(site, earlier, later):
    everything_in_force(site)
    both = {**WRONG[later], **WRONG[earlier]}
    if (earlier, later) == ("validation", "return path"):
        both["sender"] = "bounce@example.edu"  # the domain of the envelope, as From: is missing
    asked = len(site.dns.queries)
    assert site.send(**both)[1].startswith(VERDICTS[earlier])
    if earlier in ("validation", "suppression"):
        assert len(site.dns.queries) == asked  # what needs no DNS comes before what does


# --- the retry ladder, by hand -----------------------------------------------------------------------------------------------


def test_the_ladder_counts_attempts_and_sends_nobody_early(site):
    site.configure(retry={"schedule": ["1h", "1h"]})
    site.tpsp.script["rcpt"] = "451 4.3.0 come back"
    for attempt in (1, 2):
        status, line = site.send()
        assert (status, site.connections) == (75, attempt), line
        assert site.last_event()["attempt"] == attempt and site.last_event()["cs"] == 61
        events = len(site.sendpost.events())
        status, line = site.send()
        assert status == 75 and f"attempt {attempt} of 3 failed: " in line and "not due before" in line
        assert site.connections == attempt and len(site.sendpost.events()) == events
        assert "4bTest" in site.ctl("deliveries").stdout
        assert "1 due now" in site.ctl("deliveries", "retry", "4bTest").stdout
    status, line = site.send()
    assert status == 69 and line.startswith("5.4.7 given up after 3 attempts"), line
    assert "come back" in line
    assert (site.last_event()["cs"], site.last_event()["attempt"]) == (62, 3)
    assert site.ctl("deliveries", "--json").stdout == "[]\n"


def test_a_message_that_gets_through_leaves_the_ladder(site):
    site.configure(retry={"schedule": ["1h"]})
    site.tpsp.script["dot"] = "452 4.3.1 full"
    assert site.send()[0] == 75
    site.tpsp.script.update(DEFAULTS)
    assert site.send()[0] == 75
    assert "1 due now" in site.ctl("deliveries", "retry", "4bTest").stdout
    assert site.send()[0] == 0
    assert site.last_event()["attempt"] == 2
    assert site.ctl("deliveries", "--json").stdout == "[]\n"


def test_a_sender_domain_that_cannot_be_read_now_is_no_unverified_one(site):
    """An internationalised one, and libidn2 cannot be loaded."""
    broken = site.sendpost.config.parent / "libidn2.so.0"
    broken.write_bytes(b"")
    message = MESSAGE.replace(b"news@example.org", "news@b\u00fccher.example".encode())
    site.configure(return_path={"verify": "static", "cname-target": "target.example", "domains": ["xn--bcher-kva.example"]},
                   retry={"schedule": ["1h"]})
    site.sendpost.environment["LD_LIBRARY_PATH"] = str(broken.parent)
    status, line = site.send(message=message, queue_id="4bTrouble")
    assert status == 75 and line.startswith("4.3.0 nobody can tell now whether the return path is verified"), line
    assert site.connections == 0
    broken.unlink()
    assert site.send(message=message, queue_id="4bMended", uuid=UUID.replace("1", "3"))[0] == 0
    assert "@sp-bounce.xn--bcher-kva.example>" in site.tpsp.connections[-1].sender.decode()


def test_a_message_of_another_uuid_under_the_same_queue_id_starts_anew(site):
    site.configure(retry={"schedule": ["1h"]})
    site.tpsp.script["rcpt"] = "451 4.3.0 come back"
    assert site.send()[0] == 75
    site.tpsp.script.update(DEFAULTS)
    assert site.send(uuid=UUID.replace("1", "3"))[0] == 0


def test_without_a_queue_id_there_is_no_ladder(site):
    site.configure(retry={"schedule": ["1h"]})
    site.tpsp.script["rcpt"] = "451 4.3.0 come back"
    for attempt in range(1, 4):
        assert site.send(queue_id="")[0] == 75
        assert site.connections == attempt


def test_a_dry_run_shows_the_return_path_and_asks_nobody(site):
    site.configure(return_path={"verify": "dns", "cname-target": "target.example"}, provider_lookup="mx")
    done = site.sendpost.run("-n", "-u", UUID, "-f", "a@b.example", "--", "user@example.com", message=MESSAGE)
    assert f"MAIL FROM:<bounces+{UUID}+4321@sp-bounce.example.org>" in done.stdout.decode() + done.stderr.decode()
    assert not site.dns.queries and site.connections == 0


# --- explain ------------------------------------------------------------------------------------------------------------------


def test_explain_says_what_a_delivery_would_meet_and_changes_nothing(site):
    site.configure(tpsp={"max-rate-per-hour": 1}, return_path={"verify": "static", "domains": ["example.org"]})
    for _ in range(3):
        done = site.ctl("explain", "user@gmail.com", "--sender", "news@example.org")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "MAIL FROM:<bounces+UUID+4321@sp-bounce.example.org>" in done.stdout
        assert "gmail, by the domain rule gmail.com" in done.stdout and "no rate limit reached" in done.stdout
    assert site.connections == 0 and not site.sendpost.events()
    assert site.send()[0] == 0
    done = site.ctl("explain", "user@gmail.com", "--sender", "news@example.org")
    assert done.returncode == 1 and "defer  tpsp primary" in done.stdout and "1/h" in done.stdout, done.stdout
    assert site.ctl("explain", "user@gmail.com", "--sender", "news@example.edu").stdout.count(NOT_VERIFIED) == 1
    assert site.ctl("explain").returncode == 64
