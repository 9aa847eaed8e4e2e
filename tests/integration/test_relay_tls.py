"""TLS to the TPSP: verified, nothing in the clear when it is required, and resumed across processes."""
import os
import shutil
import ssl
import stat
import time

import pytest

from relay_client import MESSAGE, PATIENT, Relay
from scripted_tpsp import ScriptedTpsp, drip, hang_up, reset, stall
from support import has_ipv6
from tls_ca import CertificateAuthority

MODES = ["starttls", "tls"]


@pytest.fixture
def relay(tmp_path):
    return Relay(tmp_path)


@pytest.fixture(scope="session")
def certificate(ca):
    chain, key = ca.issue("relay.test")
    return {"chain": chain, "key": key}


@pytest.fixture
def trusted(ca):
    return {"tls_ca_path": ca.hashed}


# --- verification ---------------------------------------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("engine", ["libesmtp", "libcurl"])
def test_a_message_travels_under_verified_tls(relay, certificate, trusted, mode, version, engine):
    with ScriptedTpsp(mode, tls=version, credentials=("user", "secret"), **certificate) as server:
        result = relay(server, engine=engine, username="user", password="secret", observe=True, **trusted)
        assert result["class"] == "delivered", result
        assert server.messages == [MESSAGE]
        expected = "TLSv1.3 " if version == ssl.TLSVersion.TLSv1_3 else "TLSv1.2 "
        assert result["tls"].startswith(expected) and "resumed" not in result["tls"]
        stages = [step["stage"] for step in result["steps"]]
        first = ["resolve", "connect"] + (["tls", "greeting", "ehlo"] if mode == "tls" else ["greeting", "ehlo", "starttls"])
        assert stages == first + ["auth", "mail", "rcpt", "data", "quit"]
        detail = result["steps"][stages.index(mode)]["detail"]
        for words in (expected, "/CN=relay.test", "issued by /CN=Test CA", "for relay.test localhost 127.0.0.1 ::1", "days left"):
            assert words in detail
        assert not any(command.startswith(("AUTH", "MAIL")) for command in server.connections[0].commands[:1])


