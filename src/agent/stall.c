#include "agent/stall.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"

#define LOOK_MS 60000
/* queue work this much younger than the log's last line is missing from it */
#define QUIET_MS (10 * 60 * 1000LL)

/* "queue_directory = /var/spool/postfix" */
static void read_queue_directory(struct stall *stall, const char *directory)
{
    AUTO_FREE char *path = xasprintf("%s/main.cf", directory);
    AUTO_FCLOSE FILE *file = fopen(path, "r");
    char line[1024], value[512];

    if (file == NULL)
        return;
    snprintf(stall->queue, sizeof stall->queue, "/var/spool/postfix");
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "queue_directory = %511s", value) == 1)
            snprintf(stall->queue, sizeof stall->queue, "%s", value);
}

void stall_init(struct stall *stall, int64_t now_ms)
{
    const char *directory = getenv("MAIL_CONFIG");

    *stall = (struct stall){.since_ms = now_ms};
    read_queue_directory(stall, directory != NULL && *directory == '/' ? directory : "/etc/postfix");
}

/* A message changes the directory at each step; the queue manager's scans change nothing. */
static int64_t last_work_ms(const struct stall *stall)
{
    static const char *const queues[] = {"active", "incoming", "maildrop"};
    int64_t last_ms = 0;

    for (size_t i = 0; i < sizeof queues / sizeof *queues; i++) {
        AUTO_FREE char *path = xasprintf("%s/%s", stall->queue, queues[i]);
        struct stat status;
        if (stat(path, &status) != 0)
            continue;
        int64_t changed_ms = clock_ms(status.st_mtim);
        last_ms = changed_ms > last_ms ? changed_ms : last_ms;
    }
    return last_ms;
}

bool stall_look(struct stall *stall, int64_t log_written_ms, int64_t now_ms)
{
    if (stall->queue[0] == '\0' || now_ms < stall->looked_ms + LOOK_MS)
        return stall->stalled;
    stall->looked_ms = now_ms;
    int64_t quiet_since_ms = log_written_ms > stall->since_ms ? log_written_ms : stall->since_ms;
    bool stalled = last_work_ms(stall) > quiet_since_ms + QUIET_MS;
    if (stalled && !stall->stalled)
        log_line(LOG_WARNING,
                 "the log has not grown for %lld minutes although Postfix works in %s: check log-path, and "
                 "that syslog "
                 "or journald gets Postfix's messages",
                 (long long)((now_ms - quiet_since_ms) / 60000), stall->queue);
    stall->stalled = stalled;
    return stalled;
}
