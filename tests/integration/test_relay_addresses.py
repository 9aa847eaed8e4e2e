"""relay_send() to a host of several addresses: each is tried until one lets a session begin (RFC 5321 section 5.1)."""
import shutil
import subprocess

import pytest

from relay_client import PATIENT, SILENT_SECONDS, Relay, patience
from scripted_tpsp import ScriptedTpsp, drip, hang_up, reset, stall
from support import free_port, has_ipv6, listens, wait_for

pytestmark = [pytest.mark.skipif(shutil.which("dnsmasq") is None, reason="dnsmasq is not installed"),
              pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here, and so no host of two addresses")]

FIRST, SECOND = "::1", "127.0.0.1"  # the order of RFC 6724


@pytest.fixture
def relay(tmp_path):
    return Relay(tmp_path)


@pytest.fixture(scope="session")
def certificates(ca):
    """The one of the host, and one of another."""
    return [dict(zip(("chain", "key"), ca.issue(name, alternatives=()))) for name in ("two.test", "other.test")]


@pytest.fixture(scope="module")
def host():
    """A DNS server that knows two.test with the addresses ::1 and 127.0.0.1."""
    port = free_port()
    server = subprocess.Popen(["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
                               "--pid-file", "--user=root", f"--port={port}", "--listen-address=127.0.0.1",
                               "--bind-interfaces", "--host-record=two.test,127.0.0.1,::1"], stderr=subprocess.DEVNULL)
    wait_for(lambda: listens(port), "dnsmasq")
    yield {"host": "two.test", "dns": f"127.0.0.1:{port}"}
    server.terminate()
    server.wait()


def two_servers(first, second=None):
    """What listens on the two addresses, at one port: each with its script, or other options."""
    port = free_port()
    return ScriptedTpsp(host=FIRST, port=port, **first), ScriptedTpsp(host=SECOND, port=port, **(second or {}))


def stages(result, ok=True):
    return [step["stage"] for step in result["steps"] if step["ok"] is ok]


@pytest.mark.parametrize("address", [FIRST, SECOND])
def test_every_address_of_a_name_is_tried(relay, host, address):
    with ScriptedTpsp(host=address) as server:
        result = relay(server, **host)
        assert result["class"] == "delivered" and result["peer"] == f"two.test[{address}]:{server.port}"


def busy(connection):
    connection.reply("421 4.3.2 too many connections")
    hang_up(connection)


@pytest.mark.parametrize("action", ["554 5.3.2 not you", "450 4.3.2 not now", busy, hang_up, reset, stall, drip(b"220-x\r\n"),
                                    b"what is this\r\n", b"999 odd\r\n"],
                         ids=["554", "450", "421", "hang up", "reset", "stall", "drip", "nonsense", "999"])
@pytest.mark.parametrize("stage", ["connect", "ehlo"])
def test_a_server_that_lets_no_session_begin_is_passed_over(relay, host, stage, action):
    silent = callable(action) and action not in (busy, hang_up, reset)
    passed = ["resolve", "connect", *(["greeting"] if stage == "ehlo" else []), "connect", "greeting", "ehlo", "mail", "rcpt", "data", "quit"]
    for patient in map(patience, SILENT_SECONDS) if silent else [PATIENT]:
        first, second = two_servers({stage: action})
        with first, second:
            result = relay(second, observe=True, **host, **patient)
            commands = first.wait_connection().commands
        if stages(result) == passed:
            break  # a busy machine may have been silent elsewhere
    assert result["class"] == "delivered" and result["peer"] == f"two.test[{SECOND}]:{second.port}"
    assert len(first.connections) == len(second.connections) == len(second.messages) == 1 and first.messages == []
    assert stages(result) == passed or action is reset
    assert len(stages(result, ok=False)) == 1
    if isinstance(action, str) and stage == "ehlo":
        assert commands[-1] == "QUIT"


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_server_that_fails_the_tls_handshake_is_passed_over(relay, host, ca, certificates, security):
    right, wrong = certificates
    first, second = two_servers({"security": security, **wrong}, {"security": security, **right})
    with first, second:
        result = relay(second, observe=True, tls_ca_file=ca.certificate, **host)
        assert result["class"] == "delivered" and result["peer"] == f"two.test[{SECOND}]:{second.port}", result["text"]
        assert stages(result, ok=False) == [security] and first.messages == [] and len(second.messages) == 1
        assert "TLSv1.3" in result["tls"]


@pytest.mark.parametrize("action", ["454 4.7.0 no TLS today", hang_up, b"220 go\r\n250 injected\r\n"],
                         ids=["454", "hang up", "injection"])
def test_a_server_that_does_not_start_tls_is_passed_over(relay, host, ca, certificates, action):
    first, second = two_servers({"security": "starttls", "starttls": action, **certificates[0]},
                                {"security": "starttls", **certificates[0]})
    with first, second:
        result = relay(second, observe=True, tls_ca_file=ca.certificate, **host)
        assert result["class"] == "delivered" and result["peer"] == f"two.test[{SECOND}]:{second.port}"
        assert stages(result, ok=False) == ["starttls"] and len(second.messages) == 1


def test_the_capabilities_are_those_of_the_server_that_serves(relay, host):
    def hello(connection):
        connection.send(b"250-first\r\n250-SIZE 10\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n")
        hang_up(connection)

    first, second = two_servers({"ehlo": hello}, {"offers": ()})
    with first, second:
        assert relay(second, **host)["class"] == "delivered"
        assert second.connections[0].sender == b"MAIL FROM:<s@example.com>"


def test_when_none_serves_the_one_that_got_furthest_says_why(relay, host):
    first, second = two_servers({"connect": "554 5.3.2 not you"})
    with second:
        pass  # it has ended: connection refused
    with first:
        result = relay(first, observe=True, **host)
        assert (result["class"], result["cause"], result["stage"]) == ("deferred", "host", "greeting")
        assert result["smtp_code"] == 554 and "not you" in result["text"]
        assert result["peer"] == f"two.test[{FIRST}]:{first.port}" and result["contacted"]
        assert stages(result, ok=False) == ["greeting", "connect"]


@pytest.mark.parametrize("stage, action", [("auth", "535 5.7.8 no"), ("mail", "451 4.3.0 no"), ("rcpt", "550 5.1.1 no"),
                                           ("dot", "451 4.3.0 no"), ("dot", hang_up)])
def test_from_the_login_on_the_first_server_answers_for_all(relay, host, stage, action):
    first, second = two_servers({stage: action})
    with first, second:
        result = relay(first, username="u", password="p", auth_without_tls=True, **host)
        assert result["class"] != "delivered" and result["peer"] == f"two.test[{FIRST}]:{first.port}"
        assert second.connections == []


def test_the_deadline_holds_for_all_addresses_together(relay, host):
    first, second = two_servers({"connect": stall})
    with first, second:
        for seconds in SILENT_SECONDS:
            result = relay(first, **host, **{**PATIENT, "deadline": 700 * seconds})
            if result["stage"] == "greeting":
                break
        assert (result["class"], result["stage"]) == ("deferred", "greeting") and result["text"].startswith("Timeout")
        assert second.connections == []
