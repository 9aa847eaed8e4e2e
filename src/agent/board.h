/*
 * board: what the agent's threads tell about themselves, for /health, /metrics and the status page. Each
 * writes its own part under the lock; readers take a copy. It lies in memory that a process forked later
 * shares, and that one may die at any moment, with the lock, too.
 */
#ifndef SENDPOST_AGENT_BOARD_H
#define SENDPOST_AGENT_BOARD_H

#include <pthread.h>

#include "agent/ingest.h"
#include "event/event_report.h"

#define BOARD_TEXT_SIZE 512
#define BOARD_BUCKETS 12

#define BOARD_CORRELATION_REMEDY                                                             \
    "some deliveries carry no SendPost UUID: enable header_checks.sendpost in Postfix (see " \
    "sendpost-agent(8)), or "                                                                \
    "send with the VERP sender bounces+UUID+SUBACCOUNT@…"

#define BOARD_STORE_REMEDY                                                                          \
    "the store, state.db, was corrupt and was moved aside: sendpostctl check says what is left of " \
    "it, look after the disk"

#define BOARD_KEY_REMEDY                                                                     \
    "message UUIDs carry no proof, so that bounces are believed only while the store knows " \
    "the message: run sendpostctl setup, or name a uuid-key-file"
#define BOARD_TRUST_REMEDY                                                                       \
    "clients that are no senders of ours have named messages by a UUID, which is not believed: " \
    "if they are yours, list their networks as trusted-senders"

/* Upper bounds of the latency histogram, in seconds; the last is infinite. */
extern const double board_bucket_bounds[BOARD_BUCKETS];

/* Requests to the API by what came of them. */
enum board_post {
    BOARD_POST_ACCEPTED,
    BOARD_POST_REFUSED,
    BOARD_POST_KEY,
    BOARD_POST_FAILED,
    BOARD_POST_COUNT
};

/* A TPSP that mail is held for (policy/standing.h). */
struct board_held {
    char tpsp[EVENT_NAME_SIZE];
    int64_t since_ms, messages;
    char text[2 * BOARD_TEXT_SIZE]; /* why, and where and how to mend it */
};

#define BOARD_HELD_MAX 16

/* A host of the cluster that was heard of within the last minute; this one is among them. */
struct board_host {
    char id[40], name[64];
    int64_t heard_ms; /* by its own clock */
    int64_t taken;    /* deliveries that it was granted, since it booted */
    bool other_key;   /* its UUID key is not ours: bounces of its mail are not believed here */
};

#define BOARD_HOSTS_MAX 64
#define BOARD_CONNECTIONS_MAX 64

/* Of a TPSP with max-connections. */
struct board_connections {
    char tpsp[65];
    unsigned in_use; /* by all hosts of the cluster */
};

struct board_cluster {
    bool configured;
    char server[120], version[40];
    int64_t delay_us;      /* of the last call */
    int64_t away_since_ms; /* 0: there */
    char why[BOARD_TEXT_SIZE];
    int64_t taken;
    int64_t list_complete_ms; /* when the suppression list was last the same as the server's; 0: never */
    char list_why[BOARD_TEXT_SIZE]; /* why it is not now; "": it is, or work is under way */
    uint64_t changes_sent, changes_taken;
    struct board_host hosts[BOARD_HOSTS_MAX];
    size_t host_count;
    struct board_connections connections[BOARD_CONNECTIONS_MAX];
    size_t connection_count;
    bool leads_sync;      /* this host synchronises with SendPost for all (sendpost/sync.h) */
    char sync_leader[64]; /* name of the host that does; "": nobody can tell */
};

#define BOARD_TOKENS_MAX 32

/* Of a TPSP with an oauth section; times 0: none, or nobody says. */
struct board_token {
    char tpsp[65];
    int64_t expires_ms, refresh_expires_ms;
    char error[320]; /* "": the last renewal went well */
};

struct board_facts {
    int64_t started_ms; /* clock_realtime_ms() */
    char log_path[BOARD_TEXT_SIZE];
    struct ingest_status ingest; /* its path is not kept */
    bool log_open;
    char log_error[BOARD_TEXT_SIZE]; /* "": the log is being read */
    bool log_stalled;                /* Postfix works, and the log does not grow */
    bool log_missing;                /* there is no file of that name */
    unsigned corrupt_stores;         /* moved aside, and not removed yet */

    struct event_report_counts reported; /* since the start */
    int64_t pending, rejected;           /* in the store */
    /* of sendpost-bounce: in the store, since its beginning */
    uint64_t no_bounces, nobodys_bounces, unbelieved_bounces, complaints;
    int64_t clock_apart_s;              /* that ours is ahead of the API's; 0: it is right */
    int64_t last_report_ms;             /* when the API last took something; 0: never */
    char report_error[BOARD_TEXT_SIZE]; /* "": the last request was accepted, or there was none */
    uint64_t posts[BOARD_POST_COUNT];
    uint64_t latency_counts[BOARD_BUCKETS]; /* each its own, not yet cumulated */
    double latency_sum_s;

    struct board_held held[BOARD_HELD_MAX];
    size_t held_count;
    struct board_cluster cluster;
    struct board_token tokens[BOARD_TOKENS_MAX];
    size_t token_count;
    /* with SendPost's API; 0 and "": never, no trouble */
    int64_t sync_last_ms, sync_gone;
    char sync_error[BOARD_TEXT_SIZE];
};

struct board {
    pthread_mutex_t lock;
    struct board_facts facts;
};

/* NULL: no memory. It lives as long as the process. */
struct board *board_new(const char *log_path, int64_t started_ms) __attribute__((nonnull));
void board_lock(struct board *board) __attribute__((nonnull));
void board_unlock(struct board *board) __attribute__((nonnull));
/* Bytes of the log still to be read, and the seconds between the last line read and now, while there are
 * some; else 0. */
int64_t board_unread(const struct board_facts *facts) __attribute__((nonnull));
double board_lag_seconds(const struct board_facts *facts) __attribute__((nonnull));

void board_read(struct board *board, struct board_facts *facts_r) __attribute__((nonnull));

void board_note_ingest(struct board *board, const struct ingest_status *status) __attribute__((nonnull));
/* "" clears */
void board_note_log_error(struct board *board, const char *text) __attribute__((nonnull));
void board_note_missing(struct board *board, bool missing) __attribute__((nonnull));
void board_note_stalled(struct board *board, bool stalled) __attribute__((nonnull));
void board_note_post(struct board *board, int status, int64_t elapsed_ms) __attribute__((nonnull));

#endif