@pytest.mark.parametrize("host, address", [("127.0.0.1", "127.0.0.1"), pytest.param("::1", "::1", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")),
                                           ("localhost", "127.0.0.1")])
def test_names_and_addresses_in_the_certificate_are_verified(relay, certificate, trusted, host, address):
    with ScriptedTpsp("tls", host=address, **certificate) as server:
        assert relay(server, host=host, **trusted)["class"] == "delivered"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("host, words", [("127.0.0.1", "IP address mismatch"), ("localhost", "hostname mismatch")])
def test_a_certificate_for_somebody_else_defers(relay, ca, trusted, mode, host, words):
    chain, key = ca.issue("elsewhere.test", alternatives=())
    with ScriptedTpsp(mode, chain=chain, key=key) as server:
        result = relay(server, host=host, **trusted)
        assert (result["class"], result["cause"], result["stage"]) == ("deferred", "ours", mode)
        assert result["text"].startswith(f"TLS handshake failed with {host}[127.0.0.1]:")
        assert words in result["text"].lower() or words in result["text"]
        assert "/CN=elsewhere.test" in result["text"] and "tls-ca-path" in result["text"]
        assert not any(command.startswith("MAIL") for command in server.wait_connection().commands)
        assert relay(server, host=host, no_verify=True)["class"] == "delivered"


@pytest.mark.parametrize("mode", MODES)
def test_a_name_in_the_subject_alone_is_no_name(relay, tmp_path, mode):
    ca = CertificateAuthority(tmp_path / "old")
    chain, key = ca.issue("localhost", only_cn=True)
    with ScriptedTpsp(mode, chain=chain, key=key) as server:
        result = relay(server, host="localhost", tls_ca_path=ca.hashed)
        assert (result["class"], result["cause"]) == ("deferred", "ours") and "hostname mismatch" in result["text"], result


@pytest.mark.parametrize("how", ["another CA", "no CA", "expired", "missing directory", "CA file"])
def test_what_the_configured_ca_does_not_vouch_for_defers(relay, ca, certificate, tmp_path, how):
    options = {"another CA": {"tls_ca_path": CertificateAuthority(tmp_path / "other", "Other CA").hashed},
               "no CA": {}, "expired": {"tls_ca_path": ca.hashed},
               "missing directory": {"tls_ca_path": "/nonexistent"}, "CA file": {"tls_ca_file": "/nonexistent/file"}}[how]
    if how == "expired":
        chain, key = ca.issue("expired.test", expired=True)
        certificate = {"chain": chain, "key": key}
    with ScriptedTpsp("starttls", **certificate) as server:
        result = relay(server, **options)
        assert (result["class"], result["cause"], result["stage"]) == ("deferred", "ours", "starttls")
        assert {"expired": "certificate has expired", "missing directory": "/nonexistent", "CA file": "/nonexistent/file"
                }.get(how, "certificate") in result["text"]
        assert not any(command.startswith("MAIL") for command in server.wait_connection().commands)


def test_a_ca_file_is_enough(relay, ca, certificate):
    with ScriptedTpsp("starttls", **certificate) as server:
        assert relay(server, tls_ca_file=ca.certificate)["class"] == "delivered"


def test_names_are_indicated_and_addresses_are_not(relay, certificate, trusted):
    seen = []
    with ScriptedTpsp("tls", **certificate) as server:
        server.tls_context().sni_callback = lambda _socket, name, _context: seen.append(name)
        relay(server, host="localhost", **trusted)
        relay(server, host="127.0.0.1", **trusted)
    assert seen == ["localhost", None]


# --- nothing in the clear -------------------------------------------------------------------------------------------


def test_starttls_that_is_not_offered_defers(relay, trusted):
    with ScriptedTpsp() as server:
        result = relay(server, security="starttls", username="user", password="secret", auth_without_tls=True, **trusted)
        assert (result["class"], result["cause"], result["stage"]) == ("deferred", "ours", "starttls")
        assert result["text"].startswith("TLS handshake failed: ") and "does not offer STARTTLS" in result["text"]
        assert [command.split()[0] for command in server.wait_connection().commands] == ["EHLO", "QUIT"]


@pytest.mark.parametrize("reply", ["454 4.7.0 TLS not available", "554 5.7.0 no", "250 ok"])
def test_a_refused_starttls_defers(relay, certificate, trusted, reply):
    with ScriptedTpsp("starttls", starttls=lambda connection: connection.reply(reply), **certificate) as server:
        result = relay(server, **trusted)
        assert (result["class"], result["cause"], result["stage"]) == ("deferred", "host", "starttls")
        assert [command.split()[0] for command in server.wait_connection().commands] == ["EHLO", "STARTTLS", "QUIT"]


@pytest.mark.parametrize("injected", [b"220 go\r\n250 injected\r\n", b"220 go\r\n2",
                                      b"220 go\r\n250-x\r\n250 AUTH PLAIN\r\n250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n"])
def test_plain_text_behind_starttls_is_an_attack(relay, certificate, trusted, injected):
    def inject(connection):
        connection.send(injected)
        connection.start_tls()

    with ScriptedTpsp("starttls", starttls=inject, **certificate) as server:
        result = relay(server, **trusted)
        assert (result["class"], result["cause"], result["stage"]) == ("deferred", "host", "starttls")
        assert "injected" in result["text"]
        assert [command.split()[0] for command in server.wait_connection().commands] == ["EHLO", "STARTTLS"]


def test_capabilities_are_asked_for_again_under_tls(relay, certificate, trusted):
    """What was offered before TLS may be an attacker's word."""
    with ScriptedTpsp("starttls", tls_ehlo=["250 scripted", "250 8BITMIME"], **certificate) as server:
        result = relay(server, username="user", password="secret", **trusted)
        assert (result["class"], result["stage"]) == ("deferred", "auth") and "offers no login" in result["text"]
        assert server.wait_connection().sender is None


@pytest.mark.parametrize("mode", MODES)
def test_a_handshake_is_waited_for_as_long_as_a_connection(relay, certificate, trusted, mode):
    def act(connection):
        if mode == "starttls":
            connection.reply("220 go")
        stall(connection)

    with ScriptedTpsp("starttls" if mode == "starttls" else "none", **{"starttls" if mode == "starttls" else "connect": act},
                      **certificate) as server:
        result = relay.in_vain(server, mode, "unreachable", security=mode, **trusted, command_timeout=600000, deadline=600000)
        assert (result["class"], result["cause"], result["stage"]) == ("deferred", "unreachable", mode)


@pytest.mark.parametrize("action", [stall, reset, hang_up, drip(b"\x16\x03\x01"), b"\x00" * 4096, b"220 plain text\r\n"],
                         ids=["stall", "reset", "hang up", "drip", "zeroes", "plain"])
@pytest.mark.parametrize("mode", MODES)
def test_a_broken_handshake_ends_in_time(relay, certificate, trusted, mode, action):
    def act(connection):
        if mode == "starttls":
            connection.reply("220 go")
        if callable(action):
            action(connection)
        connection.send(action)
        stall(connection)

    stage = "starttls" if mode == "starttls" else "connect"
    with ScriptedTpsp("starttls" if mode == "starttls" else "none", **{stage: act}, **certificate) as server:
        if mode == "starttls":
            server.script["ehlo"] = ["250 scripted", "250 STARTTLS"]
        if callable(action) and action not in (reset, hang_up):
            result = relay.in_vain(server, mode, "unreachable", security=mode, **trusted)
        else:
            result = relay(server, security=mode, **trusted, **PATIENT)
        assert result["class"] == "deferred"
        if "injected" in result["text"]:
            assert result["cause"] == "host"
        elif isinstance(action, bytes):  # what is no TLS is a wrong port: ours
            assert result["cause"] == "ours" and result["text"].startswith("TLS handshake failed with ")
        elif result["stage"] == mode:  # silence and loss are the server's, as anywhere else
            assert result["cause"] == "unreachable"
            assert result["text"].startswith("Timeout at " if "no answer" in result["text"] else "Connection lost at ")
        else:  # a reset may be there before connect() has returned
            assert action is reset and result["text"].startswith("Connection lost, connecting to ")
        assert result["ms"] < 60000  # the deadline is later, the timeouts are earlier


# --- resumption -----------------------------------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path):
    path = tmp_path / "state"
    path.mkdir(0o750)
    return path


def tickets(state):
    directory = state / "tls-sessions"
    return sorted(directory.iterdir()) if directory.is_dir() else []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_resumed_by_the_next_process(relay, certificate, trusted, state, mode, version):
    with ScriptedTpsp(mode, tls=version, **certificate) as server:
        results = [relay(server, state_dir=state, **trusted) for _ in range(3)]
        assert [result["class"] for result in results] == ["delivered"] * 3
        assert ["resumed" in result["tls"] for result in results] == [False, True, True]
        assert [server.wait_connection(number).resumed for number in range(3)] == [False, True, True]
        (ticket,) = tickets(state)
        assert stat.S_IMODE(ticket.stat().st_mode) == 0o600
        assert stat.S_IMODE(ticket.parent.stat().st_mode) == 0o700


def test_a_fresh_ticket_is_not_written_again(relay, certificate, trusted, state):
    with ScriptedTpsp("tls", **certificate) as server:
        relay(server, state_dir=state, **trusted)
        before = tickets(state)[0].stat()
        relay(server, state_dir=state, **trusted)
        after = tickets(state)[0].stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
        old = time.time() - 3600
        os.utime(tickets(state)[0], (old, old))
        assert "resumed" in relay(server, state_dir=state, **trusted)["tls"]
        assert tickets(state)[0].stat().st_mtime > old + 60


def test_a_refused_ticket_is_replaced(relay, certificate, trusted, state):
    with ScriptedTpsp("tls", tickets="forgotten", **certificate) as server:
        for _ in range(3):
            result = relay(server, state_dir=state, **trusted)
            assert result["class"] == "delivered" and "resumed" not in result["tls"]
        assert len(tickets(state)) == 1


def test_a_server_without_tickets_is_fine(relay, certificate, trusted, state):
    with ScriptedTpsp("tls", tickets="none", **certificate) as server:
        for _ in range(2):
            result = relay(server, state_dir=state, **trusted)
            assert result["class"] == "delivered" and "resumed" not in result["tls"]


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "flipped", "huge", "readable by others", "a directory"])
def test_a_damaged_ticket_is_removed_and_ignored(relay, certificate, trusted, state, damage):
    with ScriptedTpsp("tls", **certificate) as server:
        relay(server, state_dir=state, **trusted)
        (ticket,) = tickets(state)
        data = ticket.read_bytes()
        if damage == "readable by others":
            ticket.chmod(0o644)
        elif damage == "a directory":
            ticket.unlink()
            ticket.mkdir()
        else:
            ticket.write_bytes({"cut": data[:-10], "garbage": os.urandom(500), "empty": b"", "huge": data * 100,
                                "flipped": data[:40] + bytes([data[40] ^ 0xff]) + data[41:]}[damage])
        result = relay(server, state_dir=state, **trusted)
        assert result["class"] == "delivered" and "resumed" not in result["tls"]
        if damage != "a directory":
            assert "resumed" in relay(server, state_dir=state, **trusted)["tls"]


