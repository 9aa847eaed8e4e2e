"""relay_send() and the login: the right mechanism, never in the clear, and no MAIL before it; addresses that are not ASCII."""
import base64
import hashlib
import hmac

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


def test_xoauth2_is_made_with_the_token(relay):
    with ScriptedTpsp(credentials=("user", "TOKEN")) as server:
        result = relay(server, username="user", token="TOKEN", auth_without_tls=True, trace=True)
        assert result["class"] == "delivered"
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


def test_a_long_password_is_sent_whole(relay):
    password = "x" * 3000
    with ScriptedTpsp(credentials=("user", password)) as server:
        assert relay(server, username="user", password=password, auth_without_tls=True)["class"] == "delivered"


def test_login_has_no_initial_response_and_plain_has_one(relay):
    """Some servers refuse one to LOGIN with 501, others take no notice and read the password as the user name."""
    for offered, begins in (("LOGIN", "AUTH LOGIN"), ("PLAIN", "AUTH PLAIN AG1l")):
        with ScriptedTpsp(auth=offered) as server:
            assert relay(server, username="me", password="secret", auth_without_tls=True)["class"] == "delivered"
            (line,) = [line for line in server.connections[0].commands if line.startswith("AUTH")]
            assert line.startswith(begins) and (offered == "PLAIN" or line == begins)


@pytest.mark.parametrize("reply", ["502 5.5.1 not here", "503 5.5.1 no", "504 5.5.4 Unrecognized authentication type"])
def test_a_mechanism_refused_as_such_gives_way_to_the_next(relay, reply):
    def auth(connection):
        if connection.commands[-1].startswith("AUTH PLAIN"):
            connection.reply(reply)
        else:
            connection.log_in()

    with ScriptedTpsp(auth="PLAIN LOGIN", credentials=(LOGIN["username"], LOGIN["password"])) as server:
        server.script["auth"] = auth
        assert relay(server, **LOGIN)["class"] == "delivered"
        assert server.connections[0].login[0] == "LOGIN"


@pytest.mark.parametrize("reply", ["538 5.7.11 Encryption required", "534 5.7.9 too weak", "535 5.7.8 wrong"])
def test_after_a_refusal_no_other_mechanism_is_tried_and_the_words_say_which_were(relay, reply):
    with ScriptedTpsp(auth="PLAIN LOGIN") as server:
        server.script["auth"] = reply
        result = relay(server, **LOGIN)
        assert (result["class"], result["stage"]) == ("deferred", "auth")
        assert "(offered: PLAIN LOGIN; tried: PLAIN)" in result["text"]
        assert len([line for line in server.connections[0].commands if line.startswith("AUTH")]) == 1


def scram_server(password, knows=True):
    def attributes(text):
        return dict(part.split("=", 1) for part in text.split(",") if "=" in part)

    def auth(connection):
        first = base64.b64decode(connection.commands[-1].split(" ")[2]).decode()
        assert first.startswith("n,,")
        bare, salt = first[3:], b"salt of the server"
        nonce = attributes(bare)["r"] + "ofTheServer"
        challenge = f"r={nonce},s={base64.b64encode(salt).decode()},i=4096"
        final = connection.challenge(base64.b64encode(challenge.encode()).decode()).decode()
        message = f"{bare},{challenge},c=biws,r={nonce}".encode()
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 4096)
        key = hmac.digest(salted, b"Client Key", "sha256")
        proof = bytes(a ^ b for a, b in zip(key, hmac.digest(hashlib.sha256(key).digest(), message, "sha256")))
        if attributes(final).get("r") != nonce or base64.b64decode(final.split(",p=")[1]) != proof:
            connection.reply("535 5.7.8 wrong")
            return
        signature = hmac.digest(hmac.digest(salted if knows else b"x", b"Server Key", "sha256"), message, "sha256")
        connection.reply("334 " + base64.b64encode(b"v=" + base64.b64encode(signature)).decode())
        connection.reply("235 2.7.0 welcome" if connection.read_line() in (b"", "") else "501 5.5.2 cancelled")
    return auth


def test_scram_sha_256_is_taken_where_it_is_offered(relay):
    with ScriptedTpsp(auth="PLAIN LOGIN SCRAM-SHA-256") as server:
        server.script["auth"] = scram_server("secret")
        result = relay(server, username="me", password="secret", auth_without_tls=True, trace=True)
        assert result["class"] == "delivered" and "AUTH SCRAM-SHA-256 ***" in result["trace"], result
        result = relay(server, username="me", password="wrong", auth_without_tls=True)
        assert (result["class"], result["cause"], result["smtp_code"]) == ("deferred", "ours", 535)


def test_a_server_that_does_not_know_the_password_gets_no_mail(relay):
    with ScriptedTpsp(auth="SCRAM-SHA-256") as server:
        server.script["auth"] = scram_server("secret", knows=False)
        result = relay(server, username="me", password="secret", auth_without_tls=True)
        assert (result["class"], result["cause"]) == ("deferred", "ours") and server.messages == []
        assert "does not know the password" in result["text"]


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
