/*
 * Running ahead of the engine: where the server offers PIPELINING (RFC 2920), RSET, MAIL, RCPT and DATA leave
 * in one flight as soon as the engine has said MAIL, because the rest of what it will say is known. Its own
 * RCPT and DATA are then held against what was sent, and answered with the replies as they come: each reply
 * still belongs to its command.
 *
 * The content is never part of the flight: a connection that died meanwhile would leave the message in doubt,
 * where so it is simply asked again. From DATA on the session is in step only when all replies are read. A
 * 354 that follows a refused recipient is ended with a lone dot, which the server has to refuse (RFC 2920
 * section 3.1); with an accepted recipient a lone dot would deliver an empty message, so whatever then must
 * not be sent ends by closing the connection.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/address.h"
#include "base/clock.h"
#include "relay/conversation_private.h"
#include "relay/wire.h"

#define REST_MS 5000 /* for the replies that decide nothing any more */

bool wire_may_run_ahead(const struct wire *wire, const struct relay_request *request)
{
    /* an observer wants to see how long each step takes; libcurl gives another form to what is not ASCII */
    return wire->capabilities.pipelining && request->observe == NULL && address_is_ascii(request->sender) &&
           address_is_ascii(request->recipient);
}

/* One write, so that it is one TLS record and one segment. */
static enum transport_status send_flight(struct conversation *conversation)
{
    struct wire *wire = conversation->wire;
    char flight[sizeof conversation->line + 1024];
    size_t length = 0;

    int recipient = snprintf(conversation->rcpt_sent, sizeof conversation->rcpt_sent, "RCPT TO:<%s>\r\n",
                             wire->request->recipient);
    if (wire->reset_due) {
        wire_trace(wire, 'C', "RSET", 4);
        memcpy(flight, "RSET\r\n", 6);
        length = 6;
    }
    memcpy(flight + length, conversation->line, conversation->length);
    length += conversation->length;
    memcpy(flight + length, conversation->rcpt_sent, (size_t)recipient);
    length += (size_t)recipient;
    memcpy(flight + length, "DATA\r\n", 6);
    length += 6;
    wire_trace(wire, 'C', conversation->line, conversation->length);
    wire_trace(wire, 'C', conversation->rcpt_sent, (size_t)recipient);
    wire_trace(wire, 'C', "DATA", 4);
    return wire_write(wire, flight, length);
}

bool conversation_may_run_ahead(const struct conversation *conversation)
{
    const struct wire *wire = conversation->wire;

    return wire_may_run_ahead(wire, wire->request) &&
           strlen(wire->request->recipient) + sizeof "RCPT TO:<>\r\n" <= sizeof conversation->rcpt_sent;
}

enum conversation_next conversation_run_ahead(struct conversation *conversation)
{
    struct wire *wire = conversation->wire;
    enum transport_status status = TRANSPORT_OK;

    bool interrupted = wire->transport.in_start < wire->transport.in_end;
    if (!interrupted)
        status = send_flight(conversation);
    if (interrupted || status != TRANSPORT_OK) {
        (void)wire_interrupted(wire, status);
        return CONVERSATION_END;
    }
    wire->usable = false; /* until all replies are there */
    conversation->ahead = true;
    if (wire->reset_due && !wire_take_reset(wire))
        return CONVERSATION_END;
    wire->stage_deadline_ms = wire_deadline(wire);
    return wire_await_reply(wire) ? CONVERSATION_GO_ON : CONVERSATION_END;
}

bool conversation_rcpt_is_as_sent(const struct conversation *conversation)
{
    return strcasecmp(conversation->line, conversation->rcpt_sent) == 0;
}

/* The lone dot, to a server that wants the content of a message without a recipient. */
static bool end_empty_content(struct wire *wire)
{
    wire_trace(wire, 'C', ".", 1);
    return wire_write(wire, ".\r\n", 3) == TRANSPORT_OK && wire_take_reply(wire) &&
           wire->parser.reply.code / 100 != 2;
}

void conversation_take_rest(struct conversation *conversation)
{
    struct wire *wire = conversation->wire;
    bool closing = wire->parser.reply.code == 421;

    if (!conversation->ahead || closing)
        return;
    wire->stage_deadline_ms = clock_monotonic_ms() + REST_MS;
    if (wire->stage_deadline_ms > wire->request->deadline_ms)
        wire->stage_deadline_ms = wire->request->deadline_ms;
    bool in_step = true, recipient_accepted = false;
    if (wire->stage == RELAY_MAIL) { /* the reply to RCPT */
        in_step = wire_take_reply(wire);
        closing = wire->parser.reply.code == 421;
        recipient_accepted = wire->parser.reply.code / 100 == 2;
    }
    if (in_step && !closing && wire->stage != RELAY_DATA) {
        in_step = wire_take_reply(wire);
        if (in_step && wire->parser.reply.code == 354)
            in_step = !recipient_accepted && end_empty_content(wire);
    }
    wire->usable = in_step && wire->parser.reply.code >= 400 && wire->parser.reply.code != 421;
}
