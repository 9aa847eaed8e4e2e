/* The inside of ingest: shared by ingest.c, which reads, and ingest_status.c, which counts and tells; nobody
 * else's. */
#ifndef SENDPOST_AGENT_INGEST_PRIVATE_H
#define SENDPOST_AGENT_INGEST_PRIVATE_H

#include "agent/ingest.h"
#include "agent/journal.h"
#include "agent/mta.h"
#include "agent/position.h"
#include "postlog/log_pieces.h"
#include "postlog/log_shipper.h"
#include "postlog/log_time.h"

/* What lines were counted as outside of track and ledger. */
struct ingest_counts {
    uint64_t suppressed; /* messages that journald has thrown away */
    uint64_t strangers;  /* entries of the journal that say they are Postfix's and are not */
    uint64_t evicted;    /* of tables of correlations before this one */
    struct log_doubt doubt;
};

struct ingest {
    const struct config *config;
    struct store *store;
    bool from_start;
    struct tail *tail;       /* of a file, or else */
    struct journal *journal; /* of the journal; neither: load() comes first */
    struct log_time time;
    struct log_shipper shipper;
    struct log_pieces pieces;
    struct classify_rules *filters;
    struct transport_watch transports;
    struct mta mta;
    int64_t now_ms; /* clock_monotonic_ms(), at the begin of this step */
    struct trust trust;
    int64_t own_uid; /* as which sendpost-pipe logs */
    struct track track;
    struct ledger ledger;
    struct ingest_counts counts;
    sqlite3 *file;        /* of the store, where all of the table is but what is touched */
    struct position kept; /* of the last commit, for a file without one; path NULL: none yet */
};

/* All that is counted, as it was when a piece began. */
struct ingest_mark {
    struct track_counts track;
    struct ledger_counts ledger;
    struct ingest_counts counts;
    unsigned deferred; /* of transport_watch */
};

struct ingest_mark ingest_mark(const struct ingest *ingest) __attribute__((nonnull));

/* The piece is taken back, and will be read and counted again. */
void ingest_take_back(struct ingest *ingest, const struct ingest_mark *before) __attribute__((nonnull));

#endif
