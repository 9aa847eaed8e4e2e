#include "trace/backlog.h"

#include <ctype.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/redact.h"
#include "base/utf8.h"
#include "base/xalloc.h"
#include "policy/limit_words.h"

const char *backlog_wait_name(enum backlog_wait wait)
{
    static const char *const names[BACKLOG_WAITS] = {"moving",  "rate", "suspended", "alone",
                                                     "attempt", "held", "stopped",   "other"};

    return names[wait];
}

const char *backlog_wait_text(enum backlog_wait wait, uint64_t count)
{
    static const char *const one[BACKLOG_WAITS] = {"is on its way",
                                                   "waits for a rate",
                                                   "waits for what is suspended",
                                                   "waits for a TPSP that is left alone after failures",
                                                   "waits for its next attempt",
                                                   "waits for trouble to be mended that is not its own",
                                                   "is on hold, where somebody has put it (postsuper -H)",
                                                   "waits for something else"};
    static const char *const more[BACKLOG_WAITS] = {"are on their way",
                                                    "wait for a rate",
                                                    "wait for what is suspended",
                                                    "wait for a TPSP that is left alone after failures",
                                                    "wait for their next attempt",
                                                    "wait for trouble to be mended that is not their own",
                                                    "are on hold, where somebody has put them (postsuper -H)",
                                                    "wait for something else"};

    return count == 1 ? one[wait] : more[wait];
}

static const char *text_of(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;

    json_object_object_get_ex(object, key, &value);
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

/* --- reasons ----------------------------------------------------------------------------------------- */

/* The same for reasons that differ in numbers and addresses alone (FNV-1a). */
static uint64_t reason_key(const char *reason)
{
    AUTO_FREE char *text = redact_text(reason, strlen(reason));
    uint64_t key = UINT64_C(14695981039346656037);

    for (const char *at = text; *at != '\0'; at++)
        if (!isdigit((unsigned char)*at))
            key = (key ^ (unsigned char)*at) * UINT64_C(1099511628211);
    return key;
}

/* Where there is no room for one more it is only counted among the others. */
static void note_reason(struct backlog *backlog, const char *reason)
{
    uint64_t key = reason_key(reason);
    size_t i = 0;

    while (i < backlog->reason_count && backlog->reasons[i].key != key)
        i++;
    if (i == BACKLOG_REASONS)
        return;
    struct backlog_reason *found = &backlog->reasons[i];
    if (i == backlog->reason_count) {
        backlog->reason_count++;
        found->key = key;
        utf8_clean(found->text, sizeof found->text, reason, strlen(reason));
    }
    found->count++;
}

static int by_count(const void *one, const void *other)
{
    const struct backlog_reason *a = one, *b = other;

    return a->count < b->count ? 1 : a->count > b->count ? -1 : 0;
}

/* --- recipients -------------------------------------------------------------------------------------- */

/* 1: it is on the retry ladder. */
static int look_up(struct store *store, const char *queue_id, const char *recipient, bool *held_r,
                   int64_t *due_ms_r, struct outcome *error_r)
{
    sqlite3_stmt *row = store_statement(
        store, "SELECT held, due_ms FROM deliveries WHERE queue_id = ? AND recipient = ?", error_r);

    if (row == NULL)
        return -1;
    sqlite3_bind_text(row, 1, queue_id, -1, SQLITE_STATIC);
    sqlite3_bind_text(row, 2, recipient, -1, SQLITE_STATIC);
    int found = store_step(store, row, error_r);
    if (found == 1) {
        *held_r = sqlite3_column_int(row, 0) != 0;
        *due_ms_r = sqlite3_column_int64(row, 1);
    }
    sqlite3_reset(row);
    sqlite3_clear_bindings(row);
    return found;
}

/*
 * The reason comes before the ladder: mail whose attempt is due, and that waits for a rate since, has both.
 * That it is held is said by the ladder alone.
 */
static bool note_deferred(struct backlog *backlog, struct store *store, const char *queue_id,
                          const char *recipient, const char *reason, struct outcome *error_r)
{
    bool held = false;
    int64_t due_ms = 0;
    int listed = store == NULL ? 0 : look_up(store, queue_id, recipient, &held, &due_ms, error_r);
    enum backlog_wait wait = listed == 1 && held           ? BACKLOG_HELD
                             : limit_words_suspend(reason) ? BACKLOG_SUSPENDED
                             : limit_words_alone(reason)   ? BACKLOG_ALONE
                             : limit_words_defer(reason)   ? BACKLOG_RATE
                             : listed == 1                 ? BACKLOG_ATTEMPT
                                                           : BACKLOG_OTHER;

    if (listed < 0)
        return false;
    backlog->recipients[wait]++;
    if (wait == BACKLOG_ATTEMPT && (backlog->next_ms == 0 || due_ms < backlog->next_ms))
        backlog->next_ms = due_ms;
    if (wait == BACKLOG_OTHER && *reason != '\0')
        note_reason(backlog, reason);
    return true;
}

static bool note_message(struct backlog *backlog, struct store *store, struct json_object *message,
                         struct outcome *error_r)
{
    const char *queue = text_of(message, "queue_name"), *queue_id = text_of(message, "queue_id");
    struct json_object *arrival = NULL, *recipients = NULL;
    int64_t arrival_ms = 0;
    bool ok = true;

    backlog->messages++;
    if (json_object_object_get_ex(message, "arrival_time", &arrival))
        arrival_ms = json_object_get_int64(arrival) * 1000;
    if (arrival_ms > 0 && (backlog->oldest_ms == 0 || arrival_ms < backlog->oldest_ms))
        backlog->oldest_ms = arrival_ms;
    if (!json_object_object_get_ex(message, "recipients", &recipients) ||
        !json_object_is_type(recipients, json_type_array))
        return true;
    for (size_t i = 0; ok && i < json_object_array_length(recipients); i++) {
        struct json_object *recipient = json_object_array_get_idx(recipients, i);
        if (strcmp(queue, "hold") == 0)
            backlog->recipients[BACKLOG_STOPPED]++;
        else if (strcmp(queue, "deferred") != 0)
            backlog->recipients[BACKLOG_MOVING]++;
        else
            ok = note_deferred(backlog, store, queue_id, text_of(recipient, "address"),
                               text_of(recipient, "delay_reason"), error_r);
    }
    return ok;
}

bool backlog_read(struct backlog *backlog_r, struct store *store, const char *queue, bool whole,
                  int64_t until_ms, struct outcome *error_r)
{
    struct json_tokener *parser = json_tokener_new();
    bool ok = true;

    *backlog_r = (struct backlog){.complete = whole};
    for (const char *at = queue; ok && *at != '\0';) {
        size_t length = strcspn(at, "\n");
        if (clock_monotonic_ms() > until_ms) {
            backlog_r->complete = false;
            break;
        }
        json_tokener_reset(parser);
        struct json_object *message = json_tokener_parse_ex(parser, at, (int)length);
        if (json_object_is_type(message, json_type_object))
            ok = note_message(backlog_r, store, message, error_r);
        json_object_put(message);
        at += length + (at[length] == '\n');
    }
    json_tokener_free(parser);
    qsort(backlog_r->reasons, backlog_r->reason_count, sizeof backlog_r->reasons[0], by_count);
    return ok;
}
