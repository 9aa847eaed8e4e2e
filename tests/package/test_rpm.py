"""What holds for the .rpm alone."""
import os
import re
import shutil
import subprocess

import pytest

from support import TOP, run


def files_of(listing):
    return {line for line in listing.splitlines() if "/share/doc/" not in line and "/licenses/" not in line
            and "build-id" not in line and "/lintian/" not in line and not line.endswith("/")}


def test_holds_what_the_deb_holds(builds):
    deb = {name.replace("/usr/lib/systemd", "/lib/systemd")
           for name in files_of("\n".join(line.split()[5][1:] for line in run("dpkg-deb", "-c", builds.deb).stdout.splitlines()))}
    rpm = {name.replace("/usr/lib/systemd", "/lib/systemd")
           .replace("/zsh/site-functions", "/zsh/vendor-completions")
           for name in files_of(run("rpm", "-qlp", builds.rpm_file).stdout)}
    rpm = {name + ".gz" if "/share/man/" in name and not name.endswith(".gz") else name for name in rpm}
    assert deb <= rpm
    assert all(name in ("/etc/postfix-sendpost", "/var/lib/postfix-sendpost") or
               any(other.startswith(name + "/") for other in deb) for name in rpm - deb), rpm - deb


def test_requires_what_is_opened_at_run_time(builds):
    requires = run("rpm", "-qp", "--requires", builds.rpm_file).stdout
    assert "libcurl.so.4()(64bit)" in requires and "libesmtp.so.6()(64bit)" in requires


@pytest.mark.parametrize("program", ["sendpost-pipe", "sendpost-bounce"])
def test_what_postfix_starts_has_no_loader(builds, tmp_path, program):
    run("sh", "-c", f"rpm2cpio {builds.rpm_file} | cpio -id --quiet", cwd=tmp_path)
    elf = run("readelf", "-hlW", tmp_path / "usr/libexec/postfix-sendpost" / program, env={**os.environ, "LC_ALL": "C"}).stdout
    assert re.search(r"Type: +DYN", elf) and "GNU_RELRO" in elf and "INTERP" not in elf


def test_directories_have_owner_and_mode(builds):
    listing = run("rpm", "-qp", "--qf", "[%{FILENAMES} %{FILEMODES:perms} %{FILEUSERNAME} %{FILEGROUPNAME}\n]",
                  builds.rpm_file).stdout
    assert "/etc/postfix-sendpost drwxr-x--- root sendpost\n" in listing
    assert "/var/lib/postfix-sendpost drwxr-x--- sendpost sendpost\n" in listing


def test_rpmlint_has_nothing_to_say(builds):
    if shutil.which("rpmlint") is None:
        pytest.skip("rpmlint is not installed; run tools/deps package")
    done = subprocess.run(["rpmlint", "-r", str(TOP / "rpm/postfix-sendpost.rpmlintrc"),
                           str(TOP / "rpm/postfix-sendpost.spec"), str(builds.rpm_file)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0 and " 0 errors, 0 warnings" in done.stdout, done.stdout + done.stderr
