"""sendpost-pipe turns whatever becomes of its child into 0, 75 or 69 and one line fit for Postfix.

The supervisor is the real one; its child is replaced by small programs that misbehave in one way each.
"""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

BUILD = Path(os.environ.get("SENDPOST_BUILD", Path(__file__).resolve().parents[2] / "build"))

pytestmark = pytest.mark.smoke

PREAMBLE = """#!/usr/bin/python3
import os, signal, struct, sys, time
def frame(**pairs):
    payload = b"".join(k.encode() + b"\\0" + v.encode() + b"\\0" for k, v in pairs.items())
    return struct.pack(">I", len(payload)) + payload
def request():
    length = struct.unpack(">I", os.read(3, 4))[0]
    fields = os.read(3, length).split(b"\\0")
    return dict(zip(fields[0::2], fields[1::2]))
def answer(**pairs):
    os.write(3, frame(**pairs))
"""


@pytest.fixture
def pipe_with(tmp_path):
    """A copy of sendpost-pipe whose sendpost-deliver is the given program."""

    def make(child, preamble=PREAMBLE):
        program = tmp_path / "sendpost-pipe"
        program.write_bytes((BUILD / "sendpost-pipe").read_bytes())
        program.chmod(0o755)
        if child is not None:
            deliver = tmp_path / "sendpost-deliver"
            deliver.write_text(preamble + child)
            deliver.chmod(0o755)
        return program

    return make


def run(program, *options, message=b"Subject: x\n\nbody\n", **extra):
    environment = dict(os.environ, SENDPOST_LOG_FILE=str(program.parent / "log"))
    return subprocess.run([program, "-f", "a@example.com", *options, "b@example.com"], input=message, timeout=240,
                          capture_output=True, env=environment, **extra)


def log_of(program):
    return (program.parent / "log").read_text()


@pytest.mark.parametrize("status, text", [(0, "2.0.0 uuid=x tpsp=y 250 ok"), (75, "4.7.1 wait"), (69, "5.1.1 no such user")])
def test_a_result_is_passed_on(pipe_with, status, text):
    done = run(pipe_with(f"request(); answer(status='{status}', text='{text}'); sys.exit(3)"))
    assert (done.returncode, done.stdout.decode()) == (status, text + "\n")


def test_the_request_arrives_whole(pipe_with):
    program = pipe_with("r = request(); answer(status='0', text='2.0.0 ' + repr(sorted(r.items())))")
    done = run(program, "-c", "/x.yaml", "-p", "bulk", "-q", "4bX", "-v")
    for pair in ("(b'config', b'/x.yaml')", "(b'sender', b'a@example.com')", "(b'recipient', b'b@example.com')",
                 "(b'pool', b'bulk')", "(b'queue-id', b'4bX')", "(b'verbose', b'yes')"):
        assert pair in done.stdout.decode()


@pytest.mark.parametrize("given, sent", [("", b""), ("<>", b""), ("MAILER-DAEMON", b""), ("<x@y.z>", b"x@y.z")])
def test_every_form_of_the_null_sender_is_understood(pipe_with, given, sent):
    program = pipe_with("answer(status='0', text='2.0.0 ' + repr(request()[b'sender']))")
    done = subprocess.run([program, "-f", given, "b@example.com"], input=b"", capture_output=True, timeout=240)
    assert done.stdout.decode() == f"2.0.0 {sent!r}\n"


@pytest.mark.parametrize("child, words", [
    ("os.kill(os.getpid(), signal.SIGSEGV)", "signal 11"),
    ("os.abort()", "signal 6"),
    ("print('libx.so.1: cannot open shared object file', file=sys.stderr); sys.exit(127)", "libx.so.1"),
    ("sys.exit(0)", "ended with status 0 and no result"),
    ("sys.exit(69)", "ended with status 69 and no result"),
    ("request(); os.close(3); time.sleep(600)", "closed its channel"),
    ("os.write(3, b'550 5.1.1 nonsense that is long enough to be a frame')", "makes no sense"),
    ("os.write(3, struct.pack('>I', 2) + b'ab')", "makes no sense"),
    ("answer(status='0', text='5.1.1 bounce me')", "makes no sense"),
    ("answer(status='69', text='4.1.1 bounce me')", "makes no sense"),
    ("answer(status='64', text='5.1.1 bounce me')", "makes no sense"),
    ("answer(status='69', text='5.1.1 two\\nlines')", "makes no sense"),
    ("answer(status='69', text='no code')", "makes no sense"),
    ("os.write(3, frame(status='69', text='5.1.1 cut')[:-3])", "no result"),
])
def test_every_other_end_of_the_child_keeps_the_message_in_the_queue(pipe_with, child, words):
    done = run(pipe_with(child))
    assert done.returncode == 75
    assert re.fullmatch(r"4\.3\.0 [^\n]+\n", done.stdout.decode())
    assert words in done.stdout.decode()


def test_a_missing_child_keeps_the_message_in_the_queue(pipe_with):
    done = run(pipe_with(None))
    assert done.returncode == 75 and done.stdout.startswith(b"4.3.0 cannot start ")


def test_a_child_that_is_no_program_keeps_the_message_in_the_queue(pipe_with):
    done = run(pipe_with("\x7fELF nonsense", preamble=""))
    assert done.returncode == 75 and done.stdout.startswith(b"4.3.0 ")


