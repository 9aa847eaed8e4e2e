"""Small things that every helper of the integration tests, the demo and the benches needs."""
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("SENDPOST_TEST_CACHE", "/var/cache/postfix-sendpost-test"))  # see tools/deps


def wait_for(condition, what, timeout=240.0, interval=0.02):
    """The first true value of condition(); what says what was waited for when it never came."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"waited {timeout:.0f} s in vain for {what() if callable(what) else what}")
        time.sleep(interval)


_taken = []  # sockets that say to other test processes which ports we have taken


def free_port(family=socket.AF_INET):
    """A loopback port that nobody listens on and no other test process was given; below the range of clients' ports."""
    while True:
        port = random.randint(12000, 30000)
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            try:
                claim.bind(f"\0postfix-sendpost-test-port-{port}")
                probe.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", port))
                _taken.append(claim)
                return port
            except OSError:
                claim.close()


def has_ipv6():
    """Containers often have none, not even on loopback."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def listens(port, host="127.0.0.1"):
    try:
        socket.create_connection((host, port), timeout=1).close()
        return True
    except OSError:
        return False


def scratch(prefix):
    """A directory that every user may enter, with a path short enough for the sockets in it."""
    path = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    path.chmod(0o755)
    return path


def remove(path):
    """Remove a scratch directory; KEEP_SCRATCH=1 leaves it to be looked at."""
    if not os.environ.get("KEEP_SCRATCH"):
        shutil.rmtree(path, ignore_errors=True)


def processes():
    """(process id, program file, arguments) of every process, ourselves excepted."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            yield int(entry.name), os.readlink(entry / "exe"), (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it ended meanwhile, or is a zombie


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def waits_for(pid):
    """Where in the kernel it sleeps; nothing when it runs, or has ended."""
    try:
        return Path(f"/proc/{pid}/wchan").read_text()
    except OSError:
        return ""


def open_files(pid):
    """What the descriptors of a process name."""
    names = []
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            names.append(os.readlink(entry))
    except OSError:
        pass  # it ended, or closed one meanwhile
    return names


def end_process(pid, patience=10.0):
    """SIGTERM, and SIGKILL for what does not listen."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        try:
            wait_for(lambda: not alive(pid), f"the end of process {pid}", timeout=patience)
            return
        except TimeoutError:
            continue


def run(*command, **options):
    """subprocess.run() that shows what a failed command said."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(str(word) for word in command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done
