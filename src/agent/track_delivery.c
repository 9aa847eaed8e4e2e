/* The lines that tell what became of one recipient. */
#include "agent/log_cursor.h"
#include "agent/track_private.h"

#include "base/uuid.h"

static bool remember(const struct track_step *step, uint32_t slot, enum track_verb verb)
{
    correlation_entry(step->track->table, slot)->flags |= CORRELATION_NOTES;
    return track_tell(step, slot, verb);
}

/* The message goes on under another queue id of this log: 1, that has learnt the UUID. 0: it does not. -1:
 * stop. */
static int hand_over(const struct track_step *step, uint32_t slot, const unsigned char *uuid)
{
    struct correlation *table = step->track->table;
    struct log_slice next_id = postfix_log_queued_as(step->line);
    bool forwarded = slice_is(step->line->program, "local");

    if (next_id.length == 0 || (!forwarded && !track_is_loopback(step->line->relay)))
        return 0;
    uint32_t next = correlation_find(table, next_id, step->instance, false);
    if (next == slot || (next == CORRELATION_NONE && !forwarded))
        return 0;
    if (next == CORRELATION_NONE) {
        struct postfix_log_line born = {.kind = POSTFIX_LOG_BORN, .queue_id = next_id};
        struct track_step sub = *step;
        sub.line = &born;
        if (!track_add(&sub, &next))
            return -1;
    }
    return uuid == NULL || track_learn(step, next, SOURCE_HANDOVER, uuid) ? 1 : -1;
}

static enum track_verb verb_of(const struct postfix_log_line *line)
{
    if (line->status == POSTFIX_STATUS_BOUNCED)
        return TRACK_BOUNCED;
    if (line->status == POSTFIX_STATUS_DEFERRED)
        return TRACK_DEFERRED;
    return slice_is(line->program, "discard") ? TRACK_DISCARDED : TRACK_DELIVERED;
}

/* It may still come: a filter's answer is logged after the lines of the message that it made. */
static bool without_uuid(const struct track_step *step, uint32_t slot)
{
    uint8_t flags = slot != CORRELATION_NONE ? correlation_peek(step->track->table, slot)->flags : 0;

    if (flags & CORRELATION_NULL)
        return true;
    if (slice_is(step->line->program, "smtp"))
        step->track->counts.uncorrelated++;
    return !(flags & CORRELATION_LATE) || remember(step, slot, verb_of(step->line));
}

/* sendpost-pipe has reported its fates itself, unless pipe(8) had to end it: then nobody else will. */
static bool on_own_transport(const struct track_step *step, uint32_t slot)
{
    if (step->line->status == POSTFIX_STATUS_DEFERRED)
        return remember(step, slot, TRACK_OWN_DEFERRED);
    if (step->line->kind == POSTFIX_LOG_DELIVERY && step->line->status == POSTFIX_STATUS_BOUNCED &&
        slice_begins(step->line->reason, "Command "))
        return remember(step, slot, TRACK_BOUNCED);
    return track_tell(step, slot, TRACK_OWN_SETTLED);
}

/* Its UUID is that of one recipient: it stands for the queue id at the next hop, but not for this one. */
bool track_on_own(const struct track_step *step)
{
    unsigned char uuid[16] = {0};
    uint32_t slot;

    if (!track_living(step, &slot))
        return false;
    correlation_entry(step->track->table, slot)->flags |= CORRELATION_OWN;
    step->track->counts.own[step->line->status]++;
    if (step->line->uuid.length > 0 && step->line->status == POSTFIX_STATUS_SENT) {
        uuid_bytes(uuid, step->line->uuid.at);
        if (hand_over(step, slot, uuid) < 0)
            return false;
    }
    return on_own_transport(step, slot);
}

static bool on_sent(const struct track_step *step, uint32_t slot, bool *handed_r)
{
    const struct correlation_entry entry = *correlation_peek(step->track->table, slot);
    int handed = hand_over(step, slot, entry.source != SOURCE_NONE ? entry.uuid : NULL);

    *handed_r = handed != 0;
    return handed == 0 ||
           (handed > 0 && (!(entry.flags & CORRELATION_NOTES) || track_tell(step, slot, TRACK_OWN_SETTLED)));
}

bool track_on_delivery(const struct track_step *step)
{
    struct track *track = step->track;
    uint32_t slot = correlation_find(track->table, step->line->queue_id, step->instance, false);
    uint8_t flags = slot != CORRELATION_NONE ? correlation_peek(track->table, slot)->flags : 0;
    bool handed = false;

    if (step->line->status == POSTFIX_STATUS_OTHER)
        return true;
    if (slice_is(step->line->program, "pipe") &&
        (slice_is(step->line->relay, "sendpost") || (flags & CORRELATION_OWN)))
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
                                                         : track_tell(step, slot, verb_of(step->line));
}
