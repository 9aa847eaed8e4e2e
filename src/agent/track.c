#include "agent/track.h"

#include <ctype.h>
#include <string.h>

#include "base/uuid.h"

/* One line on its way through the rules. */
struct step {
    struct track *track;
    const struct postfix_log_line *line;
    int64_t time_ms;
    uint16_t instance;
};

static bool is(struct log_slice slice, const char *word)
{
    return slice.length == strlen(word) && memcmp(slice.at, word, slice.length) == 0;
}

static bool begins(struct log_slice slice, const char *word)
{
    return slice.length >= strlen(word) && memcmp(slice.at, word, strlen(word)) == 0;
}

static uint32_t seconds(int64_t time_ms)
{
    return (uint32_t)(time_ms / 1000);
}

void track_pack_uuid(unsigned char uuid_r[16], const char *text)
{
    for (size_t i = 0; i < 16; i++) {
        if (*text == '-')
            text++;
        for (int half = 0; half < 2; half++, text++) {
            int digit =
                isdigit((unsigned char)*text) ? *text - '0' : tolower((unsigned char)*text) - 'a' + 10;
            uuid_r[i] = (unsigned char)((unsigned)uuid_r[i] << 4 | (unsigned)digit);
        }
    }
}

static uint64_t key_of(const struct correlation_entry *entry)
{
    return entry->queue ^ ((uint64_t)entry->instance << 48);
}

static bool tell(const struct step *step, uint32_t slot, enum track_verb verb)
{
    const struct correlation_entry *entry = correlation_peek(step->track->table, slot);
    struct track_note note = {.verb = verb,
                              .key = key_of(entry),
                              .uuid = entry->source != SOURCE_NONE ? entry->uuid : NULL,
                              .time_ms = step->time_ms,
                              .noted = entry->flags & CORRELATION_NOTES,
                              .line = step->line};

    if (step->line->from.length > 0)
        note.sender = step->line->from;
    else if (step->track->senders != NULL)
        note.sender = senders_get(step->track->senders, note.key);
    return step->track->note(step->track->context, &note);
}

/* What is remembered of the message is no longer needed. */
static bool forget(struct track *track, uint32_t slot)
{
    const struct correlation_entry *entry = correlation_peek(track->table, slot);
    struct track_note note = {.verb = TRACK_FORGOTTEN, .key = key_of(entry)};

    if (!(entry->flags & CORRELATION_NOTES))
        return true;
    return track->note(track->context, &note);
}

bool track_bury(struct track *track, int64_t now_ms)
{
    uint32_t slot;

    while ((slot = correlation_next_dead(track->table, seconds(now_ms))) != CORRELATION_NONE) {
        if (!forget(track, slot))
            return false;
        correlation_free(track->table, slot);
    }
    return true;
}

/* --- entries ------------------------------------------------------------------------------------ */

static bool add(const struct step *step, uint32_t *slot_r)
{
    struct track *track = step->track;

    for (;;) {
        *slot_r = correlation_add(track->table, step->line->queue_id, step->instance, seconds(step->time_ms));
        if (*slot_r != CORRELATION_NONE)
            return true;
        uint32_t dead = correlation_next_dead(track->table, seconds(step->time_ms));
        if (dead == CORRELATION_NONE)
            continue; /* the hand passed free slots only */
        if (!forget(track, dead))
            return false;
        correlation_free(track->table, dead);
    }
}

/* Postfix uses short queue ids again: from here on this one stands for another message. */
static bool begin_anew(const struct step *step, uint32_t slot)
{
    if (!forget(step->track, slot))
        return false;
    struct correlation_entry *entry = correlation_entry(step->track->table, slot);
    *entry = (struct correlation_entry){
        .queue = entry->queue, .instance = entry->instance, .seen_s = seconds(step->time_ms)};
    return true;
}

/* The message of a line that only a living message can cause. */
static bool living(const struct step *step, uint32_t *slot_r)
{
    *slot_r = correlation_find(step->track->table, step->line->queue_id, step->instance, false);
    if (*slot_r == CORRELATION_NONE)
        return add(step, slot_r);
    if (correlation_peek(step->track->table, *slot_r)->flags & CORRELATION_REMOVED)
        return begin_anew(step, *slot_r);
    correlation_entry(step->track->table, *slot_r)->seen_s = seconds(step->time_ms);
    return true;
}

static bool learn(const struct step *step, uint32_t slot, enum correlation_source source,
                  const unsigned char uuid[16])
{
    struct correlation_entry *entry = correlation_entry(step->track->table, slot);
    bool waiting = entry->source == SOURCE_NONE && (entry->flags & CORRELATION_NOTES);

    if (entry->source >= source)
        return true;
    entry->source = (uint8_t)source;
    memcpy(entry->uuid, uuid, sizeof entry->uuid);
    return !waiting || tell(step, slot, TRACK_ADOPTED);
}

static bool learn_text(const struct step *step, uint32_t slot, enum correlation_source source,
                       const char *text)
{
    unsigned char uuid[16] = {0};

    track_pack_uuid(uuid, text);
    return learn(step, slot, source, uuid);
}

