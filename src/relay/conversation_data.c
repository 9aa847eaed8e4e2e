/* The content and its final dot: from here on a lost reply leaves the message in doubt. */
#include "relay/conversation_private.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "relay/content.h"
#include "relay/verdict.h"

#define MORE_REPLIES "More replies than asked for"

static const char final_dot[] = ".\r\n";

static enum conversation_next content_refused(struct conversation *conversation,
                                              const struct content_check *check, enum content_verdict verdict)
{
    struct wire *wire = conversation->wire;

    if (verdict == CONTENT_ALTERED)
        return conversation_engine_trouble(conversation, "altered the message at byte %ju",
                                           (uintmax_t)check->offset);
    if (verdict == CONTENT_BARE_LF)
        outcome_local(
            &wire->outcome, "4.3.0",
            "the message holds a line feed without carriage return near byte %ju, which must not be "
            "sent; this is a defect, please report it",
            (uintmax_t)check->offset);
    else
        outcome_local(&wire->outcome, "4.3.0", "cannot read the message at byte %ju: %s",
                      (uintmax_t)check->offset, strerrordesc_np(check->error));
    (void)wire_stage_failed(wire);
    return CONVERSATION_END;
}

/* A reply before the dot was sent is a refusal or a lie, never a success: so there is a look ahead of each
 * write. */
static bool pass(struct wire *wire, const char *data, size_t length)
{
    enum transport_status status = TRANSPORT_OK;
    bool interrupted = transport_has_input(&wire->transport);

    wire->stage_deadline_ms = wire_deadline(wire);
    if (!interrupted)
        status = wire_write(wire, data, length);
    return (!interrupted && status == TRANSPORT_OK) || wire_interrupted(wire, status);
}

/* From the engine to the server, all but the final dot, which ends a message that was exact. */
static enum conversation_next pass_content(struct conversation *conversation, struct content_check *check)
{
    struct wire *wire = conversation->wire;
    struct transport *local = &conversation->local;
    enum content_verdict verdict = CONTENT_MORE;
    char buffer[2 + TRANSPORT_IN_SIZE]; /* what was held back, and what came */
    size_t held = 0;

    while (verdict == CONTENT_MORE) {
        size_t got, safe = 0, ready;

        if (local->in_start == local->in_end &&
            transport_fill(local, wire->request->deadline_ms) != TRANSPORT_OK)
            return conversation_engine_trouble(conversation, "ended in the middle of the message");
        got = local->in_end - local->in_start;
        memcpy(buffer + held, local->in + local->in_start, got);
        verdict = content_feed(check, buffer + held, got, &safe);
        if (verdict == CONTENT_COMPLETE && safe != got) {
            if (!conversation->foretold)
                verdict = CONTENT_ALTERED;
            got = safe; /* else its QUIT follows */
        }
        local->in_start += got;
        if (verdict != CONTENT_MORE && verdict != CONTENT_COMPLETE)
            return content_refused(conversation, check, verdict);
        ready = safe > 0 ? held + safe : 0;
        if (verdict == CONTENT_COMPLETE)
            ready -= sizeof final_dot - 1;
        if (!pass(wire, buffer, ready))
            return CONVERSATION_END;
        held = held + got - ready;
        memmove(buffer, buffer + ready, held);
    }
    return CONVERSATION_GO_ON;
}

/*
 * A final dot whose answer nobody can wait for leaves the message in doubt for nothing: without it the server
 * forgets the message.
 */
static bool answer_has_time(struct wire *wire)
{
    const struct relay_request *request = wire->request;
    int64_t left_ms = request->deadline_ms - clock_monotonic_ms(),
            patience_ms = wire->tpsp->command_timeout_ms;

    if (left_ms >= (patience_ms < request->answer_ms ? patience_ms : request->answer_ms))
        return true;
    outcome_set(
        &wire->outcome, OUTCOME_DEFERRED, CAUSE_UNREACHABLE, 0, "4.4.2",
        "Timeout at %s with %s: it was so slow that no time is left for its answer, and the message was not "
        "ended",
        relay_stage_name(wire->stage), wire->peer);
    return wire_stage_failed(wire);
}

/* By itself: what came while the content waited for room is seen before it, and is no answer to it. */
static bool pass_final_dot(struct wire *wire)
{
    const struct relay_request *request = wire->request;

    if (!answer_has_time(wire))
        return false;
    if (request->before_dot != NULL && !request->before_dot(request->context, &wire->outcome))
        return wire_stage_failed(wire);
    if (!pass(wire, final_dot, sizeof final_dot - 1))
        return false;
    transport_mark(&wire->transport);
    return true;
}

