#include "agent/ingest_private.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "classify/classify_rules.h"

#define JOURNAL_PIECE 4096 /* entries in one transaction */
#define BULK_MS 150        /* others wait for the store meanwhile */
/* Instead of SQLite's 2 MB: event ids are random, so every event touches pages anywhere. */
#define CACHE_KB 6144

#define STRING_OF(text) #text
#define STRING(macro) STRING_OF(macro)

static void forget_all(struct ingest *ingest)
{
    tail_close(ingest->tail);
    journal_close(ingest->journal);
    ingest->tail = NULL;
    ingest->journal = NULL;
    if (ingest->track.table != NULL)
        ingest->counts.evicted += correlation_evicted(ingest->track.table);
    correlation_close(ingest->track.table);
    ingest->track.table = NULL;
}

static bool is_journal(const struct ingest *ingest)
{
    return strcmp(ingest->config->log_path, "journal") == 0;
}

static bool open_log(struct ingest *ingest, const struct position *position, struct outcome *error_r)
{
    if (!is_journal(ingest)) {
        ingest->tail = tail_open(ingest->config->log_path, position, ingest->from_start);
        return true;
    }
    /* a position without a cursor: the journal had no entry then, so all there are now are new */
    ingest->journal = journal_open(position != NULL ? position->cursor : NULL,
                                   position != NULL || ingest->from_start, error_r);
    return ingest->journal != NULL;
}

static void note_file(struct ingest *ingest)
{
    ingest->file = store_handle(ingest->store);
    sqlite3_exec(ingest->file, "PRAGMA cache_size = -" STRING(CACHE_KB), NULL, NULL, NULL);
}

/* To the last commit: also after a failure, when memory is ahead of the store. What failed may have been the
 * file: one that is corrupt is exchanged here, or nobody would. */
static bool load(struct ingest *ingest, struct outcome *error_r)
{
    struct position position;

    forget_all(ingest);
    if (!store_renew(ingest->store, error_r))
        return false;
    note_file(ingest);
    int found = position_load(&position, ingest->config->log_path, ingest->store, error_r);
    if (found < 0)
        return false;
    if (found == 0 && ingest->kept.path != NULL) {
        position_copy(&position, &ingest->kept);
        found = 1;
    }
    ingest->track.table = correlation_open(CORRELATION_LIMIT);
    log_pieces_clear(&ingest->pieces); /* of another log, unless there is a position in this one */
    bool ok = correlation_load(ingest->track.table, ingest->store, error_r) &&
              (found == 0 || log_pieces_load(&ingest->pieces, ingest->store, error_r)) &&
              open_log(ingest, found > 0 ? &position : NULL, error_r);
    ingest->time = (struct log_time){.last_ms = found > 0 ? position.last_ms : 0};
    track_begin(&ingest->track, ingest->time.last_ms);
    position_clear(&position);
    if (!ok)
        forget_all(ingest);
    return ok;
}

static bool commit(struct ingest *ingest, struct outcome *error_r)
{
    AUTO_FREE char *cursor = ingest->journal != NULL ? journal_cursor(ingest->journal) : NULL;
    struct position position = {0};

    if (ingest->tail != NULL)
        position = *tail_position(ingest->tail);
    position.path = ingest->config->log_path;
    position.cursor = cursor;
    position.last_ms = ingest->time.last_ms;
    if (!correlation_save(ingest->track.table, ingest->store, error_r) ||
        !log_pieces_save(&ingest->pieces, ingest->store, error_r) ||
        !position_save(&position, ingest->store, error_r) || !store_commit(ingest->store, error_r))
        return false;
    position_clear(&ingest->kept);
    position_copy(&ingest->kept, &position);
    return true;
}

/* In a file that has taken the place of another nothing of ours stands yet. */
static bool begin(struct ingest *ingest, struct outcome *error_r)
{
    if (!store_begin(ingest->store, STORE_NORMAL, error_r))
        return false;
    if (store_handle(ingest->store) != ingest->file) {
        note_file(ingest);
        correlation_touch(ingest->track.table);
        ingest->pieces.changed = true;
    }
    return true;
}

