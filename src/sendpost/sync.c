#include "sendpost/sync.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "policy/suppression_journal.h"
#include "sendpost/api.h"
#include "sendpost/sync_store.h"

#define DAY_MS 86400000LL
#define FIRST_DAY 16436 /* 2015-01-01: before SendPost had customers */
#define WINDOW_DAYS 60
#define BATCH 200
#define PASS_MS DAY_MS /* between whole passes */

enum phase { PHASE_SEND, PHASE_PASS, PHASE_ABSENT, PHASE_RECENT, PHASE_DOMAINS, PHASE_END };

struct sync {
    const struct config *config;
    struct store *store;
    struct api *api;
    struct sync_counts counts;
    enum phase phase;
    int batch;                    /* changes in one request; 1 after a refusal, to find out which */
    size_t offset;                /* of the next page of the window under way */
    char looked_up[ADDRESS_SIZE]; /* the last of those that are absent */
    enum sync_role role;
    bool confirmed;
    bool thrifty; /* the list there is known: only what is there needs to be removed */
};

struct sync *sync_open(const struct config *config, struct store *store, FILE *trace)
{
    struct sync *sync = xcalloc(1, sizeof *sync);

    sync->config = config;
    sync->store = store;
    sync->api = api_open(config, trace);
    sync->batch = BATCH;
    return sync;
}

void sync_close(struct sync *sync)
{
    if (sync == NULL)
        return;
    api_close(sync->api);
    free(sync);
}

const struct sync_counts *sync_counts(const struct sync *sync)
{
    return &sync->counts;
}

int64_t sync_wait_ms(const struct sync *sync)
{
    return api_wait_ms(sync->api);
}

void sync_play(struct sync *sync, enum sync_role role)
{
    sync->role = role;
}

static int64_t today(void)
{
    return clock_realtime_ms() / DAY_MS;
}

/* --- what goes out -------------------------------------------------------------------------------------- */

/* The API refuses what is asked: not the key, and not for now. */
static bool is_refusal(const struct sync *sync)
{
    int status = api_status(sync->api);

    return status == 400 || status == 404 || status == 406 || status == 413 || status == 422;
}

/* Of changes those that are to be sent, removals or additions; domains are this host's affair. */
static size_t pick(struct sync *sync, const struct suppression_change *changes, int count, bool removals,
                   struct suppression *entries_r)
{
    size_t picked = 0;

    for (int i = 0; i < count; i++) {
        const struct suppression *entry = &changes[i].entry;
        bool needed = removals ? !sync->thrifty || sync_store_knows(sync->store, entry->address)
                               : !sync_store_has(sync->store, entry);
        if (changes[i].removed == removals && entry->address[0] != '@' && needed)
            entries_r[picked++] = *entry;
    }
    return picked;
}

static bool send_changes(struct sync *sync, const struct suppression_change *changes, int count,
                         struct outcome *error_r)
{
    AUTO_FREE struct suppression *entries = xcalloc((size_t)count, sizeof *entries);
    struct api_suppressions made = {.count = 0};
    size_t removed = pick(sync, changes, count, true, entries);
    bool ok = removed == 0 || api_remove_suppressions(sync->api, entries, removed, error_r);

    if (ok && removed > 0)
        ok = sync_store_forget(sync->store, entries, removed, error_r);
    size_t added = ok ? pick(sync, changes, count, false, entries) : 0;
    if (added > 0) {
        ok = api_add_suppressions(sync->api, entries, added, &made, error_r) &&
             sync_store_note(sync->store, entries, added, &made, error_r);
        free(made.items);
    }
    if (ok)
        sync->counts.sent += removed + added;
    return ok;
}

static enum sync_progress send_some(struct sync *sync, struct outcome *error_r)
{
    AUTO_FREE struct suppression_change *changes = xcalloc(BATCH, sizeof *changes);
    int64_t seen, sent = (int64_t)store_get_number(sync->store, SYNC_SENT);

    if (store_get_number(sync->store, SYNC_FRESH) != 0) {
        sync->phase = PHASE_PASS;
        return SYNC_MORE;
    }
    int count = suppression_journal_read(sync->store, sent, SUPPRESSION_FOR_SENDPOST, sync->batch, changes,
                                         &seen, error_r);
    if (count <= 0) {
        sync->phase = PHASE_PASS;
        sync->batch = BATCH;
        sync->thrifty = false;
        return count == 0 && (seen == sent || sync_store_put_number(sync->store, SYNC_SENT, seen, error_r))
                   ? SYNC_MORE
                   : SYNC_TROUBLE;
    }
    if (!send_changes(sync, changes, count, error_r)) {
        if (!is_refusal(sync))
            return SYNC_TROUBLE;
        if (count > 1) {
            sync->batch = 1;
            return SYNC_MORE;
        }
        log_line(LOG_WARNING, "suppression of <%s> is not shared: %s", changes[0].entry.address,
                 error_r->text);
        sync->counts.refused++;
    }
    return sync_store_put_number(sync->store, SYNC_SENT, seen, error_r) ? SYNC_MORE : SYNC_TROUBLE;
}

