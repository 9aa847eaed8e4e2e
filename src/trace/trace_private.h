/*
 * trace_private: what the parts of trace share; nobody else includes it. trace.c gathers, trace_store.c asks
 * the store, trace_mail.c log and queue, trace_next.c says what comes next.
 */
#ifndef SENDPOST_TRACE_TRACE_PRIVATE_H
#define SENDPOST_TRACE_TRACE_PRIVATE_H

#include "event/event_index.h"
#include "trace/trace.h"

/* One message to one recipient. */
struct trace_message {
    char uuid[UUID_SIZE]; /* "" where it is not known */
    char queue_id[EVENT_QUEUE_ID_SIZE];
    char sender[ADDRESS_SIZE], recipient[ADDRESS_SIZE];
    struct event_mail mail;
    struct json_object *story; /* not in order yet */
    int64_t last_ms;           /* of the latest entry */

    bool has_event;
    struct event event; /* the latest, and how far it is reported */
    enum event_state event_state;

    bool in_ladder, held; /* table deliveries */
    int attempts;
    int64_t due_ms;
    char held_for[EVENT_NAME_SIZE + OUTCOME_TEXT_SIZE]; /* TPSP and why */

    bool in_queue;
    int64_t queued_ms; /* as the queue has it; 0: not known */
    char queue_name[16], reason[OUTCOME_TEXT_SIZE];
    bool suppressed;
    struct suppression_words {
        char entry[ADDRESS_SIZE];
        const char *reason;
        int64_t since_ms;
    } suppression;
};

/* What the log says of a message as a whole, whoever its recipients are. */
struct trace_letter {
    char queue_id[EVENT_QUEUE_ID_SIZE];
    char sender[ADDRESS_SIZE];
    char header_id[EVENT_MAIL_SIZE];
    struct json_object *story;
    int64_t removed_ms; /* 0: not that we know */
    bool gave_up;       /* Postfix returned it to its sender */
    int64_t arrival_ms;
};

struct trace {
    const struct trace_request *request;
    struct trace_message *messages;
    size_t count;
    struct trace_letter *letters;
    size_t letter_count;
    bool complete;
};

enum trace_kind {
    TRACE_UUID = 1,
    TRACE_QUEUE_ID = 2,
    TRACE_ADDRESS = 4,
    TRACE_HEADER_ID = 8,
    TRACE_DOMAIN = 16
};

/* What the word can be: enum trace_kind, several of them perhaps. */
unsigned trace_kinds(const char *what) __attribute__((nonnull));
/* The domain in "example.com" and "@example.com". */
const char *trace_domain(const char *what) __attribute__((nonnull, returns_nonnull));
/* Whether mail to this recipient is asked for, as far as the recipient tells. */
bool trace_wants(const struct trace *trace, const char *recipient) __attribute__((nonnull));

/* The message, added where it is new; NULL when there are as many as are wanted. uuid may be "", queue_id,
 * too. */
struct trace_message *trace_message_for(struct trace *trace, const char *uuid, const char *queue_id,
                                        const char *recipient) __attribute__((nonnull));
struct trace_letter *trace_letter_for(struct trace *trace, const char *queue_id)
    __attribute__((nonnull, returns_nonnull));

/* {"at", "source", "what", "text"} behind a story, whose it is; what else it has may be added. */
struct json_object *trace_add(struct json_object *story, int64_t at_ms, const char *source, const char *what,
                              const char *text) __attribute__((nonnull, returns_nonnull));

bool trace_find_in_store(struct trace *trace, struct outcome *error_r) __attribute__((nonnull));
/* Of each message what the store knows. */
bool trace_read_store(struct trace *trace, struct outcome *error_r) __attribute__((nonnull));

void trace_read_mail(struct trace *trace) __attribute__((nonnull));

/* "state" and "next". */
void trace_add_next(const struct trace *trace, const struct trace_message *message,
                    const struct trace_letter *letter, struct json_object *object) __attribute__((nonnull));

#endif
