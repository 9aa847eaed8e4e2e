#include "policy/suppression_share.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cluster/script.h"

#define BATCH 200 /* changes in one call: the server is busy with them for a millisecond, and others wait */
#define COPY_BATCH "1000" /* of the whole list */
#define CALL_MS 5000      /* for one call; a server that takes longer is in trouble */
#define PLACE_SIZE 128
#define PLACE_KEY "cluster.suppression"

/* How far this host has come with this server. */
struct place {
    char run_id[48];
    char read[40]; /* id in the stream; "" : the whole list is not copied yet */
    int64_t sent;  /* sequence in our journal */
    bool all;      /* whose changes are sent: everybody's, to a new server */
};

/* --- where we are -------------------------------------------------------------------------------------- */

static void load_place(struct suppression_share *share, const char *run_id, struct place *place_r)
{
    char *text = store_get(share->store, PLACE_KEY);
    int all = 0;

    *place_r = (struct place){.all = true};
    if (text == NULL ||
        sscanf(text, "%47s read=%39s sent=%" SCNd64 " all=%d", place_r->run_id, place_r->read, &place_r->sent,
               &all) != 4 ||
        strcmp(place_r->run_id, run_id) != 0)
        *place_r = (struct place){.all = true};
    else
        place_r->all = all != 0;
    if (strcmp(place_r->read, "-") == 0)
        *place_r->read = '\0';
    snprintf(place_r->run_id, sizeof place_r->run_id, "%s", run_id);
    free(text);
}

static bool save_place(struct suppression_share *share, const struct place *place, struct outcome *error_r)
{
    char text[PLACE_SIZE + 64];

    snprintf(text, sizeof text, "%s read=%s sent=%" PRId64 " all=%d", place->run_id,
             *place->read != '\0' ? place->read : "-", place->sent, place->all);
    return store_put(share->store, PLACE_KEY, text, error_r);
}

/* --- calls -------------------------------------------------------------------------------------------------
 */

static void name_key(const struct suppression_share *share, const char *what, char key_r[96])
{
    snprintf(key_r, 96, "{%.60s}:suppression%s", share->config->name, what);
}

static bool fail(const struct suppression_share *share, const char *why, struct outcome *error_r)
{
    outcome_local(error_r, "4.4.1", "the suppression list is not shared with cluster %s: %s",
                  share->config->name, why);
    return false;
}

static struct redisReply *call(struct suppression_share *share, int count, const char *const *words, int type,
                               struct outcome *error_r)
{
    struct redisReply *reply = cluster_command(share->cluster, count, words, clock_monotonic_ms() + CALL_MS);

    if (reply == NULL) {
        fail(share, cluster_why_away(share->cluster), error_r);
    } else if (reply->type != type) {
        fail(share, reply->type == REDIS_REPLY_ERROR ? reply->str : "an unexpected answer", error_r);
        cluster_reply_free(share->cluster, reply);
        reply = NULL;
    }
    return reply;
}

/* --- our changes
 * -------------------------------------------------------------------------------------------- */

static bool send_some(struct suppression_share *share, struct place *place, int *count_r,
                      struct outcome *error_r)
{
    static _Thread_local struct suppression_change changes[BATCH];
    static _Thread_local char values[BATCH][160];
    const char *words[5 + 2 * BATCH] = {"EVAL", cluster_suppression_script, "2"};
    char list[96], stream[96];

    int64_t seen, before = place->sent;
    enum suppression_scope scope = place->all ? SUPPRESSION_FOR_ANYBODY : SUPPRESSION_FOR_CLUSTER;
    *count_r = suppression_journal_read(share->store, before, scope, BATCH, changes, &seen, error_r);
    if (*count_r < 0)
        return false;
    place->sent = seen;
    if (*count_r == 0)
        return seen == before || save_place(share, place, error_r);
    name_key(share, "", list);
    name_key(share, ":changes", stream);
    words[3] = list;
    words[4] = stream;
    for (int i = 0; i < *count_r; i++) {
        const struct suppression_change *change = &changes[i];
        snprintf(values[i], sizeof values[i], "%" PRId64 " %s %d %d %" PRId64, change->changed_ms,
                 *change->origin != '\0' ? change->origin : share->host, change->removed,
                 (int)change->entry.reason, change->entry.since_ms);
        words[5 + 2 * i] = change->entry.address;
        words[6 + 2 * i] = values[i];
    }
    struct redisReply *reply = call(share, 5 + 2 * *count_r, words, REDIS_REPLY_INTEGER, error_r);
    if (reply == NULL)
        return false;
    share->sent += (uint64_t)reply->integer;
    cluster_reply_free(share->cluster, reply);
    return save_place(share, place, error_r);
}

