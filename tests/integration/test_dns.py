"""What DNS says decides about return paths and mailbox providers: against real servers, and one that is wrong in every way."""
import json
import subprocess
from itertools import count

import pytest

from dns_servers import Dnsmasq, Scripted, Unbound, reply
from sendpost import Sendpost, build_directory
from support import wait_for

TARGET = "sp.sendpost.info"
RECORDS = [
    "target.example. A 192.0.2.1",
    "sp-bounce.good.example. CNAME target.example.",
    "sp-bounce.Upper.example. CNAME Target.Example.",
    "sp-bounce.chain.example. CNAME alias.chain.example.",
    "alias.chain.example. CNAME target.example.",
    "other.example. A 192.0.2.2",
    "sp-bounce.elsewhere.example. CNAME other.example.",
    "sp-bounce.address.example. A 192.0.2.3",
    *[f"huge.example. MX {number + 10} mx{number}.nowhere.example." for number in range(300)],
    "huge.example. MX 1 mx1.emailsrvr.com.",
]


class Explain:
    def __init__(self, sendpost):
        self.sendpost = sendpost

    def configure(self, *servers, timeout="240s", **settings):
        """A query is sent again after a 14th of the time: with this one not even where a busy machine is late with the answer."""
        self.sendpost.configure(
            [{"name": "primary", "id": 1, "host": "localhost", "port": 2525, "security": "none"}],
            dns={"servers": [server.address for server in servers], "timeout": timeout},
            return_path={"verify": "dns", "cname-target": "target.example"}, provider_lookup="mx", **settings)

    def __call__(self, recipient="user@example.org", sender=None):
        """Decision and text of each stage."""
        command = [str(build_directory() / "sendpostctl"), "-c", str(self.sendpost.config), "explain", "--json", recipient]
        if sender is not None:
            command += ["--sender", sender]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode in (0, 1) and done.stdout, done.stderr
        return {stage["stage"]: (stage["decision"], stage["text"]) for stage in json.loads(done.stdout)["stages"]}

    def return_path(self, sender):
        return self(sender=sender)["return path"]

    def provider(self, recipient):
        return self(recipient)["provider"][1]


@pytest.fixture
def explain():
    with Sendpost() as installation:
        yield Explain(installation)


@pytest.fixture(scope="module", params=[Unbound, Dnsmasq])
def server(request):
    with request.param(RECORDS) as daemon:
        yield daemon


# --- real servers -------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize("domain, decision", [
    ("good.example", "pass"), ("GOOD.example", "pass"), ("upper.example", "pass"), ("chain.example", "pass"),
    ("elsewhere.example", "drop"), ("address.example", "drop"), ("missing.example", "drop")])
def test_the_cname_decides_about_the_return_path(explain, server, domain, decision):
    explain.configure(server)
    assert explain.return_path(f"sender@{domain}")[0] == decision
    if decision == "pass":
        assert f"@sp-bounce.{domain.lower()}>" in explain.return_path(f"sender@{domain}")[1]
    else:
        assert "5.7.1 No verified return path domain configured for sender domain" in explain.return_path(f"sender@{domain}")[1]


def test_an_answer_that_only_fits_tcp_is_read_to_its_end(explain, server):
    explain.configure(server)
    assert explain.provider("user@huge.example") == "rackspace, by the MX rule mx1.emailsrvr.com for mx1.emailsrvr.com"


def test_a_server_that_cannot_reach_the_zone_defers(explain):
    with Unbound(RECORDS) as server:
        explain.configure(server, timeout="3s")
        assert explain.return_path("sender@broken")[0] == "defer"  # SERVFAIL


def test_a_name_nobody_is_responsible_for_defers(explain):
    with Dnsmasq(RECORDS) as server:
        explain.configure(server)
        assert explain.return_path("sender@unknown.invalid")[0] == "defer"  # REFUSED


# --- a server that is wrong ----------------------------------------------------------------------------------------------

SOA = "example. 300 SOA ns.example. root.example. 1 1 1 1 300"
GOOD = "sp-bounce.x.example. 300 CNAME target.example."


