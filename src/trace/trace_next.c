/* How it stands with a message, and what comes next. See trace_private.h. */
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "trace/trace_private.h"

struct next {
    const char *state;
    char *text, *command; /* NULL: none */
    int64_t at_ms;        /* 0: not known */
};

/* Of an event that says how the message ended. */
static void after_event(const struct trace_message *message, struct next *next)
{
    const struct event *event = &message->event;

    next->state = event->cs == CS_DROPPED        ? "dropped"
                  : event->cs == CS_HARD_BOUNCED ? "bounced"
                                                 : event_type(event);
    switch (message->event_state) {
    case EVENT_PENDING:
        next->text = xstrdup("its event waits to be reported; the agent does that");
        next->command = xstrdup("sendpostctl events flush");
        break;
    case EVENT_REJECTED:
        next->text = xstrdup("SendPost's API has refused its event");
        next->command = xasprintf("sendpostctl events retry %s", event->message_id);
        break;
    case EVENT_REPORTED:
        next->text = xstrdup("nothing: it is through, and SendPost has its event");
        break;
    case EVENT_LOCAL:
        next->text = xstrdup("nothing: it is through; its event is kept here only");
        break;
    }
}

static void while_waiting(const struct trace *trace, const struct trace_message *message, struct next *next)
{
    size_t most = trace->request->config->retry.schedule_count + 1;

    if (strcmp(message->queue_name, "hold") == 0) {
        next->state = "held";
        next->text = xstrdup("on hold in Postfix's queue, where somebody has put it");
        next->command = xasprintf("postsuper -H %s", message->queue_id);
    } else if (message->held) {
        next->state = "held";
        next->text = xasprintf("waits for trouble that is not its own, and counts nothing meanwhile: %s",
                               message->held_for);
        next->command = xstrdup("sendpostctl check");
    } else if (message->in_ladder && message->due_ms > clock_realtime_ms()) {
        next->state = "waiting";
        next->text = xasprintf("attempt %d of %zu, when Postfix comes with it after this time",
                               message->attempts + 1, most);
        next->at_ms = message->due_ms;
        next->command = xasprintf("sendpostctl deliveries retry %s", message->queue_id);
    } else {
        next->state = message->in_ladder || message->reason[0] != '\0' ? "waiting" : "queued";
        next->text = message->reason[0] != '\0'
                         ? xasprintf("Postfix comes with it again; it waits because: %s", message->reason)
                     : strcmp(message->queue_name, "active") == 0
                         ? xstrdup("Postfix has it in hand")
                         : xstrdup("Postfix comes with it when its time is up");
        next->command = xasprintf("postqueue -i %s", message->queue_id);
    }
}

static bool is_over(const struct trace_message *message)
{
    return message->has_event && message->event.cs != CS_DEFERRED;
}

static void decide(const struct trace *trace, const struct trace_message *message,
                   const struct trace_letter *letter, struct next *next)
{
    bool queue_known = trace->request->queue != NULL;

    if (is_over(message)) {
        after_event(message, next);
    } else if (message->in_queue || (message->in_ladder && !queue_known)) {
        while_waiting(trace, message, next);
    } else if (letter->gave_up) {
        next->state = "bounced";
        next->text = xstrdup("nothing: Postfix gave it up and told its sender (maximal_queue_lifetime)");
    } else if (letter->removed_ms != 0 || (queue_known && message->in_ladder)) {
        next->state = "gone";
        next->text = xstrdup("nothing: it is no more in Postfix's queue");
    } else {
        next->state = queue_known ? "gone" : "waiting";
        next->text = xstrdup(queue_known ? "nothing: it is not in Postfix's queue"
                                         : "not known: Postfix's queue could not be asked");
    }
}

void trace_add_next(const struct trace *trace, const struct trace_message *message,
                    const struct trace_letter *letter, struct json_object *object)
{
    struct next next = {.state = "waiting"};
    struct json_object *json = json_object_new_object();
    char at[CLOCK_RFC3339_SIZE];

    decide(trace, message, letter, &next);
    if (message->suppressed) {
        char *longer = xasprintf("%s; no mail goes to %s any more (%s)", next.text,
                                 message->suppression.entry, message->suppression.reason);
        cleanup_free(&next.text);
        next.text = longer;
        if (next.command == NULL)
            next.command = xasprintf("sendpostctl suppress rm %s", message->suppression.entry);
    }
    json_object_object_add(object, "state", json_object_new_string(next.state));
    json_object_object_add(json, "text", json_object_new_string(next.text));
    json_object_object_add(json, "at",
                           next.at_ms > 0 ? json_object_new_string(clock_rfc3339(next.at_ms, at)) : NULL);
    json_object_object_add(json, "command",
                           next.command != NULL ? json_object_new_string(next.command) : NULL);
    json_object_object_add(object, "next", json);
    cleanup_free(&next.text);
    cleanup_free(&next.command);
}