/* --- lines of the message as a whole -------------------------------------------------------------- */

/* "host[127.0.0.1]", "host[::1]:10024" */
static bool is_loopback(struct log_slice peer)
{
    const char *bracket = peer.length > 0 ? memchr(peer.at, '[', peer.length) : NULL;

    if (bracket == NULL)
        return false;
    struct log_slice address = {bracket, peer.length - (size_t)(bracket - peer.at)};
    return begins(address, "[127.") || begins(address, "[::1]");
}

/* "postsuper -r" gives the message a new queue id. */
static bool inherit(const struct step *step, uint32_t slot)
{
    struct correlation *table = step->track->table;
    uint32_t old = correlation_find(table, step->line->orig_id, step->instance, false);

    if (old == CORRELATION_NONE || old == slot)
        return true;
    const struct correlation_entry from = *correlation_peek(table, old);
    struct correlation_entry *to = correlation_entry(table, slot);
    to->source = from.source;
    to->flags = from.flags & (CORRELATION_NULL | CORRELATION_OWN | CORRELATION_NOTES);
    memcpy(to->uuid, from.uuid, sizeof to->uuid);
    struct track_note note = {
        .verb = TRACK_MOVED, .key = key_of(&from), .other_key = key_of(to), .line = step->line};
    if ((from.flags & CORRELATION_NOTES) && !step->track->note(step->track->context, &note))
        return false;
    correlation_free(table, old);
    return true;
}

static bool on_born(const struct step *step)
{
    uint32_t slot = correlation_find(step->track->table, step->line->queue_id, step->instance, true);

    if (slot == CORRELATION_NONE ? !add(step, &slot) : !begin_anew(step, slot))
        return false;
    if (is_loopback(step->line->client))
        correlation_entry(step->track->table, slot)->flags |= CORRELATION_LATE;
    return step->line->orig_id.length == 0 || inherit(step, slot);
}

/* A message that neither smtpd nor pickup announced was made by Postfix itself: a bounce, or forwarded mail. */
static bool on_cleanup(const struct step *step)
{
    uint32_t slot = correlation_find(step->track->table, step->line->queue_id, step->instance, false);
    bool known = slot != CORRELATION_NONE &&
                 !(correlation_peek(step->track->table, slot)->flags & CORRELATION_REMOVED);

    if (!living(step, &slot))
        return false;
    if (!known)
        correlation_entry(step->track->table, slot)->flags |= CORRELATION_LATE;
    return true;
}

static bool on_header(const struct step *step)
{
    uint32_t slot;

    if (!living(step, &slot))
        return false;
    /* a bounce or report: the line is that of the returned message inside, because header_checks look there, too */
    if (step->line->from.at != NULL && step->line->from.length == 0)
        return true;
    return learn_text(step, slot, SOURCE_HEADER, step->line->uuid.at);
}

/* "bounces+UUID+SUBACCOUNT@domain": the UUID, or NULL. */
static const char *verp_uuid(struct log_slice sender)
{
    static const char prefix[] = "bounces+";
    enum { PREFIX = sizeof prefix - 1, UUID_END = PREFIX + UUID_SIZE - 1 };
    const char *uuid = sender.at + PREFIX;

    if (!begins(sender, prefix) || sender.length <= UUID_END || sender.at[UUID_END] != '+' ||
        !uuid_valid(uuid, UUID_SIZE - 1))
        return NULL;
    return uuid;
}

static bool on_active(const struct step *step)
{
    uint32_t slot;

    if (!living(step, &slot))
        return false;
    if (step->line->from.length == 0) {
        correlation_entry(step->track->table, slot)->flags |= CORRELATION_NULL;
        return true;
    }
    if (step->track->senders != NULL)
        senders_put(step->track->senders, key_of(correlation_peek(step->track->table, slot)),
                    step->line->from);
    const char *uuid = verp_uuid(step->line->from);
    return uuid == NULL || learn_text(step, slot, SOURCE_VERP, uuid);
}

static bool on_expired(const struct step *step)
{
    uint32_t slot = correlation_find(step->track->table, step->line->queue_id, step->instance, false);

    if (slot == CORRELATION_NONE || !(correlation_peek(step->track->table, slot)->flags & CORRELATION_NOTES))
        return true;
    return tell(step, slot, TRACK_EXPIRED);
}

static bool on_removed(const struct step *step)
{
    uint32_t slot = correlation_find(step->track->table, step->line->queue_id, step->instance, false);

    if (slot != CORRELATION_NONE)
        correlation_remove(step->track->table, slot, seconds(step->time_ms));
    return true;
}

/* --- lines of one recipient ----------------------------------------------------------------------- */

static bool remember(const struct step *step, uint32_t slot, enum track_verb verb)
{
    correlation_entry(step->track->table, slot)->flags |= CORRELATION_NOTES;
    return tell(step, slot, verb);
}

