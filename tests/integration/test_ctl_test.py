"""sendpostctl test: the same words for the same trouble, each step shown; real servers where there are some."""
import pytest

from desk import expect, impatient, stages
from scripted_tpsp import ScriptedTpsp, reset, stall
from support import free_port, remove, scratch
from tls_ca import CertificateAuthority
from tpsp import USERNAME, Tpsp

# --- what works ------------------------------------------------------------------------------------------------


def test_a_real_postfix_with_starttls_takes_the_message(desk, tpsp):
    result = desk.test("--from", "news@example.org", "--to", "user@example.com", port=tpsp.port)
    assert result["ok"], result
    assert stages(result) == "resolve connect greeting ehlo starttls auth mail rcpt data quit".split()
    assert all(step["ms"] >= 0 for step in result["steps"])
    steps = {step["stage"]: step for step in result["steps"]}
    assert "ESMTP" in steps["greeting"]["detail"] and steps["greeting"]["smtp_code"] == 220
    for word in ("TLSv1.3", "certificate /CN=tpsp.test", "issued by /CN=Test CA", "for tpsp.test localhost", "days left"):
        assert word in steps["starttls"]["detail"]
    assert "queued as" in steps["data"]["detail"]
    (message,) = tpsp.wait_messages()
    assert b"Subject: postfix-sendpost connectivity test" in message.message
    assert "error" not in result and "advice" not in result


def test_a_real_postfix_with_implicit_tls_takes_the_message(desk, postfix_runs, ca):
    with Tpsp(ca, name="implicit.test", wrapper_tls=True) as server:
        result = desk.test("--to", "user@example.com", port=server.port, security="tls")
        assert result["ok"], result
        assert stages(result) == "resolve connect tls greeting ehlo auth mail rcpt data quit".split()


def test_people_read_a_table(desk, tpsp):
    done = desk.run("primary", "--to", "user@example.com", port=tpsp.port)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == f"primary  localhost:{tpsp.port}, from <{USERNAME}> to <user@example.com>"
    assert lines[1].startswith("  ok     resolve ") and lines[1].split()[3] == "ms"
    assert lines[-1] == "  The message was accepted."
    assert "\033" not in done.stdout


def test_a_session_is_tried_without_mail(desk, tpsp):
    result = desk.test("--no-send", port=tpsp.port)
    assert result["ok"] and stages(result) == "resolve connect greeting ehlo starttls auth quit".split()
    assert not tpsp.messages()
    text = desk.run("primary", "--no-send", port=tpsp.port)
    assert "no mail is sent" in text.stdout and text.stdout.splitlines()[-1] == "  The session stands."


def test_verbose_shows_the_dialogue_without_the_password(desk, tpsp):
    done = desk.run("-v", "--to", "user@example.com", port=tpsp.port)
    assert "MAIL FROM:<" in done.stderr and "AUTH" in done.stderr


# --- what does not: each class of failure under its name --------------------------------------------------------


def test_nobody_listens(desk):
    expect(desk.test(host="127.0.0.1", port=free_port()), "Connection refused", "connect", "Nothing listens there")


def test_no_such_host(desk):
    expect(desk.test(host="no-such-host.invalid"), "Host not found", "resolve", "Check host")


def test_a_server_that_says_nothing(desk):
    with ScriptedTpsp(connect=stall) as server:
        expect(desk.test(host="127.0.0.1", port=server.port, **impatient()), "Timeout", "greeting", "wants TLS first")


