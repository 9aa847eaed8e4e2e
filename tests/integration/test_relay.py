"""relay_send() against a TPSP that misbehaves as scripted: never a hang, never a false success, never a leak."""
import pytest

from relay_client import MESSAGE, PATIENT, Relay, patience
from scripted_tpsp import ScriptedTpsp, drip, flood, forge, forge_within, hang_up, reset, stall, stop_reading
from support import has_ipv6

ENGINES = ["libesmtp", "libcurl"]


@pytest.fixture
def relay(tmp_path):
    return Relay(tmp_path)


@pytest.fixture(scope="session")
def certificate(ca):
    chain, key = ca.issue("tpsp.test")
    return {"chain": chain, "key": key}


# --- delivered ------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize("engine", ENGINES)
def test_a_message_is_delivered(relay, engine):
    with ScriptedTpsp() as server:
        result = relay(server, engine=engine, observe=True)
        assert (result["class"], result["smtp_code"], result["engine"]) == ("delivered", 250, engine)
        assert result["text"] == "2.0.0 Ok: queued as SCRIPTED" and result["enhanced"] == "2.0.0"
        assert server.messages == [MESSAGE]
        connection = server.wait_connection()
        assert connection.sender.startswith(b"MAIL FROM:<s@example.com> SIZE=%d" % len(MESSAGE))
        assert connection.recipient == b"RCPT TO:<r@example.net>"
        assert [step["stage"] for step in result["steps"]] == ["resolve", "connect", "greeting", "ehlo", "mail", "rcpt",
                                                                "data", "quit"]
        assert connection.commands[-1] == "QUIT"


@pytest.mark.parametrize("engine", ENGINES)
def test_the_null_sender_is_sent_as_such(relay, engine):
    with ScriptedTpsp() as server:
        assert relay(server, engine=engine, sender="")["class"] == "delivered"
        assert server.connections[0].sender.startswith(b"MAIL FROM:<> ")


HEADER = MESSAGE[:MESSAGE.index(b"\r\n\r\n") + 4]
NASTY = {
    "dots": HEADER + b".\r\n..\r\n.leading\r\n...\r\n \r\n.\r\n",
    "first line is a dot": HEADER + b".\r\n",
    "empty body": HEADER,
    "no final line end": HEADER + b"the end",
    "ends in a dot": HEADER + b"\r\n.",
    "NUL": HEADER + b"a\0b\r\n\0\r\n",
    "NUL in the header": HEADER[:-2] + b"X-Nul: a\0b\r\n\r\nbody\r\n",
    "bare CR": HEADER + b"a\rb\r\n\r\r\n.\rx\r\n",
    "8 bit": HEADER + bytes(range(128, 256)) + b"\r\n",
    "long line": HEADER + b"x" * 70000 + b"\r\n.\r\n",
    "very long line": HEADER + b"y" * 3000000 + b"\r\nend\r\n",
    "folded dots": HEADER[:-2] + b"X-Fold: a\r\n .b\r\n\t..\r\n.X: y\r\n\r\nbody\r\n",
    "buffer edges": HEADER + b"".join(b"." * (n % 5) + b"z" * n + b"\r\n" for n in range(1500)),
    "many dots": HEADER + b".\r\n" * 60000,
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NASTY)
def test_every_byte_arrives_unchanged(relay, engine, name):
    message = NASTY[name]
    with ScriptedTpsp() as server:
        result = relay(server, engine=engine, message=message)
        assert result["class"] == "delivered", result
        ending = b"" if message.endswith(b"\r\n") else b"\r\n"
        assert server.messages == [message + ending]


