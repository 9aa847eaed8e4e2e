#include "policy/suppression_share.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cluster/script.h"

#define BATCH 200   /* changes in one call: the server is busy with them for a millisecond, and others wait */
#define BATCHES 10  /* in a row, before it is looked for what others have changed */
#define GATHER 1000 /* changes or entries of the list in one answer */
#define GATHER_TEXT "1000"
#define CALL_MS 5000 /* for one call; a server that takes longer is in trouble */
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

/* --- calls ---------------------------------------------------------------------------------------------- */

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

/* --- our changes ------------------------------------------------------------------------------------------
 */

static bool send_batch(struct suppression_share *share, struct place *place, int *count_r,
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

/* *sent_r: whether there was any. */
static bool send_some(struct suppression_share *share, struct place *place, bool *sent_r,
                      struct outcome *error_r)
{
    int count = BATCH;

    *sent_r = false;
    for (int i = 0; i < BATCHES && count == BATCH; i++) {
        if (!send_batch(share, place, &count, error_r))
            return false;
        *sent_r = *sent_r || count > 0;
    }
    if (count < BATCH && place->all) { /* all that we know is there: from now on our own changes will do */
        place->all = false;
        return save_place(share, place, error_r);
    }
    return true;
}

/* --- what others have told --------------------------------------------------------------------------------
 */

static bool is_ours(const struct suppression_share *share, const char *value)
{
    const char *origin = strchr(value, ' ');
    size_t length = strlen(share->host);

    return origin != NULL && strncmp(origin + 1, share->host, length) == 0 && origin[1 + length] == ' ';
}

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
    change_r->entry.reason = (enum suppression_reason)reason;
    return true;
}

static void take(struct suppression_share *share, const struct redisReply *address,
                 const struct redisReply *value)
{
    struct suppression_change change;

    if (address->type == REDIS_REPLY_STRING && value->type == REDIS_REPLY_STRING &&
        !is_ours(share, value->str) && parse(address->str, value->str, &change))
        suppression_intake_put(&share->intake, &change);
}

/* [[id, [a, address, v, value]], …] */
static bool take_entry(struct suppression_share *share, const struct redisReply *entry,
                       struct outcome *error_r)
{
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
        entry->element[0]->type != REDIS_REPLY_STRING || entry->element[0]->len >= sizeof share->gathered)
        return fail(share, "an unexpected entry in the stream of changes", error_r);
    snprintf(share->gathered, sizeof share->gathered, "%s", entry->element[0]->str);
    const struct redisReply *fields = entry->element[1];
    if (fields->type == REDIS_REPLY_ARRAY && fields->elements == 4)
        take(share, fields->element[1], fields->element[3]);
    return true;
}

/* The stream forgets old changes: what we have read last has to be there still, or something may be missing.
 */
static bool is_followed(const struct redisReply *entries, const char *read)
{
    const struct redisReply *first = entries->element[0];

    return first->type == REDIS_REPLY_ARRAY && first->elements == 2 &&
           first->element[0]->type == REDIS_REPLY_STRING && strcmp(first->element[0]->str, read) == 0;
}

/* What is behind share->gathered; *count_r: how many changes. Where some were missed, or the server has
 * lost all, share->gathered is "" afterwards. */
static bool gather_changes(struct suppression_share *share, size_t *count_r, struct outcome *error_r)
{
    char stream[96];
    const char *const words[] = {"XRANGE", stream, share->gathered, "+", "COUNT", GATHER_TEXT};

    name_key(share, ":changes", stream);
    struct redisReply *reply = call(share, 6, words, REDIS_REPLY_ARRAY, error_r);
    if (reply == NULL)
        return false;
    bool ok = true, followed = reply->elements > 0 && is_followed(reply, share->gathered);
    *count_r = reply->elements - followed;
    if (!followed)
        *share->gathered = '\0';
    for (size_t i = 1; ok && followed && i < reply->elements; i++)
        ok = take_entry(share, reply->element[i], error_r);
    cluster_reply_free(share->cluster, reply);
    return ok;
}

/* --- the whole list ---------------------------------------------------------------------------------------
 */

/* A change of nothing, which hosts pass over: who has read nothing else can be followed by the first change.
 */
static bool mark_stream(struct suppression_share *share, const char *stream, char id_r[40],
                        struct outcome *error_r)
{
    const char *const words[] = {"XADD", stream, "*", "a", "", "v", ""};
    struct redisReply *reply = call(share, 7, words, REDIS_REPLY_STRING, error_r);

    if (reply != NULL)
        snprintf(id_r, 40, "%.39s", reply->str);
    cluster_reply_free(share->cluster, reply);
    return reply != NULL;
}

/* The id of the last change that the stream holds. */
static bool stream_end(struct suppression_share *share, char id_r[40], struct outcome *error_r)
{
    char stream[96];
    const char *const words[] = {"XREVRANGE", stream, "+", "-", "COUNT", "1"};

    name_key(share, ":changes", stream);
    struct redisReply *reply = call(share, 6, words, REDIS_REPLY_ARRAY, error_r);
    if (reply == NULL)
        return false;
    bool empty = reply->elements == 0;
    bool ok = !empty && reply->element[0]->type == REDIS_REPLY_ARRAY && reply->element[0]->elements == 2 &&
              reply->element[0]->element[0]->type == REDIS_REPLY_STRING;
    if (ok)
        snprintf(id_r, 40, "%.39s", reply->element[0]->element[0]->str);
    cluster_reply_free(share->cluster, reply);
    return ok || (empty ? mark_stream(share, stream, id_r, error_r)
                        : fail(share, "an unexpected entry in the stream of changes", error_r));
}

