"""sendpostctl test against real servers of several makers: the same trouble has the same name everywhere."""
import pytest

from desk import expect, impatient, stages
from foreign_mta import SERVERS, Exim
from support import remove, scratch
from tls_ca import CertificateAuthority

SENDER, RECIPIENT = "news@example.org", "user@example.com"


@pytest.fixture(scope="module", params=SERVERS, ids=lambda kind: kind.__name__)
def server(request, postfix_runs, ca):
    with request.param(ca) as running:
        yield running


@pytest.fixture
def ask(desk, server):
    """The test with the server's STARTTLS port."""
    def run(sender=SENDER, recipient=RECIPIENT, **settings):
        return desk.test("--from", sender, "--to", recipient, **{"port": server.starttls_port, **settings})
    return run


def test_a_message_goes_with_starttls(ask, server):
    before = len(server.taken())
    result = ask()
    assert result["ok"], (result, server.log())
    assert stages(result) == "resolve connect greeting ehlo starttls auth mail rcpt data quit".split()
    tls = next(step for step in result["steps"] if step["stage"] == "starttls")["detail"]
    assert "TLSv1.3" in tls and "/CN=mta.test" in tls and "issued by /CN=Test CA" in tls and "days left" in tls
    server.wait_taken(before + 1)


def test_a_message_goes_with_implicit_tls(ask, server):
    before = len(server.taken())
    result = ask(port=server.tls_port, security="tls")
    assert result["ok"], (result, server.log())
    assert stages(result) == "resolve connect tls greeting ehlo auth mail rcpt data quit".split()
    server.wait_taken(before + 1)
    assert all(b"Subject: postfix-sendpost connectivity test" in message for message in server.taken())


def test_a_wrong_password(ask):
    expect(ask(password="wrong password"), "Auth rejected", "auth", "Check username and password", 535)


def test_no_login(ask, server):
    result = ask(auth="none")
    expect(result, *{"mail": ("MAIL FROM failure", "mail"), "rcpt": ("RCPT TO failure", "rcpt")}[server.without_login],
           "login", {"mail": 530}.get(server.without_login, result.get("smtp_code")))
    assert result["smtp_code"] // 100 == 5


@pytest.mark.parametrize("sender, recipient, error, stage, advice", [
    ("refused@example.org", RECIPIENT, "MAIL FROM failure", "mail", "verify its domain"),
    (SENDER, "refused@example.com", "RCPT TO failure", "rcpt", "--to"),
    ("content@example.org", RECIPIENT, "DATA failure", "data", "read its words"),
])
def test_a_refusal(ask, server, sender, recipient, error, stage, advice):
    result = ask(sender, recipient)
    expect(result, error, stage, advice, result.get("smtp_code"))
    assert result["smtp_code"] in (550, 554)
    assert {"mail": "unwelcome", "rcpt": "No such user", "data": "unwelcome"}[stage] in result["smtp_description"]


def test_a_name_that_is_not_in_the_certificate(ask):
    expect(ask(host="127.0.0.1"), "TLS handshake failed", "starttls", "use the name that it is for")


def test_a_certificate_of_an_unknown_ca(ask):
    other = scratch("spca-")
    try:
        expect(ask(tls_ca_path=str(CertificateAuthority(other, "Other CA").hashed)), "TLS handshake failed", "starttls", "tls-ca-file")
    finally:
        remove(other)


def test_implicit_tls_on_the_port_of_starttls(ask):
    expect(ask(security="tls"), "TLS handshake failed", "tls", "set security: starttls")


def test_starttls_on_the_port_of_implicit_tls(ask, server):
    expect(ask(port=server.tls_port, **impatient()), "Timeout", "greeting", "wants TLS first")


def test_a_server_that_hangs(ask, server):
    go_on = server.hang()
    try:
        expect(ask(**impatient()), "Timeout", "greeting", "")
    finally:
        go_on()
    assert ask()["ok"]


@pytest.mark.parametrize("kind", SERVERS, ids=lambda kind: kind.__name__)
def test_an_expired_certificate_and_then_nobody(desk, ca, postfix_runs, kind):
    with kind(ca, expired=True) as old:
        expect(desk.test(port=old.starttls_port), "TLS handshake failed", "starttls", "The certificate has expired")
        expect(desk.test(port=old.tls_port, security="tls"), "TLS handshake failed", "tls", "The certificate has expired")
    expect(desk.test(host="127.0.0.1", port=old.starttls_port), "Connection refused", "connect", "Nothing listens there")


def test_a_server_that_takes_too_long(desk, ca):
    with Exim(ca) as server:
        result = desk.test_in_vain("mail", "--from", "slow@example.org", "--to", RECIPIENT, port=server.starttls_port)
        expect(result, "Timeout", "mail", "")
