#include "store/schema.h"

#define EVENT_COLUMNS                                                                                    \
    "id, state, due_ms, leased_ms, tries, event_id, message_id, cs, dropped_as_bounced, source,"         \
    " timestamp_ms, recipient, sender, queue_id, smtp_code, smtp_enhanced_code, smtp_description, tpsp," \
    " tpsp_id, provider, attempt"

const char *const schema_migrations[] = {
    /*
     * events (event/event_store.h) and meta (store_get, store_put). The row id gives the order of arrival.
     * Each index is paid for at every message: one for the identity, one for "was this accepted before", and
     * a partial one for the outbox, which is empty but for what is still to be reported.
     */
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE events ("
    " id INTEGER PRIMARY KEY,"
    " event_id TEXT NOT NULL UNIQUE,"
    " state INTEGER NOT NULL,"               /* enum event_state; 0 is pending */
    " due_ms INTEGER NOT NULL DEFAULT 0,"    /* pending: not to be tried before */
    " leased_ms INTEGER NOT NULL DEFAULT 0," /* pending: somebody is at it until then */
    " tries INTEGER NOT NULL DEFAULT 0,"
    " message_id TEXT NOT NULL,"
    " cs INTEGER NOT NULL,"
    " dropped_as_bounced INTEGER NOT NULL DEFAULT 0,"
    " source INTEGER NOT NULL," /* enum event_source */
    " timestamp_ms INTEGER NOT NULL,"
    " recipient TEXT NOT NULL DEFAULT '',"
    " sender TEXT NOT NULL DEFAULT '',"
    " queue_id TEXT NOT NULL DEFAULT '',"
    " smtp_code INTEGER NOT NULL DEFAULT 0,"
    " smtp_enhanced_code TEXT NOT NULL DEFAULT '',"
    " smtp_description TEXT NOT NULL DEFAULT '',"
    " tpsp TEXT NOT NULL DEFAULT '',"
    " tpsp_id INTEGER NOT NULL DEFAULT 0,"
    " provider TEXT NOT NULL DEFAULT '',"
    " attempt INTEGER NOT NULL DEFAULT 0);"
    "CREATE INDEX events_message ON events (message_id);"
    "CREATE INDEX events_pending ON events (tpsp, due_ms, id, leased_ms) WHERE state = 0;",
    /*
     * deliveries (policy/retry.h): a row for each message and recipient that has failed and is not through.
     * suppression (policy/suppression.h): by the address itself, so that a look-up is one descent of the
     * tree. dns_cache (policy/dns_cache.h): a fixed number of slots.
     */
    "CREATE TABLE deliveries ("
    " queue_id TEXT NOT NULL,"
    " recipient TEXT NOT NULL,"
    " message_id TEXT NOT NULL,"
    " sender TEXT NOT NULL,"
    " tpsp TEXT NOT NULL,"
    " attempts INTEGER NOT NULL,"
    " due_ms INTEGER NOT NULL,"
    " first_ms INTEGER NOT NULL,"
    " last_ms INTEGER NOT NULL,"
    " smtp_code INTEGER NOT NULL,"
    " smtp_enhanced_code TEXT NOT NULL,"
    " smtp_description TEXT NOT NULL,"
    " PRIMARY KEY (queue_id, recipient)) WITHOUT ROWID;"
    "CREATE INDEX deliveries_last ON deliveries (last_ms);"
    "CREATE TABLE suppression ("
    " address TEXT PRIMARY KEY NOT NULL,"
    " reason INTEGER NOT NULL," /* enum suppression_reason */
    " since_ms INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE dns_cache ("
    " slot INTEGER PRIMARY KEY,"
    " key TEXT NOT NULL,"
    " value TEXT NOT NULL,"
    " expires_ms INTEGER NOT NULL);",
    /* the log agent: position in the log (agent/position.h), queue ids (agent/correlation.h), recipients of
       which more is to come (agent/ledger.h); written in one transaction for each piece of the log */
    "CREATE TABLE log_position ("
    " id INTEGER PRIMARY KEY CHECK (id = 1),"
    " path TEXT NOT NULL,"
    " device INTEGER NOT NULL,"
    " inode INTEGER NOT NULL,"
    " offset INTEGER NOT NULL,"
    " head_length INTEGER NOT NULL,"
    " head_hash INTEGER NOT NULL,"
    " modified_ms INTEGER NOT NULL,"
    " last_ms INTEGER NOT NULL,"
    " cursor TEXT NOT NULL);"
    "CREATE TABLE correlation (block INTEGER PRIMARY KEY, entries BLOB NOT NULL);"
    "CREATE TABLE agent_recipient ("
    " key INTEGER NOT NULL,"
    " waiting INTEGER NOT NULL,"
    " recipient TEXT NOT NULL,"
    " nth INTEGER NOT NULL,"
    " uuid BLOB,"
    " reported_ms INTEGER NOT NULL,"
    " timestamp_ms INTEGER NOT NULL,"
    " cs INTEGER NOT NULL,"
    " queue_id TEXT NOT NULL,"
    " smtp_code INTEGER NOT NULL,"
    " smtp_enhanced_code TEXT NOT NULL,"
    " smtp_description TEXT NOT NULL,"
    " PRIMARY KEY (key, waiting, recipient, nth)) WITHOUT ROWID;",
    /*
     * events with one small index where there were two of 36-byte keys: at a random place of an index every
     * event touches a page of its own, so its size decides what an event costs. identity is a hash
     * (event/event_row.h), which finds both the event and all events of a message; whether an event is there
     * already is asked by who adds it. The outbox is read in its order and not written to, so leases are no
     * longer in its index. The third index holds the few events that the API has refused. An agent of the
     * version before cannot add events any more until it is restarted; it keeps its place in the log.
     */
    "DROP INDEX events_message;"
    "DROP INDEX events_pending;"
    "ALTER TABLE events RENAME TO events_before;"
    "CREATE TABLE events ("
    " id INTEGER PRIMARY KEY,"
    " identity INTEGER NOT NULL DEFAULT 0,"
    " state INTEGER NOT NULL,"
    " due_ms INTEGER NOT NULL DEFAULT 0,"
    " leased_ms INTEGER NOT NULL DEFAULT 0," /* pending: its writer reports it until then, or it was put off
                                              */
    " tries INTEGER NOT NULL DEFAULT 0,"
    " event_id TEXT NOT NULL,"
    " message_id TEXT NOT NULL,"
    " cs INTEGER NOT NULL,"
    " dropped_as_bounced INTEGER NOT NULL DEFAULT 0,"
    " source INTEGER NOT NULL,"
    " timestamp_ms INTEGER NOT NULL,"
    " recipient TEXT NOT NULL DEFAULT '',"
    " sender TEXT NOT NULL DEFAULT '',"
    " queue_id TEXT NOT NULL DEFAULT '',"
    " smtp_code INTEGER NOT NULL DEFAULT 0,"
    " smtp_enhanced_code TEXT NOT NULL DEFAULT '',"
    " smtp_description TEXT NOT NULL DEFAULT '',"
    " tpsp TEXT NOT NULL DEFAULT '',"
    " tpsp_id INTEGER NOT NULL DEFAULT 0,"
    " provider TEXT NOT NULL DEFAULT '',"
    " attempt INTEGER NOT NULL DEFAULT 0);"
    "INSERT INTO events (identity, " EVENT_COLUMNS ") SELECT " SCHEMA_EVENT_IDENTITY ", " EVENT_COLUMNS
    " FROM events_before;"
    "DROP TABLE events_before;"
    "CREATE INDEX events_identity ON events (identity);"
    "CREATE INDEX events_pending ON events (tpsp, due_ms) WHERE state = 0;"
    "CREATE INDEX events_rejected ON events (id) WHERE state = 2;",
};

const int schema_version = (int)(sizeof schema_migrations / sizeof *schema_migrations);
