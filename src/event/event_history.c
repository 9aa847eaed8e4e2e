/*
 * event_store's part that lists events. It goes from block to block, some thousands of rows: the numbers of
 * those that may be wanted first, then row by row, so that a reader that pauses (a person with a pager) holds
 * no snapshot, and with it the WAL. Blocks that ended before the time in question are not looked at.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "base/xalloc.h"
#include "event/event_index.h"
#include "event/event_row.h"
#include "event/event_store.h"

#define HOUR_MS 3600000
#define STRING_OF(text) #text
#define STRING(macro) STRING_OF(macro)
#define BITS STRING(EVENT_BLOCK_BITS)
#define LAST "4095"
_Static_assert(EVENT_BLOCK_ROWS == 4096, "LAST, and store/schema.sql");

/* Of a block, parameter 1. NOCASE takes more than address_equal() does. */
static const char in_block[] = "SELECT id FROM events WHERE id BETWEEN ?1 << " BITS " AND (?1 << " BITS
                               ") + " LAST " AND timestamp_ms >= ?2"
                               " AND (?3 IS NULL OR recipient = ?3 COLLATE NOCASE) ORDER BY id";

/* Without regard to blocks; states that are rare have an index, which is used for a literal condition only.
 */
static const char of_message[] =
    "SELECT id FROM events WHERE identity BETWEEN ?1 AND ?2 AND message_id = ?3 ORDER BY id";
static const char *const of_state[EVENT_STATE_COUNT] = {
    [EVENT_PENDING] = "SELECT id FROM events INDEXED BY events_pending WHERE state = 0 ORDER BY id",
    [EVENT_REJECTED] = "SELECT id FROM events INDEXED BY events_rejected WHERE state = 2 ORDER BY id",
    [EVENT_LOCAL] = "SELECT id FROM events INDEXED BY events_local WHERE state = 3 ORDER BY id",
};

struct rows {
    int64_t *numbers;
    size_t count, room;
};

static void rows_free(struct rows *rows)
{
    free(rows->numbers);
}

#define AUTO_ROWS __attribute__((cleanup(rows_free)))

static void add_row(struct rows *rows, int64_t number)
{
    if (rows->count == rows->room) {
        rows->room = rows->room > 0 ? 2 * rows->room : 64;
        rows->numbers = xrealloc(rows->numbers, rows->room * sizeof *rows->numbers);
    }
    rows->numbers[rows->count++] = number;
}

static bool collect(struct store *store, sqlite3_stmt *select, struct rows *rows, struct outcome *error_r)
{
    int row;

    rows->count = 0;
    while ((row = store_step(store, select, error_r)) == 1)
        add_row(rows, sqlite3_column_int64(select, 0));
    sqlite3_clear_bindings(select);
    return row == 0;
}

static int read_row(struct store *store, int64_t number, struct event *event, enum event_state *state_r,
                    struct outcome *error_r)
{
    sqlite3_stmt *select =
        store_statement(store, "SELECT " EVENT_ROW_COLUMNS_ID ", state FROM events WHERE id = ?", error_r);

    if (select == NULL)
        return -1;
    sqlite3_bind_int64(select, 1, number);
    int row = store_step(store, select, error_r);
    if (row == 1) {
        event_row_read(select, event);
        *state_r = (enum event_state)sqlite3_column_int(select, EVENT_ROW_COUNT + 1);
    }
    sqlite3_reset(select);
    return row;
}

/* --- what is asked for ---------------------------------------------------------------------------- */

struct listing {
    struct store *store;
    const struct event_filter *filter;
    bool (*see)(void *context, const struct event *event, enum event_state state);
    void *context;
    int64_t indexed; /* the last row whose recipient is in the index */
    bool stopped;
};

static bool is_wanted(const struct event_filter *filter, const struct event *event, enum event_state state)
{
    return event->timestamp_ms >= filter->since_ms && (!filter->by_state || filter->state == state) &&
           (filter->message_id == NULL || strcmp(filter->message_id, event->message_id) == 0) &&
           (filter->recipient == NULL || address_equal(filter->recipient, event->recipient));
}

