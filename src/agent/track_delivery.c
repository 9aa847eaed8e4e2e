/* The lines that tell what became of one recipient. */
#include "agent/track_private.h"
#include "postlog/log_cursor.h"

#include "base/uuid.h"

static bool remember(const struct track_step *step, uint32_t slot, enum track_verb verb)
{
    correlation_entry(step->track->table, slot)->flags |= CORRELATION_NOTES;
    return track_tell(step, slot, verb);
}

/* --- filters ------------------------------------------------------------------------------------------ */

/* "host[/run/amavis.sock]", "host[private/scan]": a socket on this machine. */
static bool is_socket(struct log_slice relay)
{
    const char *open = relay.length > 0 ? memchr(relay.at, '[', relay.length) : NULL;
    struct log_slice path = {open, open != NULL ? relay.length - (size_t)(open - relay.at) : 0};

    return slice_begins(path, "[/") || slice_begins(path, "[private/") || slice_begins(path, "[public/");
}

/* Mail servers listen on these ports; what listens on another the postmaster has put there. */
static bool has_filter_port(struct log_slice relay)
{
    static const char *const ports[] = {"25", "465", "587", "2525", "2587"};
    const char *close = relay.length > 0 ? memrchr(relay.at, ']', relay.length) : NULL;
    struct log_slice port = {NULL, 0};

    if (close == NULL || close + 2 >= relay.at + relay.length || close[1] != ':')
        return false;
    port = (struct log_slice){close + 2, relay.length - (size_t)(close + 2 - relay.at)};
    for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++)
        if (slice_is(port, ports[i]))
            return false;
    return true;
}

/*
 * Whether the relay, which names a message of this log, may have put it there. What a stranger's server says
 * proves nothing: it may name any queue id that we have told it.
 */
static bool may_have_made(const struct track_step *step, const struct correlation_entry *next,
                          const unsigned char *uuid)
{
    struct log_slice relay = step->line->relay;
    unsigned char hash[8];

    if (track_is_loopback(relay) || is_socket(relay))
        return true;
    if (next->source >= SOURCE_VERP)
        return uuid != NULL && memcmp(next->uuid, uuid, 16) == 0;
    track_hash_peer(hash, relay);
    return has_filter_port(relay) || (track_is_near(relay) && next->source == SOURCE_NONE &&
                                      memcmp(next->uuid, hash, sizeof hash) == 0);
}

bool track_pass_origin(const struct track_step *step, uint32_t next, enum trust_origin origin)
{
    struct correlation_entry *entry = correlation_entry(step->track->table, next);
    bool waited =
        entry->origin != TRUST_SENDER && (entry->flags & CORRELATION_NOTES) && entry->source != SOURCE_NONE;

    if (origin == TRUST_UNDECIDED) /* what goes into a filter has not just come out of one */
        origin = TRUST_SENDER;
    entry->origin = origin & 15u;
    entry->flags &= (uint8_t)~CORRELATION_LATE; /* there is nothing to wait for any more */
    return !waited || origin == TRUST_STRANGER || track_tell(step, next, TRACK_ADOPTED);
}

/* The message goes on under another queue id of this log: 1, that has learnt the UUID. 0: it does not. -1:
 * stop. */
static int hand_over(const struct track_step *step, uint32_t slot, const unsigned char *uuid,
                     enum trust_origin origin)
{
    struct correlation *table = step->track->table;
    struct log_slice next_id = postfix_log_queued_as(step->line);
    bool forwarded = slice_is(step->line->program, "local");

    if (next_id.length == 0)
        return 0;
    uint32_t next = correlation_find(table, next_id, step->instance, false);
    if (next == slot || (next == CORRELATION_NONE && !forwarded))
        return 0;
    if (!forwarded && !may_have_made(step, correlation_peek(table, next), uuid))
        return 0;
    step->track->filtered |= !forwarded && step->line->kind == POSTFIX_LOG_DELIVERY;
    if (next == CORRELATION_NONE) {
        struct postfix_log_line born = {.kind = POSTFIX_LOG_BORN, .queue_id = next_id};
        struct track_step sub = *step;
        sub.line = &born;
        if (!track_add(&sub, &next))
            return -1;
    }
    return track_pass_origin(step, next, origin) &&
                   (uuid == NULL || track_learn(step, next, SOURCE_HANDOVER, uuid))
               ? 1
               : -1;
}

/* A filter took the message and threw it away: its 2xx says so. Of a mail server elsewhere a 2xx is a
 * delivery, whatever it does with it. */
