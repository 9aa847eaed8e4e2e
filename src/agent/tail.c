#include "agent/tail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"

#define REOPENINGS 8      /* of a log that changes under our hands, before we rest */
#define CLOCK_SLACK_MS 50 /* file times come from a coarser clock than ours */

struct tail {
    char *path;
    struct log_file file;     /* descriptor -1: none */
    struct position position; /* where the buffer begins */
    struct position after;    /* behind the piece; shares its strings */
    char *buffer;
    size_t filled, piece;
    /* the line at position is longer than the buffer; what is in it is the line's end or beyond */
    bool overlong;
    int64_t rest; /* overlong: bytes between position and buffer */
    /* what is to be read next and could not be opened, since tail_read() began; NULL: nothing */
    char *closed;
    int closed_errno;
    int inotify;
};

/* --- watching ----------------------------------------------------------------------------------- */

static void watch(struct tail *tail)
{
    const char *slash = strrchr(tail->path, '/');
    AUTO_FREE char *directory =
        slash != NULL ? xstrndup(tail->path, (size_t)(slash - tail->path) + 1) : xstrdup(".");

    if (tail->inotify < 0)
        tail->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (tail->inotify < 0)
        return;
    inotify_add_watch(tail->inotify, directory, IN_CREATE | IN_MOVED_TO);
    inotify_add_watch(tail->inotify, tail->path, IN_MODIFY | IN_MOVE_SELF);
}

int tail_descriptor(const struct tail *tail)
{
    return tail->inotify;
}

void tail_drain(struct tail *tail)
{
    char events[4096];

    while (tail->inotify >= 0 && read(tail->inotify, events, sizeof events) > 0)
        ;
    watch(tail); /* the log may be another file by now */
}

/* --- opening ------------------------------------------------------------------------------------ */

static void close_log(struct tail *tail)
{
    log_file_close(&tail->file);
    tail->filled = tail->piece = 0;
    tail->overlong = false;
    tail->rest = 0;
}

static bool note_closed(struct tail *tail, const char *path, int error)
{
    free(tail->closed);
    tail->closed = xstrdup(path);
    tail->closed_errno = error;
    return false;
}

static bool adopt(struct tail *tail, const struct log_name *name, int64_t offset)
{
    struct log_file file;
    uint32_t length = 0;
    uint64_t hash = 0;

    if (!log_file_open(&file, name, offset))
        return note_closed(tail, name->path, errno);
    if (!log_file_still(&file, &length, &hash)) {
        log_file_close(&file);
        return note_closed(tail, name->path, EIO);
    }
    close_log(tail);
    tail->file = file;
    if (file.compressed != NULL) /* when its last line was written: compressing keeps the time */
        tail->position.modified_ms = name->modified_ms;
    tail->position.device = name->device;
    tail->position.inode = name->inode;
    tail->position.offset = offset;
    tail->position.head_length = length;
    tail->position.head_hash = hash;
    watch(tail);
    return true;
}

static bool has_content(const struct log_name *name)
{
    struct stat status;

    return stat(name->path, &status) == 0 && status.st_size > 0;
}

/* The file of the position, or LOG_NAMES_NONE or LOG_NAMES_STALE. Also reads the names. */
static ptrdiff_t find_own(const struct tail *tail, struct log_names *names_r)
{
    ptrdiff_t own = LOG_NAMES_STALE;

    for (int attempt = 0; own == LOG_NAMES_STALE && attempt < REOPENINGS; attempt++) {
        if (attempt > 0)
            log_names_clear(names_r);
        if (log_names_read(names_r, tail->path))
            own = log_names_find(names_r, &tail->position);
    }
    return own;
}

/* What was written after the file of our position: the next one, or where that is gone the first one that is
 * younger. -1: nothing yet. An empty file does not count: it may be rotated before anything of it is seen,
 * and could not be known again. */
static ptrdiff_t find_next(const struct tail *tail, const struct log_names *names, ptrdiff_t own)
{
    if (own == LOG_NAMES_STALE)
        return -1;
    for (ptrdiff_t i = own + 1; i < (ptrdiff_t)names->count; i++)
        if ((own >= 0 || names->items[i].modified_ms > tail->position.modified_ms) &&
            has_content(&names->items[i]))
            return i;
    return -1;
}

