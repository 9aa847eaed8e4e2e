#include "bounce/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#define OTHERWISE SCMP_ACT_ALLOW
#else
#define OTHERWISE SCMP_ACT_ERRNO(EPERM)
#endif

/* What computing, reading and writing need, in the C libraries in use; not all are known on every machine. */
static const char *const allowed[] = {
    "read",
    "readv",
    "write",
    "writev",
    "close",
    "lseek",
    "_llseek",
    "fstat",
    "fstat64",
    "munmap",
    "mremap",
    "madvise",
    "brk",
    "futex",
    "futex_time64",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sigreturn",
    "sigaltstack",
    "exit",
    "exit_group",
    "clock_gettime",
    "clock_gettime64",
    "clock_getres",
    "gettimeofday",
    "time",
    "getrandom",
    "getpid",
    "gettid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "poll",
    "ppoll",
    "restart_syscall",
    "sched_yield",
    "sched_getaffinity",
    "uname",
    "getrusage",
    "nanosleep",
    "clock_nanosleep",
    "set_robust_list",
    "rseq",
    "membarrier",
    "arch_prctl",
};

/* A library may look for a file, and does without it. */
static const char *const denied[] = {
    "open",
    "openat",
    "openat2",
    "creat",
    "stat",
    "stat64",
    "lstat",
    "lstat64",
    "statx",
    "newfstatat",
    "fstatat64",
    "access",
    "faccessat",
    "faccessat2",
    "readlink",
    "readlinkat",
    "getdents",
    "getdents64",
    "getcwd",
    "chdir",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "mkdir",
    "mkdirat",
    "rmdir",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "chmod",
    "fchmod",
    "fchmodat",
    "chown",
    "fchown",
    "fchownat",
    "lchown",
    "truncate",
    "ftruncate",
    "mknod",
    "mknodat",
    "statfs",
    "fstatfs",
    "mount",
    "memfd_create",
    "open_by_handle_at",
    "name_to_handle_at",
};

/* Nothing that takes a report apart does this: whoever does is not the program that was started. */
static const char *const fatal[] = {
    "execve",
    "execveat",
    "fork",
    "vfork",
    "clone",
    "clone3",
    "socket",
    "socketpair",
    "connect",
    "bind",
    "listen",
    "accept",
    "accept4",
    "sendto",
    "sendmsg",
    "sendmmsg",
    "ptrace",
    "kill",
    "tkill",
    "pidfd_open",
    "pidfd_getfd",
    "pidfd_send_signal",
    "process_vm_readv",
    "process_vm_writev",
    "io_uring_setup",
    "io_uring_enter",
    "bpf",
    "userfaultfd",
    "perf_event_open",
    "keyctl",
    "add_key",
    "request_key",
    "setuid",
    "setgid",
    "setresuid",
    "setresgid",
    "setgroups",
    "capset",
    "unshare",
    "setns",
    "chroot",
    "pivot_root",
    "init_module",
    "finit_module",
    "kexec_load",
    "reboot",
    "personality",
    "inotify_init",
    "inotify_init1",
    "fanotify_init",
    "mq_open",
    "shmget",
    "semget",
    "msgget",
};

/* --- Landlock: https://docs.kernel.org/userspace-api/landlock.html ---------------------------- */

static bool landlocked;

/* No rule: nothing of all that it can forbid is allowed. The structure grows with the kernel's version of it,
 * and so does what there is to forbid. */
static void enter_landlock(void)
{
#ifdef SYS_landlock_create_ruleset
    static const uint64_t files[] = {0, 0x1fff, 0x3fff, 0x7fff, 0x7fff, 0xffff};
    struct {
        uint64_t files, net, scoped;
    } all = {0};
    const size_t version_only = 1;
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, version_only);

    if (version < 1)
        return;
    all.files = files[version < 5 ? version : 5];
    all.net = version >= 4 ? 3 : 0;
    all.scoped = version >= 6 ? 3 : 0;
    size_t size = version >= 6 ? 24 : version >= 4 ? 16 : 8;
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &all, size, 0);
    if (ruleset < 0)
        return;
    landlocked = syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    close(ruleset);
