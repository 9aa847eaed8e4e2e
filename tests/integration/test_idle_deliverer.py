"""Deliverers that stay for a moment after a delivery: what they save, when they must not be used, and that whatever happens to
them costs no message."""
import contextlib
import fcntl
import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from plain_relay import MESSAGE, entry, send
from scripted_tpsp import ScriptedTpsp, hang_up, reset, stall
from sendpost import SECRET_KEY, Sendpost, build_directory, meeting_place, turn_at_meeting_places
from support import alive, open_files, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becoming the user of the transport needs root")


@pytest.fixture
def site():
    with Sendpost() as installation:
        installation.environment["SENDPOST_IDLE_SECONDS"] = "60"  # two are over on a busy machine before anybody looked
        yield installation


def deliverers(site):
    """The process that served each delivery, in order."""
    return re.findall(r"postfix-sendpost/pipe\[(\d+)\]: NOQUEUE: to=", site.log())


def send_well(site, *arguments):
    """After the last delivery has left its process idle, which is a moment after Postfix has heard of it."""
    site.wait_settled()
    status, text = send(site, *arguments)
    assert status == 0, text
    return text


# --- what is saved ------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize("engine", ["libesmtp", "libcurl"])
def test_the_next_delivery_takes_process_connection_and_login_over(site, ca, engine):
    certificate, key = ca.issue("localhost")
    with ScriptedTpsp(host="127.0.0.1", security="starttls", chain=certificate, key=key, credentials=("me", "secret")) as server:
        site.configure([entry(server, host="localhost", security="starttls", auth="auto", username="me", password="secret",
                              engine=engine, tls_ca_path=str(ca.hashed))])
        for number in range(3):
            send_well(site, f"user{number}@example.com")
        assert len(set(deliverers(site))) == 1
        assert [recipient for _, recipient in server.transactions] == [b"RCPT TO:<user%d@example.com>" % number for number in range(3)]
        assert len(server.messages) == 3 and len({re.search(rb"Message-UUID: (\S+)", message)[1] for message in server.messages}) == 3
        (connection,) = server.connections
        assert [command.split(" ")[0] for command in connection.commands].count("AUTH") == 1
        assert connection.commands.count("RSET") == 2
        assert re.findall(r"relay=[^,]*, (conn_use=\d+, )?engine", site.log()) == ["", "conn_use=2, ", "conn_use=3, "]


def test_the_connection_to_the_api_stays_open(site, api, ca):
    with ScriptedTpsp() as server:
        site.configure([entry(server)], endpoint=api.url, ca=ca)
        for number in range(3):
            send_well(site, f"user{number}@example.com")
        assert len(api.wait_events(3)) == 3
        assert len({request.connection for request in api.requests[-3:]}) == 1


def test_a_request_larger_than_a_socket_buffer_arrives(site):
    with ScriptedTpsp() as server:
        site.configure([entry(server)])
        send_well(site)
        (pid,) = site.wait_idle()
        status, text = send(site, "user@example.com", "-q", "q" * 60000)
        assert (status, text[:4]) == (0, "2.0.")
        assert site.wait_idle()[0] == pid and len(server.messages) == 2


def test_it_leaves_when_nobody_comes_and_says_goodbye(site):
    with ScriptedTpsp() as server:
        site.configure([entry(server)])
        del site.environment["SENDPOST_IDLE_SECONDS"]
        send_well(site)
        pid = int(deliverers(site)[0])
        wait_for(lambda: not alive(pid), "the end of the idle deliverer", timeout=240)
        wait_for(lambda: server.connections[0].commands[-1] == "QUIT", "QUIT")


