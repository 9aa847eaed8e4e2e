#include "event/event_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/state_dir.h"
#include "base/xalloc.h"

#define LATELY_MS 60000

static int open_file(const char *state_dir, int flags, struct outcome *error_r)
{
    AUTO_FREE char *path = xasprintf("%s/agent.lock", state_dir);

    return state_dir_open(path, flags, error_r);
}

int event_watch_begin(const char *state_dir, struct outcome *error_r)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int watch = open_file(state_dir, O_RDWR | O_CREAT, error_r);

    if (watch < 0 || fcntl(watch, F_OFD_SETLK, &lock) == 0)
        return watch;
    outcome_local(error_r, "4.3.0", "cannot lock %s/agent.lock: %s", state_dir, strerror(errno));
    close(watch);
    return -1;
}

void event_watch_succeeded(int watch)
{
    if (watch >= 0)
        futimens(watch, NULL);
}

bool event_watch_is_kept(const char *state_dir, int64_t now_ms)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct outcome ignored;
    struct stat status;
    AUTO_CLOSE int file = open_file(state_dir, O_RDWR, &ignored);

    if (file < 0 || fcntl(file, F_OFD_GETLK, &lock) != 0 || lock.l_type == F_UNLCK ||
        fstat(file, &status) != 0)
        return false;
    int64_t age_ms = now_ms - clock_ms(status.st_mtim);
    return age_ms > -LATELY_MS && age_ms < LATELY_MS; /* the clock may have been put back */
}