/* --- the changes of others
 * ------------------------------------------------------------------------------------ */

/* What another host wrote there; false when it is nothing that a host of this version writes: it is passed
 * over. */
static bool parse(const char *address, const char *value, struct suppression_change *change_r)
{
    int removed, reason;
    const char *why;

    *change_r = (struct suppression_change){.sequence = 0};
    if (sscanf(value, "%" SCNd64 " %39s %d %d %" SCNd64, &change_r->changed_ms, change_r->origin, &removed,
               &reason, &change_r->entry.since_ms) != 5 ||
        reason < 0 || reason >= SUPPRESSION_REASONS ||
        !suppression_normalise(address, SUPPRESSION_CASE_SENSITIVE, change_r->entry.address, &why))
        return false;
    change_r->removed = removed != 0;
    change_r->heard = true;
    change_r->entry.reason = (enum suppression_reason)reason;
    return true;
}

static bool take_one(struct suppression_share *share, const struct redisReply *address,
                     const struct redisReply *value, struct outcome *error_r)
{
    struct suppression_change change;

    if (address->type != REDIS_REPLY_STRING || value->type != REDIS_REPLY_STRING ||
        !parse(address->str, value->str, &change) || strcmp(change.origin, share->host) == 0)
        return true;
    int counts = suppression_journal_apply(share->store, &change, share->host, error_r);
    share->taken += counts > 0;
    return counts >= 0;
}

/* [[id, [a, address, v, value]], …] */
static bool take_entry(struct suppression_share *share, const struct redisReply *entry, struct place *place,
                       struct outcome *error_r)
{
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
        entry->element[0]->type != REDIS_REPLY_STRING || entry->element[0]->len >= sizeof place->read)
        return fail(share, "an unexpected entry in the stream of changes", error_r);
    snprintf(place->read, sizeof place->read, "%s", entry->element[0]->str);
    const struct redisReply *fields = entry->element[1];
    return fields->type != REDIS_REPLY_ARRAY || fields->elements != 4 ||
           take_one(share, fields->element[1], fields->element[3], error_r);
}

/* The stream forgets old changes: what we have read last has to be there still, or something may be missing.
 */
static bool is_followed(const struct redisReply *entries, const struct place *place)
{
    const struct redisReply *first = entries->element[0];

    return first->type == REDIS_REPLY_ARRAY && first->elements == 2 &&
           first->element[0]->type == REDIS_REPLY_STRING && strcmp(first->element[0]->str, place->read) == 0;
}

/* *count_r: how many there were; where some were missed, place->read is "" afterwards. */
static bool take_some(struct suppression_share *share, struct place *place, size_t *count_r,
                      struct outcome *error_r)
{
    char stream[96];
    const char *const words[] = {"XRANGE", stream, place->read, "+", "COUNT", COPY_BATCH};

    name_key(share, ":changes", stream);
    struct redisReply *reply = call(share, 6, words, REDIS_REPLY_ARRAY, error_r);
    if (reply == NULL)
        return false;
    bool followed = reply->elements > 0 && is_followed(reply, place);
    *count_r = reply->elements - followed;
    if (!followed && reply->elements > 0)
        *place->read = '\0';
    bool ok = !followed || *count_r == 0 || store_begin(share->store, STORE_NORMAL, error_r);
    for (size_t i = 1; ok && followed && i < reply->elements; i++)
        ok = take_entry(share, reply->element[i], place, error_r);
    if (ok && followed && *count_r > 0)
        ok = save_place(share, place, error_r) && store_commit(share->store, error_r);
    if (!ok)
        store_rollback(share->store);
    cluster_reply_free(share->cluster, reply);
    return ok;
}