def test_a_hundred_at_once_are_served_and_few_stay(site):
    with ScriptedTpsp() as server:
        site.configure([entry(server)])
        with ThreadPoolExecutor(100) as pool:
            assert {status for status, _ in pool.map(lambda number: send(site, f"user{number}@example.com"), range(300))} == {0}
        assert sorted(recipient for _, recipient in server.transactions) == \
            sorted(b"RCPT TO:<user%d@example.com>" % number for number in range(300))
        assert len(server.messages) == 300 and len(site.events()) == 300
        with open("/proc/meminfo", encoding="ascii") as meminfo:
            memory = int(re.search(r"MemTotal:\s+(\d+) kB", meminfo.read())[1]) << 10
        assert len(site.idle()) <= min(100, max(8, memory // 8 // (4 << 20)))


@pytest.mark.skipif(b"__asan_init" in (build_directory() / "sendpost-deliver").read_bytes(),
                    reason="AddressSanitizer keeps what is freed for a while")
def test_neither_memory_nor_descriptors_grow_from_delivery_to_delivery(site, api, ca):
    def memory(pid):
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            return int(re.search(r"RssAnon:\s+(\d+) kB", status.read())[1])

    with ScriptedTpsp() as server:
        site.configure([entry(server)], endpoint=api.url, ca=ca)
        sizes = {}
        for number in range(300):
            send_well(site, f"user{number}@example.com")
            if number % 50 == 49:
                (pid,) = site.wait_idle()
                sizes.setdefault(pid, []).append((memory(pid), len(open_files(pid))))
        for grown in sizes.values():
            assert max(size for size, _ in grown) - grown[0][0] < 512, sizes
            assert len({files for _, files in grown}) == 1, sizes


# --- whom it serves -----------------------------------------------------------------------------------------------------


def test_a_changed_configuration_is_used_at_once(site):
    with ScriptedTpsp() as one, ScriptedTpsp() as other:
        site.configure([entry(one)])
        send_well(site)
        site.configure([entry(other)])
        send_well(site)
        assert (len(one.messages), len(other.messages)) == (1, 1)


def test_a_changed_password_is_used_at_once(site):
    with ScriptedTpsp() as server:
        site.configure([entry(server, auth="plain", auth_without_tls=True, username="me",
                              password_file=site.secret_file("password", "before"))])
        send_well(site)
        site.secret_file("password", "after")
        send_well(site)
        assert [connection.login[2] for connection in server.connections] == ["before", "after"]


def test_an_upgraded_program_is_used_at_once(site):
    with ScriptedTpsp() as server:
        site.configure([entry(server)])
        send_well(site)
        site.replace("sendpost-deliver", "#!/bin/sh\nexit 127\n")
        status, text = send(site)
        assert status == 75 and "sendpost-deliver cannot be started" in text


def test_another_environment_finds_another_deliverer(site):
    with ScriptedTpsp() as server:
        site.configure([entry(server)])
        for zone in ("UTC", "UTC", "Asia/Tokyo"):
            site.wait_settled()
            done = site.run("-f", "sender@example.com", "user@example.com", message=MESSAGE, environment={"TZ": zone})
            assert done.returncode == 0
        first, second, third = deliverers(site)
        assert first == second != third


def test_a_person_with_verbose_gets_a_process_of_his_own(site):
    with ScriptedTpsp() as server:
        site.configure([entry(server)])
        send_well(site)
        done = site.run("-v", "-f", "sender@example.com", "user@example.com", message=MESSAGE)
        assert done.returncode == 0 and b"EHLO" in done.stderr
        first, second = deliverers(site)
        assert first != second and len(site.wait_idle()) == 1


def test_a_deleted_store_is_noticed_before_the_next_delivery(site):
    with ScriptedTpsp() as server:
        site.configure([entry(server)])
        send_well(site)
        for file in site.state.glob("state.db*"):
            file.unlink()
        send_well(site, "second@example.com")
        assert len(set(deliverers(site))) == 1
        assert [event["recipient"] for event in site.events()] == ["second@example.com"]


def test_trouble_of_our_own_ends_the_process(site):
    with ScriptedTpsp() as server:
        site.configure([entry(server)])
        send_well(site)
        (pid,) = site.wait_idle()
        status, text = send(site, "user@example.com", "-u", "no-uuid")
        assert (status, text[:6]) == (75, "4.3.5 ")
        wait_for(lambda: not alive(pid), "the end of the deliverer")
        send_well(site)


@pytest.mark.parametrize("stage, reply", [("mail", "451 4.3.2 our store is busy"), ("rcpt", "451 4.3.0 Temporary lookup failure"),
                                          ("data", "452 4.3.1 Insufficient system storage"), ("dot", "451 4.3.0 queue file write error")])
def test_trouble_of_the_servers_store_does_not_end_our_process(site, stage, reply):
    with ScriptedTpsp() as server:
        site.configure([entry(server)])
        send_well(site)
        (pid,) = site.wait_idle()
        well, server.script[stage] = server.script[stage], reply
        status, text = send(site, "other@example.net")
        assert status == 75 and reply.split()[1] in text, text
        server.script[stage] = well
        send_well(site, "third@example.org")
        assert site.wait_idle()[0] == pid and len(set(deliverers(site))) == 1


# --- a connection that was kept -----------------------------------------------------------------------------------------------


def named(value):
    return getattr(value, "__name__", value)


def later(connection, action, well):
    """Do this on a connection that has carried a message already."""
    if not connection.dot_seen:
        connection.reply(well)
    elif isinstance(action, str):
        connection.reply(action)
    else:
        action(connection)


@pytest.mark.parametrize("action", ["421 4.7.0 too many messages in this session", "450 4.7.1 slow down", "550 5.7.1 enough of you",
                                    "503 5.5.1 nested MAIL", hang_up, reset], ids=named)
@pytest.mark.parametrize("stage, well", [("mail", "250 2.1.0 Ok"), ("rset", "250 2.0.0 Ok")])
def test_a_server_that_has_enough_of_a_connection_is_asked_over_a_new_one(site, stage, well, action):
    with ScriptedTpsp(**{stage: lambda connection: later(connection, action, well)}) as server:
        site.configure([entry(server)])
        for number in range(3):
            send_well(site, f"user{number}@example.com")
        assert len(server.messages) == 3 and len(server.connections) == 3


def test_a_rate_that_a_kept_connection_was_told_slows_down_and_says_nothing_of_sessions(site):
    """A new connection took the message; the words were the server's all the same, and the session was not full."""
    refusals = []

    def mail(connection):
        if connection.dot_seen and len(refusals) < 3:
            refusals.append(connection)
            connection.reply("450 4.7.1 too many messages, slow down")
        else:
            connection.reply("250 2.1.0 Ok")

    with ScriptedTpsp(mail=mail) as server:
        site.configure([entry(server, max_rate_per_hour=100000)], rate_limit_wait="30s")
        for number in range(8):
            send_well(site, f"user{number}@example.com")
        assert len(refusals) == 3 and len(server.messages) == 8
        assert len(server.connections) == 4, "what came after the refusals found a connection that was kept"
        assert re.search(r"tpsp=primary, provider=all: slowed down .*rate: 450 4\.7\.1 too many messages, slow down", site.log())


def test_sessions_that_end_alike_are_not_tried_further_and_one_that_ended_by_itself_is(site):
    ends = [1, 2, 2]

    def mail(connection):
        if ends and connection.served == ends[0]:
            ends.pop(0)
            connection.reply("451 4.3.2 please come again")
        else:
            connection.reply("250 2.1.0 Ok")

    with ScriptedTpsp(mail=mail) as server:
        site.configure([entry(server)])
        for number in range(9):
            send_well(site, f"user{number}@example.com")
        assert not ends
        assert [connection.served for connection in server.connections] == [1, 2, 2, 2, 2]


def test_a_server_that_accepts_and_leaves_in_one_breath_is_asked_over_a_new_connection(site):
    def accept_and_leave(connection):
        connection.send(b"250 2.0.0 Ok: queued as X\r\n221 2.0.0 closing the channel\r\n")
        hang_up(connection)

    with ScriptedTpsp(dot=accept_and_leave) as server:
        site.configure([entry(server)])
        for number in range(3):
            send_well(site, f"user{number}@example.com")
        assert len(server.connections) == 3 and len(server.transactions) == 3


@pytest.mark.parametrize("action", ["421 4.7.0 too many recipients in this session", "550 5.7.1 enough of you", hang_up], ids=named)
def test_a_kept_connection_never_drops_a_message_at_rcpt(site, action):
    with ScriptedTpsp(rcpt=lambda connection: later(connection, action, "250 2.1.5 Ok")) as server:
        site.configure([entry(server)])
        for number in range(3):
            send_well(site, f"user{number}@example.com")
        assert len(server.messages) == 3


def test_what_a_new_connection_refuses_is_refused(site):
    with ScriptedTpsp(rcpt=lambda connection: connection.reply(
            "550 5.1.1 no such user" if b"nobody" in connection.recipient else "250 2.1.5 Ok")) as server:
        site.configure([entry(server)])
        send_well(site)
        site.wait_idle()
        assert send(site, "nobody@example.com")[0] == 69
        site.wait_idle()
        send_well(site, "next@example.com")
        assert len(server.messages) == 2
        assert [connection.commands.count("RSET") for connection in server.connections] == [1, 1]


def test_a_server_that_closes_meanwhile_is_connected_anew(site):
    with ScriptedTpsp() as server:
        site.configure([entry(server)])
        send_well(site)
        site.wait_idle()
        server.connections[0].close()
        send_well(site)
        assert len(server.messages) == len(server.connections) == 2


def test_a_server_that_went_away_costs_no_slot(site):
    with ScriptedTpsp() as server:
        site.configure([entry(server, max_rate_per_hour=2)])
        send_well(site)
    site.wait_settled()
    status, text = send(site)
    assert status == 75 and text.startswith("4.4.1 Connection refused")
    with ScriptedTpsp(port=server.port) as again:
        send_well(site)
        assert len(again.messages) == 1


def test_a_server_that_says_nothing_to_rset_is_left_in_time(site):
    with ScriptedTpsp(rset=stall) as server:
        site.configure([entry(server)])
        send_well(site)
        send_well(site)
        assert len(server.messages) == len(server.connections) == 2


def test_a_forged_reply_in_an_idle_connection_is_no_success(site):
    with ScriptedTpsp() as server:
        site.configure([entry(server)])
        send_well(site)
        site.wait_idle()
        server.connections[0].send(b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 2.0.0 Ok: queued as LIE\r\n")
        assert "LIE" not in send_well(site)
        assert len(server.messages) == len(server.connections) == 2


# --- what may happen to it ----------------------------------------------------------------------------------------------


def test_killed_while_idle_it_is_replaced(site):
    with ScriptedTpsp() as server:
        site.configure([entry(server)])
        send_well(site)
        (pid,) = site.wait_idle()
        os.kill(pid, signal.SIGKILL)
        send_well(site)
        assert len(server.messages) == 2


def test_ended_while_idle_it_goes_at_once(site):
    with ScriptedTpsp() as server:
        site.configure([entry(server)])
        send_well(site)
        (pid,) = site.wait_idle()
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not alive(pid), "the end of the idle deliverer", timeout=240)


def test_stopped_while_idle_it_is_passed_over(site):
    with ScriptedTpsp() as server:
        site.configure([entry(server)])
        send_well(site)
        (pid,) = site.wait_idle()
        os.kill(pid, signal.SIGSTOP)
        try:
            assert send(site)[0] == 0
        finally:
            os.kill(pid, signal.SIGCONT)
        assert len(set(deliverers(site))) == len(server.messages) == 2


def test_killed_in_a_delivery_for_a_second_supervisor_it_defers(site):
    def kill(connection):
        connection.reply("250 2.1.5 Ok")
        for pid, program in ((pid, os.readlink(f"/proc/{pid}/exe")) for pid in site.leftovers()):
            if b"second" in connection.recipient and program.endswith("sendpost-deliver"):
                os.kill(pid, signal.SIGKILL)

    with ScriptedTpsp(rcpt=kill) as server:
        site.configure([entry(server)])
        send_well(site)
        site.wait_idle()
        status, text = send(site, "second@example.com")
        assert status == 75 and text.startswith("4.3.0 sendpost-deliver closed its channel without a result")
        assert len(server.messages) == 1


@pytest.mark.parametrize("timeout", ["10m", "9m"])
def test_it_ends_well_whether_or_not_the_timeout_is_the_one_that_goes_without_saying(site, timeout):
    with ScriptedTpsp() as server:
        site.configure([entry(server)], delivery_timeout=timeout)
        for number in range(2):
            send_well(site, f"user{number}@example.com")
        assert len(server.messages) == 2 and len(set(deliverers(site))) == 1


def test_a_second_supervisor_ends_it_at_the_deadline(site):
    with ScriptedTpsp(dot=lambda connection: stall(connection) if b"second" in connection.recipient else connection.reply("250 Ok")) as server:
        site.configure([entry(server)], delivery_timeout="8s", report={"timeout": "2s"})
        send_well(site)
        (pid,) = site.wait_idle()
        status, text = send(site, "second@example.com")
        assert status == 75 and "may have been accepted" in text
        assert deliverers(site) == [str(pid)] * 2


def test_the_second_supervisor_killed_the_delivery_ends_well(site):
    """Postfix comes again, and finds on record that the message is through."""
    def kill(connection):
        for pid in site.leftovers():
            if os.readlink(f"/proc/{pid}/exe").endswith("sendpost-pipe"):
                os.kill(pid, signal.SIGKILL)
        connection.reply("250 2.0.0 Ok: queued as SCRIPTED")

    with ScriptedTpsp(dot=lambda connection: kill(connection) if b"second" in connection.recipient else connection.reply("250 Ok")) as server:
        site.configure([entry(server)])
        send_well(site)
        site.wait_idle()
        assert send(site, "second@example.com", "-q", "4bSecond")[0] == -signal.SIGKILL
        wait_for(lambda: len(site.events()) == 2, "the record of the acceptance")
        send_well(site, "second@example.com", "-q", "4bSecond")
        assert len(server.transactions) == 2


def test_a_writer_that_dies_with_the_supervisor_sends_no_half_message(site):
    with ScriptedTpsp() as server:
        site.configure([entry(server)])
        send_well(site)
        (pid,) = site.wait_idle()
        supervisor = subprocess.Popen([str(site.program), "-c", str(site.config), "-f", "sender@example.com", "second@example.com"],
                                      stdin=subprocess.PIPE, user=site.uid, group=site.gid, extra_groups=[], cwd="/",
                                      env=site.env())
        supervisor.stdin.write(MESSAGE[:30])
        supervisor.stdin.flush()
        wait_for(lambda: not site.idle(), "the deliverer's turn", timeout=240)  # it would stay for longer
        supervisor.kill()
        supervisor.wait()
        supervisor.stdin.close()
        wait_for(lambda: not alive(pid), "the end of the deliverer", timeout=240)
        assert len(server.messages) == 1 and len(site.events()) == 1


# --- strangers ------------------------------------------------------------------------------------------------------------


def as_stranger(script, *arguments):
    """A Python program of another user."""
    return subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], user=65533, group=65533, extra_groups=[],
                            stdout=subprocess.PIPE, text=True)


