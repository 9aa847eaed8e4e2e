/*
 * sendpostctl events -f. The store is opened anew for each look, to read only: so nobody who has mail in hand
 * waits for us, and a store that was replaced is seen. What is read is behind the last row that was looked
 * at; in another store (its rows have other numbers, and those that were salvaged come once more) it is what
 * is about as new as the last that was shown, or newer, and was not shown already.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "ctl/events.h"
#include "ctl/follow.h"
#include "ctl/people.h"

#define EVERY_MS 500
#define TURN_MS 5000      /* for one look */
#define PATIENCE_MS 10000 /* before a store that cannot be read is told of */
#define REMEMBERED 8192   /* events shown last, by which one is known again */
#define OVERLAP_MS 60000

struct following {
    struct ctl *ctl;
    struct event_filter filter;
    struct ctl_table *table; /* NULL: JSON */
    bool for_people;
    int64_t last;    /* row looked at; -1: none yet */
    int64_t last_ms; /* the latest time stamp that was shown */
    dev_t device;    /* the file that last is a row of */
    ino_t inode;
    uint64_t shown[REMEMBERED];
    int64_t failing_since_ms; /* 0: it is not */
    bool told;
};

static uint64_t key_of(const struct event *event) /* FNV-1a; never 0 */
{
    uint64_t hash = 0xcbf29ce484222325;

    for (const char *at = event->event_id; *at != '\0'; at++)
        hash = (hash ^ (unsigned char)*at) * 0x100000001b3;
    return hash | 1;
}

static bool show(void *context, const struct event *event, enum event_state state)
{
    struct following *following = context;
    uint64_t key = key_of(event), *place = &following->shown[key / 2 % REMEMBERED];

    if (*place == key)
        return true;
    *place = key;
    if (event->timestamp_ms > following->last_ms)
        following->last_ms = event->timestamp_ms;
    if (following->table != NULL) {
        events_table_row(following->table, event, state, following->for_people);
    } else {
        events_print_json(event, state);
        printf("\n");
    }
    return ferror(stdout) == 0;
}

/* Whether rows have to be looked at from the beginning: the file is another one, or begun anew. */
static bool is_replaced(struct following *following, int64_t newest)
{
    AUTO_FREE char *path = xasprintf("%s/state.db", following->ctl->config->state_dir);
    struct stat status;

    if (stat(path, &status) != 0)
        return false;
    bool other = following->last >= 0 && (following->device != status.st_dev ||
                                          following->inode != status.st_ino || newest < following->last);
    following->device = status.st_dev;
    following->inode = status.st_ino;
    return other;
}

static bool look_for_more(struct following *following, struct store *store, int64_t newest,
                          struct outcome *error_r)
{
    int64_t before;

    if (is_replaced(following, newest)) {
        following->last = 0;
        if (following->filter.since_ms < following->last_ms - OVERLAP_MS)
            following->filter.since_ms = following->last_ms - OVERLAP_MS;
    }
    do {
        before = following->last;
        following->last = event_store_behind(store, &following->filter, before, show, following, error_r);
        if (following->last < 0) {
            following->last = before;
            return false;
        }
    } while (following->last > before && ferror(stdout) == 0);
    return true;
}

/* limit: of the first look; what comes while it lasts is known again. */
static bool look_first(struct following *following, struct store *store, int64_t newest, size_t limit,
                       struct outcome *error_r)
{
    if (!events_each_last(store, &following->filter, limit, show, following, error_r))
        return false;
    is_replaced(following, newest);
    following->last = newest;
    return true;
}

static bool look(struct following *following, size_t limit, struct outcome *error_r)
{
    struct store *store;

    if (!store_open_to_read(&store, following->ctl->config->state_dir, clock_monotonic_ms() + TURN_MS,
                            error_r))
        return false;
    int64_t newest = event_store_newest(store, error_r);
    bool ok = newest >= 0 && (following->last < 0 ? look_first(following, store, newest, limit, error_r)
                                                  : look_for_more(following, store, newest, error_r));
    store_close(store);
    if (following->table != NULL)
        ctl_table_flush(following->table);
    return ok;
}

/* A store that is busy, or being replaced, is nothing to talk about, unless it lasts. */
static void note_trouble(struct following *following, bool ok, const struct outcome *error)
{
    int64_t now_ms = clock_monotonic_ms();

    if (ok) {
        if (following->told)
            fprintf(stderr, "sendpostctl events: the store can be read again\n");
        following->failing_since_ms = 0;
        following->told = false;
        return;
    }
    if (following->failing_since_ms == 0)
        following->failing_since_ms = now_ms;
    if (following->told || now_ms < following->failing_since_ms + PATIENCE_MS)
        return;
    fprintf(stderr, "sendpostctl events: %s; it is tried on\n", error->text);
    following->told = true;
}

enum ctl_status events_follow(struct ctl *ctl, const struct event_filter *filter, size_t limit)
{
    enum follow_news news = FOLLOW_TIME;
    struct outcome error;

    if (ctl_config(ctl) == NULL)
        return CTL_TROUBLE;
    struct following *following = xcalloc(1, sizeof *following);
    *following = (struct following){.ctl = ctl,
                                    .filter = *filter,
                                    .table = ctl->json ? NULL : events_table(),
                                    .for_people = people_look() && !ctl->verbose,
                                    .last = -1};
    if (following->table != NULL && ctl->verbose)
        ctl_table_whole(following->table);
    follow_begin();
    while (news != FOLLOW_END) {
        note_trouble(following, look(following, limit, &error), &error);
        news = follow_wait(EVERY_MS, false);
        if (news == FOLLOW_SUSPEND)
            follow_stop();
    }
    if (following->table != NULL)
        ctl_table_free(following->table);
    free(following);
    follow_end();
    return CTL_OK;
}