def test_a_state_directory_that_cannot_be_written_does_not_matter(relay, certificate, trusted, tmp_path):
    with ScriptedTpsp("tls", **certificate) as server:
        (tmp_path / "file").write_text("")
        for path in (tmp_path / "missing", tmp_path / "file"):
            assert relay(server, state_dir=path, **trusted)["class"] == "delivered"


def test_a_ticket_is_good_for_what_was_verified_and_nothing_else(relay, ca, certificate, trusted, state, tmp_path):
    other = CertificateAuthority(tmp_path / "other", "Other CA")
    with ScriptedTpsp("tls", **certificate) as server:
        # not verified: never offered where verification is wanted
        assert relay(server, state_dir=state, no_verify=True)["class"] == "delivered"
        assert "resumed" in relay(server, state_dir=state, no_verify=True)["tls"]
        assert relay(server, state_dir=state, tls_ca_path=other.hashed)["class"] == "deferred"
        assert "resumed" not in relay(server, state_dir=state, **trusted)["tls"]
        # another name, another CA
        assert "resumed" not in relay(server, host="localhost", state_dir=state, **trusted)["tls"]
        assert relay(server, state_dir=state, tls_ca_path=other.hashed)["class"] == "deferred"
        # the CA lost its trust since
        changing = tmp_path / "changing"
        shutil.copytree(ca.hashed, changing, symlinks=True)
        assert relay(server, state_dir=state, tls_ca_path=changing)["class"] == "delivered"
        assert "resumed" in relay(server, state_dir=state, tls_ca_path=changing)["tls"]
        for path in changing.iterdir():
            path.unlink()
        assert relay(server, state_dir=state, tls_ca_path=changing)["class"] == "deferred"


def test_a_ticket_file_of_another_host_is_not_believed(relay, ca, certificate, trusted, state):
    """Name and dates of the certificate are looked at again before a session is offered."""
    chain, key = ca.issue("swapped.test", alternatives=("IP:127.0.0.1",))
    with ScriptedTpsp("tls", chain=chain, key=key) as server:
        swapped = server.tls_context()
        assert relay(server, state_dir=state, **trusted)["class"] == "delivered"
        (for_address,) = tickets(state)
        # the place of the ticket for "localhost", which that certificate does not name
        server.context, server.chain, server.key = None, certificate["chain"], certificate["key"]
        assert relay(server, host="localhost", state_dir=state, **trusted)["class"] == "delivered"
        (for_name,) = set(tickets(state)) - {for_address}
        for_name.write_bytes(for_address.read_bytes())
        server.context = swapped
        result = relay(server, host="localhost", state_dir=state, **trusted)
        assert result["class"] == "deferred" and "mismatch" in result["text"]
        assert not for_name.exists()