def other_id(query):
    message = reply(query, "sp-bounce.x.example. 300 CNAME evil.example.")
    message.id = query.id ^ 1
    return message


def other_question(query):
    wire = bytearray(reply(query, "sp-bounce.x.example. 300 CNAME evil.example.").to_wire())
    wire[13] ^= 1  # the first letter of the name asked for
    return bytes(wire)


WRONG = {
    "silence": (lambda query, tcp: None, "defer"),
    "servfail": (lambda query, tcp: reply(query, rcode="SERVFAIL"), "defer"),
    "refused": (lambda query, tcp: reply(query, rcode="REFUSED", aa=False), "defer"),
    "formerr": (lambda query, tcp: reply(query, rcode="FORMERR", aa=False), "defer"),
    "notimp": (lambda query, tcp: reply(query, rcode="NOTIMP", aa=False), "defer"),
    "yxdomain": (lambda query, tcp: reply(query, rcode="YXDOMAIN"), "defer"),
    "lame-referral": (lambda query, tcp: reply(query, authority=["example. 300 NS ns.example."], aa=False), "defer"),
    "lame-referral-of-a-resolver":
        (lambda query, tcp: reply(query, authority=["example. 300 NS ns.example."], aa=False, ra=True), "defer"),
    "lame-empty": (lambda query, tcp: reply(query, aa=False), "defer"),
    "lame-nxdomain": (lambda query, tcp: reply(query, rcode="NXDOMAIN", authority=[SOA], aa=False), "defer"),
    "empty": (lambda query, tcp: reply(query, authority=[SOA]), "drop"),
    "empty-of-a-resolver": (lambda query, tcp: reply(query, authority=[SOA], aa=False, ra=True), "drop"),
    "nxdomain": (lambda query, tcp: reply(query, rcode="NXDOMAIN", authority=[SOA]), "drop"),
    "record-of-another-name": (lambda query, tcp: reply(query, "sp-bounce.y.example. 300 CNAME target.example."), "drop"),
    "garbage": (lambda query, tcp: b"\xff" * 100, "defer"),
    "cut-off": (lambda query, tcp: reply(query, GOOD).to_wire()[:-4], "defer"),
    "truncated-and-no-tcp": (lambda query, tcp: None if tcp else reply(query, tc=True), "defer"),
    "truncated-and-tcp": (lambda query, tcp: reply(query, GOOD) if tcp else reply(query, tc=True), "pass"),
    "other-id-first": (lambda query, tcp: [other_id(query), reply(query, GOOD)], "pass"),
    "other-question-first": (lambda query, tcp: [other_question(query), reply(query, GOOD)], "pass"),
    "garbage-first": (lambda query, tcp: [b"", b"x", reply(query, GOOD)], "pass"),
}


@pytest.mark.parametrize("name", WRONG)
def test_only_a_real_no_drops_and_only_a_real_yes_passes(explain, name):
    script, decision = WRONG[name]
    with Scripted(script) as server:
        explain.configure(server, timeout="1s" if decision == "defer" else "240s")
        assert explain.return_path("sender@x.example")[0] == decision
        wait_for(lambda: server.queries, "the query")


def test_the_next_server_is_asked_when_one_fails(explain):
    with Scripted(WRONG["servfail"][0]) as broken, Scripted(lambda query, tcp: None) as silent, \
            Scripted(lambda query, tcp: reply(query, GOOD)) as good:
        explain.configure(broken, silent, good, timeout="28s")
        assert explain.return_path("sender@x.example")[0] == "pass"
        wait_for(lambda: broken.queries and silent.queries, "the queries that did not help")


def test_a_chain_of_aliases_without_end_is_not_followed_for_ever(explain):
    with Scripted(lambda query, tcp: reply(query, f"{query.question[0].name} 300 CNAME a{query.question[0].name}")) as server:
        explain.configure(server)
        assert explain.return_path("sender@x.example")[0] == "drop"
        assert len(server.queries) == 8


# --- what is remembered ----------------------------------------------------------------------------------------------------