def test_another_user_can_neither_call_nor_take_a_name(site):
    attempts = """
import os, socket, sys
for attempt in (lambda: os.open(sys.argv[1], os.O_WRONLY | os.O_NONBLOCK), lambda: socket.socket(socket.AF_UNIX).bind(sys.argv[1] + "0"),
                lambda: os.unlink(sys.argv[1]), lambda: os.listdir(os.path.dirname(sys.argv[1]))):
    try:
        attempt()
        print("done")
    except PermissionError:
        print("denied")
"""
    with ScriptedTpsp() as server:
        site.configure([entry(server)])
        send_well(site)
        (pid,) = site.wait_idle()
        assert as_stranger(attempts, site.line(pid)).communicate()[0].split() == ["denied"] * 4
        send_well(site)
        assert deliverers(site) == [str(pid)] * 2


def other_user(site):
    """The same installation for a user who has no meeting place, and may not make one."""
    account = pwd.getpwnam("bin")
    site.uid, site.gid = account.pw_uid, account.pw_gid
    for path in (site.top, *site.top.rglob("*")):
        os.chown(path, site.uid, site.gid)
    return meeting_place(site.uid)


def check(site):
    return subprocess.run([str(build_directory() / "sendpostctl"), "-c", str(site.config), "check", "--offline", "--no-postfix"],
                          capture_output=True, text=True, check=False, env=site.env()).stdout