/* --- what comes in ----------------------------------------------------------------------------------------
 */

/* A page of a window. *end_r: it was the one behind the last. A server may give fewer than was asked for. */
static bool take_page(struct sync *sync, int64_t from_day, int64_t to_day, bool *end_r,
                      struct outcome *error_r)
{
    struct api_suppressions list;
    uint64_t taken = 0;

    if (!api_list_suppressions(sync->api, from_day, to_day, NULL, sync->offset, &list, error_r))
        return false;
    bool ok = sync_store_take(sync->store, &list, &taken, error_r);
    *end_r = list.all == 0;
    sync->offset = *end_r ? 0 : sync->offset + list.all;
    sync->counts.seen += list.count;
    sync->counts.taken += taken;
    free(list.items);
    return ok;
}

static enum sync_progress end_of_pass(struct sync *sync, struct outcome *error_r)
{
    bool fresh = store_get_number(sync->store, SYNC_FRESH) != 0;

    sync->phase = fresh ? PHASE_SEND : PHASE_DOMAINS;
    sync->thrifty = fresh;
    sync->counts.done = sync->counts.all;
    sync->confirmed = false;
    return sync_store_put_number(sync->store, SYNC_WINDOW, 0, error_r) &&
                   sync_store_put_number(sync->store, SYNC_FULL, clock_realtime_ms(), error_r) &&
                   sync_store_put_number(sync->store, SYNC_GONE, (int64_t)sync->counts.gone, error_r) &&
                   sync_store_put_number(sync->store, SYNC_FRESH, 0, error_r)
               ? SYNC_MORE
               : SYNC_TROUBLE;
}

/* The pass is through: how much did it not show? */
static enum sync_progress count_absent(struct sync *sync, struct outcome *error_r)
{
    int64_t gone, all;

    if (!sync_store_count_absent(sync->store, &gone, &all, error_r))
        return SYNC_TROUBLE;
    sync->counts.gone = 0;
    /* what was looked up and removed in this pass counts, too: it is "at once" */
    if (gone > 0 && !sync->confirmed && (uint64_t)gone + sync->counts.removed > (uint64_t)(all + 99) / 100) {
        sync->counts.gone = (uint64_t)gone;
        log_line(LOG_ERR,
                 "%" PRId64 " of %" PRId64
                 " suppressed addresses are gone at SendPost: none is removed here before "
                 "sendpostctl sync --confirm says so",
                 gone, all);
        return end_of_pass(sync, error_r);
    }
    sync->phase = PHASE_ABSENT;
    sync->looked_up[0] = '\0';
    return SYNC_MORE;
}

static enum sync_progress pass(struct sync *sync, struct outcome *error_r)
{
    int64_t last = today() + 1, window = (int64_t)store_get_number(sync->store, SYNC_WINDOW);
    bool end;

    if (window == 0) {
        int64_t full_ms = (int64_t)store_get_number(sync->store, SYNC_FULL), now_ms = clock_realtime_ms();
        if (full_ms > 0 && full_ms <= now_ms && now_ms - full_ms < PASS_MS) {
            sync->phase = PHASE_RECENT;
            return SYNC_MORE;
        }
        return sync_begin(sync, false, error_r) ? SYNC_MORE : SYNC_TROUBLE;
    }
    if (window > last)
        return count_absent(sync, error_r);
    sync->counts.all = (unsigned)((last - FIRST_DAY) / WINDOW_DAYS + 1);
    sync->counts.done = (unsigned)((window - FIRST_DAY) / WINDOW_DAYS);
    int64_t to_day = window + WINDOW_DAYS - 1 < last ? window + WINDOW_DAYS - 1 : last;
    if (!take_page(sync, window, to_day, &end, error_r))
        return SYNC_TROUBLE;
    if (end && !sync_store_put_number(sync->store, SYNC_WINDOW, window + WINDOW_DAYS, error_r))
        return SYNC_TROUBLE;
    return SYNC_MORE;
}

/* One that a whole pass did not show: is it really gone? */
static bool look_up(struct sync *sync, const struct api_suppression *absent, struct outcome *error_r)
{
    struct api_suppressions list;
    int64_t day = absent->entry.since_ms / DAY_MS;
    uint64_t ignored = 0;

    if (!api_list_suppressions(sync->api, day - 1, day + WINDOW_DAYS - 2, absent->entry.address, 0, &list,
                               error_r))
        return false;
    bool there = api_suppressions_hold(&list, absent->entry.address);
    bool ok = there ? sync_store_take(sync->store, &list, &ignored, error_r)
                    : sync_store_remove(sync->store, &absent->entry, error_r);
    sync->counts.removed += ok && !there;
    free(list.items);
    return ok;
}