static bool is_discarded(const struct track_step *step)
{
    const struct postfix_log_line *line = step->line;
    struct classify_result result;

    if (slice_is(line->program, "discard"))
        return true;
    if (step->track->filters == NULL || line->status != POSTFIX_STATUS_SENT || line->reason.length == 0 ||
        (!is_socket(line->relay) && !track_is_near(line->relay) && !has_filter_port(line->relay) &&
         !slice_is(line->program, "pipe")))
        return false;
    classify_text(step->track->filters, 0, "", line->reason.at, line->reason.length, &result);
    return result.hard;
}

static enum track_verb verb_of(const struct track_step *step)
{
    if (step->line->status == POSTFIX_STATUS_BOUNCED)
        return TRACK_BOUNCED;
    if (step->line->status == POSTFIX_STATUS_DEFERRED)
        return TRACK_DEFERRED;
    return is_discarded(step) ? TRACK_DISCARDED : TRACK_DELIVERED;
}

/* --- fates -------------------------------------------------------------------------------------------- */

/* It may still come: a filter's answer is logged after the lines of the message that it made. */
static bool without_uuid(const struct track_step *step, uint32_t slot)
{
    const struct correlation_entry *entry =
        slot != CORRELATION_NONE ? correlation_peek(step->track->table, slot) : NULL;
    uint8_t flags = entry != NULL ? entry->flags : 0;
    bool is_strangers = entry != NULL && entry->origin == TRUST_STRANGER;

    if (flags & CORRELATION_NULL)
        return true;
    if (slice_is(step->line->program, "smtp") && !is_strangers)
        step->track->counts.uncorrelated++;
    return !(flags & CORRELATION_LATE) || remember(step, slot, verb_of(step));
}

/* The UUID is a stranger's word, or perhaps one: what a filter or an alias has made of another message may
 * still turn out to be a sender's. */
static bool without_trust(const struct track_step *step, uint32_t slot)
{
    const struct correlation_entry *entry = correlation_peek(step->track->table, slot);
    struct track_step sub = *step;

    if (entry->flags & CORRELATION_NULL)
        return true;
    step->track->counts.untrusted += entry->origin != TRUST_UNDECIDED;
    sub.withheld = true;
    return !(entry->flags & CORRELATION_LATE) || remember(&sub, slot, verb_of(step));
}

/* Internal mail, and what comes back from a filter, waits until it is known what it was made of. */
static bool is_trusted(const struct track_step *step, uint32_t slot)
{
    const struct correlation_entry *entry = correlation_peek(step->track->table, slot);
    enum trust_origin origin = (enum trust_origin)entry->origin;

    if (origin == TRUST_UNKNOWN && (entry->flags & CORRELATION_LATE))
        origin = TRUST_STRANGER;
    return trust_uuid(step->track->trust, origin, entry->uuid, step->line);
}

/* sendpost-pipe has reported its fates itself, unless pipe(8) had to end it: then nobody else will. */
static bool on_own_transport(const struct track_step *step, uint32_t slot)
{
    if (step->line->status == POSTFIX_STATUS_DEFERRED)
        return remember(step, slot, TRACK_OWN_DEFERRED);
    if (step->line->kind == POSTFIX_LOG_DELIVERY && step->line->status == POSTFIX_STATUS_BOUNCED &&
        slice_begins(step->line->reason, "Command "))
        return remember(step, slot, TRACK_OWN_KILLED);
    return track_tell(step, slot, TRACK_OWN_SETTLED);
}

/* Its UUID is that of one recipient: it stands for the queue id at the next hop, but not for this one. */
bool track_on_own(const struct track_step *step)
{
    unsigned char uuid[16] = {0};
    uint32_t slot;

    if (!track_living(step, &slot))
        return false;
    correlation_entry(step->track->table, slot)->flags |= CORRELATION_OWN | CORRELATION_TRIED;
    step->track->counts.own[step->line->status]++;
    if (step->line->uuid.length > 0 && step->line->status == POSTFIX_STATUS_SENT) {
        uuid_bytes(uuid, step->line->uuid.at);
        if (hand_over(step, slot, uuid, TRUST_SENDER) < 0)
            return false;
    }
    return on_own_transport(step, slot);
}

static bool on_sent(const struct track_step *step, uint32_t slot, bool *handed_r)
{
    const struct correlation_entry entry = *correlation_peek(step->track->table, slot);
    int handed = hand_over(step, slot, entry.source != SOURCE_NONE ? entry.uuid : NULL,
                           (enum trust_origin)entry.origin);

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
    if (slot != CORRELATION_NONE && !(flags & CORRELATION_TRIED))
        correlation_entry(track->table, slot)->flags |= CORRELATION_TRIED;
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
    if (!is_trusted(step, slot))
        return without_trust(step, slot);
    track->counts.deliveries++;
    return step->line->status == POSTFIX_STATUS_DEFERRED ? remember(step, slot, TRACK_DEFERRED)
                                                         : track_tell(step, slot, verb_of(step));
}
