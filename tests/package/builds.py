"""The packages, built by make deb and make rpm, and each once more.

The second .deb is made elsewhere, under another umask and time zone: it must be the same to the byte. The second .rpm has
a higher release, and the .deb of a higher version is the first one with another number: they are what is upgraded to.

SENDPOST_SYSTEM names a directory with another Debian (tools/deps debian13): then they are built in there.
"""
import os
import re
import shutil
import subprocess
from pathlib import Path

from support import TOP, run

BUILD = Path(os.environ.get("SENDPOST_BUILD", TOP / "build"))
SYSTEM = os.environ.get("SENDPOST_SYSTEM")
INSIDE = [TOP / "tests/package/inside", SYSTEM] if SYSTEM else []
NAME = "postfix-sendpost"
CLEAN = {key: value for key, value in os.environ.items() if not key.startswith("MAKE") and key != "MFLAGS"}


def version():
    return re.search(r"AC_INIT\(\[.*?\], \[(.*?)\]\)", (TOP / "configure.ac").read_text()).group(1)


class Started:
    def __init__(self, log, *command, directory, **options):
        self.log = log
        with log.open("w") as out:
            self.process = subprocess.Popen([str(word) for word in [*INSIDE, *command]], cwd=directory, stdout=out,
                                            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **options)

    def finish(self):
        if self.process.wait() != 0:
            raise RuntimeError(f"{self.process.args}: status {self.process.returncode}\n{self.log.read_text()[-4000:]}")


class Builds:
    def __init__(self, directory):
        self.directory = directory
        self.tarball = BUILD / f"{NAME}-{version()}.tar.xz"
        if not (directory / "made").exists():
            self.make()
            (directory / "made").touch()
        self.deb, = (BUILD / "package-deb").glob(f"{NAME}_*.deb")
        self.changes, = (BUILD / "package-deb").glob("*.changes")
        self.other_deb, = (directory / "else/where").glob(f"{NAME}_*.deb")
        self.next_deb = self.renumber(self.deb)
        self.rpm_file, self.next_rpm = (next((top / "RPMS").glob(f"*/{NAME}-{version()}-*.rpm"))
                                        for top in (BUILD / "package-rpm", directory / "rpm"))

    def make(self):
        run(*INSIDE, "make", "-s", "-C", BUILD, "dist", env=CLEAN)
        work = [self.deb_elsewhere(), self.higher_rpm(), self.by_make()]
        try:
            for each in work:
                each.finish()
        finally:
            for each in work:
                if each.process.poll() is None:
                    each.process.terminate()

    # the unit tests are run by other jobs
    def by_make(self):
        return Started(self.directory / "make.log", "make", "-C", BUILD, "-j2", "deb", "rpm", "RPMBUILD=rpmbuild --nocheck",
                       directory=self.directory, env={**CLEAN, "DEB_BUILD_OPTIONS": "nocheck"})

    def deb_elsewhere(self):
        parent = self.directory / "else/where"
        parent.mkdir(parents=True)
        run("tar", "-C", parent, "-xf", self.tarball)
        return Started(self.directory / "deb-again.log", "sh", "-c", "umask 077; exec dpkg-buildpackage -b -us -uc",
                       directory=parent / f"{NAME}-{version()}",
                       env={**CLEAN, "TZ": "Pacific/Apia", "LC_ALL": "C", "DEB_BUILD_OPTIONS": "nocheck parallel=1"})

    def higher_rpm(self):
        top = self.directory / "rpm"
        (top / "SOURCES").mkdir(parents=True)
        shutil.copy2(self.tarball, top / "SOURCES")
        spec = (TOP / "rpm" / f"{NAME}.spec").read_text()
        (top / f"{NAME}.spec").write_text(re.sub(r"(?m)^(Release: +)1", r"\g<1>2", spec))
        return Started(self.directory / "rpm.log", "rpmbuild", "-bb", "--nodeps", "--nocheck", "-D", f"_topdir {top}",
                       top / f"{NAME}.spec", directory=top, env=CLEAN)

    def renumber(self, deb):
        tree = self.directory / "next"
        shutil.rmtree(tree, ignore_errors=True)
        run("dpkg-deb", "-R", deb, tree)
        control = tree / "DEBIAN/control"
        control.write_text(re.sub(r"(?m)^(Version: .*)$", r"\1+next", control.read_text()))
        result = self.directory / f"{NAME}_next.deb"
        run("dpkg-deb", "--root-owner-group", "-b", tree, result)
        return result