/* The user of the deliveries; nobody where that cannot be told. */
static int64_t owner_of(const char *state_dir)
{
    struct stat status;

    return stat(state_dir, &status) == 0 ? (int64_t)status.st_uid : -1;
}

struct ingest *ingest_open(const struct config *config, struct store *store,
                           const struct classify_rules *rules, bool from_start, struct outcome *error_r)
{
    struct ingest *ingest = xcalloc(1, sizeof *ingest);

    ingest->config = config;
    ingest->store = store;
    ingest->from_start = from_start;
    ingest->ledger =
        (struct ledger){.store = store, .config = config, .rules = rules, .feed = feed_open(config, store)};
    ingest->track.senders = xcalloc(1, sizeof *ingest->track.senders);
    ingest->filters = classify_compile("built-in filters", data_filters, data_filters_count, error_r);
    if (ingest->filters == NULL) {
        ingest_close(ingest);
        return NULL;
    }
    ingest->track.filters = ingest->filters;
    ingest->own_uid = owner_of(config->state_dir);
    mta_init(&ingest->mta, config);
    ingest->trust = (struct trust){.config = config, .mta = &ingest->mta};
    ingest->track.trust = &ingest->trust;
    ingest->track.note = ledger_note;
    ingest->track.context = &ingest->ledger;
    /* "the end of the log" is now, not when the first line has come */
    if (load(ingest, error_r) && begin(ingest, error_r) && commit(ingest, error_r))
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
    free(ingest->track.senders);
    log_shipper_free(&ingest->shipper);
    log_pieces_clear(&ingest->pieces);
    position_clear(&ingest->kept);
    mta_clear(&ingest->mta);
    classify_close(ingest->filters);
    feed_close(ingest->ledger.feed);
    free(ingest);
}

