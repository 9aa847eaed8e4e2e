#!/usr/bin/python3
"""The n-th system call of each kind fails, for every n, in each program, and so does the n-th allocation of memory; what was
promised is looked at after each:

  - the program ends with a status of its contract, killed by no signal, and pipe(8) would be told a line it understands;
  - the TPSP has the message at most once, and once more only for each time the log says that it may have been accepted;
  - where Postfix was told 0 or 69, the event is on disk;
  - the next undisturbed run brings all to its end.

strace(1) lets the call fail before the kernel sees it, in a program of any linkage; each thread counts for itself. Allocations
fail in what is linked dynamically (no_memory.c); there are too many of them to try all.

    tests/fault/faults.py [-s SAMPLES] [-k KIND]... [SCENARIO...]     (SAMPLES of each kind of call and scenario; all without;
                                                                       KIND: of these alone; SENDPOST_BUILD names the build;
                                                                       as root)
"""
import argparse
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import fault_scenarios  # noqa: E402
from support import run as run_command  # noqa: E402

ALLOCATION = "allocation"  # the kind that strace knows nothing of
ALLOCATIONS = 1500  # that fail at most

# calls, and the errors they may well end with
KINDS = {
    "open": ("?open,openat", ("ENFILE", "EACCES", "EIO", "ENOSPC")),
    "read": ("read,readv", ("EIO", "EINTR")),
    "write": ("write,writev", ("ENOSPC", "EIO", "EINTR")),
    "pread": ("pread64,preadv", ("EIO",)),
    "pwrite": ("pwrite64,pwritev", ("ENOSPC", "EIO")),
    "sync": ("fsync,fdatasync", ("EIO",)),
    "truncate": ("ftruncate,fallocate", ("ENOSPC",)),
    "rename": ("?rename,?renameat,?renameat2,?link,linkat,?unlink,unlinkat,?mkdir,mkdirat", ("EIO", "EACCES")),
    "stat": ("?stat,fstat,?lstat,?newfstatat,?access,?faccessat,?faccessat2,lseek,?readlink,?readlinkat,getdents64", ("EIO",)),
    "map": ("mmap,mremap,mprotect,?brk", ("ENOMEM",)),
    "lock": ("fcntl,flock", ("ENOLCK", "EAGAIN", "EINTR")),
    "socket": ("socket,socketpair,setsockopt,getsockopt,bind,listen,accept,?accept4,getsockname,getpeername", ("EMFILE", "ENOBUFS")),
    "connect": ("connect", ("ECONNREFUSED", "ENETUNREACH", "EADDRNOTAVAIL")),
    "send": ("sendto,sendmsg,?sendmmsg", ("ECONNRESET", "ENOBUFS")),
    "receive": ("recvfrom,recvmsg", ("ECONNRESET", "EINTR")),
    "poll": ("?poll,ppoll,?select,pselect6,?epoll_wait,epoll_pwait,?epoll_create1", ("EINTR", "ENOMEM")),
    "process": ("clone,?clone3,?vfork,?fork,wait4", ("EAGAIN", "ENOMEM")),
    "pipe": ("?pipe,pipe2,dup,?dup2,dup3,memfd_create,?eventfd2,?pidfd_open,?close_range", ("EMFILE",)),
    "sleep": ("nanosleep,?clock_nanosleep", ("EINTR",)),
}


class Fault:
    """The nth call of a kind fails with this error; n = 0: none does, all calls are written down."""

    def __init__(self, kind, error, number, log):
        self.kind, self.error, self.number, self.log = kind, error, number, log

    def __str__(self):
        return f"{self.kind} {self.number} {self.error}" if self.number else "nothing"

    def command(self, follow):
        """What is put before a command. follow: its threads and what it starts, too."""
        calls = KINDS[self.kind][0] if self.number else ",".join(calls for calls, _ in KINDS.values())
        inject = ["-e", f"inject={calls}:error={self.error}:when={self.number}"] if self.number else []
        return ["/usr/bin/strace", "-D", "-qqq", *(["-f"] if follow else []), "-o", str(self.log), "-e", f"trace={calls}",
                "-e", "signal=none", *inject]

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def happened(self):
        return "(INJECTED)" in self.text()

    def which(self):
        """The call that failed."""
        return next((line.strip() for line in self.text().splitlines() if "(INJECTED)" in line), "")[:160]