def test_nothing_comes_before_the_status_line_and_output_goes_to_the_log(pipe_with):
    program = pipe_with("request(); print('library chatter', flush=True); print('more', file=sys.stderr, flush=True);"
                        "answer(status='75', text='4.0.0 later')")
    done = run(program, "-v")
    assert done.stdout == b"4.0.0 later\n"
    assert b"library chatter" in done.stderr
    done = run(program)
    assert (done.stdout, done.stderr) == (b"4.0.0 later\n", b"")
    assert "sendpost-deliver: library chatter" in log_of(program)


def test_under_postfix_verbose_output_goes_to_the_log_too(pipe_with, tmp_path):
    program = pipe_with("request(); print('chatter', flush=True); answer(status='75', text='4.0.0 later')")
    environment = dict(os.environ, SENDPOST_LOG_FILE=str(tmp_path / "log"))
    done = subprocess.run([program, "-v", "-f", "", "b@example.com"], input=b"", env=environment, timeout=240,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.stdout == b"4.0.0 later\n"
    assert "chatter" in log_of(program)


def test_a_flood_of_output_is_bounded(pipe_with):
    program = pipe_with("request()\nfor i in range(20000): print('x' * 200)\nsys.stdout.flush()\n"
                        "answer(status='75', text='4.0.0 later')")
    assert run(program).stdout == b"4.0.0 later\n"
    assert len(log_of(program)) < 1_000_000


def test_a_child_that_hangs_is_ended_after_the_deadline_it_named(pipe_with, tmp_path):
    program = pipe_with(f"request(); open('{tmp_path}/pid', 'w').write(str(os.getpid())); answer(deadline='1');"
                        "time.sleep(600)")
    done = run(program)
    assert done.returncode == 75 and b"delivery-timeout" in done.stdout
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_the_message_reaches_the_child_untouched(pipe_with):
    program = pipe_with("import hashlib; request();"
                        "answer(status='0', text='2.0.0 ' + hashlib.sha256(sys.stdin.buffer.read()).hexdigest())")
    import hashlib
    message = os.urandom(3_000_000)
    assert run(program, message=message).stdout.decode() == f"2.0.0 {hashlib.sha256(message).hexdigest()}\n"


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


def test_the_child_is_given_the_end_of_our_output_to_watch(pipe_with, tmp_path):
    """What it makes of it is in test_cut_short.py."""
    program = pipe_with(f"""import select; request()
watch = select.poll(); watch.register(4, 0)
before = watch.poll(0)
open('{tmp_path}/asked', 'w').close()
while not os.path.exists('{tmp_path}/gone'): time.sleep(0.01)
open('{tmp_path}/found', 'w').write(f'{{before}} {{[what for _, what in watch.poll(0)] == [select.POLLERR]}}')
answer(status='0', text='2.0.0 sent')""")
    process = subprocess.Popen([program, "-f", "", "b@example.com"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    wait_for((tmp_path / "asked").exists)
    process.stdout.close()
    (tmp_path / "gone").touch()
    assert process.wait() == 0
    assert (tmp_path / "found").read_text() == "[] True"


def test_after_the_whole_message_a_sigterm_waits_for_the_result(pipe_with, tmp_path):
    program = pipe_with(f"request(); sys.stdin.buffer.read(); open('{tmp_path}/read', 'w').close()\n"
                        f"while not os.path.exists('{tmp_path}/go'): time.sleep(0.01)\n"
                        "answer(status='0', text='2.0.0 sent')")
    process = subprocess.Popen([program, "-f", "", "b@example.com"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.close()
    wait_for((tmp_path / "read").exists)
    process.send_signal(signal.SIGTERM)
    (tmp_path / "go").touch()
    assert process.stdout.read() == b"2.0.0 sent\n"
    assert process.wait() == 0


@pytest.mark.parametrize("arguments", [[], ["b@example.com"], ["-f", "a@b", "b@c", "d@e"], ["-f"], ["-x"], ["--bogus"],
                                       ["-f", "a@b"], ["-f", "a" * 70000 + "@b", "b@c"]],
                         ids=lambda arguments: " ".join(arguments)[:20])
def test_wrong_usage_is_a_local_misconfiguration(pipe_with, arguments):
    done = subprocess.run([pipe_with(None), *arguments], input=b"", capture_output=True, timeout=240)
    assert done.returncode == 75
    assert done.stdout.startswith(b"4.3.5 ") and done.stdout.count(b"\n") == 1 and done.stderr == b""


def test_closed_standard_descriptors_do_no_harm(pipe_with):
    program = pipe_with("request(); answer(status='0', text='2.0.0 fine')")
    done = subprocess.run(["/bin/sh", "-c", f"exec {program} -f '' b@example.com <&- 2>&-"], capture_output=True, timeout=240)
    assert (done.returncode, done.stdout) == (0, b"2.0.0 fine\n")


def test_core_files_are_off_in_the_child(pipe_with):
    program = pipe_with("import resource; request();"
                        "answer(status='0', text='2.0.0 %s' % (resource.getrlimit(resource.RLIMIT_CORE),))")
    assert run(program).stdout == b"2.0.0 (0, 0)\n"


def test_help_and_version(pipe_with):
    program = pipe_with(None)
    assert b"Exit status" in subprocess.run([program, "--help"], capture_output=True, check=True).stdout
    assert subprocess.run([program, "-V"], capture_output=True, check=True).stdout.startswith(b"sendpost-pipe ")
