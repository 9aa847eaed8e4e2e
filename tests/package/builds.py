"""The packages, built by make deb and make rpm, and each once more.

The second .deb is made elsewhere, under another umask and time zone: it must be the same to the byte. The .rpm of a higher
release and the .deb of a higher version are the first ones with another number: they are what is upgraded to.

SENDPOST_SYSTEM names a directory with another Debian (tools/deps debian13): then they are built in there, the .deb with the unit
tests and warnings as errors, and the second one with SENDPOST_FULL=1 alone.
"""
import os
import re
import shutil
import subprocess
from pathlib import Path

from support import TOP, run

BUILD = Path(os.environ.get("SENDPOST_BUILD", TOP / "build"))
SYSTEM = os.environ.get("SENDPOST_SYSTEM")
FULL = bool(os.environ.get("SENDPOST_FULL"))
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
        self.other_deb = next((directory / "else/where").glob(f"{NAME}_*.deb"), None)
        self.next_deb = self.renumber(self.deb)
        self.rpm_file, = (BUILD / "package-rpm/RPMS").glob(f"*/{NAME}-{version()}-*.rpm")
        self.next_rpm = self.rerelease(self.rpm_file)

    def make(self):
        work = []
        if FULL or not SYSTEM:
            run(*INSIDE, "make", "-s", "-C", BUILD, "dist", env=CLEAN)
            work.append(self.deb_elsewhere())  # which unpacks the tarball before the next one is made
        work.append(self.by_make())
        try:
            for each in work:
                each.finish()
        finally:
            for each in work:
                if each.process.poll() is None:
                    each.process.terminate()

    # the unit tests of this machine's own system are run by other jobs
    def by_make(self):
        checked = {"DEB_CFLAGS_APPEND": "-Werror"} if SYSTEM else {"DEB_BUILD_OPTIONS": "nocheck"}
        return Started(self.directory / "make.log", "make", "-C", BUILD, "-j2", "deb", "rpm", "RPMBUILD=rpmbuild --nocheck",
                       directory=self.directory, env={**CLEAN, **checked})

    def deb_elsewhere(self):
        parent = self.directory / "else/where"
        parent.mkdir(parents=True)
        run("tar", "-C", parent, "-xf", self.tarball)
        return Started(self.directory / "deb-again.log", "sh", "-c", "umask 077; exec dpkg-buildpackage -b -us -uc",
                       directory=parent / f"{NAME}-{version()}",
                       env={**CLEAN, "TZ": "Pacific/Apia", "LC_ALL": "C", "DEB_BUILD_OPTIONS": "nocheck parallel=1"})

    def renumber(self, deb):
        tree = self.directory / "next"
        shutil.rmtree(tree, ignore_errors=True)
        run("dpkg-deb", "-R", deb, tree)
        control = tree / "DEBIAN/control"
        control.write_text(re.sub(r"(?m)^(Version: .*)$", r"\1+next", control.read_text()))
        result = self.directory / f"{NAME}_next.deb"
        run("dpkg-deb", "--root-owner-group", "-b", tree, result)
        return result

    def rerelease(self, rpm):
        top, contents = self.directory / "rpm", self.directory / "rpm/contents"
        shutil.rmtree(top, ignore_errors=True)
        contents.mkdir(parents=True)
        (top / "SOURCES").mkdir()
        shutil.copy2(self.tarball, top / "SOURCES")  # the files of %doc and %license come from it
        run(*INSIDE, "sh", "-c", 'rpm2cpio "$1" | cpio -id --quiet && rm -rf usr/lib/.build-id', "sh", rpm, cwd=contents)  # made anew
        spec = (TOP / "rpm" / f"{NAME}.spec").read_text()
        spec = re.sub(r"(?m)^(Release: +)1", r"\g<1>2", spec)
        spec = re.sub(r"(?ms)^%build\n.*?(?=^%pre\n)", f"%install\ncp -a {contents}/. %{{buildroot}}\n\n", spec)
        (top / f"{NAME}.spec").write_text(spec)
        run(*INSIDE, "rpmbuild", "-bb", "--nodeps", "-D", f"_topdir {top}", top / f"{NAME}.spec", cwd=top, env=CLEAN)
        result, = (top / "RPMS").glob(f"*/{NAME}-{version()}-*.rpm")
        return result