/* --- the whole list
 * ---------------------------------------------------------------------------------------------- */

/* The id of the last change that the stream holds; "0-0" when it is empty. */
static bool stream_end(struct suppression_share *share, char id_r[40], struct outcome *error_r)
{
    char stream[96];
    const char *const words[] = {"XREVRANGE", stream, "+", "-", "COUNT", "1"};

    name_key(share, ":changes", stream);
    struct redisReply *reply = call(share, 6, words, REDIS_REPLY_ARRAY, error_r);
    if (reply == NULL)
        return false;
    snprintf(id_r, 40, "0-0");
    if (reply->elements == 1 && reply->element[0]->type == REDIS_REPLY_ARRAY &&
        reply->element[0]->elements == 2 && reply->element[0]->element[0]->type == REDIS_REPLY_STRING)
        snprintf(id_r, 40, "%.39s", reply->element[0]->element[0]->str);
    cluster_reply_free(share->cluster, reply);
    return true;
}

static bool copy_some(struct suppression_share *share, struct outcome *error_r)
{
    char list[96];
    const char *const words[] = {"HSCAN", list, share->copy, "COUNT", COPY_BATCH};

    name_key(share, "", list);
    struct redisReply *reply = call(share, 5, words, REDIS_REPLY_ARRAY, error_r);
    if (reply == NULL)
        return false;
    bool ok = reply->elements == 2 && reply->element[0]->type == REDIS_REPLY_STRING &&
              reply->element[1]->type == REDIS_REPLY_ARRAY && reply->element[0]->len < sizeof share->copy;
    if (!ok)
        fail(share, "an unexpected answer to HSCAN", error_r);
    ok = ok && store_begin(share->store, STORE_NORMAL, error_r);
    for (size_t i = 0; ok && i + 1 < reply->element[1]->elements; i += 2)
        ok = take_one(share, reply->element[1]->element[i], reply->element[1]->element[i + 1], error_r);
    ok = ok && store_commit(share->store, error_r);
    if (ok)
        snprintf(share->copy, sizeof share->copy, "%s", reply->element[0]->str);
    else
        store_rollback(share->store);
    cluster_reply_free(share->cluster, reply);
    return ok;
}

/* Goes on where it was interrupted, as long as it is the same server. Then place->read is set. */
static bool copy_all(struct suppression_share *share, struct place *place, int64_t deadline_ms,
                     struct outcome *error_r)
{
    if (*share->copy == '\0' || strcmp(share->copy_of, place->run_id) != 0) {
        if (!stream_end(share, share->copy_behind, error_r))
            return false;
        snprintf(share->copy_of, sizeof share->copy_of, "%s", place->run_id);
        snprintf(share->copy, sizeof share->copy, "0");
    }
    do {
        if (!copy_some(share, error_r))
            return false;
        if (clock_monotonic_ms() > deadline_ms && strcmp(share->copy, "0") != 0)
            return true;
    } while (strcmp(share->copy, "0") != 0);
    *share->copy = '\0';
    snprintf(place->read, sizeof place->read, "%s", share->copy_behind);
    return save_place(share, place, error_r);
}

bool suppression_share_round(struct suppression_share *share, int64_t deadline_ms, bool *complete_r,
                             struct outcome *error_r)
{
    const char *run_id = cluster_run_id(share->cluster, clock_monotonic_ms() + CALL_MS);
    struct place place;
    size_t taken = 0;
    int sent = 0;

    *complete_r = false;
    if (run_id == NULL)
        return fail(share, cluster_why_away(share->cluster), error_r);
    load_place(share, run_id, &place);
    do {
        if (*place.read == '\0' && !copy_all(share, &place, deadline_ms, error_r))
            return false;
        if (*place.read == '\0')
            return true; /* the rest of the copy another time */
        if (!send_some(share, &place, &sent, error_r) || !take_some(share, &place, &taken, error_r))
            return false;
        if (sent < BATCH && place.all) { /* all that we know is there: from now on our own changes will do */
            place.all = false;
            if (!save_place(share, &place, error_r))
                return false;
        }
    } while ((sent > 0 || taken > 0) && clock_monotonic_ms() < deadline_ms);
    *complete_r = sent == 0 && taken == 0;
    return true;
}
