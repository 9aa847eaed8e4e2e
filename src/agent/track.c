#include "agent/track_private.h"

#include <string.h>

#include "base/bounce_address.h"
#include "postlog/log_cursor.h"

#define STEP_MAX_S 3600 /* between two lines: what is beyond is a clock that was set, or silence */
#define OVERTAKING_S 2  /* by so much lines of two processes may change places on their way into the log */

void track_begin(struct track *track, int64_t last_ms)
{
    int64_t heard_ms;

    track->heard_s = correlation_latest(track->table);
    heard_ms = track->heard_s * INT64_C(1000);
    track->latest_ms = last_ms > heard_ms ? last_ms : heard_ms;
    if (track->heard_s == 0)
        track->heard_s = (uint32_t)(track->latest_ms / 1000);
}

/* By the log's time, but a line of a clock that is ahead lets no time pass. */
static void tick(struct track *track, int64_t time_ms)
{
    if (track->now_ms > 0 && time_ms > track->now_ms)
        time_ms = track->now_ms;
    if (track->heard_s == 0 || (track->now_ms > 0 && track->latest_ms > track->now_ms)) {
        track->latest_ms = time_ms; /* this machine's clock was set back */
        if (track->heard_s == 0)
            track->heard_s = (uint32_t)(time_ms / 1000);
    }
    if (time_ms <= track->latest_ms)
        return;
    int64_t step_s = time_ms / 1000 - track->latest_ms / 1000;
    track->heard_s += (uint32_t)(step_s < STEP_MAX_S ? step_s : STEP_MAX_S);
    track->latest_ms = time_ms;
}

static uint64_t key_of(const struct correlation_entry *entry)
{
    return entry->queue ^ ((uint64_t)entry->instance << 48);
}

bool track_tell(const struct track_step *step, uint32_t slot, enum track_verb verb)
{
    const struct correlation_entry *entry = correlation_peek(step->track->table, slot);
    struct track_note note = {.verb = verb,
                              .key = key_of(entry),
                              .uuid = entry->source != SOURCE_NONE && !step->withheld ? entry->uuid : NULL,
                              .time_ms = step->time_ms,
                              .noted = entry->flags & CORRELATION_NOTES,
                              .line = step->line};

    if (step->line->from.length > 0)
        note.sender = step->line->from;
    else if (step->track->senders != NULL)
        note.sender = senders_get(step->track->senders, note.key);
    return step->track->note(step->track->context, &note);
}

/* The message is gone and no filter has named it: it was the sender's own. */
static bool decide(struct track *track, uint32_t slot)
{
    static const struct postfix_log_line none;
    const struct track_step step = {.track = track, .line = &none};
    const struct correlation_entry *entry = correlation_peek(track->table, slot);

    return entry->origin != TRUST_UNDECIDED || entry->source == SOURCE_NONE ||
           track_tell(&step, slot, TRACK_ADOPTED);
}

/* What is remembered of the message is no longer needed. */
static bool forget(struct track *track, uint32_t slot)
{
    const struct correlation_entry *entry = correlation_peek(track->table, slot);
    struct track_note note = {.verb = TRACK_FORGOTTEN, .key = key_of(entry)};

    if (!(entry->flags & CORRELATION_NOTES))
        return true;
    return decide(track, slot) && track->note(track->context, &note);
}

bool track_bury(struct track *track, int64_t time_ms)
{
    uint32_t slot;

    tick(track, time_ms);
    while ((slot = correlation_next_dead(track->table, track->heard_s)) != CORRELATION_NONE) {
        if (!forget(track, slot))
            return false;
        correlation_free(track->table, slot);
    }
    return true;
}

/* --- entries ------------------------------------------------------------------------------------ */