static bool show(struct listing *listing, const struct rows *rows, struct outcome *error_r)
{
    for (size_t i = 0; i < rows->count && !listing->stopped; i++) {
        enum event_state state = EVENT_PENDING;
        struct event event;
        int row = read_row(listing->store, rows->numbers[i], &event, &state, error_r);
        if (row < 0)
            return false;
        if (row == 1 && is_wanted(listing->filter, &event, state))
            listing->stopped = !listing->see(listing->context, &event, state);
    }
    return true;
}

/* All at once: of a message, or in a state that is rare. NULL: neither; with *error_r set on failure. */
static sqlite3_stmt *select_at_once(const struct listing *listing, struct outcome *error_r)
{
    const struct event_filter *filter = listing->filter;
    sqlite3_stmt *select;

    if (filter->message_id == NULL)
        return store_statement(listing->store, of_state[filter->state], error_r);
    select = store_statement(listing->store, of_message, error_r);
    if (select == NULL)
        return NULL;
    sqlite3_bind_int64(select, 1, event_row_first(filter->message_id));
    sqlite3_bind_int64(select, 2, event_row_last(filter->message_id));
    event_row_bind_text(select, 3, filter->message_id);
    return select;
}

static bool list_at_once(struct listing *listing, struct rows *rows, struct outcome *error_r)
{
    sqlite3_stmt *select = select_at_once(listing, error_r);

    return select != NULL && collect(listing->store, select, rows, error_r);
}

static const char *const behind =
    "SELECT block FROM event_block WHERE block > ?1 AND latest >= ?2 ORDER BY block LIMIT 1";
static const char *const before =
    "SELECT block FROM event_block WHERE block < ?1 AND latest >= ?2 ORDER BY block DESC LIMIT 1";

/* The next block behind or before this one that may hold what is asked for: 1, 0 at the end, -1 with *error_r
 * set. */
static int next_block(const struct listing *listing, const char *where, int64_t *block,
                      struct outcome *error_r)
{
    sqlite3_stmt *find = store_statement(listing->store, where, error_r);

    if (find == NULL)
        return -1;
    sqlite3_bind_int64(find, 1, *block);
    sqlite3_bind_int64(find, 2, listing->filter->since_ms / HOUR_MS);
    int row = store_step(listing->store, find, error_r);
    if (row == 1)
        *block = sqlite3_column_int64(find, 0);
    sqlite3_reset(find);
    return row;
}

static bool read_block(struct listing *listing, int64_t block, struct rows *rows, struct outcome *error_r)
{
    const struct event_filter *filter = listing->filter;
    sqlite3_stmt *select = store_statement(listing->store, in_block, error_r);

    if (select == NULL)
        return false;
    sqlite3_bind_int64(select, 1, block);
    sqlite3_bind_int64(select, 2, filter->since_ms);
    if (filter->recipient != NULL)
        event_row_bind_text(select, 3, filter->recipient);
    return collect(listing->store, select, rows, error_r);
}

/* The rows of a block that may be wanted. */
static bool list_block(struct listing *listing, int64_t block, struct rows *rows, struct outcome *error_r)
{
    const char *recipient = listing->filter->recipient;

    if (recipient == NULL || (block << EVENT_BLOCK_BITS) + EVENT_BLOCK_ROWS > listing->indexed)
        return read_block(listing, block, rows, error_r);
    ssize_t count =
        event_index_block(listing->store, EVENT_WORD_RECIPIENT, recipient, block, rows->numbers, error_r);
    rows->count = count > 0 ? (size_t)count : 0;
    return count >= 0;
}

/* Whether all that is wanted is found at once. */
static bool is_at_once(const struct event_filter *filter)
{
    return filter->message_id != NULL ||
           (filter->by_state && filter->recipient == NULL && of_state[filter->state] != NULL);
}

/* What one block may hold, and the last row whose recipient is in the index. */
static bool begin_blocks(struct listing *listing, struct rows *rows, struct outcome *error_r)
{
    *rows = (struct rows){xmalloc(EVENT_BLOCK_ROWS * sizeof *rows->numbers), 0, EVENT_BLOCK_ROWS};
    return listing->filter->recipient == NULL ||
           (listing->indexed = event_index_end(listing->store, error_r)) >= 0;
}

