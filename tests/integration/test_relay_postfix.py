"""relay_send() to a TPSP that is a real Postfix: STARTTLS or implicit TLS, Cyrus SASL."""
import pytest

from relay_client import MESSAGE, Relay
from support import wait_for
from tpsp import PASSWORD, USERNAME, Tpsp

ENGINES = ["libesmtp", "libcurl"]


@pytest.fixture
def relay(tmp_path):
    return Relay(tmp_path)


class Address:
    security = "starttls"

    def __init__(self, postfix, host="127.0.0.1"):
        self.host, self.port = host, postfix.port


def find(tpsp, message):
    """The message as the TPSP has it, every byte the same; those of other tests may still arrive beside it."""
    wanted = message.replace(b"\r\n", b"\n")
    return wait_for(lambda: next((one for one in tpsp.messages() if one.message == wanted), None), "the message, unchanged")


@pytest.fixture
def login(ca):
    return {"username": USERNAME, "password": PASSWORD, "tls_ca_path": ca.hashed}


@pytest.mark.parametrize("auth", ["plain", "login"])
@pytest.mark.parametrize("engine", ENGINES)
def test_postfix_takes_a_message_unchanged(relay, tpsp, login, engine, auth):
    message = MESSAGE + b".\r\n..dots\r\n" + b"long " * 1000 + b"\r\n"
    result = relay(Address(tpsp), engine=engine, auth=auth, message=message, **login)
    assert result["class"] == "delivered" and result["engine"] == engine, result
    assert result["text"].startswith("2.0.0 Ok: queued as ") and result["tls"].startswith("TLSv1.3 ")
    received = find(tpsp, message)
    assert (received.sender, received.recipient) == ("s@example.com", "r@example.net")


def test_postfix_resumes_the_session_in_the_next_process(relay, tpsp, login, tmp_path):
    results = [relay(Address(tpsp), state_dir=tmp_path, **login) for _ in range(3)]
    assert [result["class"] for result in results] == ["delivered"] * 3
    assert "resumed" in results[1]["tls"] and "resumed" in results[2]["tls"]


def test_postfix_refuses_a_wrong_password(relay, tpsp, login):
    result = relay(Address(tpsp), **{**login, "password": "wrong"})
    assert (result["class"], result["cause"], result["stage"], result["smtp_code"]) == ("deferred", "ours", "auth", 535)
    assert result["text"].startswith("Auth rejected by 127.0.0.1[127.0.0.1]:") and "wrong" not in result["text"]


def test_postfix_without_a_login_denies_and_the_message_stays(relay, tpsp, login, ca):
    result = relay(Address(tpsp), tls_ca_path=ca.hashed)
    assert (result["class"], result["cause"], result["stage"]) == ("deferred", "account", "rcpt"), result


def test_postfix_speaks_implicit_tls(relay, postfix_runs, ca, login):
    with Tpsp(ca, name="wrapper.test", wrapper_tls=True) as tpsp:
        server = Address(tpsp)
        server.security = "tls"
        assert relay(server, **login)["class"] == "delivered"


def test_postfix_knows_a_name(relay, tpsp, login):
    assert relay(Address(tpsp, "localhost"), **login)["class"] == "delivered"


def test_postfix_takes_an_utf8_address(relay, tpsp, login):
    result = relay(Address(tpsp), recipient="j\u00f6rg@example.net", **login)
    assert (result["class"], result["engine"]) == ("delivered", "libcurl"), result


@pytest.mark.parametrize("engine", ENGINES)
def test_postfix_takes_50_megabytes(relay, tpsp, login, engine):
    line = b"The quick brown fox jumps over the lazy dog and then some more of it\r\n"
    message = MESSAGE + line * (50 * 1024 * 1024 // len(line))
    result = relay(Address(tpsp), engine=engine, message=message, **login)
    assert result["class"] == "delivered"
    find(tpsp, message)
