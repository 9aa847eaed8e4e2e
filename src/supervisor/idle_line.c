/* The line of those who wait for a deliverer, a FIFO: idle.h tells of it. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "supervisor/idle_private.h"

#define KEY_LENGTH 16
#define UNUSED_S 86400 /* a line that nobody has written to for so long, and nobody reads */

int idle_line_open(int place, uint64_t key, enum idle_side side)
{
    /* a reader that is no writer, too, would be told of an end again and again */
    int flags = (side == IDLE_CALLS ? O_WRONLY : O_RDWR) | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC;
    char name[KEY_LENGTH + 1];

    snprintf(name, sizeof name, "%016llx", (unsigned long long)key);
    int line = openat(place, name, flags);
    if (line < 0 && errno == ENOENT && side == IDLE_ANSWERS) {
        mkfifoat(place, name, 0600);
        line = openat(place, name, flags);
    }
    return line;
}

bool idle_line_deserted(int line)
{
    struct pollfd state = {.fd = line};

    return poll(&state, 1, 0) > 0 && (state.revents & POLLERR) != 0;
}

struct idle_token idle_token_make(void)
{
    struct idle_token token = {0};

    snprintf(token.name, sizeof token.name, "%ld.%llx", (long)getpid(),
             (unsigned long long)clock_monotonic_ms());
    return token;
}

static bool is_a_name(const struct idle_token *token)
{
    size_t length = strnlen(token->name, sizeof token->name);

    return length > 0 && length < sizeof token->name && strspn(token->name, "0123456789abcdef.") == length &&
           isdigit((unsigned char)token->name[0]);
}

bool idle_token_read(int line, struct idle_token *token_r)
{
    while (read(line, token_r, sizeof *token_r) > 0)
        if (is_a_name(token_r)) /* nonsense could only come from another program of this user */
            return true;
    return false;
}

/* --- what was left behind ------------------------------------------------------------------------- */

static bool has_died(const char *name)
{
    char *end;
    long process = strtol(name, &end, 10);

    return process > 0 && *end == '.' && kill((pid_t)process, 0) != 0 && errno == ESRCH;
}

static bool is_unused_line(int place, const char *name)
{
    struct stat status;

    if (strlen(name) != KEY_LENGTH || fstatat(place, name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISFIFO(status.st_mode) || time(NULL) - status.st_mtime < UNUSED_S)
        return false;
    int line = openat(place, name, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (line >= 0)
        close(line);
    return line < 0 && errno == ENXIO;
}

void idle_place_sweep(int place)
{
    int again = openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *names = again >= 0 ? fdopendir(again) : NULL;

    for (const struct dirent *entry; names != NULL && (entry = readdir(names)) != NULL;)
        if (has_died(entry->d_name) || is_unused_line(place, entry->d_name))
            unlinkat(place, entry->d_name, 0);
    if (names != NULL)
        closedir(names);
    else if (again >= 0)
        close(again);
}
