/*
 * setup that is ended by a signal: what is staged, secrets among it, goes, and the terminal echoes again. All
 * of it in the handler, for the signal may come in the middle of a test that takes a minute; it does what may
 * be done there (signal-safety(7)) and no more. What a kill -9 leaves is removed by the next run. See
 * setup.h.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "ctl/setup.h"

static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

#define ENDS (sizeof ends / sizeof ends[0])

/* Changed while the signals wait. */
static char *const *staged;
static size_t staged_count;
static struct termios echoing;
static bool is_quiet;

/* The test acts as the user who delivers, and of several threads one gets the signal: this one becomes root
 * again by the system call itself, which seteuid(3) would ask all threads for. */
static void end(int number)
{
    if (getuid() == 0)
        syscall(SYS_setresuid, -1, 0, -1);
    for (size_t i = 0; i < staged_count; i++)
        if (staged[i] != NULL)
            unlink(staged[i]);
    if (is_quiet)
        tcsetattr(STDIN_FILENO, TCSANOW, &echoing);
    raise(number); /* it waits until this returns, and then does what it does by itself */
}

void setup_interrupt_begin(void)
{
    struct sigaction action = {.sa_handler = end, .sa_flags = (int)SA_RESETHAND};

    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < ENDS; i++) {
        struct sigaction now;
        sigaction(ends[i], NULL, &now);
        if (now.sa_handler != SIG_IGN) /* nohup(1) */
            sigaction(ends[i], &action, NULL);
    }
}

void setup_interrupt_wait(sigset_t *before_r)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < ENDS; i++)
        sigaddset(&set, ends[i]);
    pthread_sigmask(SIG_BLOCK, &set, before_r);
}

void setup_interrupt_go_on(const sigset_t *before)
{
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

void setup_interrupt_removes(char *const paths[], size_t count)
{
    sigset_t before;

    setup_interrupt_wait(&before);
    staged = paths;
    staged_count = count;
    setup_interrupt_go_on(&before);
}

bool setup_interrupt_quiet(void)
{
    struct termios quiet;
    sigset_t before;

    if (tcgetattr(STDIN_FILENO, &echoing) != 0)
        return false;
    quiet = echoing;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    setup_interrupt_wait(&before);
    is_quiet = tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) == 0;
    setup_interrupt_go_on(&before);
    return is_quiet;
}

void setup_interrupt_echo(void)
{
    sigset_t before;

    setup_interrupt_wait(&before);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &echoing);
    is_quiet = false;
    setup_interrupt_go_on(&before);
}

/* --- other runs: one at a time, and what an earlier one has left --------------------------------------- */

/* A lock on the directory leaves no file behind, and ends with its run however that ends. Where the file
 * system has no locks, there is none. */
bool setup_lock(struct setup *setup)
{
    AUTO_FREE char *copy = xstrdup(setup->ctl->config_path);
    const char *directory = dirname(copy);

    if (setup->lock < 0)
        setup->lock = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (setup->lock < 0 || flock(setup->lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return true;
    ctl_fail(setup->ctl, "another sendpostctl setup is at work in %s: finish that one first", directory);
    return false;
}

static bool ends_with(const char *name, const char *end_of_name)
{
    size_t length = strlen(name), wanted = strlen(end_of_name);

    return length >= wanted && strcmp(name + length - wanted, end_of_name) == 0;
}

/* The names of setup_files.c; one of a package's own (.dpkg-new, .rpmnew) is none of ours. */
static bool is_ours(const char *name, const char *configuration)
{
    static const char *const secrets[] = {".password.new", ".client-secret.new", ".refresh-token.new"};
    AUTO_FREE char *own = xasprintf("%s.new", configuration);
    bool ours = strcmp(name, own) == 0 || strcmp(name, SETUP_API_KEY_FILE ".new") == 0 ||
                strcmp(name, SETUP_UUID_KEY_FILE ".new") == 0;

    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++)
        ours = ours || ends_with(name, secrets[i]);
    return ours;
}

void setup_interrupt_sweep(const struct setup *setup)
{
    AUTO_FREE char *of_directory = xstrdup(setup->ctl->config_path), *of_name = xstrdup(of_directory);
    DIR *stream = opendir(dirname(of_directory));
    const char *configuration = basename(of_name);
    const struct dirent *entry;

    while (stream != NULL && (entry = readdir(stream)) != NULL)
        if (is_ours(entry->d_name, configuration))
            unlinkat(dirfd(stream), entry->d_name, 0);
    if (stream != NULL)
        closedir(stream);
}