/* The file of the position, else what was written after it. */
static bool open_somewhere(struct tail *tail)
{
    struct log_names names;
    bool opened = false;
    ptrdiff_t own = find_own(tail, &names);

    if (own >= 0) {
        opened = adopt(tail, &names.items[own], tail->position.offset);
    } else {
        ptrdiff_t next = find_next(tail, &names, own);
        if (next >= 0 && tail->position.head_length > 0)
            log_line(
                LOG_WARNING,
                "the file of %s that was read last (inode %llu) is gone; going on with %s from its beginning",
                tail->path, (unsigned long long)tail->position.inode, names.items[next].path);
        opened = next >= 0 && adopt(tail, &names.items[next], 0);
    }
    log_names_clear(&names);
    return opened;
}

/* Without a position: at the end, because all that is in the log now is history, or at its top. A log that
 * appears later is read from its top. */
static void begin_anew(struct tail *tail, bool at_top)
{
    struct log_names names;
    struct stat status;

    tail->position.modified_ms = clock_realtime_ms() - CLOCK_SLACK_MS;
    log_names_read(&names, tail->path);
    const struct log_name *live = names.count > 0 ? &names.items[names.count - 1] : NULL;
    if (live != NULL && live->live && has_content(live) && adopt(tail, live, 0) && !at_top &&
        fstat(tail->file.descriptor, &status) == 0)
        tail->position.offset = tail->file.offset =
            log_file_last_line(&tail->file, status.st_size, TAIL_LINE_MAX);
    log_names_clear(&names);
}

struct tail *tail_open(const char *path, const struct position *start, bool from_start)
{
    struct tail *tail = xcalloc(1, sizeof *tail);

    tail->path = xstrdup(path);
    tail->buffer = xmalloc(TAIL_PIECE_MAX);
    tail->file.descriptor = tail->inotify = -1;
    if (start != NULL)
        tail->position = *start;
    tail->position.path = tail->path;
    tail->position.cursor = NULL;
    if (start == NULL)
        begin_anew(tail, from_start);
    watch(tail);
    return tail;
}

void tail_close(struct tail *tail)
{
    if (tail == NULL)
        return;
    close_log(tail);
    if (tail->inotify >= 0)
        close(tail->inotify);
    free(tail->buffer);
    free(tail->closed);
    free(tail->path);
    free(tail);
}

/* --- reading ------------------------------------------------------------------------------------ */

static bool fill(struct tail *tail, struct outcome *error_r)
{
    while (tail->filled < TAIL_PIECE_MAX) {
        ptrdiff_t length =
            log_file_read(&tail->file, tail->buffer + tail->filled, TAIL_PIECE_MAX - tail->filled);
        if (length == 0)
            return true;
        if (length < 0 && tail->file.compressed != NULL) {
            log_line(LOG_WARNING, "%s is damaged behind byte %lld of its content: what follows in it is lost",
                     tail->file.name.path, (long long)tail->file.offset);
            return true;
        }
        if (length < 0) {
            outcome_local(error_r, "4.3.0", "cannot read %s: %s", tail->file.name.path, strerror(errno));
            return false;
        }
        tail->filled += (size_t)length;
    }
    return true;
}

/* Whether what was just read is of the file that we know: not truncated, nor truncated and written anew. */
static bool still_ours(struct tail *tail)
{
    struct stat status;

    if (tail->file.compressed != NULL)
        return true;
    if (fstat(tail->file.descriptor, &status) != 0 || status.st_size < tail->file.offset)
        return false;
    if (!log_file_still(&tail->file, &tail->position.head_length, &tail->position.head_hash))
        return false;
    tail->position.modified_ms = clock_ms(status.st_mtim);
    return true;
}

static void drop_front(struct tail *tail, size_t length)
{
    tail->filled -= length;
    memmove(tail->buffer, tail->buffer + length, tail->filled);
    tail->position.offset += tail->rest + (int64_t)length;
    tail->rest = 0;
}

/* Whole lines in the buffer. */
static bool take_piece(struct tail *tail)
{
    const char *newline;

    if (tail->overlong) {
        newline = memchr(tail->buffer, '\n', tail->filled);
        if (newline == NULL)
            return false;
        drop_front(tail, (size_t)(newline - tail->buffer) + 1);
        tail->overlong = false;
    }
    newline = tail->filled > 0 ? memrchr(tail->buffer, '\n', tail->filled) : NULL;
    tail->piece = newline != NULL ? (size_t)(newline - tail->buffer) + 1 : 0;
    return tail->piece > 0;
}