static enum sync_progress absent(struct sync *sync, struct outcome *error_r)
{
    struct api_suppression next;
    int found = sync_store_next_absent(sync->store, sync->looked_up, &next, error_r);

    if (found <= 0)
        return found == 0 ? end_of_pass(sync, error_r) : SYNC_TROUBLE;
    memcpy(sync->looked_up, next.entry.address, sizeof sync->looked_up);
    return look_up(sync, &next, error_r) ? SYNC_MORE : SYNC_TROUBLE;
}

static enum sync_progress recent(struct sync *sync, struct outcome *error_r)
{
    int64_t day = today();
    bool end;

    if (!take_page(sync, day - 1, day + 1, &end, error_r))
        return SYNC_TROUBLE;
    if (end)
        sync->phase = PHASE_DOMAINS;
    return SYNC_MORE;
}

/* --- domains ----------------------------------------------------------------------------------------------
 */

static enum sync_progress domains(struct sync *sync, struct outcome *error_r)
{
    struct api_domains list;
    bool end;

    if (!api_list_domains(sync->api, sync->offset, &list, error_r))
        return SYNC_TROUBLE;
    end = list.all == 0;
    bool ok = sync_store_domains(sync->store, &list, sync->offset == 0, end, error_r);
    sync->offset = end ? 0 : sync->offset + list.all;
    free(list.items);
    if (end)
        sync->phase = PHASE_END;
    return ok ? SYNC_MORE : SYNC_TROUBLE;
}

/* --- interface ---------------------------------------------------------------------------------------------
 */

bool sync_begin(struct sync *sync, bool confirmed, struct outcome *error_r)
{
    int64_t number = (int64_t)store_get_number(sync->store, SYNC_PASS) + 1;

    sync->confirmed = confirmed;
    sync->offset = 0;
    sync->counts.removed = 0;
    return sync_store_put_number(sync->store, SYNC_PASS, number, error_r) &&
           sync_store_put_number(sync->store, SYNC_WINDOW, FIRST_DAY, error_r);
}

/* In a cluster another host may have led so far: what is there now has to be known first. */
static bool begin_to_lead(struct sync *sync, struct outcome *error_r)
{
    return sync->config->cluster.server_count == 0 || store_get_number(sync->store, SYNC_LEADS) != 0 ||
           (sync_store_inherit(sync->store, error_r) && sync_begin(sync, sync->confirmed, error_r) &&
            sync_store_put_number(sync->store, SYNC_FRESH, 1, error_r) &&
            sync_store_put_number(sync->store, SYNC_LEADS, 1, error_r));
}

static bool is_over_the_list(const struct sync *sync)
{
    return sync->phase >= PHASE_DOMAINS || sync->role != SYNC_LEADER || !sync->config->sendpost.suppression;
}

static enum sync_progress end(struct sync *sync, struct outcome *error_r)
{
    sync->phase = PHASE_SEND;
    return sync->role != SYNC_LEADER ||
                   sync_store_put_number(sync->store, SYNC_LAST, clock_realtime_ms(), error_r)
               ? SYNC_DONE
               : SYNC_TROUBLE;
}

enum sync_progress sync_step(struct sync *sync, struct outcome *error_r)
{
    enum sync_progress progress = SYNC_MORE;

    if (!is_over_the_list(sync)) {
        if (!begin_to_lead(sync, error_r))
            return SYNC_TROUBLE;
    } else if (sync->phase < PHASE_DOMAINS) {
        sync->phase = PHASE_DOMAINS;
        sync->offset = 0;
    }
    if (sync->role == SYNC_FOLLOWER && store_get_number(sync->store, SYNC_LEADS) != 0 &&
        !sync_store_put_number(sync->store, SYNC_LEADS, 0, error_r))
        return SYNC_TROUBLE;
    switch (sync->phase) {
    case PHASE_SEND:
        progress = send_some(sync, error_r);
        break;
    case PHASE_PASS:
        progress = pass(sync, error_r);
        break;
    case PHASE_ABSENT:
        progress = absent(sync, error_r);
        break;
    case PHASE_RECENT:
        progress = recent(sync, error_r);
        break;
    case PHASE_DOMAINS:
        if (sync->config->sendpost.domains)
            progress = domains(sync, error_r);
        else
            sync->phase = PHASE_END;
        break;
    case PHASE_END:
        progress = end(sync, error_r);
        break;
    }
    if (progress == SYNC_TROUBLE) {
        sync->phase = PHASE_SEND; /* own changes first, again */
        sync->offset = 0;
    }
    return progress;
}
