/*
 * Words are hashes of 32 bits behind the number of the block: those of a block lie together, and a block is
 * written in the order of its words. A recipient has its domain's 16 bits in front, so that one entry serves
 * both. Whoever finds an event by a hash compares the words themselves.
 */
#include "event/event_index.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "event/event_row.h"

#define WORDS 4                   /* of an event */
#define UNINDEXED 20000           /* read through at most */
#define SWEPT "500"               /* in one transaction; others wait meanwhile */
#define TURN 1000                 /* words that are written in one */
#define POSITION "events.indexed" /* store_get(): the last row in the index */

/* --- words -------------------------------------------------------------------------------------- */

/* FNV-1a, in lower case. */
static uint32_t hash(const char *text, size_t length)
{
    uint32_t value = 2166136261u;

    for (size_t i = 0; i < length; i++)
        value = (value ^ (uint32_t)tolower((unsigned char)text[i])) * 16777619u;
    return value;
}

static const char *domain_of(const char *recipient)
{
    const char *at = strrchr(recipient, '@');

    return at != NULL ? at + 1 : "";
}

static uint32_t domain_word(const char *domain)
{
    uint32_t value = hash(domain, strlen(domain));

    return (value ^ value << 16) & 0xffff0000u;
}

static uint32_t recipient_word(const char *recipient)
{
    uint32_t value = hash(recipient, strlen(recipient));

    return domain_word(domain_of(recipient)) | ((value ^ value >> 16) & 0xffffu);
}

/* Without its angle brackets. */
static const char *bare(const char *id, size_t *length_r)
{
    size_t length = strlen(id);

    if (length >= 2 && id[0] == '<' && id[length - 1] == '>') {
        id++;
        length -= 2;
    }
    *length_r = length;
    return id;
}

static uint32_t id_word(const char *id)
{
    size_t length;
    const char *inner = bare(id, &length);

    return hash(inner, length);
}

static bool is_same_id(const char *one, const char *other)
{
    size_t length, other_length;

    one = bare(one, &length);
    other = bare(other, &other_length);
    return length == other_length && strncasecmp(one, other, length) == 0;
}

static bool has_word(enum event_word word, const char *text, const struct event *event,
                     const struct event_mail *mail)
{
    switch (word) {
    case EVENT_WORD_QUEUE_ID:
        return strcasecmp(text, event->queue_id) == 0;
    case EVENT_WORD_RECIPIENT:
        return strcasecmp(text, event->recipient) == 0;
    case EVENT_WORD_DOMAIN:
        return strcasecmp(text, domain_of(event->recipient)) == 0;
    case EVENT_WORD_HEADER_MESSAGE_ID:
        return *mail->message_id != '\0' && is_same_id(text, mail->message_id);
    case EVENT_WORD_UUID:
        return strncasecmp(text, event->message_id, strlen(text)) == 0;
    }
    return false;
}

/* --- numbers of rows -------------------------------------------------------------------------------- */

static bool first_and_last(struct store *store, int64_t *first_r, int64_t *last_r, struct outcome *error_r)
{
    sqlite3_stmt *ends = store_statement(
        store, "SELECT (SELECT ifnull(min(id), 1) FROM events), (SELECT ifnull(max(id), 0) FROM events)",
        error_r);

    if (ends == NULL || store_step(store, ends, error_r) != 1)
        return false;
    *first_r = sqlite3_column_int64(ends, 0);
    *last_r = sqlite3_column_int64(ends, 1);
    sqlite3_reset(ends);
    return true;
}

/* The last row in the index; 0 where it is that of another file, or of one whose events are all gone: row
 * ids begin anew then. */
static int64_t indexed(struct store *store, int64_t last)
{
    int64_t position = (int64_t)store_get_number(store, POSITION);

    return position <= last ? position : 0;
}

/* --- making it ---------------------------------------------------------------------------------- */

static int by_word(const void *one, const void *other)
{
    const int64_t *a = one, *b = other;

    return a[0] != b[0] ? (a[0] > b[0] ? 1 : -1) : (a[1] > b[1]) - (a[1] < b[1]);
}

/* The words of the rows behind position, to the end of their block. Pairs of word and row. */
static ssize_t read_words(struct store *store, int64_t position, int64_t last, int64_t *pairs,
                          struct outcome *error_r)
{
    sqlite3_stmt *rows = store_statement(store,
                                         "SELECT id, queue_id, recipient, message_id, header_message_id"
                                         " FROM events WHERE id > ? AND id <= ?",
                                         error_r);
    ssize_t count = 0;
    int row;