static bool note_part(struct suppression_share *share, const struct redisReply *reply)
{
    if (reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[0]->len >= sizeof share->cursor || reply->element[1]->type != REDIS_REPLY_ARRAY)
        return false;
    for (size_t i = 0; i + 1 < reply->element[1]->elements; i += 2)
        take(share, reply->element[1]->element[i], reply->element[1]->element[i + 1]);
    share->copied = strcmp(reply->element[0]->str, "0") == 0;
    snprintf(share->cursor, sizeof share->cursor, "%s", share->copied ? "" : reply->element[0]->str);
    return true;
}

/* A further part of the list; goes on where it was interrupted, as long as it is the same server. */
static bool gather_list(struct suppression_share *share, struct outcome *error_r)
{
    char list[96];
    const char *const words[] = {"HSCAN", list, *share->cursor != '\0' ? share->cursor : "0", "COUNT",
                                 GATHER_TEXT};

    if (*share->cursor == '\0' && !stream_end(share, share->copy_behind, error_r))
        return false;
    name_key(share, "", list);
    struct redisReply *reply = call(share, 5, words, REDIS_REPLY_ARRAY, error_r);
    if (reply == NULL)
        return false;
    bool ok = note_part(share, reply) || fail(share, "an unexpected answer to HSCAN", error_r);
    cluster_reply_free(share->cluster, reply);
    return ok;
}

/* --- a round ----------------------------------------------------------------------------------------------
 */

/* What was begun with another server is of no use with this one; the changes that were gathered are. */
static void begin_with(struct suppression_share *share, const char *run_id)
{
    if (strcmp(share->server, run_id) == 0)
        return;
    snprintf(share->server, sizeof share->server, "%s", run_id);
    *share->gathered = *share->cursor = '\0';
    share->copied = false;
}

static bool may_gather(const struct suppression_share *share, int64_t deadline_ms)
{
    return share->intake.count < SUPPRESSION_INTAKE_MAX && clock_monotonic_ms() < deadline_ms;
}

/* As much as fits into memory. *any_r: whether there was anything. */
static bool gather(struct suppression_share *share, struct place *place, int64_t deadline_ms, bool *any_r,
                   struct outcome *error_r)
{
    size_t count;

    *any_r = *place->read == '\0';
    snprintf(share->gathered, sizeof share->gathered, "%s", place->read);
    if (*any_r) {
        do {
            if (!gather_list(share, error_r))
                return false;
        } while (!share->copied && may_gather(share, deadline_ms));
        return true;
    }
    do {
        if (!gather_changes(share, &count, error_r))
            return false;
        *any_r = *any_r || count > 0;
    } while (count >= GATHER - 1 && *share->gathered != '\0' && may_gather(share, deadline_ms));
    if (*share->gathered != '\0')
        return true;
    /* some were missed; or it was emptied, and then what we know is missing there */
    *place->read = '\0';
    place->sent = 0;
    place->all = *any_r = true;
    return save_place(share, place, error_r);
}

/* What was gathered goes into the store; then it is on record how far we have come. */
static bool apply(struct suppression_share *share, struct place *place, int64_t deadline_ms,
                  struct outcome *error_r)
{
    if (!suppression_intake_apply(&share->intake, share->store, share->host, deadline_ms, &share->taken,
                                  error_r))
        return false;
    const char *read = share->copied ? share->copy_behind : share->gathered;
    if (share->intake.count > 0 || *read == '\0' || strcmp(read, place->read) == 0)
        return true;
    snprintf(place->read, sizeof place->read, "%s", read);
    if (!save_place(share, place, error_r))
        return false;
    share->copied = false;
    return true;
}

bool suppression_share_round(struct suppression_share *share, int64_t deadline_ms, bool *complete_r,
                             struct outcome *error_r)
{
    const char *run_id = cluster_run_id(share->cluster, clock_monotonic_ms() + CALL_MS);
    struct place place;
    bool sent, any;

    *complete_r = false;
    if (run_id == NULL)
        return fail(share, cluster_why_away(share->cluster), error_r);
    load_place(share, run_id, &place);
    begin_with(share, run_id);
    do {
        sent = any = false;
        if (!apply(share, &place, deadline_ms, error_r))
            return false;
        if (share->intake.count > 0)
            return true; /* the rest another time */
        if (*place.read != '\0' && !send_some(share, &place, &sent, error_r))
            return false;
        if (!gather(share, &place, deadline_ms, &any, error_r))
            return false;
    } while ((sent || any) && clock_monotonic_ms() < deadline_ms);
    *complete_r = !sent && !any;
    return true;
}

void suppression_share_end(struct suppression_share *share)
{
    suppression_intake_clear(&share->intake);
}
