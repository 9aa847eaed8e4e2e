"""relay_send() and the login: the right mechanism, never in the clear, and no MAIL before it; addresses that are not ASCII."""
import base64
import glob
import os
import subprocess

import pytest

from relay_client import MESSAGE, Relay
from scripted_tpsp import ScriptedTpsp

ENGINES = ["libesmtp", "libcurl"]


@pytest.fixture
def relay(tmp_path):
    return Relay(tmp_path)


LOGIN = {"username": "user", "password": "p\u00e4ss \"word\"", "auth_without_tls": True}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("auth, offered, used", [("auto", "LOGIN PLAIN", "PLAIN"), ("auto", "LOGIN CRAM-MD5", "LOGIN"),
                                                 ("plain", "LOGIN PLAIN", "PLAIN"), ("login", "PLAIN LOGIN", "LOGIN")])
def test_the_login_is_made_with_the_right_mechanism(relay, engine, auth, offered, used):
    with ScriptedTpsp(auth=offered, credentials=(LOGIN["username"], LOGIN["password"])) as server:
        result = relay(server, engine=engine, auth=auth, trace=True, **LOGIN)
        assert result["class"] == "delivered" and result["engine"] == engine
        assert server.connections[0].login[0] == used
        for secret in (LOGIN["password"].encode(), b"\0user\0" + LOGIN["password"].encode()):
            assert base64.b64encode(secret).decode() not in result["trace"]
        assert "***" in result["trace"]


def test_xoauth2_goes_through_libcurl(relay):
    with ScriptedTpsp(credentials=("user", "TOKEN")) as server:
        result = relay(server, username="user", token="TOKEN", auth_without_tls=True, trace=True)
        assert (result["class"], result["engine"]) == ("delivered", "libcurl")
        assert server.connections[0].login == ("XOAUTH2", "user", "TOKEN")
        assert "TOKEN" not in result["trace"]
        assert base64.b64encode(b"user=user\1auth=Bearer TOKEN\1\1").decode() not in result["trace"]


def test_a_refused_xoauth2_token_defers(relay):
    def refuse(connection):
        connection.reply("334 eyJzdGF0dXMiOiI0MDAifQ==")
        connection.read_line()
        connection.reply("535 5.7.8 Username and Password not accepted")

    with ScriptedTpsp(auth="XOAUTH2") as server:
        server.script["auth"] = refuse
        result = relay(server, username="user", token="OLD", auth_without_tls=True)
        assert (result["class"], result["cause"], result["stage"], result["smtp_code"]) == ("deferred", "ours", "auth", 535)
        assert result["text"].startswith("Auth rejected by ")


def test_a_long_password_goes_through_libcurl(relay):
    password = "x" * 300
    with ScriptedTpsp(credentials=("user", password)) as server:
        result = relay(server, username="user", password=password, auth_without_tls=True)
        assert (result["class"], result["engine"]) == ("delivered", "libcurl")


def test_a_missing_plug_in_of_libesmtp_costs_no_delivery(relay, tmp_path):
    """libESMTP then goes on to MAIL as if nothing was wanted: the wire lets nothing pass, and libcurl delivers."""
    folders = glob.glob("/usr/lib*/esmtp-plugins-*") + glob.glob("/usr/lib*/*/esmtp-plugins-*")
    hide = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', *folders[:1]]
    if os.geteuid() != 0 or not folders or subprocess.run([*hide, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("the plug-ins cannot be hidden here")
    with ScriptedTpsp(credentials=(LOGIN["username"], LOGIN["password"])) as server:
        result = relay(server, wrapper=hide, **LOGIN)
        assert (result["class"], result["engine"]) == ("delivered", "libcurl")
        assert "plug-in for AUTH PLAIN" in result["trace"]
        assert server.wait_connection(0).sender is None and server.messages == [MESSAGE]


def test_challenges_that_are_no_base64_do_not_matter(relay):
    def login(connection):
        connection.reply("334 Password please")
        connection.read_line()
        connection.reply("235 ok")

    with ScriptedTpsp(auth="LOGIN") as server:
        server.script["auth"] = login
        assert relay(server, **LOGIN)["class"] == "delivered"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("reply", ["535 5.7.8 wrong", "454 4.7.0 later", "504 5.5.4 what", "421 4.3.2 bye"])
def test_a_refused_login_defers_and_nothing_is_sent(relay, engine, reply):
    with ScriptedTpsp() as server:
        server.script["auth"] = reply
        result = relay(server, engine=engine, **LOGIN)
        cause = "host" if reply.startswith("421") else "ours"
        assert (result["class"], result["cause"], result["stage"]) == ("deferred", cause, "auth")
        assert result["smtp_code"] == int(reply[:3]) and reply in result["text"]
        assert result["text"].startswith("Auth rejected by 127.0.0.1[127.0.0.1]:")
        assert server.wait_connection().sender is None


@pytest.mark.parametrize("offered, auth", [("", "auto"), ("CRAM-MD5 GSSAPI", "auto"), ("LOGIN", "plain"), ("PLAIN", "login")])
def test_a_missing_mechanism_defers(relay, offered, auth):
    with ScriptedTpsp(auth=offered) as server:
        result = relay(server, auth=auth, **LOGIN)
        assert (result["class"], result["cause"], result["stage"]) == ("deferred", "ours", "auth")
        assert result["text"].startswith("Auth rejected: ") and (offered in result["text"])
        assert server.wait_connection().sender is None


def test_no_password_goes_out_in_the_clear(relay):
    with ScriptedTpsp() as server:
        result = relay(server, **{**LOGIN, "auth_without_tls": False})
        assert (result["class"], result["cause"], result["stage"]) == ("deferred", "ours", "auth")
        assert not any(command.startswith(("AUTH", "MAIL")) for command in server.wait_connection().commands)


@pytest.mark.parametrize("engine", ENGINES)
def test_without_a_wanted_login_there_is_none(relay, engine):
    with ScriptedTpsp() as server:
        assert relay(server, engine=engine)["class"] == "delivered"
        assert relay(server, engine=engine, auth="none", **LOGIN)["class"] == "delivered"
        assert all(connection.login is None for connection in server.connections)


# --- SMTPUTF8 -------------------------------------------------------------------------------------------------------


UTF8 = ["j\u00f6rg@example.net", "jorg@m\u00fcnchen.example"]


@pytest.mark.parametrize("address", UTF8)
def test_an_utf8_address_is_sent_with_smtputf8(relay, address):
    with ScriptedTpsp() as server:
        for addresses in ({"sender": address}, {"recipient": address}):
            result = relay(server, **addresses)
            assert (result["class"], result["engine"]) == ("delivered", "libcurl")
        assert all(b" SMTPUTF8" in connection.sender for connection in server.connections)
        assert server.connections[0].sender.startswith(f"MAIL FROM:<{address}> ".encode())
        assert server.connections[1].recipient == f"RCPT TO:<{address}>".encode()


@pytest.mark.parametrize("address", UTF8)
def test_smtputf8_that_is_not_offered_drops(relay, address):
    with ScriptedTpsp(offers=["8BITMIME"]) as server:
        result = relay(server, recipient=address)
        assert (result["class"], result["cause"], result["enhanced"]) == ("dropped", "message", "5.6.7")
        assert server.wait_connection().sender is None
