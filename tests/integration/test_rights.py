"""What root starts becomes the owner of the state directory before it opens anything there."""
import os
import subprocess

import pytest

from scripted_tpsp import ScriptedTpsp
from sendpost import Sendpost, build_directory

MESSAGE = b"From: a@example.com\nSubject: hello\n\nbody\n"
REPORT = b"From: MAILER-DAEMON@example.net\nSubject: hello\n\nno report\n"
SCRATCH = 65534


@pytest.fixture
def site():
    if os.geteuid() != 0:
        pytest.skip("this is about root")
    with ScriptedTpsp() as server, Sendpost() as sendpost:
        sendpost.server = server
        sendpost.configure([{"name": "primary", "id": 12, "host": server.host, "port": server.port, "security": "none",
                             "auth": "none", "max-rate-per-hour": 100}], log_path=str(sendpost.log_path), listen="none")
        os.chown(sendpost.config, 0, sendpost.gid)  # as the package has it
        sendpost.config.chmod(0o640)
        yield sendpost


def as_root(site, program, *arguments, message=b""):
    path = site.libexec / program
    if not path.exists():
        path = build_directory() / program
    return subprocess.run([str(path), "-c", str(site.config), *arguments], input=message, capture_output=True, timeout=240,
                          check=False, env=site.env(), cwd="/")


def owners(site):
    return {str(path.relative_to(site.state)): path.lstat().st_uid for path in site.state.rglob("*")}


ROOT_RUNS = {
    "pipe": (["sendpost-pipe", "-q", "ROOT1", "-f", "a@example.com", "user@example.com"], MESSAGE),
    "bounce": (["sendpost-bounce", "-q", "ROOT2", "bounces+x+4321@sp-bounce.example.com"], REPORT),
    "agent": (["sendpost-agent", "--once", "--from-start"], b""),
    "status": (["sendpostctl", "status"], b""),
    "events": (["sendpostctl", "events"], b""),
    "flush": (["sendpostctl", "events", "flush"], b""),
    "deliveries": (["sendpostctl", "deliveries"], b""),
    "suppress": (["sendpostctl", "suppress", "add", "gone@example.com"], b""),
    "rates": (["sendpostctl", "rates"], b""),
    "explain": (["sendpostctl", "explain", "user@example.com"], b""),
    "check": (["sendpostctl", "check", "--offline", "--no-postfix"], b""),
}


@pytest.mark.parametrize("name", ROOT_RUNS)
def test_after_root_came_first_mail_flows_for_the_delivery_user(site, name):
    words, message = ROOT_RUNS[name]
    first = as_root(site, *words, message=message)
    assert first.returncode in (0, 1) and b"cannot" not in first.stderr, (first.stdout, first.stderr)
    assert set(owners(site).values()) <= {site.uid}, owners(site)
    done = site.run("-q", "MINE", "-f", "a@example.com", "--", "user@example.com", message=MESSAGE)
    assert done.returncode == 0, done.stdout


def test_what_root_keeps_open_is_the_owners(site):
    """The whole run, not its end alone: no system call of it makes a file as root."""
    as_root(site, "sendpost-pipe", "-q", "ROOT1", "-f", "a@example.com", "user@example.com", message=MESSAGE)
    assert {"state.db", "state.db.lock", "rates", "rates.lock", "deliveries.lock"} <= set(owners(site))
    modes = {path.name: path.stat().st_mode & 0o777 for path in site.state.iterdir() if path.is_file()}
    assert set(modes.values()) == {0o600}, modes


# what sendpostctl and the agent open by name, and what a delivery does
PLANTED = ("state.db", "state.db-wal", "state.db-shm", "state.db.lock", "report.lock", "ingest.lock", "rates", "rates.new", "rates.lock",
           "deliveries.lock", "tls-sessions")