#endif
}

const char *sandbox_besides(void)
{
    return landlocked ? "landlock" : "";
}

/* --- limits ----------------------------------------------------------------------------------- */

static bool limit(int what, rlim_t most)
{
    const struct rlimit both = {most, most};

    return setrlimit((__rlimit_resource_t)what, &both) == 0;
}

static bool set_limits(void)
{
#ifndef __SANITIZE_ADDRESS__ /* whose shadow memory is larger than any limit */
    if (!limit(RLIMIT_AS, SANDBOX_MEMORY_MAX) || !limit(RLIMIT_NOFILE, 0))
        return false;
#endif
    return limit(RLIMIT_CPU, SANDBOX_CPU_S) && limit(RLIMIT_FSIZE, 0) && limit(RLIMIT_NPROC, 0) &&
           limit(RLIMIT_CORE, 0);
}

/* --- seccomp ---------------------------------------------------------------------------------- */

static int add_all(scmp_filter_ctx filter, uint32_t action, const char *const names[], size_t count)
{
    int result = 0;

    for (size_t i = 0; i < count && result == 0; i++) {
        int number = seccomp_syscall_resolve_name(names[i]);
        if (number >= 0 && action != OTHERWISE)
            result = seccomp_rule_add(filter, action, number, 0);
    }
    return result;
}

static int allow_if(scmp_filter_ctx filter, const char *name, struct scmp_arg_cmp condition)
{
    int number = seccomp_syscall_resolve_name(name);

    return number < 0 ? 0 : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, 1, &condition);
}

/* What may be done with some arguments only. */
static int add_conditional(scmp_filter_ctx filter)
{
    static const char *const memory[] = {"mmap", "mmap2", "mprotect"};
    const struct scmp_arg_cmp not_run = {
        .arg = 2, .op = SCMP_CMP_MASKED_EQ, .datum_a = PROT_EXEC, .datum_b = 0};
    const struct scmp_arg_cmp itself = {.arg = 0, .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)getpid()};
    int result = 0;

    if (OTHERWISE == SCMP_ACT_ALLOW)
        return 0;
    for (size_t i = 0; i < sizeof memory / sizeof *memory && result == 0; i++)
        result = allow_if(filter, memory[i], not_run);
    return result == 0 ? allow_if(filter, "tgkill", itself) : result; /* abort() */
}

static int enter_seccomp(void)
{
    scmp_filter_ctx filter = seccomp_init(OTHERWISE);
    int result = filter != NULL ? 0 : -ENOMEM;

    if (result == 0)
        result = add_all(filter, SCMP_ACT_ALLOW, allowed, sizeof allowed / sizeof *allowed);
    if (result == 0)
        result = add_all(filter, SCMP_ACT_ERRNO(EACCES), denied, sizeof denied / sizeof *denied);
    if (result == 0)
        result = add_all(filter, SCMP_ACT_KILL_PROCESS, fatal, sizeof fatal / sizeof *fatal);
    if (result == 0)
        result = add_conditional(filter);
    if (result == 0)
        result = seccomp_load(filter);
    if (filter != NULL)
        seccomp_release(filter);
    return result;
}

bool sandbox_enter(struct outcome *error_r)
{
    int result = 0;

    if (syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0) != 0 && errno != ENOSYS)
        result = -errno;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0)
        result = -errno;
    enter_landlock();
    if (result == 0 && !set_limits())
        result = -errno;
    if (result == 0)
        result = enter_seccomp();
    if (result == 0)
        return true;
    outcome_local(error_r, "4.3.0",
                  "the judge of reports cannot be shut in: %s; the kernel needs CONFIG_SECCOMP_FILTER",
                  strerror(-result));
    return false;
}
