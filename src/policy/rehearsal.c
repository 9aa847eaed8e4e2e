#include "policy/rehearsal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/address.h"
#include "base/xalloc.h"

#define MS_NS INT64_C(1000000)
#define BACKOFF_MIN_MS (300 * 1000LL) /* Postfix's defaults */
#define BACKOFF_MAX_MS (4000 * 1000LL)
#define LIFETIME_MS (5 * 86400 * 1000LL) /* maximal_queue_lifetime */

/* One message on its way. */
struct rehearsal_arrival {
    uint64_t identity; /* of message and recipient */
    int64_t came_ms, due_ms;
    int64_t asked_until_ms; /* of the present visit: it waits for a slot until then; 0: it has not begun */
    int limit;              /* what held it up first; -1: nothing */
    int domain;             /* of the sender: a name */
    int before;             /* the TPSP that it took: a name */
    enum provider_category provider;
};

static int name_of(struct rehearsal_names *names, const char *text)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i], text) == 0)
            return (int)i;
    if (names->count == REHEARSAL_NAMES)
        return REHEARSAL_NAMES - 1;
    names->items[names->count] = xstrdup(text);
    return (int)names->count++;
}

static void free_names(struct rehearsal_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
}

/* --- what came ------------------------------------------------------------------------------------ */