static bool one_line(struct ingest *ingest, const char *text, size_t length)
{
    struct postfix_log_line line;
    struct log_slice whole = {text, length > 0 && text[length - 1] == '\r' ? length - 1 : length};

    if (!log_pieces_take(&ingest->pieces, &whole))
        return true;
    postfix_log_parse(whole.at, whole.length, &line);
    if (line.kind == POSTFIX_LOG_FOREIGN && memchr(whole.at, '{', whole.length) != NULL &&
        !log_shipper_parse(&ingest->shipper, &ingest->pieces, whole.at, whole.length, &line))
        return true;
    log_doubt_look(&ingest->counts.doubt, &line, whole.at, whole.length);
    transport_watch_look(&ingest->transports, &line, whole.at, whole.length, ingest->now_ms);
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

static void warn_of_suppressed(uint64_t suppressed)
{
    if (suppressed > 0)
        log_line(LOG_WARNING,
                 "journald has thrown away %llu messages: if they were Postfix's, events are missing; set "
                 "RateLimitIntervalSec=0 in journald.conf, or log to a file",
                 (unsigned long long)suppressed);
}

/* The transaction has begun: commit it, or go back to where it began. */
static enum ingest_result finish(struct ingest *ingest, bool ok, const struct ingest_mark *before,
                                 struct outcome *error_r)
{
    if (ok && commit(ingest, error_r)) {
        feed_tell(ingest->ledger.feed, ingest->ledger.now_ms);
        warn_of_suppressed(ingest->counts.suppressed - before->counts.suppressed);
        return INGEST_WORKED;
    }
    store_rollback(ingest->store);
    feed_forget(ingest->ledger.feed);
    forget_all(ingest);
    ingest_take_back(ingest, before);
    return INGEST_TROUBLE;
}

/* Pieces for BULK_MS in one transaction: the events of many pieces share the pages of the index that they
 * change. */
static enum ingest_result step_in_file(struct ingest *ingest, struct outcome *error_r)
{
    const struct ingest_mark before = ingest_mark(ingest);
    int64_t now_ms = ingest->track.now_ms = ingest->ledger.now_ms = clock_realtime_ms(),
            begun_ms = clock_monotonic_ms();
    const char *piece;
    size_t length;
    bool ok = true;

    enum tail_result result = tail_read(ingest->tail, &piece, &length, error_r);
    if (result != TAIL_PIECE)
        return result == TAIL_IDLE ? INGEST_IDLE : INGEST_TROUBLE;
    if (!begin(ingest, error_r))
        return INGEST_TROUBLE;
    while (ok && result == TAIL_PIECE) {
        int64_t written_ms = tail_lag(ingest->tail).modified_ms;
        ingest->time.reference_ms = written_ms > 0 && written_ms < now_ms ? written_ms : now_ms;
        ok = all_lines(ingest, piece, length);
        tail_advance(ingest->tail);
        if (clock_monotonic_ms() >= begun_ms + BULK_MS)
            break;
        result = tail_read(ingest->tail, &piece, &length, error_r);
    }
    if (!ok)
        *error_r = ingest->ledger.error;
    return finish(ingest, ok, &before, error_r);
}

static bool one_entry(struct ingest *ingest, const struct journal_entry *entry)
{
    struct postfix_log_line line;
    bool theirs = journal_is_theirs(entry, ingest->mta.owner, ingest->own_uid);

    ingest->counts.suppressed += theirs ? journal_suppressed(entry) : 0;
    postfix_log_parse_message(entry->tag.at, entry->tag.length, entry->message.at, entry->message.length,
                              &line);
    line.host = entry->host;
    log_doubt_look(&ingest->counts.doubt, &line, entry->message.at, entry->message.length);
    if (!theirs) {
        ingest->counts.strangers += line.kind != POSTFIX_LOG_FOREIGN;
        line.kind = POSTFIX_LOG_FOREIGN;
    }
    transport_watch_look(&ingest->transports, &line, entry->message.at, entry->message.length,
                         ingest->now_ms);
    ingest->time.last_ms = entry->time_ms;
    return track_line(&ingest->track, &line, entry->time_ms);
}

static enum ingest_result step_in_journal(struct ingest *ingest, struct outcome *error_r)
{
    const struct ingest_mark before = ingest_mark(ingest);
    struct journal_entry entry;
    bool ok = true;
    int result = journal_next(ingest->journal, &entry, error_r);

    ingest->track.now_ms = ingest->ledger.now_ms = clock_realtime_ms();
    if (result == 0)
        return INGEST_IDLE;
    if (result < 0 || !begin(ingest, error_r)) {
        forget_all(ingest);
        return INGEST_TROUBLE;
    }
    for (int count = 0; ok && result > 0 && count < JOURNAL_PIECE; count++) {
        ok = one_entry(ingest, &entry);
        if (!ok)
            *error_r = ingest->ledger.error;
        else if (count + 1 < JOURNAL_PIECE)
            result = journal_next(ingest->journal, &entry, error_r);
    }
    ok = ok && result >= 0;
    if (ok && !(ok = track_bury(&ingest->track, ingest->time.last_ms)))
        *error_r = ingest->ledger.error;
    return finish(ingest, ok, &before, error_r);
}

enum ingest_result ingest_step(struct ingest *ingest, struct outcome *error_r)
{
    ingest->now_ms = clock_monotonic_ms();
    mta_look(&ingest->mta, ingest->now_ms);
    if (ingest->track.table == NULL && !load(ingest, error_r))
        return INGEST_TROUBLE;
    return ingest->journal != NULL ? step_in_journal(ingest, error_r) : step_in_file(ingest, error_r);
}

static int descriptor_of(const struct ingest *ingest)
{
    if (ingest->journal != NULL)
        return journal_descriptor(ingest->journal);
    return ingest->tail != NULL ? tail_descriptor(ingest->tail) : -1;
}

void ingest_wait(struct ingest *ingest, int wake, int timeout_ms)
{
    struct pollfd descriptors[2] = {
        {.fd = descriptor_of(ingest), .events = POLLIN},
        {.fd = wake, .events = POLLIN},
    };

    if (poll(descriptors, 2, timeout_ms) <= 0 || descriptors[0].revents == 0)
        return;
    if (ingest->journal != NULL)
        journal_drain(ingest->journal);
    else
        tail_drain(ingest->tail);
}