@pytest.mark.parametrize("place", ["missing", "somebody else's", "open to others", "a link"])
def test_without_a_meeting_place_of_ours_each_delivery_starts_a_process(site, place):
    with ScriptedTpsp() as server, turn_at_meeting_places():
        path = other_user(site)
        site.configure([entry(server)])
        try:
            if place == "a link":
                path.symlink_to(meeting_place(65534))
            elif place != "missing":
                path.mkdir(mode=0o700)
                os.chown(path, 65533 if place == "somebody else's" else site.uid, site.gid)
                path.chmod(0o770 if place == "open to others" else 0o700)
            for number in range(2):
                send_well(site, f"user{number}@example.com")
            assert len(set(deliverers(site))) == 2 and len(server.messages) == 2
            assert f"{path}" in (found := check(site)) and "each delivery starts a process of its own" in found, found
        finally:
            if path.is_symlink():
                path.unlink()
            elif path.exists():
                path.rmdir()


def test_an_idle_deliverer_holds_nothing_that_came_with_the_supervisor(site, tmp_path):
    """As the lock of a cron job that sends a message and ends."""
    lock = tmp_path / "lock"
    with ScriptedTpsp() as server, lock.open("w") as held:
        site.configure([entry(server)])
        site.wait_settled()
        fcntl.flock(held, fcntl.LOCK_EX)
        os.set_inheritable(held.fileno(), True)
        assert send(site, pass_fds=(held.fileno(),))[0] == 0
        (pid,) = site.wait_idle()
        assert str(lock) not in open_files(pid)
        held.close()
        with lock.open("w") as other:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def in_line(site, line):
    """A socket in the meeting place whose name stands in the line, as that of a supervisor does."""
    name = f"{os.getpid()}.{time.monotonic_ns():x}"
    os.seteuid(site.uid)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(line.parent / name))
            listener.listen()
            with line.open("wb", buffering=0) as names:
                names.write(name.encode().ljust(32, b"\0"))
            yield listener
    finally:
        (line.parent / name).unlink(missing_ok=True)
        os.seteuid(0)


