#include "trace/trace_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/map_guard.h"
#include "base/postconf.h"
#include "base/run.h"
#include "base/xalloc.h"
#include "postlog/log_shipper.h"
#include "postlog/log_time.h"

/* --- opening ------------------------------------------------------------------------------------ */

/* What is beyond TRACE_LOG_BYTES from its end is left out. */
static bool map_file(struct trace_log_piece *piece, const char *path)
{
    AUTO_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;

    if (file < 0 || fstat(file, &status) != 0)
        return false;
    if (!S_ISREG(status.st_mode)) {
        errno = EINVAL;
        return false;
    }
    piece->modified_ms = clock_ms(status.st_mtim);
    if (status.st_size == 0)
        return true;
    off_t from = status.st_size > TRACE_LOG_BYTES ? (status.st_size - TRACE_LOG_BYTES) & ~(off_t)65535 : 0;
    size_t length = (size_t)(status.st_size - from);
    void *bytes = mmap(NULL, length, PROT_READ, MAP_PRIVATE, file, from);
    if (bytes == MAP_FAILED)
        return false;
    map_guard_add(bytes, length); /* copytruncate of logrotate(8) cuts a log that is being read */
    piece->bytes = bytes;
    piece->length = length;
    return true;
}

bool trace_log_open(struct trace_log *log_r, const char *log_path, char **why_r)
{
    AUTO_FREE char *older = xasprintf("%s.1", log_path);

    *log_r = (struct trace_log){.journal = strcmp(log_path, "journal") == 0};
    *why_r = NULL;
    if (log_r->journal)
        return true;
    if (!map_file(&log_r->pieces[1], log_path)) {
        *why_r = xasprintf("%s cannot be read: %s", log_path, strerror(errno));
        return false;
    }
    map_file(&log_r->pieces[0], older); /* where there is one */
    return true;
}

void trace_log_close(struct trace_log *log)
{
    for (size_t i = 0; i < 2; i++)
        if (log->pieces[i].bytes != NULL) {
            void *bytes = (void *)(uintptr_t)log->pieces[i].bytes;
            map_guard_remove(bytes);
            munmap(bytes, log->pieces[i].length);
        }
    *log = (struct trace_log){.journal = false};
}

/* --- reading ------------------------------------------------------------------------------------ */

struct reader {
    struct log_shipper shipper;
    struct log_pieces pieces;
    struct log_time time;
    bool (*see)(void *context, const struct postfix_log_line *line, int64_t time_ms);
    void *context;
};

/* Where each word stands next, so that none is looked for twice. */
struct finder {
    const char *const *words;
    size_t count;
    const char **next; /* NULL: no more */
};

/* The first of the words from this place on; NULL: none. */
static const char *find_any(struct finder *finder, const char *at, const char *end)
{
    const char *first = NULL;

    for (size_t i = 0; i < finder->count; i++) {
        const char *word = finder->words[i];
        if (finder->next[i] != NULL && finder->next[i] < at)
            finder->next[i] = memmem(at, (size_t)(end - at), word, strlen(word));
        if (finder->next[i] != NULL && (first == NULL || finder->next[i] < first))
            first = finder->next[i];
    }
    return first;
}

static bool take_line(struct reader *reader, const char *text, size_t length)
{
    struct postfix_log_line line;

    postfix_log_parse(text, length, &line);
    if (line.kind == POSTFIX_LOG_FOREIGN &&
        !log_shipper_parse(&reader->shipper, &reader->pieces, text, length, &line))
        return true;
    if (line.kind == POSTFIX_LOG_FOREIGN)
        return true;
    return reader->see(reader->context, &line, log_time_parse(&reader->time, line.stamp));
}

static bool read_piece(struct reader *reader, const struct trace_log_piece *piece, const char *const words[],
                       size_t count)
{
    const char *at = piece->bytes, *end = piece->bytes + piece->length;
    AUTO_FREE const char **next = xcalloc(count, sizeof *next);
    struct finder finder = {.words = words, .count = count, .next = next};

    for (size_t i = 0; i < count; i++)
        next[i] = memmem(at, piece->length, words[i], strlen(words[i]));
    reader->time = (struct log_time){.reference_ms = piece->modified_ms};
    while (at < end) {
        const char *found = find_any(&finder, at, end);
        if (found == NULL)
            break;
        const char *begin = memrchr(at, '\n', (size_t)(found - at));
        const char *stop = memchr(found, '\n', (size_t)(end - found));
        begin = begin != NULL ? begin + 1 : at;
        stop = stop != NULL ? stop : end;
        if (!take_line(reader, begin, (size_t)(stop - begin)))
            return false;
        at = stop < end ? stop + 1 : end;
    }
    return true;
}

/* A regular expression (PCRE) of the words as they are. */
static char *make_pattern(const char *const words[], size_t count)
{
    char *pattern = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&pattern, &size);

    for (size_t i = 0; stream != NULL && i < count; i++) {
        fputs(i > 0 ? "|" : "", stream);
        for (const char *at = words[i]; *at != '\0'; at++)
            fprintf(stream, strchr("\\^$.[|()?*+{", *at) != NULL ? "\\%c" : "%c", *at);
    }
    if (stream != NULL)
        fclose(stream);
    return pattern;
}

/* Postfix's own user, as a match of journalctl(1); root's where there is none. */
static char *match_of_postfix(void)
{
    char *name = NULL;

    postconf_values(NULL, (const char *const[]){"mail_owner"}, 1, &name);
    const struct passwd *user = getpwnam(name != NULL ? name : "postfix");
    free(name);
    return xasprintf("_UID=%ld", user != NULL ? (long)user->pw_uid : 0L);
}

/* Anybody may send to the journal under any tag, so only what the kernel says that root, Postfix's user or
 * the user of the deliveries, which this program runs as, has written is asked for. */
static bool read_journal(struct reader *reader, const char *const words[], size_t count)
{
    AUTO_FREE char *pattern = make_pattern(words, count), *postfix = match_of_postfix();
    AUTO_FREE char *own = xasprintf("_UID=%ld", (long)geteuid());
    struct run run;
    const char *const argv[] = {"journalctl",
                                "--quiet",
                                "--no-pager",
                                "--output=short-iso-precise",
                                "--lines=2000",
                                "--grep",
                                pattern,
                                "--case-sensitive=yes",
                                "SYSLOG_FACILITY=2",
                                "_UID=0",
                                postfix,
                                own,
                                NULL};
    bool answered = pattern != NULL && run_program(&run, argv);
    /* it ends with 1 where nothing was found */
    bool ok = answered || (pattern != NULL && run.status == 1 && *run.err == '\0');
    const struct trace_log_piece piece = {.bytes = run.out, .length = strlen(run.out)};

    if (answered && piece.length > 0)
        read_piece(reader, &piece, words, count);
    run_free(&run);
    return ok;
}

bool trace_log_each(const struct trace_log *log, const char *const words[], size_t count,
                    bool (*see)(void *context, const struct postfix_log_line *line, int64_t time_ms),
                    void *context)
{
    struct reader reader = {.see = see, .context = context};
    bool ok = true, go_on = count > 0;

    if (log->journal && count > 0)
        ok = read_journal(&reader, words, count);
    for (size_t i = 0; !log->journal && i < 2; i++)
        if (go_on && log->pieces[i].bytes != NULL)
            go_on = read_piece(&reader, &log->pieces[i], words, count);
    log_shipper_free(&reader.shipper);
    log_pieces_clear(&reader.pieces);
    return ok;
}