@pytest.mark.parametrize("size", [45 * 1024, 96 * 1024, 97 * 1024])
def test_dots_up_to_what_the_local_stream_holds_go_through_libesmtp(relay, size):
    message = HEADER + b".\r\n" * ((size - len(HEADER)) // 3)
    with ScriptedTpsp() as server:
        result = relay(server, engine="libesmtp", message=message)
        assert (result["class"], result["engine"]) == ("delivered", "libesmtp"), result
        assert server.messages == [message]


@pytest.mark.parametrize("message", [b"\r\n", b"x", b"\r\nbody only\r\n", b"no header, no end"])
def test_what_is_hardly_a_message_arrives_unchanged(relay, message):
    with ScriptedTpsp() as server:
        assert relay(server, message=message)["class"] == "delivered"
        assert server.messages == [message + (b"" if message.endswith(b"\r\n") else b"\r\n")]


WELL = b"Date: x\r\nFrom: a@example.com\r\nMessage-Id: <1@x>\r\n"


@pytest.mark.parametrize("header", [
    b"Subject: nothing else\r\n", b"Date: x\r\nFrom: a\r\n", b"Date : x\r\nFrom: a\r\nMessage-Id: <1>\r\n",
    WELL + b"To: a\r\nTo: b\r\n", WELL + b"Return-Path: <a>\r\n", WELL + b"Original-Recipient: rfc822;a\r\n",
    WELL + b"Resent-Reply-To: a\r\n", WELL + b"From: b\r\n", b"", WELL + b"Reply-To: a\r\nreply-to: b\r\n"])
@pytest.mark.parametrize("engine", ["auto", "libesmtp"])
def test_a_header_that_libesmtp_would_alter_goes_through_libcurl(relay, header, engine):
    with ScriptedTpsp() as server:
        message = header + b"\r\nbody\r\n"
        result = relay(server, engine=engine, message=message)
        assert (result["class"], result["engine"]) == ("delivered", "libcurl")
        assert server.messages == [message]


def test_engine_auto_is_libesmtp(relay):
    with ScriptedTpsp() as server:
        assert relay(server)["engine"] == "libesmtp"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("offered", [True, False])
def test_8bitmime_is_declared_where_it_is_offered(relay, engine, offered):
    message = HEADER + b"\xc3\xa4\r\n"
    with ScriptedTpsp(offers=["8BITMIME"] if offered else []) as server:
        assert relay(server, engine=engine, message=message)["class"] == "delivered"
        assert server.messages == [message]
        assert (b" BODY=8BITMIME" in server.connections[0].sender) == offered
        assert b" SIZE=" not in server.connections[0].sender


def test_7bit_content_is_not_declared_as_8bit(relay):
    with ScriptedTpsp() as server:
        relay(server)
        assert b"BODY" not in server.connections[0].sender


@pytest.mark.parametrize("engine", ENGINES)
def test_memory_stays_flat(relay, engine):
    if b"__asan_init" in relay.program.read_bytes():
        pytest.skip("AddressSanitizer keeps what was freed")
    line = b"The quick brown fox jumps over the lazy dog and then some more of it\r\n"
    with ScriptedTpsp() as server:
        small = relay(server, engine=engine)["peak_kb"]
        large = relay(server, engine=engine, message=HEADER + line * (50 * 1024 * 1024 // len(line)))
        assert large["class"] == "delivered"
        assert large["peak_kb"] < small + 4096
        assert len(server.messages[1]) > 50 * 1000 * 1000


def test_ehlo_falls_back_to_helo(relay):
    with ScriptedTpsp(ehlo="502 5.5.1 what", auth="") as server:
        server.script["ehlo"] = lambda c: c.reply("250 scripted" if c.commands[-1].startswith("HELO") else "502 5.5.1 what")
        assert relay(server)["class"] == "delivered"
        assert [c.split(" ")[0] for c in server.wait_connection().commands][:2] == ["EHLO", "HELO"]


@pytest.mark.parametrize("engine", ENGINES)
def test_replies_without_text_are_understood(relay, engine):
    with ScriptedTpsp(connect="220", mail="250", rcpt="250", data=b"354\r\n", dot="250", quit="221") as server:
        server.script["data"] = "354"
        result = relay(server, engine=engine)
        assert (result["class"], result["smtp_code"], result["text"]) == ("delivered", 250, "")
        assert server.messages == [MESSAGE]


@pytest.mark.parametrize("engine", ENGINES)
def test_an_acceptance_and_a_goodbye_in_one_segment_are_an_acceptance(relay, engine):
    def accept_and_leave(connection):
        connection.send(b"250 2.0.0 Ok: queued as X\r\n221 2.0.0 closing the channel\r\n")
        hang_up(connection)

    with ScriptedTpsp(dot=accept_and_leave) as server:
        result = relay(server, engine=engine)
        assert (result["class"], result["text"]) == ("delivered", "2.0.0 Ok: queued as X"), result


@pytest.mark.parametrize("engine", ENGINES)
def test_continuation_lines_with_changing_enhanced_codes_are_understood(relay, engine):
    with ScriptedTpsp(rcpt=["250 2.1.5 one", "250 2.1.0 two", "250 three"]) as server:
        assert relay(server, engine=engine)["class"] == "delivered"


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_an_ipv6_literal_is_reached(relay):
    with ScriptedTpsp(host="::1") as server:
        result = relay(server)
        assert result["class"] == "delivered" and result["peer"] == f"::1[::1]:{server.port}"


# --- refused --------------------------------------------------------------------------------------------------------

EARLY = ["connect", "ehlo"]
TRANSACTION = ["mail", "rcpt", "data", "dot"]
STAGE = {"connect": "greeting", "dot": "data", "content": "data"}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("code", [450, 550])
@pytest.mark.parametrize("stage", EARLY + TRANSACTION)
def test_a_refusal_is_judged_by_its_stage(relay, stage, code, engine):
    with ScriptedTpsp(**{stage: f"{code} {str(code)[0]}.1.1 refused here"}) as server:
        result = relay(server, engine=engine)
        # at MAIL nobody but the account has shown himself, unless the words name the sender
        account = stage == "mail" and code == 550
        dropped = stage in TRANSACTION and code == 550 and not account
        assert result["class"] == ("dropped" if dropped else "deferred")
        assert result["cause"] == ("account" if account else "message" if stage in TRANSACTION else "host")
        assert result["smtp_code"] == code and "refused here" in result["text"]
        assert result["enhanced"] == ("5.1.1" if dropped else "4.1.1")
        assert result["stage"] == STAGE.get(stage, stage) and result["contacted"]
        assert server.messages == []
        if stage in ("mail", "rcpt", "data", "dot"):
            assert server.wait_connection().commands[-1] == "QUIT"
        assert result["ms"] < 30000  # nobody waited for the engine to take its leave


@pytest.mark.parametrize("stage", EARLY + TRANSACTION)
def test_421_is_always_the_hosts_trouble(relay, stage):
    def bye(connection):
        connection.reply("421 4.3.2 shutting down")
        hang_up(connection)

    with ScriptedTpsp(**{stage: bye}) as server:
        result = relay(server)
        assert (result["class"], result["cause"], result["smtp_code"]) == ("deferred", "host", 421)


@pytest.mark.parametrize("reply, cause", [("530 5.7.0 Authentication required", "account"),
                                          ("554 5.7.1 <r@example.net>: Relay access denied", "host")])
def test_a_refusal_of_our_login_is_no_judgement_of_the_message(relay, reply, cause):
    with ScriptedTpsp(rcpt=reply) as server:
        result = relay(server)
        assert (result["class"], result["cause"]) == ("deferred", cause)


def test_connection_refused_says_so(relay):
    with ScriptedTpsp() as server:
        pass
    result = relay(server)
    assert (result["class"], result["cause"], result["stage"]) == ("deferred", "unreachable", "connect")
    assert result["text"].startswith("Connection refused by 127.0.0.1[127.0.0.1]:") and not result["contacted"]


def test_an_unknown_host_says_so(relay):
    with ScriptedTpsp() as server:
        result = relay(server, host="does-not-exist.invalid", deadline=3000)
        assert (result["class"], result["cause"], result["stage"]) == ("deferred", "ours", "resolve")
        assert result["text"].startswith("cannot resolve does-not-exist.invalid: ")


# --- silence, loss, nonsense ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", [stall, drip(b"2"), drip(b"250-x\r\n", 0.02, endless=True), reset, hang_up],
                         ids=["stall", "drip", "drip lines", "reset", "hang up"])
@pytest.mark.parametrize("stage", EARLY + TRANSACTION)
@pytest.mark.parametrize("engine", ENGINES)
def test_silence_and_loss_end_in_time(relay, stage, action, engine):
    if action is not stall and engine == "libcurl":
        pytest.skip("the wire is the same; one engine is enough")
    if stage == "data" and action not in (stall, reset, hang_up):
        pytest.skip("said with the other stages")
    with ScriptedTpsp(**{stage: action}) as server:
        expected, cause = STAGE.get(stage, stage), "in-doubt" if stage == "dot" else "unreachable"
        if action in (reset, hang_up):
            result = relay(server, engine=engine, **PATIENT)
        else:
            result = relay.in_vain(server, expected, cause, engine=engine)
        # the reset may be there before we have looked whether the connection stands
        stages = ("connect", "greeting") if (stage, action) == ("connect", reset) else (expected,)
        assert result["class"] == "deferred" and result["stage"] in stages and result["cause"] == cause
        assert ("may have been accepted" in result["text"]) == (stage == "dot")
        assert result["ms"] < 60000  # the deadline is later, the timeouts are earlier
        if action is stall:
            assert result["text"].startswith("Timeout ")
        if action in (reset, hang_up):
            assert result["text"].startswith("Connection lost")


def test_the_deadline_of_the_attempt_holds_at_every_stage(relay):
    with ScriptedTpsp(rcpt=stall) as server:
        result = relay(server, deadline=500)
        assert result["class"] == "deferred" and 400 <= result["ms"] < 20000


def test_a_dot_whose_answer_nobody_can_wait_for_is_not_sent(relay):
    with ScriptedTpsp() as server:
        result = relay(server, deadline=50000, answer=60000)
        assert (result["class"], result["cause"], result["stage"]) == ("deferred", "unreachable", "data")
        assert "no time is left" in result["text"] and "may have been accepted" not in result["text"]
        assert not server.connections[0].dot_seen and not server.messages
        assert relay(server, deadline=50000, answer=60000, command_timeout=40000)["class"] == "delivered"


def test_a_greeting_is_waited_for_as_long_as_a_connection(relay):
    """And not as long as a command: two silent addresses would leave the backup no time."""
    with ScriptedTpsp(connect=stall) as server:
        result = relay(server, connect_timeout=500, command_timeout=600000)
        assert (result["class"], result["cause"], result["stage"]) == ("deferred", "unreachable", "greeting")


@pytest.mark.parametrize("early", ["554 5.7.1 go away", "451 4.7.1 go away"])
@pytest.mark.parametrize("stage, later", [("ehlo", "mail"), ("mail", "rcpt"), ("rcpt", "data")])
def test_a_refusal_of_what_was_not_asked_judges_nothing(relay, stage, later, early):
    with ScriptedTpsp(offers=(), **{stage: b"250 ok\r\n" + early.encode() + b"\r\n"}) as server:
        result = relay(server)
        assert (result["class"], result["cause"], result["stage"]) == ("deferred", "host", later)
        assert f'said "{early}" before it was asked' in result["text"]
        assert not any(command.startswith(later.upper()) for command in server.wait_connection().commands)


@pytest.mark.parametrize("first", ["451 4.3.0 later", "554 5.7.1 no"])
def test_a_refusal_and_an_acceptance_in_one_breath_are_doubtful(relay, first):
    with ScriptedTpsp(dot=first.encode() + b"\r\n250 2.0.0 Ok: queued\r\n") as server:
        result = relay(server)
        assert (result["class"], result["cause"]) == ("deferred", "in-doubt")
        assert result["text"].startswith("More replies than asked for") and "may have been accepted" in result["text"]
        server.script["dot"] = first.encode() + b"\r\n421 4.3.2 closing\r\n"
        assert relay(server)["smtp_code"] == int(first[:3])


@pytest.mark.parametrize("stage", EARLY + TRANSACTION)
@pytest.mark.parametrize("action", [flood(b"250-more and more\r\n"), flood(b"x" * 4096), b"hello there\r\n", b"\r\n",
                                    b"999 odd\r\n", b"250-a\r\n550 b\r\n", b"25\r\n"],
                         ids=["flood of lines", "flood without line", "no reply", "empty", "999", "changing code", "short"])
def test_nonsense_ends_the_session(relay, stage, action):
    with ScriptedTpsp(**{stage: action}) as server:
        result = relay(server, **PATIENT)
        assert result["class"] == "deferred" and result["stage"] == STAGE.get(stage, stage)
        assert result["cause"] == ("in-doubt" if stage == "dot" else "host")
        assert server.messages == []


LIE = b"250 2.0.0 Ok: queued as LIE\r\n"
SIZES = {"2 kB": 2000, "220 kB": 220_000, "12 MB": 12_000_000}  # the last is more than socket buffers hold


def message_of(size):
    return HEADER + b"some text\r\n" * ((size - len(HEADER)) // 11)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stage, action", [
    ("data", b"354 go\r\n" + LIE),  # the final reply before the message
    ("data", forge),
    ("content", forge_within),
    ("content", LIE),
    ("mail", b"250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n"),
    ("data", "250 2.0.0 Ok: queued as LIE"),
    ("dot", "354 go on")])
def test_no_lie_is_taken_for_success(relay, stage, action, size, engine):
    if stage == "content" and (size == "2 kB" or (action is LIE and size != "12 MB")):
        pytest.skip("when the server has read some, it has the whole message")
    with ScriptedTpsp(small_window=action in (forge, forge_within), **{stage: action}) as server:
        result = relay(server, engine=engine, message=message_of(SIZES[size]), **patience(1))
        assert result["class"] == "deferred" and not result["accepted_called"]


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("size", SIZES)
def test_no_lie_under_tls_is_taken_for_success(relay, certificate, security, size):
    with ScriptedTpsp(security=security, small_window=True, data=forge, **certificate) as server:
        result = relay(server, no_verify=True, message=message_of(SIZES[size]), **patience(1))
        assert result["class"] == "deferred" and not result["accepted_called"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
def test_a_server_that_takes_a_little_at_a_time_is_not_doubted(relay, certificate, security, engine):
    message = message_of(220_000)
    with ScriptedTpsp(security=security, small_window=True, **certificate) as server:
        assert relay(server, engine=engine, no_verify=True, message=message)["class"] == "delivered"
        assert server.messages == [message]


def test_an_early_refusal_of_the_content_is_heard(relay):
    def too_big(connection):
        connection.reply("552 5.3.4 Message too big")
        stop_reading(connection)

    with ScriptedTpsp(content=too_big) as server:
        result = relay(server, message=HEADER + b"some text\r\n" * 2000000, **PATIENT)
        assert (result["class"], result["cause"], result["smtp_code"]) == ("dropped", "message", 552)
        assert not server.connections[0].dot_seen


@pytest.mark.parametrize("action", [reset, hang_up, stop_reading], ids=["reset", "hang up", "stop reading"])
def test_a_connection_lost_within_the_content_is_not_in_doubt(relay, action):
    with ScriptedTpsp(content=action) as server:
        message = HEADER + b"some text\r\n" * 2000000
        if action is stop_reading:
            result = relay.in_vain(server, "data", "unreachable", message=message)
        else:
            result = relay(server, message=message, **PATIENT)
        assert (result["class"], result["cause"], result["stage"]) == ("deferred", "unreachable", "data")
        assert "may have been accepted" not in result["text"] and not any(one.dot_seen for one in server.connections)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("address", ["a@b.c>\r\nRCPT TO:<evil@example.net", "a b@example.net", "a<b@example.net", "x"])
def test_an_address_cannot_become_a_command(relay, engine, address):
    with ScriptedTpsp() as server:
        for addresses in ({"sender": address}, {"recipient": address}):
            result = relay(server, engine=engine, **addresses)
            assert result["class"] == "dropped" and result["enhanced"] in ("5.1.3", "5.1.7")
        assert server.connections == []
