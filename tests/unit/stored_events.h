/* Events in a temporary store, for the tests of event_store and event_outbox. */
#ifndef SENDPOST_STORED_EVENTS_H
#define SENDPOST_STORED_EVENTS_H

#include <string.h>

#include "event/event_store.h"
#include "temporary_store.h"

__attribute__((unused)) static struct event make(int number, enum event_cs cs, const char *tpsp)
{
    struct event event = {
        .cs = cs, .source = EVENT_SOURCE_PIPE, .timestamp_ms = 1000 + number, .attempt = number};

    snprintf(event.message_id, sizeof event.message_id, "00000000-0000-5000-8000-%012d", number);
    snprintf(event.recipient, sizeof event.recipient, "user%d@example.com", number);
    snprintf(event.queue_id, sizeof event.queue_id, "Q%d", number);
    snprintf(event.tpsp, sizeof event.tpsp, "%s", tpsp);
    snprintf(event.smtp_description, sizeof event.smtp_description, "said \xc3\xa4");
    event_identify(&event, "");
    return event;
}

__attribute__((unused)) static void add(int number, enum event_cs cs, enum event_state state,
                                        const char *tpsp, int64_t due_ms)
{
    struct event event = make(number, cs, tpsp);

    ck_assert_msg(event_store_add(store, &event, state, due_ms, &error), "%s", error.text);
}

__attribute__((unused)) static int64_t count(enum event_state state)
{
    int64_t number = -1;

    ck_assert(event_store_count(store, state, &number, &error));
    return number;
}

#endif