bool event_store_each(struct store *store, const struct event_filter *filter,
                      bool (*see)(void *context, const struct event *event, enum event_state state),
                      void *context, struct outcome *error_r)
{
    struct listing listing = {.store = store, .filter = filter, .see = see, .context = context};
    AUTO_ROWS struct rows rows = {0};
    int64_t block = -1;
    int more = 1;

    if (is_at_once(filter))
        return list_at_once(&listing, &rows, error_r) && show(&listing, &rows, error_r);
    if (!begin_blocks(&listing, &rows, error_r))
        return false;
    while (!listing.stopped && (more = next_block(&listing, behind, &block, error_r)) == 1)
        if (!list_block(&listing, block, &rows, error_r) || !show(&listing, &rows, error_r))
            return false;
    return more >= 0;
}

/* Of these rows those that are wanted, from the last one on, until there are so many. */
static bool take_last(struct listing *listing, const struct rows *rows, size_t limit, struct rows *last,
                      struct outcome *error_r)
{
    for (size_t i = rows->count; i-- > 0 && last->count < limit;) {
        enum event_state state = EVENT_PENDING;
        struct event event;
        int row = read_row(listing->store, rows->numbers[i], &event, &state, error_r);
        if (row < 0)
            return false;
        if (row == 1 && is_wanted(listing->filter, &event, state))
            add_row(last, rows->numbers[i]);
    }
    return true;
}

static bool find_last(struct listing *listing, size_t limit, struct rows *last, struct outcome *error_r)
{
    AUTO_ROWS struct rows rows = {0};
    int64_t block = INT64_MAX;
    int more = 1;

    if (is_at_once(listing->filter))
        return list_at_once(listing, &rows, error_r) && take_last(listing, &rows, limit, last, error_r);
    if (!begin_blocks(listing, &rows, error_r))
        return false;
    while (last->count < limit && (more = next_block(listing, before, &block, error_r)) == 1)
        if (!list_block(listing, block, &rows, error_r) || !take_last(listing, &rows, limit, last, error_r))
            return false;
    return more >= 0;
}

bool event_store_last(struct store *store, const struct event_filter *filter, size_t limit,
                      bool (*see)(void *context, const struct event *event, enum event_state state),
                      void *context, struct outcome *error_r)
{
    struct listing listing = {.store = store, .filter = filter, .see = see, .context = context};
    AUTO_ROWS struct rows last = {0};

    if (!find_last(&listing, limit, &last, error_r))
        return false;
    for (size_t i = 0, end = last.count; i + 1 < end; i++) { /* into their order */
        int64_t number = last.numbers[i];
        last.numbers[i] = last.numbers[--end];
        last.numbers[end] = number;
    }
    return show(&listing, &last, error_r);
}

int64_t event_store_newest(struct store *store, struct outcome *error_r)
{
    sqlite3_stmt *select = store_statement(store, "SELECT ifnull(max(id), 0) FROM events", error_r);

    int row = select == NULL ? -1 : store_step(store, select, error_r);
    int64_t number = row == 1 ? sqlite3_column_int64(select, 0) : -1;
    if (row == 1)
        sqlite3_reset(select);
    return number;
}

int64_t event_store_behind(struct store *store, const struct event_filter *filter, int64_t number,
                           bool (*see)(void *context, const struct event *event, enum event_state state),
                           void *context, struct outcome *error_r)
{
    struct listing listing = {.store = store, .filter = filter, .see = see, .context = context};
    sqlite3_stmt *select =
        store_statement(store, "SELECT id FROM events WHERE id > ? ORDER BY id LIMIT 1000", error_r);
    AUTO_ROWS struct rows rows = {0};

    if (select == NULL)
        return -1;
    sqlite3_bind_int64(select, 1, number);
    if (!collect(store, select, &rows, error_r) || !show(&listing, &rows, error_r))
        return -1;
    return rows.count > 0 ? rows.numbers[rows.count - 1] : number;
}
