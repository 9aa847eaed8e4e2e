/*
 * What postsuper, or Postfix's own maximal_queue_lifetime, has taken out of the queue leaves the list of
 * deliveries: nobody comes back for it. Postfix is asked, twice, for a message that moves from one queue
 * directory to another meanwhile may be seen in neither.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/postconf.h"
#include "base/run.h"
#include "base/xalloc.h"
#include "ctl/ctl.h"
#include "ctl/deliveries_queue.h"

#define FRESH_MS 60000 /* one that was just worked on may be where nobody looks */

struct ids {
    char **items;
    size_t count;
    char *text; /* that they are parts of */
};

static void ids_free(struct ids *ids)
{
    free(ids->items);
    free(ids->text);
}

static int compare(const void *one, const void *other)
{
    return strcmp(*(char *const *)one, *(char *const *)other);
}

static bool holds(const struct ids *ids, const char *id)
{
    return bsearch(&id, ids->items, ids->count, sizeof *ids->items, compare) != NULL;
}

/* The queue ids in postqueue(1)'s JSON, a line each: {"queue_name": "deferred", "queue_id": "4bXyz", …} */
static bool read_queue(struct ids *ids_r)
{
    static const char name[] = "\"queue_id\": \"";
    struct run run;
    bool ok = run_program(&run, (const char *const[]){"postqueue", "-j", NULL});

    *ids_r = (struct ids){.text = xstrdup(run.out)};
    run_free(&run);
    for (char *at = ids_r->text; ok && (at = strstr(at, name)) != NULL;) {
        char *id = at + sizeof name - 1, *end = strchr(id, '"');
        if (end == NULL)
            break;
        *end = '\0';
        at = end + 1;
        ids_r->items = xrealloc(ids_r->items, (ids_r->count + 1) * sizeof *ids_r->items);
        ids_r->items[ids_r->count++] = id;
    }
    if (ids_r->count > 0)
        qsort(ids_r->items, ids_r->count, sizeof *ids_r->items, compare);
    return ok;
}

/* With further instances of Postfix their queues would have to be asked, too. Those that postmulti(1) does
 * not know are named, too: without, set-group-id programs such as postqueue(1) refuse their directories. */
static bool has_one_queue(void)
{
    const char *const names[] = {"multi_instance_directories", "alternate_config_directories"};
    char *values[2] = {NULL};
    bool one = postconf_values(NULL, names, 2, values);

    for (size_t i = 0; i < 2; i++) {
        one = one && (values[i] == NULL || *values[i] == '\0');
        free(values[i]);
    }
    return one;
}

/* Of the deliveries, those that are in none of the two; the caller frees. */
static char **list_gone(struct store *store, const struct ids queues[2], size_t *count_r,
                        struct outcome *error_r)
{
    sqlite3_stmt *row =
        store_statement(store, "SELECT DISTINCT queue_id FROM deliveries WHERE last_ms < ?", error_r);
    char **gone = NULL;

    *count_r = 0;
    if (row == NULL)
        return NULL;
    sqlite3_bind_int64(row, 1, clock_realtime_ms() - FRESH_MS);
    while (store_step(store, row, error_r) > 0) {
        const char *id = (const char *)sqlite3_column_text(row, 0);
        if (holds(&queues[0], id) || holds(&queues[1], id))
            continue;
        gone = xrealloc(gone, (*count_r + 1) * sizeof *gone);
        gone[(*count_r)++] = xstrdup(id);
    }
    sqlite3_reset(row);
    return gone;
}

void deliveries_forget_gone(struct store *store)
{
    struct ids queues[2] = {{0}};
    struct outcome ignored;
    size_t count = 0;
    char **gone = NULL;

    if (has_one_queue() && read_queue(&queues[0]) && read_queue(&queues[1]))
        gone = list_gone(store, queues, &count, &ignored);
    for (size_t i = 0; i < count; i++) {
        sqlite3_stmt *forget =
            store_statement(store, "DELETE FROM deliveries WHERE queue_id = ? AND last_ms < ?", &ignored);
        if (forget != NULL) {
            sqlite3_bind_text(forget, 1, gone[i], -1, SQLITE_STATIC);
            sqlite3_bind_int64(forget, 2, clock_realtime_ms() - FRESH_MS);
            store_run(store, forget, &ignored); /* what fails is found again the next time */
            sqlite3_clear_bindings(forget);
        }
        free(gone[i]);
    }
    free(gone);
    ids_free(&queues[0]);
    ids_free(&queues[1]);
}