bool track_add(const struct track_step *step, uint32_t *slot_r)
{
    struct track *track = step->track;

    for (;;) {
        *slot_r = correlation_add(track->table, step->line->queue_id, step->instance, step->track->heard_s);
        if (*slot_r != CORRELATION_NONE)
            return true;
        uint32_t dead = correlation_next_dead(track->table, step->track->heard_s);
        if (dead == CORRELATION_NONE)
            continue; /* the hand passed free slots only */
        if (!forget(track, dead))
            return false;
        correlation_free(track->table, dead);
    }
}

/* Postfix uses short queue ids again: from here on this one stands for another message. */
static bool begin_anew(const struct track_step *step, uint32_t slot)
{
    if (!forget(step->track, slot))
        return false;
    struct correlation_entry *entry = correlation_entry(step->track->table, slot);
    *entry = (struct correlation_entry){
        .queue = entry->queue, .instance = entry->instance, .seen_s = step->track->heard_s};
    return true;
}

bool track_living(const struct track_step *step, uint32_t *slot_r)
{
    *slot_r = correlation_find(step->track->table, step->line->queue_id, step->instance, false);
    if (*slot_r == CORRELATION_NONE)
        return track_add(step, slot_r);
    if (correlation_peek(step->track->table, *slot_r)->flags & CORRELATION_REMOVED)
        return begin_anew(step, *slot_r);
    struct correlation_entry *entry = correlation_entry(step->track->table, *slot_r);
    entry->seen_s = step->track->heard_s;
    return true;
}

bool track_learn(const struct track_step *step, uint32_t slot, enum correlation_source source,
                 const unsigned char uuid[16])
{
    struct correlation_entry *entry = correlation_entry(step->track->table, slot);
    bool waiting =
        entry->source == SOURCE_NONE && (entry->flags & CORRELATION_NOTES) && entry->origin < TRUST_STRANGER;

    if (entry->source >= source)
        return true;
    entry->source = source & 15u;
    memcpy(entry->uuid, uuid, sizeof entry->uuid);
    return !waiting || track_tell(step, slot, TRACK_ADOPTED);
}

static bool learn_text(const struct track_step *step, uint32_t slot, enum correlation_source source,
                       const char *text)
{
    unsigned char uuid[16] = {0};

    uuid_bytes(uuid, text);
    return track_learn(step, slot, source, uuid);
}

/* --- lines of the message as a whole -------------------------------------------------------------- */

/* "postsuper -r" gives the message a new queue id. */
static bool inherit(const struct track_step *step, uint32_t slot)
{
    struct correlation *table = step->track->table;
    uint32_t old = correlation_find(table, step->line->orig_id, step->instance, false);

    if (old == CORRELATION_NONE || old == slot)
        return true;
    const struct correlation_entry from = *correlation_peek(table, old);
    struct correlation_entry *to = correlation_entry(table, slot);
    to->source = from.source;
    to->flags = from.flags & (CORRELATION_NULL | CORRELATION_OWN | CORRELATION_NOTES | CORRELATION_LATE);
    to->origin = from.origin;
    memcpy(to->uuid, from.uuid, sizeof to->uuid);
    struct track_note note = {
        .verb = TRACK_MOVED, .key = key_of(&from), .other_key = key_of(to), .line = step->line};
    if ((from.flags & CORRELATION_NOTES) && !step->track->note(step->track->context, &note))
        return false;
    correlation_free(table, old);
    return true;
}

static enum trust_origin origin_of_client(const struct track_step *step)
{
    const struct track *track = step->track;
    enum trust_origin origin = trust_client(track->trust, step->line->client, step->line->sasl.length > 0);
    bool may_be_filter = (track->filtered || track->trust->mta->filters) && step->line->sasl.length == 0 &&
                         track_is_near(step->line->client);

    return origin == TRUST_SENDER && may_be_filter ? TRUST_UNDECIDED : origin;
}

/* Who handed in the message that begins with this line. Where a filter says by XFORWARD what it has got the
 * message from, that counts and not the filter. */
static enum trust_origin origin_of(const struct track_step *step)
{
    const struct postfix_log_line *line = step->line;

