/*
 * trace: the story of a message, in order, from all that is known on this host: the store (events, retry
 * ladder, suppression list), Postfix's log and Postfix's queue. `sendpostctl trace` prints it, the agent's
 * status page searches with it.
 *
 *     {"what": "4bXyz1Qwz9", "complete": true,
 *      "log": {"read": true, "why": null}, "queue": {"read": true, "why": null},
 *      "messages": [
 *        {"message_id": UUID or null, "queue_id", "header_message_id", "subject", "sender", "recipient",
 *         "state": "delivered" | "sent" | "deferred" | "dropped" | "bounced" | "soft_bounced" | "waiting" |
 * "held" | "queued" | "gone", "next": {"text", "at" or null, "command" or null}, "story": [{"at", "source":
 * "store" | "log" | "queue", "what", "text", …}]}]}
 *
 * A message is one message to one recipient; the one that something happened to last comes first. Times are
 * RFC 3339 in UTC. An entry of the story that is an event has also event_id, state, tpsp, smtp_code,
 * smtp_enhanced_code and attempt.
 *
 * Reads only: a store that can be read only will do. One thread.
 */
#ifndef SENDPOST_TRACE_TRACE_H
#define SENDPOST_TRACE_TRACE_H

#include <json-c/json.h>

#include "config/config.h"
#include "store/store.h"
#include "trace/trace_log.h"

struct trace_request {
    const struct config *config;
    struct store *store;
    const struct trace_log *log; /* NULL: not read, and why_no_log says why */
    const char *why_no_log;
    const char *queue; /* what "postqueue -j" printed; NULL: not known, and why_no_queue says why */
    const char *why_no_queue;
    const char *what; /* queue id, message UUID or a beginning of it, Message-ID, address, domain */
    size_t limit;     /* messages at most */
    int64_t until_ms; /* clock_monotonic_ms(): what is known by then is told */
};

/* Whether what can be looked for; else *why_r, a constant string, says what is wrong with it. */
bool trace_understands(const char *what, const char **why_r) __attribute__((nonnull));

/* The object above, the caller's; NULL with *error_r set when the store cannot tell. */
struct json_object *trace_story(const struct trace_request *request, struct outcome *error_r)
    __attribute__((nonnull));

#endif
