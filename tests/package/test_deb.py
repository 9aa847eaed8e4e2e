"""What holds for the .deb alone: lintian, the build, its dependencies, and its purge."""
import os
import re
import subprocess

import pytest

from builds import INSIDE, version
from conftest import configure
from formats import Deb
from support import TOP, run


def test_lintian_finds_neither_error_nor_warning(builds):
    done = subprocess.run([*INSIDE, "lintian", "--allow-root", "--fail-on", "error,warning", str(builds.changes)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout == "", done.stdout + done.stderr


def test_a_second_build_elsewhere_is_the_same_to_the_byte(builds):
    if builds.other_deb is None:
        pytest.skip("twice on this machine's own system, elsewhere with full alone")
    assert builds.deb.read_bytes() == builds.other_deb.read_bytes()


def test_what_is_opened_at_run_time_is_depended_on(builds):
    depends = run("dpkg-deb", "-f", builds.deb, "Depends").stdout
    assert {"libcurl4", "libesmtp6"} <= set(re.findall(r"[\w.+-]+", depends))


def test_what_only_receivers_of_bounces_need_is_suggested(builds):
    """GMime depends on GPGME and so on all of GnuPG."""
    fields = {name: run("dpkg-deb", "-f", builds.deb, name).stdout for name in ("Depends", "Recommends", "Suggests")}
    assert "libgmime-3.0-0" in fields["Suggests"] and "gmime" not in fields["Depends"] + fields["Recommends"]


@pytest.mark.parametrize("program", ["sendpost-pipe", "sendpost-bounce"])
def test_what_postfix_starts_has_no_loader(builds, tmp_path, program):
    run("dpkg-deb", "-x", builds.deb, tmp_path)
    elf = run("readelf", "-hlW", tmp_path / "usr/libexec/postfix-sendpost" / program, env={**os.environ, "LC_ALL": "C"}).stdout
    assert re.search(r"Type: +DYN", elf) and "GNU_RELRO" in elf and "INTERP" not in elf
    assert re.search(r"^musl \(= \S+\)$", run("dpkg-deb", "-f", builds.deb, "Built-Using").stdout.strip())


def test_all_name_the_same_version():
    assert run("dpkg-parsechangelog", "-l", TOP / "debian/changelog", "-S", "Version").stdout.strip() == version()
    assert f"\nVersion:        {version()}\n" in (TOP / "rpm/postfix-sendpost.spec").read_text()


def test_a_purge_leaves_nothing_but_mail_in_the_queue(builds, tree, tpsp, api, ca):
    package = Deb(builds, tree)
    package.install()
    configure(tree, tpsp, api, ca)
    tree.start_postfix()
    tree.run("sendpostctl", "postfix", "install")
    tree.run("postfix", "reload")
    tree.send("before@example.com")
    tree.wait_status("before@example.com", "sent")

    package.dpkg("-P", "postfix-sendpost")
    for path in ("/etc/postfix-sendpost", "/var/lib/postfix-sendpost", "/usr/sbin/sendpostctl"):
        assert not tree.exists(path), path
    assert "sendpost" not in tree.path("/etc/passwd").read_text()
    tree.send("after@example.com")  # the transport is still in master.cf
    tree.run("postqueue", "-f")
    tree.wait_status("after@example.com", "deferred")
    assert "bounced" not in tree.statuses() and tree.queue()

    package.install()
    configure(tree, tpsp, api, ca)
    tree.wait_status("after@example.com", "sent")
    tree.run("postconf", "-X", "default_transport")
    tree.run("sendpostctl", "postfix", "remove")
    package.dpkg("-P", "postfix-sendpost")
    found = tree.run("find", "/", "-xdev", "-path", "/proc", "-prune", "-o", "-path", "/tmp", "-prune", "-o",
                     "-path", "/var/spool/postfix", "-prune", "-o",  # Postfix's own sockets, named by transport
                     "-name", "*sendpost*", "-print").split()
    assert found == []