    if (rows == NULL)
        return -1;
    sqlite3_bind_int64(rows, 1, position);
    sqlite3_bind_int64(rows, 2, last);
    while ((row = store_step(store, rows, error_r)) == 1) {
        int64_t id = sqlite3_column_int64(rows, 0), block = id >> EVENT_BLOCK_BITS << 32;
        const char *queue_id = (const char *)sqlite3_column_text(rows, 1);
        const char *recipient = (const char *)sqlite3_column_text(rows, 2);
        const char *uuid = (const char *)sqlite3_column_text(rows, 3);
        const char *header_id = (const char *)sqlite3_column_text(rows, 4);
        const struct {
            bool has;
            uint32_t word;
        } words[WORDS] = {{*queue_id != '\0', hash(queue_id, strlen(queue_id))},
                          {*recipient != '\0', recipient_word(recipient)},
                          {*uuid != '\0', hash(uuid, strnlen(uuid, EVENT_WORD_UUID_MIN))},
                          {*header_id != '\0', id_word(header_id)}};
        for (size_t i = 0; i < WORDS; i++)
            if (words[i].has) {
                pairs[2 * count] = block | words[i].word;
                pairs[2 * count++ + 1] = id;
            }
    }
    return row < 0 ? -1 : count;
}

static bool write_turn(struct store *store, const int64_t *pairs, ssize_t count, struct outcome *error_r)
{
    sqlite3_stmt *insert =
        store_statement(store, "INSERT OR IGNORE INTO event_words (word, event) VALUES (?, ?)", error_r);

    for (ssize_t i = 0; insert != NULL && i < count; i++) {
        sqlite3_bind_int64(insert, 1, pairs[2 * i]);
        sqlite3_bind_int64(insert, 2, pairs[2 * i + 1]);
        if (!store_run(store, insert, error_r))
            return false;
    }
    return insert != NULL;
}

/* In turns, so that nobody waits long; the position comes with the last of them. Where it ends before, some
 * words are written once more the next time. */
static bool write_words(struct store *store, const int64_t *pairs, ssize_t count, int64_t position,
                        struct outcome *error_r)
{
    const sqlite3 *file = store_handle(store);
    char number[24];

    snprintf(number, sizeof number, "%lld", (long long)position);
    for (ssize_t at = 0;; at += TURN) {
        bool last = at + TURN >= count;
        if (!store_begin(store, STORE_NORMAL, error_r))
            return false;
        if (store_handle(store) != file) { /* the store has another one now, where nothing of this belongs */
            store_rollback(store);
            return true;
        }
        if (!write_turn(store, pairs + 2 * at, last ? count - at : TURN, error_r) ||
            (last && !store_put(store, POSITION, number, error_r))) {
            store_rollback(store);
            return false;
        }
        if (!store_commit(store, error_r))
            return false;
        if (last)
            return true;
        store_give_way();
    }
}

/* One block, or what there is of it. *more_r: there may be another one. */
static bool index_block(struct store *store, int64_t *pairs, bool *more_r, struct outcome *error_r)
{
    int64_t first, last;

    *more_r = false;
    if (!first_and_last(store, &first, &last, error_r))
        return false;
    int64_t position = indexed(store, last);
    if (position < first - 1)
        position = first - 1;
    if (position == last)
        return true;
    int64_t end = ((position + 1) | (EVENT_BLOCK_ROWS - 1));
    *more_r = end < last;
    if (end > last)
        end = last;
    ssize_t count = read_words(store, position, end, pairs, error_r);
    if (count < 0)
        return false;
    qsort(pairs, (size_t)count, 2 * sizeof *pairs, by_word);
    return write_words(store, pairs, count, end, error_r);
}

bool event_index_catch_up(struct store *store, int64_t until_ms, struct outcome *error_r)
{
    AUTO_FREE int64_t *pairs = xmalloc(2 * WORDS * EVENT_BLOCK_ROWS * sizeof *pairs);
    int64_t first, last;
    bool more = true;

    if (!first_and_last(store, &first, &last, error_r))
        return false;
    while (more) {
        if (!index_block(store, pairs, &more, error_r))
            return false;
        /* what comes meanwhile is for the next time */
        more = more && (int64_t)store_get_number(store, POSITION) < last && clock_monotonic_ms() < until_ms;
    }
    return true;
}