    if (line->client.length ==
        0) /* pickup: a user of this machine, or "postsuper -r", which inherit() looks at */
        return line->orig_id.length == 0 ? TRUST_SENDER : TRUST_UNKNOWN;
    if (line->passed.length == 0 && line->before.length == 0)
        return origin_of_client(step);
    uint32_t before = line->before.length == 0
                          ? CORRELATION_NONE
                          : correlation_find(step->track->table, line->before, step->instance, false);
    enum trust_origin origin = before != CORRELATION_NONE
                                   ? (enum trust_origin)correlation_peek(step->track->table, before)->origin
                                   : TRUST_UNKNOWN;
    return origin != TRUST_UNKNOWN ? origin : trust_client(step->track->trust, line->passed, false);
}

static bool on_born(const struct track_step *step)
{
    uint32_t slot = correlation_find(step->track->table, step->line->queue_id, step->instance, true);

    if (slot == CORRELATION_NONE ? !track_add(step, &slot) : !begin_anew(step, slot))
        return false;
    struct correlation_entry *entry = correlation_entry(step->track->table, slot);
    entry->origin = origin_of(step) & 15u;
    if (track_is_near(step->line->client)) /* perhaps a filter gives it back */
        entry->flags |= CORRELATION_LATE;
    track_hash_peer(entry->uuid, step->line->client);
    return step->line->orig_id.length == 0 || inherit(step, slot);
}

/*
 * The line that told of the end of the message before under this queue id was lost, and with it perhaps its
 * successor's first: cleanup(8) never speaks of a message that was tried before. A line of cleanup that comes
 * behind the queue manager's may have been overtaken, but not for long.
 */
static bool is_used_again(const struct track_step *step, uint32_t slot)
{
    const struct correlation_entry *entry = correlation_peek(step->track->table, slot);

    if (step->line->program.length > 0 && !slice_is(step->line->program, "cleanup"))
        return false; /* smtp_header_checks */
    return (entry->flags & CORRELATION_TRIED) ||
           ((entry->flags & CORRELATION_ACTIVE) && step->track->heard_s > entry->seen_s + OVERTAKING_S);
}

/* The message of a line of cleanup(8). */
static bool track_being_made(const struct track_step *step, uint32_t *slot_r)
{
    *slot_r = correlation_find(step->track->table, step->line->queue_id, step->instance, false);
    return *slot_r != CORRELATION_NONE && is_used_again(step, *slot_r) ? begin_anew(step, *slot_r)
                                                                       : track_living(step, slot_r);
}

/* A message that neither smtpd nor pickup announced was made by Postfix itself: a bounce, or forwarded
 * mail. */
static bool on_cleanup(const struct track_step *step)
{
    uint32_t slot = correlation_find(step->track->table, step->line->queue_id, step->instance, false);
    bool known = slot != CORRELATION_NONE &&
                 !(correlation_peek(step->track->table, slot)->flags & CORRELATION_REMOVED) &&
                 !is_used_again(step, slot);

    if (!track_being_made(step, &slot))
        return false;
    if (!known)
        correlation_entry(step->track->table, slot)->flags |= CORRELATION_LATE;
    return true;
}

static bool on_header(const struct track_step *step)
{
    uint32_t slot;

    if (!track_being_made(step, &slot))
        return false;
    struct correlation_entry *entry = correlation_entry(step->track->table, slot);
    if (entry->origin == TRUST_UNKNOWN) { /* its birth was not seen, or under another host's name */
        entry->origin = origin_of_client(step) & 15u;
        if (track_is_near(step->line->client))
            entry->flags |= CORRELATION_LATE;
    }
    /* a bounce or report: the line is that of the returned message inside, because header_checks look there,
     * too */
    if (step->line->from.at != NULL && step->line->from.length == 0)
        return true;
    return learn_text(step, slot, SOURCE_HEADER, step->line->uuid.at);
}