/* A log that was truncated under a writer that does not append begins with a hole, which reads as NUL bytes.
 */
static bool drop_hole(struct tail *tail)
{
    size_t nuls = 0;

    while (nuls < tail->filled && tail->buffer[nuls] == '\0')
        nuls++;
    if (nuls > 0)
        drop_front(tail, nuls);
    return nuls > 0;
}

static void pass_over(struct tail *tail)
{
    if (!tail->overlong && drop_hole(tail))
        return;
    tail->overlong = true;
    tail->rest += (int64_t)tail->filled;
    tail->filled = 0;
}

static bool is_live(const struct tail *tail)
{
    struct stat status;

    return stat(tail->path, &status) == 0 && status.st_ino == tail->position.inode &&
           status.st_dev == tail->position.device;
}

/* Nothing can be read now: because there is nothing, or because it is closed to us. */
static enum tail_result nothing(const struct tail *tail, struct outcome *error_r)
{
    const char *path = tail->closed != NULL ? tail->closed : tail->path;
    int error = tail->closed != NULL ? tail->closed_errno : access(path, R_OK) == 0 ? 0 : errno;

    if (error == 0 || error == ENOENT || error == ESTALE) /* it is being rotated */
        return TAIL_IDLE;
    log_file_error(path, error, error_r);
    return TAIL_TROUBLE;
}

/* At the end of the file: go on to the next one, if there is one. 1: reading may go on; 0: nothing to read;
 * 2: a piece is ready, the unfinished last line. */
static int move_on(struct tail *tail, bool *looked_again)
{
    struct log_names names;
    int result = 0;

    if (is_live(tail))
        return 0;
    ptrdiff_t next = find_next(tail, &names, find_own(tail, &names));
    if (next >= 0 && !*looked_again) {
        *looked_again = true; /* the writer has left this file, perhaps after our last look */
        result = 1;
    } else if (next >= 0 && tail->filled > 0 && !tail->overlong) {
        tail->piece = tail->filled;
        result = 2;
    } else if (next >= 0 && adopt(tail, &names.items[next], 0)) {
        *looked_again = false;
        result = 1;
    }
    log_names_clear(&names);
    return result;
}

enum tail_result tail_read(struct tail *tail, const char **piece_r, size_t *length_r, struct outcome *error_r)
{
    bool looked_again = false;
    int reopened = 0;

    free(tail->closed);
    tail->closed = NULL;
    while (tail->piece == 0) {
        if (tail->file.descriptor < 0 && (reopened++ > REOPENINGS || !open_somewhere(tail)))
            return nothing(tail, error_r);
        if (!fill(tail, error_r)) {
            close_log(tail);
            return TAIL_TROUBLE;
        }
        if (!still_ours(tail)) {
            close_log(tail);
            continue;
        }
        if (take_piece(tail))
            break;
        if (tail->filled == TAIL_PIECE_MAX) {
            pass_over(tail);
            continue;
        }
        int moved = move_on(tail, &looked_again);
        if (moved == 0)
            return tail->closed != NULL ? nothing(tail, error_r) : TAIL_IDLE;
    }
    *piece_r = tail->buffer;
    *length_r = tail->piece;
    return TAIL_PIECE;
}

const struct position *tail_position(struct tail *tail)
{
    tail->after = tail->position;
    tail->after.offset += (int64_t)tail->piece;
    return &tail->after;
}

void tail_advance(struct tail *tail)
{
    if (tail->piece > 0)
        drop_front(tail, tail->piece);
    tail->piece = 0;
}

struct tail_lag tail_lag(const struct tail *tail)
{
    struct tail_lag lag = {.offset = tail->position.offset, .modified_ms = tail->position.modified_ms};
    struct stat status;

    if (tail->file.descriptor < 0)
        return lag;
    lag.path = tail->file.name.path;
    lag.size = tail->file.compressed == NULL && fstat(tail->file.descriptor, &status) == 0 ? status.st_size
                                                                                           : lag.offset;
    return lag;
}
