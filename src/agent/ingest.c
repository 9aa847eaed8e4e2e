#include "agent/ingest.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "agent/log_time.h"
#include "agent/position.h"
#include "base/clock.h"
#include "base/xalloc.h"

struct ingest {
    const struct config *config;
    struct store *store;
    bool from_start;
    struct tail *tail;
    struct log_time time;
    struct track track;
    struct ledger ledger;
};

static void forget_all(struct ingest *ingest)
{
    tail_close(ingest->tail);
    ingest->tail = NULL;
    correlation_close(ingest->track.table);
    ingest->track.table = NULL;
}

/* To the last commit: also after a failure, when memory is ahead of the store. */
static bool load(struct ingest *ingest, struct outcome *error_r)
{
    struct position position;

    forget_all(ingest);
    int found = position_load(&position, ingest->config->log_path, ingest->store, error_r);
    if (found < 0)
        return false;
    ingest->track.table = correlation_open(CORRELATION_LIMIT);
    if (!correlation_load(ingest->track.table, ingest->store, error_r)) {
        position_clear(&position);
        return false;
    }
    ingest->tail = tail_open(ingest->config->log_path, found > 0 ? &position : NULL, ingest->from_start);
    ingest->time = (struct log_time){.last_ms = found > 0 ? position.last_ms : 0};
    position_clear(&position);
    return true;
}

static bool commit(struct ingest *ingest, struct outcome *error_r)
{
    struct position position = *tail_position(ingest->tail);

    position.last_ms = ingest->time.last_ms;
    return correlation_save(ingest->track.table, ingest->store, error_r) &&
           position_save(&position, ingest->store, error_r) && store_commit(ingest->store, error_r);
}

struct ingest *ingest_open(const struct config *config, struct store *store,
                           const struct classify_rules *rules, bool from_start, struct outcome *error_r)
{
    struct ingest *ingest = xcalloc(1, sizeof *ingest);

    ingest->config = config;
    ingest->store = store;
    ingest->from_start = from_start;
    ingest->ledger = (struct ledger){.store = store, .config = config, .rules = rules};
    ingest->track.note = ledger_note;
    ingest->track.context = &ingest->ledger;
    /* "the end of the log" is now, not when the first line has come */
    if (load(ingest, error_r) && store_begin(store, STORE_NORMAL, error_r) && commit(ingest, error_r))
        return ingest;
    store_rollback(store);
    ingest_close(ingest);
    return NULL;
}

void ingest_close(struct ingest *ingest)
{
    if (ingest == NULL)
        return;
    forget_all(ingest);
    free(ingest);
}

static bool one_line(struct ingest *ingest, const char *text, size_t length)
{
    struct postfix_log_line line;

    if (length > 0 && text[length - 1] == '\r')
        length--;
    postfix_log_parse(text, length, &line);
    int64_t time_ms =
        line.kind > POSTFIX_LOG_OTHER ? log_time_parse(&ingest->time, line.stamp) : ingest->time.last_ms;
    return track_line(&ingest->track, &line, time_ms);
}

static bool all_lines(struct ingest *ingest, const char *piece, size_t length)
{
    const char *end = piece + length;

    while (piece < end) {
        const char *newline = memchr(piece, '\n', (size_t)(end - piece));
        size_t line_length = (size_t)((newline != NULL ? newline : end) - piece);
        if (!one_line(ingest, piece, line_length))
            return false;
        piece += line_length + 1;
    }
    return track_bury(&ingest->track, ingest->time.last_ms);
}

enum ingest_result ingest_step(struct ingest *ingest, struct outcome *error_r)
{
    const char *piece;
    size_t length;

    if (ingest->tail == NULL && !load(ingest, error_r))
        return INGEST_TROUBLE;
    enum tail_result result = tail_read(ingest->tail, &piece, &length, error_r);
    if (result != TAIL_PIECE)
        return result == TAIL_IDLE ? INGEST_IDLE : INGEST_TROUBLE;
    int64_t now_ms = clock_realtime_ms(), written_ms = tail_lag(ingest->tail).modified_ms;
    ingest->time.reference_ms = written_ms > 0 && written_ms < now_ms ? written_ms : now_ms;
    if (!store_begin(ingest->store, STORE_NORMAL, error_r))
        return INGEST_TROUBLE;
    struct track_counts before = ingest->track.counts;
    if (!all_lines(ingest, piece, length))
        *error_r = ingest->ledger.error;
    else if (commit(ingest, error_r)) {
        tail_advance(ingest->tail);
        return INGEST_WORKED;
    }
    store_rollback(ingest->store);
    ingest->track.counts = before;
    forget_all(ingest);
    return INGEST_TROUBLE;
}

void ingest_wait(struct ingest *ingest, int wake, int timeout_ms)
{
    struct pollfd descriptors[2] = {
        {.fd = ingest->tail != NULL ? tail_descriptor(ingest->tail) : -1, .events = POLLIN},
        {.fd = wake, .events = POLLIN},
    };

    if (poll(descriptors, 2, timeout_ms) > 0 && descriptors[0].revents != 0)
        tail_drain(ingest->tail);
}

void ingest_status(const struct ingest *ingest, struct ingest_status *status_r)
{
    *status_r = (struct ingest_status){.counts = ingest->track.counts,
                                       .coalesced = ingest->ledger.coalesced,
                                       .last_line_ms = ingest->time.last_ms};
    uint64_t *uncorrelated = &status_r->counts.uncorrelated;
    *uncorrelated -= ingest->ledger.released < *uncorrelated ? ingest->ledger.released : *uncorrelated;
    memcpy(status_r->events, ingest->ledger.events, sizeof status_r->events);
    if (ingest->tail == NULL)
        return;
    struct tail_lag lag = tail_lag(ingest->tail);
    status_r->offset = lag.offset;
    status_r->size = lag.size;
    status_r->log_written_ms = lag.modified_ms;
    status_r->path = lag.path;
    status_r->correlations = correlation_count(ingest->track.table);
    status_r->evicted = correlation_evicted(ingest->track.table);
}