/* Of a message in the queue the envelope sender never changes. */
static bool is_of_another_sender(const struct track_step *step, uint32_t slot)
{
    const struct correlation_entry *entry = correlation_peek(step->track->table, slot);
    struct log_slice sender = step->line->from, before = {NULL, 0};
    struct bounce_address verp;
    unsigned char uuid[16];

    if (entry->flags & CORRELATION_ACTIVE) {
        if (((entry->flags & CORRELATION_NULL) != 0) != (sender.length == 0))
            return true;
        if (step->track->senders != NULL)
            before = senders_get(step->track->senders, key_of(entry));
        return before.length > 0 &&
               (before.length != sender.length || memcmp(before.at, sender.at, sender.length) != 0);
    }
    if (!(entry->flags & CORRELATION_TRIED) || entry->source == SOURCE_NONE || sender.length == 0 ||
        !bounce_address_parse(&verp, sender.at, sender.length))
        return false;
    uuid_bytes(uuid, verp.uuid);
    return memcmp(uuid, entry->uuid, sizeof uuid) != 0;
}

static bool on_active(const struct track_step *step)
{
    uint32_t slot;

    if (!track_living(step, &slot) || (is_of_another_sender(step, slot) && !begin_anew(step, slot)))
        return false;
    correlation_entry(step->track->table, slot)->flags |= CORRELATION_ACTIVE;
    if (step->line->from.length == 0) {
        correlation_entry(step->track->table, slot)->flags |= CORRELATION_NULL;
        return true;
    }
    if (step->track->senders != NULL)
        senders_put(step->track->senders, key_of(correlation_peek(step->track->table, slot)),
                    step->line->from);
    struct bounce_address verp;
    return !bounce_address_parse(&verp, step->line->from.at, step->line->from.length) ||
           learn_text(step, slot, SOURCE_VERP, verp.uuid);
}

static bool on_expired(const struct track_step *step)
{
    uint32_t slot = correlation_find(step->track->table, step->line->queue_id, step->instance, false);

    if (slot == CORRELATION_NONE || !(correlation_peek(step->track->table, slot)->flags & CORRELATION_NOTES))
        return true;
    /* a filter would have named it long ago: it was the sender's own */
    if (correlation_peek(step->track->table, slot)->origin == TRUST_UNDECIDED &&
        !track_pass_origin(step, slot, TRUST_SENDER))
        return false;
    return track_tell(step, slot, TRACK_EXPIRED);
}

static bool on_removed(const struct track_step *step)
{
    uint32_t slot = correlation_find(step->track->table, step->line->queue_id, step->instance, false);

    if (slot != CORRELATION_NONE)
        correlation_remove(step->track->table, slot, step->track->heard_s);
    return true;
}

/* --- all lines -------------------------------------------------------------------------------------- */

bool track_line(struct track *track, const struct postfix_log_line *line, int64_t time_ms)
{
    struct track_step step = {.track = track, .line = line, .time_ms = time_ms};

    track->counts.lines++;
    if (line->kind == POSTFIX_LOG_FOREIGN)
        return true;
    track->counts.postfix++;
    if (line->kind == POSTFIX_LOG_OTHER)
        return true;
    tick(track, time_ms);
    step.instance = correlation_instance(line->host, line->name);
    switch (line->kind) {
    case POSTFIX_LOG_BROKEN:
        track->counts.broken++;
        return true;
    case POSTFIX_LOG_BORN:
        return on_born(&step);
    case POSTFIX_LOG_CLEANUP:
        return on_cleanup(&step);
    case POSTFIX_LOG_UUID:
        return on_header(&step);
    case POSTFIX_LOG_ACTIVE:
        return on_active(&step);
    case POSTFIX_LOG_EXPIRED:
        return on_expired(&step);
    case POSTFIX_LOG_REMOVED:
        return on_removed(&step);
    case POSTFIX_LOG_OWN:
        return track_on_own(&step);
    case POSTFIX_LOG_DELIVERY:
        return track_on_delivery(&step);
    case POSTFIX_LOG_FOREIGN:
    case POSTFIX_LOG_OTHER:
        break;
    }
    return true;
}