def test_a_yes_is_remembered_for_its_ttl_and_a_zero_ttl_is_not(explain):
    ttl = 300
    with Scripted(lambda query, tcp: reply(query, f"{query.question[0].name} {ttl} CNAME target.example.")) as server:
        explain.configure(server)
        for _ in range(3):
            assert explain.return_path("sender@x.example")[0] == "pass"
        assert server.asked("sp-bounce.x.example", "CNAME") == 1
        ttl = 0
        for _ in range(3):
            assert explain.return_path("sender@y.example")[0] == "pass"
        assert server.asked("sp-bounce.y.example", "CNAME") == 3


def test_a_no_is_remembered_and_trouble_is_not(explain):
    rcode = "NXDOMAIN"
    with Scripted(lambda query, tcp: reply(query, rcode=rcode, authority=[SOA])) as server:
        explain.configure(server)
        for _ in range(3):
            assert explain.return_path("sender@x.example")[0] == "drop"
        assert server.asked("sp-bounce.x.example", "CNAME") == 1
        rcode = "SERVFAIL"
        assert explain.return_path("sender@y.example")[0] == "defer"
        rcode = "NXDOMAIN"
        assert explain.return_path("sender@y.example")[0] == "drop"


def test_mx_hosts_are_remembered_also_when_there_are_none_or_dns_is_silent(explain):
    def script(query, tcp):
        name = query.question[0].name.to_text()
        if name == "silent.example.":
            return None
        if name == "none.example.":
            return reply(query, rcode="NXDOMAIN", authority=[SOA])
        return reply(query, f"{name} 300 MX 10 a.mimecast.com.")

    with Scripted(script) as server:
        def asked(domain):
            """Also what a busy machine has not yet taken up: the server answers one query behind the other."""
            explain.configure(server)
            assert explain.provider(f"user@mx{next(numbers)}.example").startswith("mimecast")
            return server.asked(domain, "MX")

        numbers = count()
        for domain, words in (("mx.example", "mimecast, by the MX rule *.mimecast.com for a.mimecast.com"),
                              ("none.example", "default: no MX host"), ("silent.example", "default: no answer")):
            explain.configure(server, timeout="1s" if domain == "silent.example" else "240s")
            assert explain.provider(f"user@{domain}").startswith(words)
            before = asked(domain)
            assert before
            assert explain.provider(f"user@{domain}").startswith(words)
            assert asked(domain) == before, domain


# --- mailbox providers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("records, words", [
    (["10 aspmx.l.google.com.", "20 x.mimecast.com."], "googleworkspace"),
    (["10 x.mimecast.com.", "20 aspmx.l.google.com."], "googleworkspace"),  # a name before a wildcard
    (["20 x.mimecast.com.", "10 x.pphosted.com."], "proofpoint"),  # of two wildcards the preferred host's
    (["10 A.Mail.Protection.Outlook.COM."], "office365"),
    (["0 ."], "default"),  # the null MX
    (["10 mx.example."], "default: no rule"),
])
def test_the_mx_hosts_name_the_provider_in_their_order(explain, records, words):
    def script(query, tcp):
        return reply(query, *[f"{query.question[0].name} 300 MX {record}" for record in records])

    with Scripted(script) as server:
        explain.configure(server)
        assert explain.provider("user@x.example").startswith(words)


def test_a_known_domain_is_not_looked_up(explain):
    with Scripted(lambda query, tcp: reply(query, f"{query.question[0].name} 300 MX 10 x.mimecast.com.")) as server:
        explain.configure(server)
        assert explain.provider("user@gmail.com").startswith("gmail")
        (explain.sendpost.top / "providers").write_text("yahoo domain x.example *.below.example\nsophos mx x.mimecast.com\n")
        assert explain.provider("user@x.example").startswith("yahoo")
        assert explain.provider("user@a.below.example").startswith("yahoo")
        assert not server.queries
        assert explain.provider("user@y.example").startswith("sophos, by the MX rule x.mimecast.com")


def test_without_a_sender_nothing_is_asked_about_the_return_path(explain):
    with Scripted(lambda query, tcp: reply(query, GOOD)) as server:
        explain.configure(server)
        assert explain("user@gmail.com")["return path"] == ("pass", "depends on the sender: say --sender ADDRESS")
        assert explain("user@gmail.com", sender="<>")["return path"][0] == "pass"
        assert not server.queries
