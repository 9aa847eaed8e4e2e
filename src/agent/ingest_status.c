/* What ingest has counted: taken back with a piece, and told to the board. */
#include <stdio.h>
#include <string.h>

#include "agent/ingest_private.h"
#include "base/clock.h"

static uint64_t evicted(const struct ingest *ingest)
{
    return ingest->counts.evicted +
           (ingest->track.table != NULL ? correlation_evicted(ingest->track.table) : 0);
}

struct ingest_mark ingest_mark(const struct ingest *ingest)
{
    struct ingest_mark mark = {.track = ingest->track.counts,
                               .ledger = ingest->ledger.counts,
                               .counts = ingest->counts,
                               .deferred = ingest->transports.deferred};

    mark.counts.evicted = evicted(ingest);
    return mark;
}

void ingest_take_back(struct ingest *ingest, const struct ingest_mark *before)
{
    ingest->track.counts = before->track;
    ingest->ledger.counts = before->ledger;
    ingest->counts = before->counts;
    ingest->transports.deferred = before->deferred;
}

void ingest_status(const struct ingest *ingest, struct ingest_status *status_r)
{
    *status_r = (struct ingest_status){.counts = ingest->track.counts,
                                       .coalesced = ingest->ledger.counts.coalesced,
                                       .last_line_ms = ingest->time.last_ms};
    uint64_t *uncorrelated = &status_r->counts.uncorrelated;
    *uncorrelated -=
        ingest->ledger.counts.released < *uncorrelated ? ingest->ledger.counts.released : *uncorrelated;
    memcpy(status_r->events, ingest->ledger.counts.events, sizeof status_r->events);
    status_r->suppressed = ingest->counts.suppressed;
    status_r->strangers = ingest->counts.strangers;
    if (log_doubt_is_trouble(&ingest->counts.doubt)) {
        status_r->unread = ingest->counts.doubt.unread;
        memcpy(status_r->unread_line, ingest->counts.doubt.line, sizeof status_r->unread_line);
    }
    snprintf(status_r->transport, sizeof status_r->transport, "%s",
             transport_watch_trouble(&ingest->transports, clock_monotonic_ms()));
    if (status_r->transport[0] == '\0' && ingest->mta.wrong != NULL)
        snprintf(status_r->transport, sizeof status_r->transport, "%s", ingest->mta.wrong);
    snprintf(status_r->elsewhere, sizeof status_r->elsewhere, "%s",
             ingest->mta.elsewhere != NULL ? ingest->mta.elsewhere : "");
    status_r->evicted = evicted(ingest);
    if (ingest->track.table == NULL)
        return;
    status_r->correlations = correlation_count(ingest->track.table);
    if (ingest->journal != NULL) {
        status_r->path = ingest->config->log_path;
        status_r->log_written_ms = ingest->time.last_ms;
        return;
    }
    struct tail_lag lag = tail_lag(ingest->tail);
    status_r->offset = lag.offset;
    status_r->size = lag.size;
    status_r->log_written_ms = lag.modified_ms;
    status_r->path = lag.path;
}
