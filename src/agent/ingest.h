/*
 * ingest: the log becomes events in the store. Each piece of the log is parsed, correlated and committed in
 * one transaction together with the position behind it and the table of correlations: whatever ends this
 * process, no line is used twice and none is missed.
 *
 * One thread; the store is its own.
 */
#ifndef SENDPOST_AGENT_INGEST_H
#define SENDPOST_AGENT_INGEST_H

#include "agent/ledger.h"
#include "agent/log_doubt.h"
#include "agent/tail.h"
#include "agent/track.h"
#include "agent/transport_watch.h"
#include "classify/classify.h"
#include "config/config.h"
#include "store/store.h"

struct ingest;

enum ingest_result {
    INGEST_WORKED,  /* some lines were read: there may be more */
    INGEST_IDLE,    /* the end of the log */
    INGEST_TROUBLE, /* nothing was done: *error_r says why; try again later */
};

/* Loads position and correlations; NULL with *error_r set when the store fails. All arguments outlive it.
 * from_start: at the top of the log when there is no position yet, else at its end. */
struct ingest *ingest_open(const struct config *config, struct store *store,
                           const struct classify_rules *rules, bool from_start, struct outcome *error_r)
    __attribute__((nonnull));
void ingest_close(struct ingest *ingest); /* NULL is fine */

enum ingest_result ingest_step(struct ingest *ingest, struct outcome *error_r) __attribute__((nonnull));

/* Wait for more of the log, or until wake is readable (-1: none), for timeout_ms at most. */
void ingest_wait(struct ingest *ingest, int wake, int timeout_ms) __attribute__((nonnull));

struct ingest_status {
    struct track_counts counts;
    uint64_t events[CS_SOFT_BOUNCED + 1]; /* by enum event_cs */
    uint64_t coalesced;
    uint32_t correlations;
    uint64_t evicted;
    uint64_t suppressed; /* messages that journald has thrown away */
    uint64_t strangers;  /* entries of the journal under Postfix's name that others have written */
    uint64_t unread;     /* lines of Postfix that were not understood, with none that was; 0: no trouble */
    char unread_line[LOG_DOUBT_LINE_SIZE];     /* one of them, addresses replaced */
    char transport[TRANSPORT_WATCH_TEXT_SIZE]; /* what is wrong with a transport of Postfix; "": nothing */
    char elsewhere[512];    /* the file that Postfix logs to, where that is another one; "" */
    int64_t offset, size;   /* in the file being read; of the journal 0 */
    int64_t log_written_ms; /* when the log was last written; 0: not known */
    int64_t last_line_ms;   /* the time stamp of the last line read */
    const char *path;       /* the file being read, or "journal"; NULL: there is none */
};
void ingest_status(const struct ingest *ingest, struct ingest_status *status_r) __attribute__((nonnull));

#endif
