"""relay_send() to real servers that are strict: about names in EHLO, about how much one session and one client may send, about
mechanisms, about certificates of clients; and to names with a final dot. Beside it, on the same server, two other clients."""
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from dns_servers import Dnsmasq
from foreign_mta import DovecotSubmission, Exim, OpenSmtpd
from private_postfix import PrivatePostfix
from relay_client import MESSAGE, Relay
from scripted_tpsp import ScriptedTpsp
from sendpost import Sendpost
from support import wait_for
from tpsp import PASSWORD, USERNAME, Tpsp

ENGINES = ["libesmtp", "libcurl"]


@pytest.fixture
def relay(tmp_path):
    return Relay(tmp_path)


@pytest.fixture
def login(ca):
    return {"host": "localhost", "username": USERNAME, "password": PASSWORD, "tls_ca_path": ca.hashed}


class Address:
    def __init__(self, port, security="starttls"):
        self.host, self.port, self.security = "127.0.0.1", port, security


# --- a strict Postfix ---------------------------------------------------------------------------------------------------

STRICT = """\
smtpd_helo_required = yes
smtpd_helo_restrictions = reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname
smtpd_sender_restrictions = reject_non_fqdn_sender
strict_rfc821_envelopes = yes
smtpd_delay_reject = {delay}
"""


@pytest.fixture(scope="module", params=["yes", "no"], ids=["at RCPT", "at EHLO"])
def strict(request, postfix_runs, ca):
    with Tpsp(ca, name="strict.test", main=STRICT.format(delay=request.param)) as server:
        yield server


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", [None, "mail.example.com", "[192.0.2.1]"])
def test_a_strict_postfix_takes_full_names_and_literals(relay, strict, login, engine, name):
    result = relay(Address(strict.port), engine=engine, helo_name=name, **login)
    assert result["class"] == "delivered", (result, strict.log()[-2000:])


def test_a_refused_name_is_this_hosts_trouble(relay, strict, login):
    result = relay(Address(strict.port), helo_name="mailhost", **login)
    assert (result["class"], result["cause"], result["smtp_code"]) == ("deferred", "host", 504), result
    assert "need fully-qualified hostname" in result["text"]


