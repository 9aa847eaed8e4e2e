-- The tables of state.db, as a new file gets them. What a table means belongs to the module named beside it.
-- Times are milliseconds since 1970 (clock_realtime_ms()).
-- Nothing is released yet: tables and columns are added here, in place, and SCHEMA_VERSION (store/schema.h)
-- stays 1. From the first release on a file of an older version has to be brought along.

-- store_get(), store_put()
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- event/event_store.h and event/event_outbox.h. The row id gives the order of arrival.
-- At a random place of an index every event touches a page of its own, so that the size of an index decides
-- what an event costs: the identity is a hash (event/event_row.h), which finds both an event and all events of
-- a message, and whoever adds an event asks first whether it is there.
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    identity INTEGER NOT NULL,
    -- enum event_state; 0 is pending
    state INTEGER NOT NULL,
    -- pending: its place in the outbox, and not to be tried before: until then its writer reports it
    due_ms INTEGER NOT NULL DEFAULT 0,
    -- pending and tried in vain: not to be tried again before; its place stays
    put_off_ms INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    event_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    -- enum event_cs
    cs INTEGER NOT NULL,
    other_word INTEGER NOT NULL DEFAULT 0,
    -- enum event_source
    source INTEGER NOT NULL,
    timestamp_ms INTEGER NOT NULL,
    recipient TEXT NOT NULL DEFAULT '',
    sender TEXT NOT NULL DEFAULT '',
    queue_id TEXT NOT NULL DEFAULT '',
    smtp_code INTEGER NOT NULL DEFAULT 0,
    smtp_enhanced_code TEXT NOT NULL DEFAULT '',
    smtp_description TEXT NOT NULL DEFAULT '',
    tpsp TEXT NOT NULL DEFAULT '',
    tpsp_id INTEGER NOT NULL DEFAULT 0,
    provider TEXT NOT NULL DEFAULT '',
    attempt INTEGER NOT NULL DEFAULT 0,
    -- of the message itself, for people; not reported
    header_message_id TEXT NOT NULL DEFAULT '',
    subject TEXT NOT NULL DEFAULT ''
);
CREATE INDEX events_identity ON events (identity);
-- The outbox is read in its order. What an attempt writes is not in the index.
CREATE INDEX events_pending ON events (tpsp, due_ms) WHERE state = 0;
-- the few that the API has refused, and what is kept here only where most is reported
CREATE INDEX events_rejected ON events (id) WHERE state = 2;
CREATE INDEX events_local ON events (id) WHERE state = 3;
-- deliveries that failed (CSSent and CSDelivered did not), for the latest of them
CREATE INDEX events_failed ON events (timestamp_ms) WHERE source = 0 AND cs NOT IN (59, 60);

-- event/event_history.h: the latest event of each block (event/event_index.h), in hours since 1970, so that older blocks are not looked at. It is
-- written when a block or an hour begins.
CREATE TABLE event_block (
    block INTEGER PRIMARY KEY,
    latest INTEGER NOT NULL
);
CREATE TRIGGER event_blocked AFTER INSERT ON events BEGIN
    INSERT INTO event_block VALUES (new.id >> 12, new.timestamp_ms / 3600000)
    ON CONFLICT (block) DO UPDATE SET latest = excluded.latest WHERE excluded.latest > latest;
END;

-- event/event_tally.c: what became of messages in which minute since 1970, of those with a TPSP by TPSP and provider
CREATE TABLE tally (
    minute INTEGER NOT NULL,
    tpsp TEXT NOT NULL,
    provider TEXT NOT NULL,
    -- enum event_cs
    cs INTEGER NOT NULL,
    count INTEGER NOT NULL,
    -- of these, how many took a slot of the TPSP's limits: it was reached
    used INTEGER NOT NULL,
    PRIMARY KEY (minute, tpsp, provider, cs)
) WITHOUT ROWID;
CREATE TRIGGER event_tallied AFTER INSERT ON events BEGIN
    INSERT INTO tally VALUES (new.timestamp_ms / 60000, new.tpsp, new.provider, new.cs, 1,
        new.source = 0 AND new.tpsp <> '' AND (new.cs IN (59, 60) OR new.smtp_code > 0))
    ON CONFLICT (minute, tpsp, provider, cs) DO UPDATE SET count = count + 1, used = used + excluded.used;
END;

-- event/event_index.h: made behind the events, a block of them at a time
CREATE TABLE event_words (
    -- the block, above a hash
    word INTEGER NOT NULL,
    event INTEGER NOT NULL,
    PRIMARY KEY (word, event)
) WITHOUT ROWID;

-- policy/retry.h: a row for each message and recipient that has failed, or is held, and is not through
CREATE TABLE deliveries (
    queue_id TEXT NOT NULL,
    recipient TEXT NOT NULL,
    message_id TEXT NOT NULL,
    sender TEXT NOT NULL,
    tpsp TEXT NOT NULL,
    -- those that count; 0 for one that has only been held so far
    attempts INTEGER NOT NULL,
    -- 1: it waits for trouble that is not the message's (policy/standing.h)
    held INTEGER NOT NULL DEFAULT 0,
    due_ms INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    smtp_code INTEGER NOT NULL,
    smtp_enhanced_code TEXT NOT NULL,
    smtp_description TEXT NOT NULL,
    PRIMARY KEY (queue_id, recipient)
) WITHOUT ROWID;
CREATE INDEX deliveries_last ON deliveries (last_ms);
CREATE INDEX deliveries_held ON deliveries (tpsp) WHERE held = 1;