/* The message goes on under another queue id of this log: 1, that has learnt the UUID. 0: it does not. -1: stop. */
static int hand_over(const struct step *step, uint32_t slot, const unsigned char *uuid)
{
    struct correlation *table = step->track->table;
    struct log_slice next_id = postfix_log_queued_as(step->line);
    bool forwarded = is(step->line->program, "local");

    if (next_id.length == 0 || (!forwarded && !is_loopback(step->line->relay)))
        return 0;
    uint32_t next = correlation_find(table, next_id, step->instance, false);
    if (next == slot || (next == CORRELATION_NONE && !forwarded))
        return 0;
    if (next == CORRELATION_NONE) {
        struct postfix_log_line born = {.kind = POSTFIX_LOG_BORN, .queue_id = next_id};
        struct step sub = *step;
        sub.line = &born;
        if (!add(&sub, &next))
            return -1;
    }
    return uuid == NULL || learn(step, next, SOURCE_HANDOVER, uuid) ? 1 : -1;
}

static enum track_verb verb_of(const struct postfix_log_line *line)
{
    if (line->status == POSTFIX_STATUS_BOUNCED)
        return TRACK_BOUNCED;
    if (line->status == POSTFIX_STATUS_DEFERRED)
        return TRACK_DEFERRED;
    return is(line->program, "discard") ? TRACK_DISCARDED : TRACK_DELIVERED;
}

/* It may still come: a filter's answer is logged after the lines of the message that it made. */
static bool without_uuid(const struct step *step, uint32_t slot)
{
    uint8_t flags = slot != CORRELATION_NONE ? correlation_peek(step->track->table, slot)->flags : 0;

    if (flags & CORRELATION_NULL)
        return true;
    if (is(step->line->program, "smtp"))
        step->track->counts.uncorrelated++;
    return !(flags & CORRELATION_LATE) || remember(step, slot, verb_of(step->line));
}

/* sendpost-pipe has reported its fates itself, unless pipe(8) had to end it: then nobody else will. */
static bool on_own_transport(const struct step *step, uint32_t slot)
{
    if (step->line->status == POSTFIX_STATUS_DEFERRED)
        return remember(step, slot, TRACK_OWN_DEFERRED);
    if (step->line->kind == POSTFIX_LOG_DELIVERY && step->line->status == POSTFIX_STATUS_BOUNCED &&
        begins(step->line->reason, "Command "))
        return remember(step, slot, TRACK_BOUNCED);
    return tell(step, slot, TRACK_OWN_SETTLED);
}

/* Its UUID is that of one recipient: it stands for the queue id at the next hop, but not for this one. */
static bool on_own(const struct step *step)
{
    unsigned char uuid[16] = {0};
    uint32_t slot;

    if (!living(step, &slot))
        return false;
    correlation_entry(step->track->table, slot)->flags |= CORRELATION_OWN;
    step->track->counts.own[step->line->status]++;
    if (step->line->uuid.length > 0 && step->line->status == POSTFIX_STATUS_SENT) {
        track_pack_uuid(uuid, step->line->uuid.at);
        if (hand_over(step, slot, uuid) < 0)
            return false;
    }
    return on_own_transport(step, slot);
}

static bool on_sent(const struct step *step, uint32_t slot, bool *handed_r)
{
    const struct correlation_entry entry = *correlation_peek(step->track->table, slot);
    int handed = hand_over(step, slot, entry.source != SOURCE_NONE ? entry.uuid : NULL);

    *handed_r = handed != 0;
    return handed == 0 ||
           (handed > 0 && (!(entry.flags & CORRELATION_NOTES) || tell(step, slot, TRACK_OWN_SETTLED)));
}

static bool on_delivery(const struct step *step)
{
    struct track *track = step->track;
    uint32_t slot = correlation_find(track->table, step->line->queue_id, step->instance, false);
    uint8_t flags = slot != CORRELATION_NONE ? correlation_peek(track->table, slot)->flags : 0;
    bool handed = false;

    if (step->line->status == POSTFIX_STATUS_OTHER)
        return true;
    if (is(step->line->program, "pipe") && (is(step->line->relay, "sendpost") || (flags & CORRELATION_OWN)))
        return slot == CORRELATION_NONE || on_own_transport(step, slot);
    if (slot != CORRELATION_NONE && step->line->status == POSTFIX_STATUS_SENT) {
        if (!on_sent(step, slot, &handed))
            return false;
        if (handed)
            return true;
    }
    if (slot == CORRELATION_NONE || correlation_peek(track->table, slot)->source == SOURCE_NONE)
        return without_uuid(step, slot);
    track->counts.deliveries++;
    return step->line->status == POSTFIX_STATUS_DEFERRED ? remember(step, slot, TRACK_DEFERRED)
                                                         : tell(step, slot, verb_of(step->line));
}

bool track_line(struct track *track, const struct postfix_log_line *line, int64_t time_ms)
{
    struct step step = {.track = track, .line = line, .time_ms = time_ms};

    track->counts.lines++;
    if (line->kind == POSTFIX_LOG_FOREIGN)
        return true;
    track->counts.postfix++;
    if (line->kind == POSTFIX_LOG_OTHER)
        return true;
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
        return on_own(&step);
    case POSTFIX_LOG_DELIVERY:
        return on_delivery(&step);
    case POSTFIX_LOG_FOREIGN:
    case POSTFIX_LOG_OTHER:
        break;
    }
    return true;
}