@pytest.mark.parametrize("kind", ("symbolic", "hard"))
@pytest.mark.parametrize("name", PLANTED)
def test_a_link_that_the_delivery_user_planted_leads_root_nowhere(site, name, kind):
    treasure = site.top / "treasure"
    treasure.mkdir()
    treasure.chmod(0o700)
    os.chown(treasure, 0, 0)
    target = treasure / "file"
    target.write_bytes(b"root's own")
    target.chmod(0o600)
    before = (target.stat().st_mtime_ns, target.read_bytes(), target.stat().st_mode)
    if kind == "symbolic":
        (site.state / name).symlink_to(target if name != "tls-sessions" else treasure)
        os.chown(site.state / name, site.uid, site.gid, follow_symlinks=False)
    else:
        os.link(target, site.state / name)
    for words, message in ROOT_RUNS.values():
        as_root(site, *words, message=message)
    assert (target.stat().st_mtime_ns, target.read_bytes(), target.stat().st_mode) == before
    assert [path.name for path in treasure.iterdir()] == ["file"]
    if name in ("state.db", "state.db.lock", "deliveries.lock", "rates.lock"):
        done = site.run("-q", "MINE", "-f", "a@example.com", "--", "user@example.com", message=MESSAGE)
        assert done.returncode == 75 and b"4.3.0" in done.stdout and name.encode() in done.stdout, done.stdout
        found = subprocess.run([str(build_directory() / "sendpostctl"), "-c", str(site.config), "check", "--offline", "--no-postfix"],
                               capture_output=True, text=True, check=False, env=site.env())
        assert found.returncode == 1 and f"{site.state}/{name}" in found.stdout, found.stdout


def test_what_root_left_there_is_found_and_its_remedy_mends_it(site):
    for name in ("deliveries.lock", "report.lock"):
        (site.state / name).write_bytes(b"")
        (site.state / name).chmod(0o640)
    done = site.run("-q", "MINE", "-f", "a@example.com", "--", "user@example.com", message=MESSAGE)
    assert done.returncode == 75 and b"belongs to user root" in done.stdout
    found = as_root(site, "sendpostctl", "check", "--offline", "--no-postfix").stdout.decode()
    for name in ("deliveries.lock", "report.lock"):
        assert f"{site.state}/{name} belongs to user root" in found, found
    remedy = done.stdout.decode().split("runs as user nobody: ")[1].split("\n")[0]
    subprocess.run(remedy.split(), check=True)
    subprocess.run(remedy.replace("deliveries", "report").split(), check=True)
    assert site.run("-q", "MINE", "-f", "a@example.com", "--", "user@example.com", message=MESSAGE).returncode == 0


def test_a_sessions_directory_of_root_is_found(site):
    (site.state / "tls-sessions").mkdir(mode=0o700)
    found = as_root(site, "sendpostctl", "check", "--offline", "--no-postfix").stdout.decode()
    assert "tls-sessions belongs to root" in found and f"chown -R nobody: {site.state}/tls-sessions" in found


def test_a_state_directory_of_root_is_warned_of(site):
    os.chown(site.state, 0, 0)
    found = as_root(site, "sendpostctl", "check", "--offline", "--no-postfix").stdout.decode()
    assert "belongs to root, so that all that is done there is done with root's rights" in found


def test_a_list_that_only_root_may_read_is_imported_and_exported(site):
    secret = site.top / "root-only"
    secret.mkdir()
    secret.chmod(0o700)
    (secret / "in.csv").write_text("gone@example.com\n")
    done = as_root(site, "sendpostctl", "suppress", "import", str(secret / "in.csv"))
    assert done.returncode == 0, done.stderr
    done = as_root(site, "sendpostctl", "suppress", "export", str(secret / "out.csv"))
    assert done.returncode == 0 and "gone@example.com" in (secret / "out.csv").read_text()
    assert (secret / "out.csv").stat().st_uid == 0


def test_who_reads_the_state_directory_cannot_hold_up_the_mail(site):
    """A member of its group takes every lock that he can open a file for."""
    assert site.run("-q", "M1", "-f", "a@example.com", "--", "user@example.com", message=MESSAGE).returncode == 0
    holder = subprocess.Popen(["/usr/bin/python3", "-c", f"""
import fcntl, os, sys
held = []
for name in [""] + os.listdir({str(site.state)!r}):
    try:
        held.append(os.open(os.path.join({str(site.state)!r}, name), os.O_RDONLY))
        fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.lockf(held[-1], fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        pass
print("held", flush=True)
sys.stdin.read()
"""], stdin=subprocess.PIPE, stdout=subprocess.PIPE, user=1, group=site.gid, extra_groups=[], text=True)
    assert holder.stdout.readline() == "held\n"
    try:
        (site.state / "rates").unlink()  # so that its lock is needed
        done = site.run("-q", "M2", "-f", "a@example.com", "--", "user@example.com", message=MESSAGE, timeout=9)
        assert done.returncode == 0, done.stdout
    finally:
        holder.communicate("")