@pytest.mark.parametrize("script, error, stage, code, advice", [
    ({"connect": "554 5.7.1 go away"}, "Greeting failure", "greeting", 554, "does not want this address"),
    ({"connect": b"HTTP/1.1 400 Bad Request\r\n\r\n"}, "Greeting failure", "greeting", None, "no SMTP server"),
    ({"ehlo": "550 5.7.1 no"}, "EHLO failure", "ehlo", 550, "ask the provider"),
    ({"mail": "550 5.7.1 sender not verified"}, "MAIL FROM failure", "mail", 550, "verify its domain"),
    ({"mail": "451 4.3.0 later"}, "MAIL FROM failure", "mail", 451, "verify its domain"),
    ({"rcpt": "550 5.1.1 no such user"}, "RCPT TO failure", "rcpt", 550, "--to"),
    ({"rcpt": "554 5.7.1 Relay access denied"}, "RCPT TO failure", "rcpt", 554, "about relaying"),
    ({"data": "554 5.6.0 no"}, "DATA failure", "data", 554, "read its words"),
    ({"dot": "550 5.7.1 spam"}, "DATA failure", "data", 550, "read its words"),
    ({"rcpt": stall}, "Timeout", "rcpt", None, ""),
    ({"dot": stall}, "Timeout", "data", None, ""),
    ({"mail": reset}, "MAIL FROM failure", "mail", None, ""),
])
def test_a_refusal_is_named_after_its_stage(desk, script, error, stage, code, advice):
    with ScriptedTpsp(**script) as server:
        where = {"host": "127.0.0.1", "port": server.port, "security": "none", "auth": "none"}
        result = desk.test_in_vain(stage, **where) if error == "Timeout" else desk.test(**where)
        expect(result, error, stage, advice, code)


def test_a_wrong_password_at_a_real_postfix(desk, tpsp):
    result = desk.test(port=tpsp.port, password="wrong password")
    expect(result, "Auth rejected", "auth", "Check username and password", 535)


def test_no_login_offered(desk):
    with ScriptedTpsp(auth="") as server:
        result = desk.test(host="127.0.0.1", port=server.port, security="none", auth_without_tls=True)
        expect(result, "Auth rejected", "auth", "wants no login on this port")


def test_another_mechanism_offered(desk):
    with ScriptedTpsp(auth="CRAM-MD5") as server:
        result = desk.test(host="127.0.0.1", port=server.port, security="none", auth_without_tls=True)
        expect(result, "Auth rejected", "auth", "to what the server offers")


def test_no_starttls_offered(desk):
    with ScriptedTpsp() as server:
        expect(desk.test(host="127.0.0.1", port=server.port), "TLS handshake failed", "starttls", "587 has STARTTLS")


def test_implicit_tls_on_a_port_that_wants_starttls(desk, tpsp):
    result = desk.test(port=tpsp.port, security="tls")
    expect(result, "TLS handshake failed", "tls", "set security: starttls")


def test_a_certificate_of_an_unknown_ca(desk, tpsp):
    other = scratch("spca-")
    try:
        expect(desk.test(port=tpsp.port, tls_ca_path=str(CertificateAuthority(other, "Other CA").hashed)),
               "TLS handshake failed", "starttls", "tls-ca-file")
    finally:
        remove(other)


def test_a_certificate_for_other_names(desk, ca):
    chain, key = ca.issue("other.test", alternatives=())
    with ScriptedTpsp(security="starttls", chain=chain, key=key) as server:
        expect(desk.test(port=server.port), "TLS handshake failed", "starttls", "The certificate is for other names")
        expect(desk.test(host="127.0.0.1", port=server.port), "TLS handshake failed", "starttls", "use the name that it is for")


def test_an_expired_certificate(desk, ca):
    chain, key = ca.issue("old.test", expired=True)
    with ScriptedTpsp(security="starttls", chain=chain, key=key) as server:
        expect(desk.test(port=server.port), "TLS handshake failed", "starttls", "The certificate has expired")


# --- the words on the command line ------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments, text", [
    (["secondary"], 'there is no tpsp "secondary"'),
    (["--from", "nobody"], 'is no address: it has no domain'),
    (["--to", "a@b\nRSET"], "is no address"),
])
def test_wrong_usage(desk, arguments, text):
    done = desk.run(*arguments)
    assert done.returncode == 64 and text in done.stderr and done.stdout == ""


def test_what_a_server_says_cannot_steer_the_terminal(desk):
    with ScriptedTpsp(mail=b"550 \x1b]0;owned\x07\x9b2J no\r\n") as server:
        done = desk.run(host="127.0.0.1", port=server.port, security="none", auth="none")
        assert "\x1b" not in done.stdout and "\x07" not in done.stdout and "\x9b" not in done.stdout