bool event_index_sweep(struct store *store, int64_t until_ms, struct outcome *error_r)
{
    sqlite3_stmt *sweep =
        store_statement(store,
                        "DELETE FROM event_words WHERE word <= (SELECT max(word) FROM (SELECT word FROM"
                        " event_words WHERE word < ?1 ORDER BY word LIMIT " SWEPT "))",
                        error_r);
    int64_t first, last;

    if (sweep == NULL || !first_and_last(store, &first, &last, error_r))
        return false;
    sqlite3_bind_int64(sweep, 1, first >> EVENT_BLOCK_BITS << 32);
    while (store_run(store, sweep, error_r)) {
        if (sqlite3_changes(store_handle(store)) == 0 || clock_monotonic_ms() >= until_ms)
            return true;
        store_give_way();
    }
    return false;
}

/* --- asking it ---------------------------------------------------------------------------------- */

struct search {
    struct store *store;
    enum event_word word;
    const char *text;
    uint32_t low, high; /* of the hash */
    bool (*see)(void *context, const struct event *event, enum event_state state,
                const struct event_mail *mail);
    void *context;
};

static void set_range(struct search *search)
{
    const char *text = search->text;

    if (search->word == EVENT_WORD_DOMAIN) {
        search->low = domain_word(text);
        search->high = search->low | 0xffffu;
        return;
    }
    search->low = search->high = search->word == EVENT_WORD_RECIPIENT           ? recipient_word(text)
                                 : search->word == EVENT_WORD_HEADER_MESSAGE_ID ? id_word(text)
                                 : search->word == EVENT_WORD_UUID
                                     ? hash(text, strnlen(text, EVENT_WORD_UUID_MIN))
                                     : hash(text, strlen(text));
}

/* 1: go on, 0: see() has seen enough, -1: *error_r is set. */
static int look_at(struct search *search, int64_t row, struct outcome *error_r)
{
    struct event event;
    struct event_mail mail;
    enum event_state state;
    int found = event_store_read(search->store, row, &event, &state, &mail, error_r);

    if (found < 0)
        return -1;
    return found == 0 || !has_word(search->word, search->text, &event, &mail) ||
           search->see(search->context, &event, state, &mail);
}

/* Rows of this block, in order, into an array of EVENT_BLOCK_ROWS. */
static ssize_t rows_of_block(struct search *search, int64_t block, int64_t *rows, struct outcome *error_r)
{
    sqlite3_stmt *select = store_statement(search->store,
                                           "SELECT DISTINCT event FROM event_words"
                                           " WHERE word BETWEEN ? AND ? ORDER BY event",
                                           error_r);
    ssize_t count = 0;
    int row = -1;

    if (select == NULL)
        return -1;
    sqlite3_bind_int64(select, 1, block << 32 | search->low);
    sqlite3_bind_int64(select, 2, block << 32 | search->high);
    while (count < EVENT_BLOCK_ROWS && (row = store_step(search->store, select, error_r)) == 1)
        rows[count++] = sqlite3_column_int64(select, 0);
    sqlite3_reset(select);
    return row < 0 ? -1 : count;
}

bool event_index_each(struct store *store, enum event_word word, const char *text, int64_t until_ms,
                      bool (*see)(void *context, const struct event *event, enum event_state state,
                                  const struct event_mail *mail),
                      void *context, bool *complete_r, struct outcome *error_r)
{
    struct search search = {.store = store, .word = word, .text = text, .see = see, .context = context};
    AUTO_FREE int64_t *rows = xmalloc(EVENT_BLOCK_ROWS * sizeof *rows);
    int64_t first, last;
    int go_on = 1;
    bool ignored, *complete = complete_r != NULL ? complete_r : &ignored;

    if (!first_and_last(store, &first, &last, error_r))
        return false;
    set_range(&search);
    int64_t position = indexed(store, last), tail = last - UNINDEXED;
    *complete = tail <= position;
    for (int64_t row = last; row > position && row > tail && go_on == 1; row--)
        go_on = look_at(&search, row, error_r);
    for (int64_t block = position >> EVENT_BLOCK_BITS; block >= first >> EVENT_BLOCK_BITS && go_on == 1;
         block--) {
        ssize_t count = rows_of_block(&search, block, rows, error_r);
        if (count < 0)
            return false;
        while (count > 0 && go_on == 1)
            go_on = look_at(&search, rows[--count], error_r);
        if (clock_monotonic_ms() >= until_ms && go_on == 1) {
            *complete = false;
            break;
        }
    }
    return go_on >= 0;
}

int64_t event_index_end(struct store *store, struct outcome *error_r)
{
    int64_t first, last;

    return first_and_last(store, &first, &last, error_r) ? indexed(store, last) : -1;
}

ssize_t event_index_block(struct store *store, enum event_word word, const char *text, int64_t block,
                          int64_t *rows_r, struct outcome *error_r)
{
    struct search search = {.store = store, .word = word, .text = text};

    set_range(&search);
    return rows_of_block(&search, block, rows_r, error_r);
}