/*
 * Something came along with the final reply although one reply was due: these replies were not to what we
 * sent, and the first of them may be older than the end of the message. A server that closes, with 421 or
 * 221, may say so in the same breath.
 */
static bool more_than_asked(const struct transport *transport)
{
    size_t length = transport->in_end - transport->in_start;

    return length > 0 && (length < 3 || (memcmp(transport->in + transport->in_start, "421", 3) != 0 &&
                                         memcmp(transport->in + transport->in_start, "221", 3) != 0));
}

/*
 * Why a 2xx need not be the answer to the final dot; NULL: it is. Whoever answers the dot has received it,
 * and each TCP segment acknowledges all that its sender has received (RFC 9293 section 3.10.7.4): a reply is
 * in our hands and the dot is not acknowledged, then the reply is older than the arrival of the dot.
 */
static const char *why_doubtful(const struct transport *transport)
{
    if (more_than_asked(transport))
        return MORE_REPLIES;
    return transport_mark_acknowledged(transport) ? NULL : "Premature reply";
}

static void take_final_reply(struct conversation *conversation)
{
    struct wire *wire = conversation->wire;
    const struct reply *reply = &wire->parser.reply;
    enum transport_status status;
    enum reply_progress progress;
    const char *doubt;

    wire->stage_deadline_ms = wire_deadline(wire);
    reply_start(&wire->parser);
    if (!wire_read_reply(wire, &status, &progress)) {
        verdict_in_doubt(&wire->outcome,
                         status == TRANSPORT_TIMEOUT ? "Timeout"
                         : status != TRANSPORT_OK    ? "Connection lost"
                                                     : "Garbled reply",
                         wire->peer);
        (void)wire_stage_failed(wire);
        return;
    }
    doubt = reply->code / 100 == 2              ? why_doubtful(&wire->transport)
            : more_than_asked(&wire->transport) ? MORE_REPLIES
                                                : NULL;
    if (doubt != NULL) {
        verdict_in_doubt(&wire->outcome, doubt, wire->peer);
        (void)wire_stage_failed(wire);
    } else if (reply->code / 100 == 2) {
        outcome_from_reply(&wire->outcome, CAUSE_NONE, reply->code, reply->text, reply->text_length);
        if (wire->request->accepted != NULL)
            wire->request->accepted(wire->request->context, &wire->outcome);
        wire->usable = true;
        wire_stage_done(wire, reply->code, reply->text);
    } else if (reply->code >= 400) {
        wire->usable = true;
        (void)conversation_refused(conversation);
    } else {
        verdict_in_doubt(&wire->outcome, "Garbled reply", wire->peer);
        (void)wire_stage_failed(wire);
    }
    conversation_tell_code(conversation, reply->code);
    conversation->answered = true;
}

enum conversation_next conversation_data(struct conversation *conversation)
{
    struct wire *wire = conversation->wire;
    struct content_check check;
    enum conversation_next next;

    wire_stage_begin(wire, RELAY_DATA);
    if (!conversation->rcpt_accepted)
        return conversation_engine_trouble(conversation, "sent DATA before its time");
    if (conversation->ahead ? !wire_await_reply(wire) : !wire_command(wire, "DATA\r\n", 6, NULL))
        return CONVERSATION_END;
    if (wire->parser.reply.code != 354)
        return conversation_refused(conversation);
    if (!conversation->foretold && conversation->local.in_start < conversation->local.in_end)
        return conversation_engine_trouble(conversation, "sent content before it was asked to");
    wire->usable = false; /* until the final reply */
    wire->content_begun = true;
    conversation_tell_code(conversation, 354);
    content_start(&check, wire->request->message);
    next = pass_content(conversation, &check);
    content_finish(&check);
    if (next == CONVERSATION_GO_ON && !pass_final_dot(wire))
        next = CONVERSATION_END;
    if (next == CONVERSATION_GO_ON) {
        if (wire->request->trace != NULL)
            fprintf(wire->request->trace, "C: (%ju bytes of message)\nC: .\n",
                    (uintmax_t)wire->request->message->size);
        take_final_reply(conversation);
        next = CONVERSATION_END;
    }
    return next;
}
