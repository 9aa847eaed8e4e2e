#include "agent/page_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "base/xalloc.h"

#define LINE 65536 /* of a message with many recipients only the beginning is looked at */
#define BYTES_MAX (64u << 20)

extern char **environ;

const char *page_queue_name_text(enum page_queue_name name)
{
    static const char *const names[PAGE_QUEUES] = {"incoming", "active", "deferred", "hold"};

    return names[name];
}

/* What stands behind "key": in the object's own part: it comes before the recipients. */
static const char *value_of(const char *line, const char *key)
{
    char quoted[32];

    snprintf(quoted, sizeof quoted, "\"%s\": ", key);
    const char *at = strstr(line, quoted);
    return at != NULL ? at + strlen(quoted) : NULL;
}

/* {"queue_name": "deferred", "queue_id": "…", "arrival_time": 1732338092, …, "sender": "…", "recipients":
 * […]} */
void page_queue_count(struct page_queue *queue, const char *line, size_t length)
{
    char head[200]; /* all that is looked at stands before anything foreign */

    snprintf(head, sizeof head, "%.*s", (int)(length < sizeof head ? length : sizeof head - 1), line);
    const char *name = value_of(head, "queue_name"), *arrival = value_of(head, "arrival_time");
    for (int i = 0; name != NULL && i < PAGE_QUEUES; i++) {
        const char *text = page_queue_name_text((enum page_queue_name)i);
        if (*name == '"' && strncmp(name + 1, text, strlen(text)) == 0)
            queue->messages[i]++;
    }
    long long arrival_s = arrival != NULL ? strtoll(arrival, NULL, 10) : 0;
    int64_t arrival_ms = arrival_s > 0 && arrival_s < INT64_MAX / 1000 ? arrival_s * 1000 : 0;
    if (arrival_ms > 0 && (queue->oldest_ms == 0 || arrival_ms < queue->oldest_ms))
        queue->oldest_ms = arrival_ms;
}

static pid_t start(int out, int err)
{
    static const char *const argv[] = {"postqueue", "-j", NULL};
    static const char *const paths[] = {"/usr/sbin/postqueue", "/sbin/postqueue",
                                        "/usr/local/sbin/postqueue"};
    posix_spawn_file_actions_t actions;
    pid_t child = -1;

    if (posix_spawn_file_actions_init(&actions) != 0)
        return -1;
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
    int trouble = ENOENT;
    for (size_t i = 0; i < sizeof paths / sizeof *paths && trouble == ENOENT; i++)
        trouble = posix_spawn(&child, paths[i], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return trouble == 0 ? child : -1;
}

/* out: where lines are copied to, NULL: nowhere. */
static void take_line(struct page_queue *queue, const char *line, size_t length, FILE *out)
{
    page_queue_count(queue, line, length);
    if (out != NULL && ftell(out) + (long)length < (long)PAGE_QUEUE_TEXT)
        fprintf(out, "%.*s\n", (int)length, line);
}

/* True: to its end. */
static bool read_lines(struct page_queue *queue, int file, int64_t until_ms, FILE *out)
{
    AUTO_FREE char *buffer = xmalloc(LINE);
    size_t length = 0, total = 0;
    bool skipping = false; /* the rest of a line that is longer than the buffer */

    while (total < BYTES_MAX) {
        struct pollfd wait = {.fd = file, .events = POLLIN};
        int64_t left_ms = until_ms - clock_monotonic_ms();
        if (left_ms <= 0 || poll(&wait, 1, (int)left_ms) <= 0)
            return false;
        ssize_t got = read(file, buffer + length, LINE - length);
        if (got <= 0)
            return got == 0;
        length += (size_t)got;
        total += (size_t)got;
        char *line = buffer, *end;
        while ((end = memchr(line, '\n', length - (size_t)(line - buffer))) != NULL) {
            if (!skipping)
                take_line(queue, line, (size_t)(end - line), out);
            skipping = false;
            line = end + 1;
        }
        length -= (size_t)(line - buffer);
        memmove(buffer, line, length);
        if (length == LINE) {
            if (!skipping)
                page_queue_count(queue, buffer, length);
            skipping = true;
            length = 0;
        }
    }
    return false;
}

static void explain(struct page_queue *queue, int err)
{
    char said[300];
    ssize_t length = read(err, said, sizeof said - 1);

    if (length > 0)
        utf8_clean(queue->why, sizeof queue->why, said, strcspn((said[length] = '\0', said), "\n"));
    else
        snprintf(queue->why, sizeof queue->why, "postqueue cannot tell");
}

void page_queue_read(struct page_queue *queue_r, int64_t timeout_ms, char **text_r)
{
    int out[2] = {-1, -1}, err[2] = {-1, -1}, status = 0;
    size_t size;

    *queue_r = (struct page_queue){.whole = true};
    if (text_r != NULL)
        *text_r = NULL;
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC | O_NONBLOCK) != 0) {
        snprintf(queue_r->why, sizeof queue_r->why, "no descriptor is free");
        close(out[0]);
        close(out[1]);
        return;
    }
    pid_t child = start(out[1], err[1]);
    close(out[1]);
    close(err[1]);
    if (child > 0) {
        AUTO_FCLOSE FILE *copy = text_r != NULL ? open_memstream(text_r, &size) : NULL;
        queue_r->whole = read_lines(queue_r, out[0], clock_monotonic_ms() + timeout_ms, copy);
        if (!queue_r->whole)
            kill(child, SIGKILL);
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
        queue_r->known = !queue_r->whole || (WIFEXITED(status) && WEXITSTATUS(status) == 0);
        if (!queue_r->known)
            explain(queue_r, err[0]);
    } else {
        snprintf(queue_r->why, sizeof queue_r->why, "there is no postqueue");
    }
    close(out[0]);
    close(err[0]);
}