# How Postfix says that a limit is reached.
LIMITS = {
    "smtpd_client_message_rate_limit": (450, "too much mail from 127.0.0.1"),
    "smtpd_client_recipient_rate_limit": (450, "too many recipients from 127.0.0.1"),
    "smtpd_client_connection_rate_limit": (421, "too many connections from 127.0.0.1"),
    "smtpd_client_auth_rate_limit": (450, "too many AUTH commands from 127.0.0.1"),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_of_postfix_is_never_the_messages_trouble(relay, postfix_runs, ca, login, limit):
    code, words = LIMITS[limit]
    with Tpsp(ca, name="limits.test", main=f"smtpd_client_event_limit_exceptions =\n{limit} = 5\n") as server:
        for _ in range(6):  # less where those who looked whether it listens were counted
            result = relay(Address(server.port), **login)
            if result["class"] != "delivered":
                break
        assert (result["class"], result["smtp_code"]) == ("deferred", code) and words in result["text"], result
        assert result["cause"] in ("account", "host", "session", "ours"), result


# --- so many messages in a session ------------------------------------------------------------------------------------------


def test_eight_messages_through_postfix_to_a_server_of_two_a_session(postfix_runs, ca):
    """Postfix, our transport with one process at a time, Exim: none of the eight is deferred."""
    with Sendpost() as site, Exim(ca, more="smtp_accept_max_per_connection = 2") as server:
        with PrivatePostfix("front.test", main=site.main_cf("allow_min_user = yes\n"), master=site.master_cf(maxproc=1)) as front:
            site.configure([{"name": "primary", "id": 12, "host": "localhost", "port": server.starttls_port, "security": "starttls",
                             "username": USERNAME, "password-file": site.secret_file("exim.password", PASSWORD),
                             "tls-ca-path": str(ca.hashed), "max-rate-per-hour": 0}])
            for number in range(8):
                front.sendmail(MESSAGE.replace(b"\r\n", b"\n"), f"user{number}@example.com")
            front.wait_log(r"to=<user\d@example.com>.*status=", count=8)
            front.wait_empty()
            assert len(front.lines(pattern=r"to=<user\d@example.com>.*status=sent")) == 8, front.log()
            assert not front.lines(pattern="status=deferred")
            server.wait_taken(8)
            assert len(server.taken()) == 8
            site.wait_settled()


# --- mechanisms -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["plain", "login"])
def dovecot(request, postfix_runs, ca):
    with DovecotSubmission(ca, mechanisms=request.param) as server:
        yield server


@pytest.mark.parametrize("engine", ENGINES)
def test_dovecot_with_one_mechanism_alone(relay, dovecot, login, engine):
    before = len(dovecot.taken())
    result = relay(Address(dovecot.starttls_port), engine=engine, recipient="r@example.com", trace=True, **login)
    assert result["class"] == "delivered", (result, dovecot.log())
    assert re.findall(r"AUTH (PLAIN|LOGIN)\b", result["trace"])[-1] == dovecot.mechanisms.upper()
    dovecot.wait_taken(before + 1)


# --- certificates of clients ------------------------------------------------------------------------------------------------

CERTIFIED = """\
smtpd_tls_CAfile = {ca}
smtpd_tls_req_ccert = yes
smtpd_tls_security_level = encrypt
smtpd_relay_restrictions = permit_tls_all_clientcerts, reject
smtpd_sasl_auth_enable = no
"""


@pytest.fixture(scope="module")
def certified(postfix_runs, ca):
    with Tpsp(ca, name="certified.test", main=CERTIFIED.format(ca=ca.certificate)) as server:
        yield server


@pytest.fixture(scope="module")
def certified_exim(postfix_runs, ca):
    with Exim(ca, more="tls_verify_hosts = *\ntls_verify_certificates = /etc/ssl/certs/ca-certificates.crt") as server:
        yield server


@pytest.mark.parametrize("engine", ENGINES)
def test_a_postfix_that_wants_a_certificate_takes_mail_with_one(relay, certified, ca, engine):
    certificate, key = ca.issue("client.test")
    result = relay(Address(certified.port), host="localhost", engine=engine, tls_ca_path=ca.hashed, tls_cert_file=certificate,
                   tls_key_file=key)
    assert result["class"] == "delivered", (result, certified.log()[-2000:])


def test_an_exim_that_wants_a_certificate_takes_mail_with_one(relay, certified_exim, ca, login):
    certificate, key = ca.issue("client.test")
    result = relay(Address(certified_exim.starttls_port), recipient="r@example.com", tls_cert_file=certificate, tls_key_file=key, **login)
    assert result["class"] == "delivered", (result, certified_exim.log())


@pytest.mark.parametrize("which", ["certified", "certified_exim"])
def test_without_the_certificate_mail_waits(request, relay, login, which):
    server = request.getfixturevalue(which)
    result = relay(Address(getattr(server, "starttls_port", server.port if which == "certified" else None)), recipient="r@example.com", **login)
    assert result["class"] == "deferred" and result["cause"] != "message", result


# --- a name with a final dot --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["starttls", "tls"])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_final_dot_is_the_same_host_for_dns_sni_and_certificate(relay, ca, mode, engine):
    certificate, key = ca.issue("dotted.example", alternatives=())
    with Dnsmasq(["dotted.example. A 127.0.0.1"]) as dns, ScriptedTpsp(mode, chain=certificate, key=key) as server:
        asked = []
        server.tls_context().sni_callback = lambda _socket, name, _context: asked.append(name)
        for host in ("dotted.example.", "dotted.example"):
            result = relay(server, host=host, dns=dns.address, engine=engine, tls_ca_path=ca.hashed)
            assert result["class"] == "delivered", result
        assert asked == ["dotted.example", "dotted.example"]


# --- what is said on the wire, and what others say ----------------------------------------------------------------------------

WIRE = MESSAGE + b".\r\n..two\r\n.leading\r\n" + b"x" * 900 + b"\r\nend\r\n"


def swaks(server, message, mechanism):
    return ["swaks", "--server", f"127.0.0.1:{server.port}", "--from", "s@example.com", "--to", "r@example.net", "--ehlo", "mail.example.com",
            "--auth", mechanism, "--auth-user", "me", "--auth-password", "secret", "--data", f"@{message}", "--suppress-data"]


def msmtp(server, message, mechanism):
    return ["msmtp", "--host=127.0.0.1", f"--port={server.port}", "--from=s@example.com", "--domain=mail.example.com", f"--auth={mechanism}",
            "--user=me", "--passwordeval=echo secret", "--file=/dev/null", "--set-from-header=off", "--set-date-header=off",
            "--set-msgid-header=off", "r@example.net"]


@pytest.mark.parametrize("client", [swaks, msmtp])
@pytest.mark.parametrize("mechanism", ["plain", "login"])
def test_another_client_says_the_same_on_the_wire(relay, tmp_path, client, mechanism):
    if shutil.which(client.__name__) is None:
        pytest.skip(f"{client.__name__} is not installed; run tools/deps test")
    with ScriptedTpsp(auth=mechanism.upper(), credentials=("me", "secret")) as server:
        result = relay(server, message=WIRE, helo_name="mail.example.com", username="me", password="secret", auth_without_tls=True)
        assert result["class"] == "delivered", result
        path = tmp_path / "wire"
        path.write_bytes(WIRE if client is swaks else WIRE.replace(b"\r\n", b"\n"))
        done = subprocess.run(client(server, path, mechanism), input=path.read_bytes(), capture_output=True, check=False, timeout=240)
        assert done.returncode == 0, done
        ours, theirs = server.wait_connection(0), server.wait_connection(1)
        assert ours.login == theirs.login == (mechanism.upper(), "me", "secret")
        # the same commands in the same order, but for SIZE and BODY, which are an offer of the server's to who knows them
        words = [[re.sub(r" (SIZE|BODY)=\S+", "", command) for command in connection.commands if not command.startswith("AUTH PLAIN")]
                 for connection in (ours, theirs)]
        assert words[0] == words[1]
        assert [message.rstrip(b"\r\n") for message in server.messages] == [WIRE.rstrip(b"\r\n")] * 2


def test_an_opensmtpd_takes_many_at_once(relay, postfix_runs, ca, login, tmp_path):
    with OpenSmtpd(ca) as server:
        clients = [Relay(tmp_path / str(number)) for number in range(8)]
        for each in clients:
            each.directory.mkdir()
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(lambda each: each(Address(server.starttls_port), recipient="r@example.com", **login), clients))
        assert {result["class"] for result in results} == {"delivered"}, (results, server.log())
        wait_for(lambda: len(server.taken()) == 8, "eight messages")