-- policy/standing.h
CREATE TABLE standing (
    tpsp TEXT PRIMARY KEY,
    -- host, port and security that the rest is true of
    endpoint TEXT NOT NULL,
    greeted_ms INTEGER NOT NULL,
    -- 0: mail is not held
    held_ms INTEGER NOT NULL,
    -- enum outcome_cause
    held_cause INTEGER NOT NULL,
    held_text TEXT NOT NULL,
    held_mend TEXT NOT NULL
) WITHOUT ROWID;

-- delivery/intent.h: a row for each delivery from before its MAIL until its outcome is on record
CREATE TABLE intents (
    key INTEGER PRIMARY KEY,
    queue_id TEXT NOT NULL,
    recipient TEXT NOT NULL,
    message_id TEXT NOT NULL,
    -- size and hash of the bytes on standard input
    content TEXT NOT NULL,
    boot INTEGER NOT NULL,
    begun_ms INTEGER NOT NULL
);

-- policy/suppression.h: by the address itself, so that a look-up is one descent of the tree
CREATE TABLE suppression (
    address TEXT PRIMARY KEY NOT NULL,
    -- enum suppression_reason
    reason INTEGER NOT NULL,
    since_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- policy/suppression_journal.h: the last change of each address, for those who share the list: a removal is remembered here
CREATE TABLE suppression_change (
    -- never used again, so that who has seen one knows what he has not seen
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    address TEXT NOT NULL UNIQUE,
    reason INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL,
    -- who made it; empty: this host
    origin TEXT NOT NULL DEFAULT '',
    -- 1: it came from the hosts of the cluster, who know it
    heard INTEGER NOT NULL DEFAULT 0
);
CREATE TRIGGER suppression_added AFTER INSERT ON suppression BEGIN
    INSERT OR REPLACE INTO suppression_change (address, reason, since_ms, removed, changed_ms)
    VALUES (new.address, new.reason, new.since_ms, 0, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER));
END;
CREATE TRIGGER suppression_removed AFTER DELETE ON suppression BEGIN
    INSERT OR REPLACE INTO suppression_change (address, reason, since_ms, removed, changed_ms)
    VALUES (old.address, old.reason, old.since_ms, 1, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER));
END;
-- ... and without regard to case
CREATE INDEX suppression_by_folded_address ON suppression (address COLLATE NOCASE);

-- sendpost/sync_store.h: what SendPost's list is known to hold, by address in lower case, and in which pass it was last seen
CREATE TABLE sendpost_suppression (
    address TEXT PRIMARY KEY NOT NULL,
    -- enum suppression_reason
    reason INTEGER NOT NULL,
    created_ns INTEGER NOT NULL,
    seen INTEGER NOT NULL
) WITHOUT ROWID;
-- the sender domains of the account, and the name below them that bounces go to
CREATE TABLE sendpost_domain (
    name TEXT PRIMARY KEY NOT NULL,
    host TEXT NOT NULL,
    target TEXT NOT NULL,
    verified INTEGER NOT NULL,
    seen INTEGER NOT NULL
) WITHOUT ROWID;

-- policy/dns_cache.h: a fixed number of slots
CREATE TABLE dns_cache (
    slot INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    expires_ms INTEGER NOT NULL
);

-- The log agent writes the following four in one transaction for each piece of the log.
-- agent/position.h: how far the log is read
CREATE TABLE log_position (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    path TEXT NOT NULL,
    device INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    head_length INTEGER NOT NULL,
    head_hash INTEGER NOT NULL,
    modified_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    cursor TEXT NOT NULL
);

-- postlog/log_pieces.h: lines of which the end is still to come
CREATE TABLE log_piece (
    -- 0 standard output, 1 standard error
    stream INTEGER PRIMARY KEY,
    text BLOB NOT NULL
);

-- agent/correlation.h: queue ids and what is known of them
CREATE TABLE correlation (
    block INTEGER PRIMARY KEY,
    entries BLOB NOT NULL
);

-- agent/ledger.h: recipients of which more is to come
CREATE TABLE agent_recipient (
    key INTEGER NOT NULL,
    waiting INTEGER NOT NULL,
    recipient TEXT NOT NULL,
    nth INTEGER NOT NULL,
    uuid BLOB,
    reported_ms INTEGER NOT NULL,
    timestamp_ms INTEGER NOT NULL,
    cs INTEGER NOT NULL,
    queue_id TEXT NOT NULL,
    smtp_code INTEGER NOT NULL,
    smtp_enhanced_code TEXT NOT NULL,
    smtp_description TEXT NOT NULL,
    PRIMARY KEY (key, waiting, recipient, nth)
) WITHOUT ROWID;