class NoMemory(Fault):
    """The nth allocation fails; size: of those of so many bytes; caller: of those of a library."""

    shim = None

    def __init__(self, number, log, size=0, caller=None):
        super().__init__(ALLOCATION, "", number, log)
        self.size, self.caller = size, caller

    def command(self, follow):
        if NoMemory.shim is None or not NoMemory.shim.exists():
            NoMemory.shim = self.log.parent / "no_memory.so"
            run_command("gcc", "-shared", "-fPIC", "-O2", "-o", NoMemory.shim, Path(__file__).parent / "no_memory.c")
            NoMemory.shim.chmod(0o755)
        return ["/usr/bin/env", f"LD_PRELOAD={NoMemory.shim}", f"FAULT_ALLOCATION={self.number}", f"FAULT_SIZE={self.size}",
                f"FAULT_LOG={self.log}", *([f"FAULT_CALLER={self.caller}"] if self.caller else [])]

    def made(self):
        return int.from_bytes(self.log.read_bytes()[:8], "little") if self.log.exists() else 0

    def happened(self):
        return self.made() >= self.number > 0

    def which(self):
        return f"of {self.made()}"


def counts(text):
    """Of an undisturbed run: the most calls of each kind that one thread made."""
    kind_of = {call.lstrip("?"): kind for kind, (calls, _) in KINDS.items() for call in calls.split(",")}
    made = Counter()
    for match in re.finditer(r"^(?:(\d+) +)?(\w+)\(", text, re.MULTILINE):
        if match[2] in kind_of:
            made[kind_of[match[2]], match[1]] += 1
    most = Counter()
    for (kind, _), count in made.items():
        most[kind] = max(most[kind], count)
    return most


def numbers_of(pattern, kind, text):
    """Of an undisturbed run: which calls of a kind, counted in each thread, look like this."""
    calls = {call.lstrip("?") for call in KINDS[kind][0].split(",")}
    made, found = Counter(), set()
    for match in re.finditer(r"^(?:(\d+) +)?((\w+)\(.*)", text, re.MULTILINE):
        if match[3] in calls:
            made[match[1]] += 1
            if re.match(pattern, match[2]):
                found.add(made[match[1]])
    return sorted(found)


def spread(count, samples):
    """1 to count, or so many of them, evenly."""
    if samples is None or samples >= count:
        return range(1, count + 1)
    return sorted({round((i + 0.5) * count / samples + 0.5) for i in range(samples)})


def run(name, samples=None, say=None, kinds=(*KINDS, ALLOCATION)):
    """Returns (number of faults that happened, problems)."""
    happened, problems, begun = 0, [], time.monotonic()
    with fault_scenarios.SCENARIOS[name]() as scenario:
        log = scenario.directory / "strace"

        def attempt(make, *arguments):
            log.unlink(missing_ok=True)
            fault = make(*arguments, log)
            found = scenario.attempt(fault)
            problems.extend(f"{name}: {fault}: {problem} [{fault.which()}]" for problem in found)
            return fault

        made = counts(attempt(Fault, None, None, 0).text())
        for kind, (_, errors) in KINDS.items():
            if kind not in kinds:
                continue
            numbers = spread(made[kind], samples)
            for nth, number in enumerate(numbers):
                for error in errors if samples is None else [errors[nth % len(errors)]]:
                    # a run may go another way, with fewer calls: of few faults none is to be missed for that
                    happened += any(attempt(Fault, kind, error, number).happened() for _ in range(1 if samples is None else 3))
            if say is not None and made[kind]:
                say(f"{name}: {kind}: {len(numbers)} of {made[kind]}, {len(problems)} problems, {time.monotonic() - begun:.0f} s")
        allocations = attempt(NoMemory, 0).made() if ALLOCATION in kinds else 0
        for number in spread(allocations, samples or ALLOCATIONS):
            happened += attempt(NoMemory, number).happened()
        if say is not None and allocations:
            say(f"{name}: allocations: {allocations}, {len(problems)} problems, {time.monotonic() - begun:.0f} s")
        problems.extend(f"{name}: at the end: {problem}" for problem in scenario.finish())
    return happened, problems


def main():
    parser = argparse.ArgumentParser(description="Let every system call fail, one at a time.")
    parser.add_argument("-s", "--samples", type=int)
    parser.add_argument("-k", "--kind", action="append", choices=[*KINDS, ALLOCATION])
    parser.add_argument("scenarios", nargs="*", default=[])
    options = parser.parse_args()
    failed = False
    for name in options.scenarios or fault_scenarios.SCENARIOS:
        happened, problems = run(name, options.samples, lambda text: print(text, flush=True), options.kind or (*KINDS, ALLOCATION))
        print(f"{name}: {happened} faults, {len(problems)} problems", *problems, sep="\n    ", flush=True)
        failed = failed or bool(problems)
    return 1 if failed else 0


if __name__ == "__main__":
    if subprocess.run(["/usr/bin/strace", "-qqq", "-o", "/dev/null", "true"], check=False).returncode != 0:
        sys.exit("strace cannot be used here")
    sys.exit(main())
