"""What Postfix starts is linked with another C library than the rest, where there is one: what kind of program it is, and
that its lines reach the syslog as before."""
import datetime
import os
import re
import socket
import subprocess

import pytest

from sendpost import Sendpost, build_directory

FRONTS = ("sendpost-pipe", "sendpost-bounce")


def linked_with_musl():
    return '\nS["FRONT_BEGIN"]=""\n' not in (build_directory() / "config.status").read_text()


@pytest.mark.parametrize("program", FRONTS)
def test_the_supervisor_is_a_static_program_that_is_loaded_anywhere(program):
    if not linked_with_musl():
        pytest.skip("configured without musl, or with sanitizers")
    elf = subprocess.run(["readelf", "-hlSW", build_directory() / program], capture_output=True, text=True, check=True,
                         env={**os.environ, "LC_ALL": "C"}).stdout
    assert re.search(r"Type: +DYN", elf) and "GNU_RELRO" in elf
    assert "INTERP" not in elf  # no loader
    assert re.search(r"GNU_STACK .* RW ", elf)


@pytest.fixture
def pipe():
    with Sendpost() as installation:
        yield installation


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["datagrams", "stream"])
def test_lines_reach_the_syslog_in_local_time(pipe, kind):
    path = pipe.top / "log-socket"
    with socket.socket(socket.AF_UNIX, kind) as syslog:
        syslog.bind(str(path))
        syslog.settimeout(30)
        if kind == socket.SOCK_STREAM:
            syslog.listen()
        script = (f"mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && ln -s {path} /dev/log && "
                  f"exec {pipe.program} --no-such-option")
        before = datetime.datetime.now(datetime.timezone.utc)
        done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False,
                              env={"PATH": os.environ["PATH"], "TZ": "Nowhere-5:45"})
        assert done.returncode == 75, done
        if kind == socket.SOCK_STREAM:
            syslog, _ = syslog.accept()
        line = syslog.recv(4096).decode()
        syslog.close()
    found = re.fullmatch(r"<19>(\w{3} [ \d]\d \d\d:\d\d:\d\d) postfix-sendpost/pipe\[\d+\]: (4\.3\.5 .*?)(\0?)", line)
    assert found and found[2] in done.stdout and (found[3] == "\0") == (kind == socket.SOCK_STREAM), line
    local = before.replace(tzinfo=None) + datetime.timedelta(hours=5, minutes=45)
    written = [datetime.datetime.strptime(f"{year} {found[1]}", "%Y %b %d %H:%M:%S") for year in {local.year, (local + datetime.timedelta(hours=1)).year}]
    assert any(abs((one - local).total_seconds()) < 3600 for one in written), line


def test_a_syslog_daemon_that_was_started_anew_is_found_again(pipe):
    """One process, three lines: what the deliverer prints is logged by the supervisor line by line."""
    path = pipe.top / "log-socket"
    first, second = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
    first.bind(str(path))
    go_on = pipe.top / "go-on"
    deliverer = pipe.libexec / "sendpost-deliver"
    deliverer.write_text(f"#!/bin/sh\necho before\nwhile [ ! -e {go_on} ]; do sleep 0.01; done\necho after\nexit 9\n")
    deliverer.chmod(0o755)
    script = (f"mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && ln -s {path} /dev/log && "
              f"exec {pipe.program} -c {pipe.config} -f a@example.org -- b@example.com </dev/null")
    process = subprocess.Popen(["unshare", "-m", "sh", "-c", script], stdout=subprocess.PIPE, text=True,
                               env={"PATH": os.environ["PATH"]})
    first.settimeout(30)
    assert first.recv(4096).endswith(b"before")
    first.close()
    path.unlink()
    second.bind(str(path))
    second.settimeout(30)
    go_on.touch()
    assert second.recv(4096).endswith(b"after")
    assert process.communicate()[0].startswith("4.3.0 ") and process.returncode == 75
    second.close()


def test_a_syslog_daemon_that_hangs_holds_up_no_deadline(pipe):
    """It takes no line any more, and the deliverer prints more than its socket holds, and stays."""
    path = pipe.top / "log-socket"
    deliverer = pipe.libexec / "sendpost-deliver"
    deliverer.write_text("#!/bin/sh\nprintf '\\0\\0\\0\\013deadline\\0%s\\0' 1 >&3\n"
                         "line=0\nwhile [ $line -lt 900 ]; do line=$((line + 1)); echo $line; done\nexec sleep 600\n")
    deliverer.chmod(0o755)
    script = (f"mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && ln -s {path} /dev/log && "
              f"exec {pipe.program} -c {pipe.config} -f a@example.org -- b@example.com </dev/null")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(path))
        done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False, timeout=90,
                              env={"PATH": os.environ["PATH"]})
        assert done.returncode == 75 and "delivery-timeout" in done.stdout, done
        assert syslog.recv(4096).endswith(b": 1")