static void mix(uint64_t *hash, const char *text)
{
    do
        *hash = (*hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    while (*text++ != '\0');
}

/* The sender's own domain: the reverse path may have been rewritten to one below it. */
static const char *sender_domain(const char *bounce_prefix, const char *sender)
{
    const char *domain = address_domain(sender);
    size_t length = strlen(bounce_prefix);

    if (domain == NULL)
        return "";
    if (strncasecmp(domain, bounce_prefix, length) == 0 && domain[length] == '.')
        return domain + length + 1;
    return domain;
}

void rehearsal_add(struct rehearsal *rehearsal, const struct event *event, const char *bounce_prefix)
{
    struct rehearsal_arrival arrival = {.identity = UINT64_C(0xcbf29ce484222325),
                                        .came_ms = event->timestamp_ms,
                                        .due_ms = event->timestamp_ms,
                                        .limit = -1,
                                        .provider = PROVIDER_DEFAULT};

    if (event->source != EVENT_SOURCE_PIPE || *event->tpsp == '\0')
        return; /* no TPSP was asked */
    mix(&arrival.identity, event->message_id);
    mix(&arrival.identity, event->recipient);
    mix(&arrival.identity, event->queue_id);
    arrival.domain = name_of(&rehearsal->domains, sender_domain(bounce_prefix, event->sender));
    arrival.before = name_of(&rehearsal->tpsps, event->tpsp);
    provider_category_by_name(event->provider, &arrival.provider);
    if (rehearsal->messages == rehearsal->room) {
        rehearsal->room = 2 * rehearsal->room + 1024;
        rehearsal->arrivals = xrealloc(rehearsal->arrivals, rehearsal->room * sizeof *rehearsal->arrivals);
    }
    rehearsal->arrivals[rehearsal->messages++] = arrival;
}

static int compare(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int by_identity(const void *a, const void *b)
{
    const struct rehearsal_arrival *one = a, *two = b;

    if (one->identity != two->identity)
        return one->identity < two->identity ? -1 : 1;
    return compare(one->came_ms, two->came_ms);
}

/* Of two at the same time the older one. */
static int by_due(const void *a, const void *b)
{
    const struct rehearsal_arrival *one = a, *two = b;

    return one->due_ms != two->due_ms ? compare(one->due_ms, two->due_ms)
                                      : compare(one->came_ms, two->came_ms);
}

/* Of each message its first event, in the order of time, which makes a heap, too. */
static void settle(struct rehearsal *rehearsal)
{
    size_t kept = 0;

    if (rehearsal->messages == 0)
        return;
    qsort(rehearsal->arrivals, rehearsal->messages, sizeof *rehearsal->arrivals, by_identity);
    for (size_t i = 0; i < rehearsal->messages; i++)
        if (kept == 0 || rehearsal->arrivals[kept - 1].identity != rehearsal->arrivals[i].identity)
            rehearsal->arrivals[kept++] = rehearsal->arrivals[i];
        else /* the last TPSP is the one that it took */
            rehearsal->arrivals[kept - 1].before = rehearsal->arrivals[i].before;
    rehearsal->messages = kept;
    qsort(rehearsal->arrivals, rehearsal->messages, sizeof *rehearsal->arrivals, by_due);
}

/* --- the clock, and who is next --------------------------------------------------------------------- */

static int64_t now_ns(void *context)
{
    return ((const struct rehearsal *)context)->now_ns;
}

static void no_sleep(void *context, int64_t time_ns)
{
    (void)context, (void)time_ns; /* nobody sleeps: rate-limit-wait is ours */
}

/* The first of the heap has another time, or went away. */
static void sink(struct rehearsal_arrival *heap, size_t count)
{
    for (size_t at = 0, below; (below = 2 * at + 1) < count; at = below) {
        if (below + 1 < count && by_due(&heap[below + 1], &heap[below]) < 0)
            below++;
        if (by_due(&heap[at], &heap[below]) <= 0)
            return;
        struct rehearsal_arrival other = heap[at];
        heap[at] = heap[below];
        heap[below] = other;
    }
}

/* --- one visit --------------------------------------------------------------------------------------- */

static bool has_member(const struct config *config, const struct config_pool *pool, const char *tpsp)
{
    for (size_t i = 0; i < pool->member_count; i++)
        if (strcmp(config->tpsps[pool->members[i].tpsp].name, tpsp) == 0)
            return true;
    return false;
}

/* Events do not tell the pool: it is "default", or the one that has the TPSP. */
static const struct config_pool *pool_of(const struct rehearsal *rehearsal,
                                         const struct rehearsal_arrival *arrival)
{
    const struct config *config = rehearsal->config;
    const char *tpsp = rehearsal->tpsps.items[arrival->before];
    const struct config_pool *pool = config_pool_for(config, NULL, "");

    for (size_t i = 0; i < config->pool_count && (pool == NULL || !has_member(config, pool, tpsp)); i++)
        if (pool == NULL || has_member(config, &config->pools[i], tpsp))
            pool = &config->pools[i];
    return pool;
}

static void note_wait(struct rehearsal *rehearsal, const struct rehearsal_arrival *arrival, int64_t now_ms)
{
    if (arrival->limit < 0) {
        rehearsal->at_once++;
        return;
    }
    struct rehearsal_toll *toll = &rehearsal->tolls[arrival->limit];
    toll->waits_ms = xrealloc(toll->waits_ms, (toll->count + 1) * sizeof *toll->waits_ms);
    toll->waits_ms[toll->count++] = now_ms - arrival->came_ms;
}

/* What is in the way, without what changes from time to time. */
static int limit_of(struct rehearsal *rehearsal, const struct outcome *why)
{
    AUTO_FREE char *text = xstrdup(why->text);
    char *end = strstr(text, ", next slot");

    if (end != NULL) {
        *end = '\0';
        *strrchr(text, ',') = '\0'; /* "spread", "reached" */
    }
    return name_of(&rehearsal->limits, text);
}

/* When it comes again, now that there is no slot before next_ms. */
static int64_t again(const struct rehearsal *rehearsal, struct rehearsal_arrival *arrival, int64_t now_ms,
                     int64_t next_ms)
{
    int64_t age_ms = now_ms - arrival->came_ms;

    if (arrival->asked_until_ms == 0)
        arrival->asked_until_ms = now_ms + rehearsal->patience_ms;
    if (next_ms > now_ms && next_ms <= arrival->asked_until_ms)
        return next_ms; /* the delivery waits for it */
    arrival->asked_until_ms = 0;
    return now_ms + (age_ms < BACKOFF_MIN_MS   ? BACKOFF_MIN_MS
                     : age_ms > BACKOFF_MAX_MS ? BACKOFF_MAX_MS
                                               : age_ms);
}

/* False with *error_r set when the table fails. The message is through, or comes again at due_ms. */
static bool visit(struct rehearsal *rehearsal, struct rehearsal_arrival *arrival, bool *through_r,
                  struct outcome *error_r)
{
    const struct admission_gate gate = {.config = rehearsal->config, .table = rehearsal->table};
    const struct route_facts facts = {.provider = arrival->provider,
                                      .sender_domain = rehearsal->domains.items[arrival->domain]};
    const struct config_tpsp *tpsp;
    struct pool_cursor cursor;
    int64_t now_ms = arrival->due_ms;

    rehearsal->now_ns = now_ms * MS_NS;
    pool_begin(&cursor, &gate, pool_of(rehearsal, arrival), &facts, INT64_MAX / MS_NS - 1);
    *through_r = pool_next(&cursor, &tpsp, error_r);
    if (*through_r) {
        struct outcome accepted;
        outcome_set(&accepted, OUTCOME_DELIVERED, CAUSE_NONE, 250, "2.0.0", "taken");
        pool_report(&cursor, &accepted, (struct pool_evidence){.contacted = true});
        rehearsal->after[name_of(&rehearsal->tpsps, tpsp->name)]++;
        note_wait(rehearsal, arrival, now_ms);
    }
    int64_t next_ns = pool_next_slot(&cursor);
    pool_end(&cursor);
    if (*through_r)
        return true;
    if (next_ns == 0)
        return false;
    if (arrival->limit < 0)
        arrival->limit = limit_of(rehearsal, error_r);
    arrival->due_ms = again(rehearsal, arrival, now_ms, (next_ns + MS_NS - 1) / MS_NS);
    return true;
}

static int by_size(const void *a, const void *b)
{
    return compare(*(const int64_t *)a, *(const int64_t *)b);
}

bool rehearsal_play(struct rehearsal *rehearsal, struct outcome *error_r)
{
    bool through;

    settle(rehearsal);
    struct rehearsal_arrival *heap = rehearsal->arrivals;
    size_t left = rehearsal->messages;
    for (size_t i = 0; i < left; i++)
        rehearsal->before[heap[i].before]++;
    while (left > 0) {
        if (!visit(rehearsal, &heap[0], &through, error_r))
            return false;
        if (!through && heap[0].due_ms - heap[0].came_ms > LIFETIME_MS) {
            rehearsal->expired++;
            through = true;
        }
        if (through)
            heap[0] = heap[--left];
        sink(heap, left);
    }
    for (size_t i = 0; i < rehearsal->limits.count; i++)
        if (rehearsal->tolls[i].count > 0)
            qsort(rehearsal->tolls[i].waits_ms, rehearsal->tolls[i].count, sizeof(int64_t), by_size);
    return true;
}

/* --- the stage ------------------------------------------------------------------------------------- */

/* In memory where there is a file system in it. */
static bool make_directory(char *directory, size_t size, struct outcome *error_r)
{
    static const char *const places[] = {"/dev/shm", "/tmp"};

    for (size_t i = 0; i < 2; i++) {
        snprintf(directory, size, "%s/sendpost-rehearsal-XXXXXX", places[i]);
        if (mkdtemp(directory) != NULL)
            return true;
    }
    outcome_local(error_r, "4.3.0", "cannot make %s: %s", directory, strerror(errno));
    directory[0] = '\0';
    return false;
}

struct rehearsal *rehearsal_open(struct config *config, struct outcome *error_r)
{
    struct rehearsal *rehearsal = xcalloc(1, sizeof *rehearsal);

    rehearsal->config = config;
    rehearsal->patience_ms = config->rate_limit_wait_ms;
    config->rate_limit_wait_ms = 0; /* who waits for a slot does so on our clock */
    rehearsal->clock = (struct rate_clock){
        .now_ns = now_ns, .sleep_until = no_sleep, .context = rehearsal, .boot_id = "rehearsal"};
    if (make_directory(rehearsal->directory, sizeof rehearsal->directory, error_r) &&
        rate_table_open(&rehearsal->table, rehearsal->directory, &rehearsal->clock, error_r))
        return rehearsal;
    rehearsal_close(rehearsal);
    return NULL;
}

void rehearsal_close(struct rehearsal *rehearsal)
{
    static const char *const files[] = {"rates", "rates.lock"};

    if (rehearsal == NULL)
        return;
    rate_table_close(rehearsal->table);
    for (size_t i = 0; i < 2 && rehearsal->directory[0] != '\0'; i++) {
        AUTO_FREE char *path = xasprintf("%s/%s", rehearsal->directory, files[i]);
        unlink(path);
    }
    if (rehearsal->directory[0] != '\0')
        rmdir(rehearsal->directory);
    for (size_t i = 0; i < rehearsal->limits.count; i++)
        free(rehearsal->tolls[i].waits_ms);
    free_names(&rehearsal->domains);
    free_names(&rehearsal->tpsps);
    free_names(&rehearsal->limits);
    free(rehearsal->arrivals);
    config_free(rehearsal->config);
    free(rehearsal);
}