def test_nonsense_from_our_own_user_does_no_harm(site):
    with ScriptedTpsp() as server:
        site.configure([entry(server)])
        for nonsense in (b"", b"H", b"X" * 1000):
            send_well(site)
            (pid,) = site.wait_idle()
            with in_line(site, site.line(pid)) as listener:
                channel, _ = listener.accept()
                assert channel.recv(1) == b"R"
                channel.send(nonsense)
                channel.close()
            with site.line(pid).open("wb", buffering=0) as names:
                names.write(nonsense)
            site.wait_idle()
            send_well(site)
        assert len(server.messages) == 6


def test_no_secret_can_be_had_of_it(site, api, ca):
    with ScriptedTpsp() as server:
        site.configure([entry(server, auth="plain", auth_without_tls=True, username="me", password="very-secret")],
                       endpoint=api.url, ca=ca)
        send_well(site)
        (pid,) = site.wait_idle()
        with open(f"/proc/{pid}/environ", "rb") as environment, open(f"/proc/{pid}/cmdline", "rb") as arguments:
            seen = environment.read() + arguments.read()
        assert b"very-secret" not in seen and SECRET_KEY.encode() not in seen
        peek = subprocess.run(["cat", f"/proc/{pid}/mem"], user=site.uid, capture_output=True, check=False)
        assert peek.returncode != 0  # not even for another process of the same user
