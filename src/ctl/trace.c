/* sendpostctl trace: the story of a message. See trace/trace.h. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "ctl/ctl.h"
#include "ctl/people.h"
#include "event/event_index.h"
#include "trace/trace.h"

#define SEARCH_MS 60000
#define WHOLE 3 /* so many are told whole, of more there is a list */

static const char *text_of(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;

    json_object_object_get_ex(object, key, &value);
    return value != NULL ? json_object_get_string(value) : "";
}

static struct json_object *member(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;

    json_object_object_get_ex(object, key, &value);
    return value;
}

/* --- gathering -------------------------------------------------------------------------------------- */

static struct json_object *gather(struct ctl *ctl, struct store *store, const char *what, size_t limit)
{
    struct trace_log log;
    const struct run *queue = ctl->queue;
    struct outcome error;
    char *why = NULL;
    bool read = trace_log_open(&log, ctl->config->log_path, &why);
    const struct trace_request request = {.config = ctl->config,
                                          .store = store,
                                          .log = read ? &log : NULL,
                                          .why_no_log = why,
                                          .queue = queue->status == 0 ? queue->out : NULL,
                                          .why_no_queue =
                                              *queue->err != '\0' ? queue->err : "there is no postqueue",
                                          .what = what,
                                          .limit = limit,
                                          .until_ms = clock_monotonic_ms() + SEARCH_MS};
    struct json_object *story = trace_story(&request, &error);

    if (story == NULL)
        ctl_fail(ctl, "%s", error.text);
    if (read)
        trace_log_close(&log);
    free(why);
    return story;
}

/* --- printing --------------------------------------------------------------------------------------- */

static void print_entry(struct json_object *entry)
{
    char at[PEOPLE_TIME_SIZE], until[PEOPLE_TIME_SIZE];
    const char *what = text_of(entry, "what");
    AUTO_FREE char *text = ctl_text(text_of(entry, "text"));

    printf("  %-15s  %s%-12s%s %s", people_time_of(text_of(entry, "at"), at), ctl_colour(people_colour(what)),
           what, ctl_colour(CTL_PLAIN), text);
    if (member(entry, "times") != NULL)
        printf("  (%s times, until %s)", text_of(entry, "times"),
               people_time_of(text_of(entry, "until"), until));
    if (*text_of(entry, "state") != '\0')
        printf("  %s[event %s]%s", ctl_colour(CTL_DIM), text_of(entry, "state"), ctl_colour(CTL_PLAIN));
    printf("\n");
}

static void print_fact(const char *name, struct json_object *message, const char *key)
{
    AUTO_FREE char *text = ctl_text(text_of(message, key));

    if (*text != '\0')
        printf("  %-11s %s\n", name, text);
}

static void print_head(struct json_object *message)
{
    struct json_object *next = member(message, "next");
    const char *state = text_of(message, "state");
    char at[PEOPLE_TIME_SIZE];
    AUTO_FREE char *recipient = ctl_text(text_of(message, "recipient"));
    AUTO_FREE char *text = ctl_text(text_of(next, "text")), *command = ctl_text(text_of(next, "command"));

    printf("%s%s%s  %s%s%s\n", ctl_colour(CTL_BOLD), recipient, ctl_colour(CTL_PLAIN),
           ctl_colour(people_colour(state)), state, ctl_colour(CTL_PLAIN));
    print_fact("from", message, "sender");
    print_fact("subject", message, "subject");
    print_fact("queue id", message, "queue_id");
    print_fact("message", message, "message_id");
    print_fact("Message-ID", message, "header_message_id");
    printf("  %-11s %s%s%s\n", "next", text, *text_of(next, "at") != '\0' ? ": " : "",
           *text_of(next, "at") != '\0' ? people_time_of(text_of(next, "at"), at) : "");
    if (*command != '\0')
        printf("  %-11s %s\n", "", command);
}

static void print_whole(struct json_object *message)
{
    struct json_object *story = member(message, "story");

    print_head(message);
    printf("\n");
    for (size_t i = 0; i < json_object_array_length(story); i++)
        print_entry(json_object_array_get_idx(story, i));
    printf("\n");
}

static void print_list(struct json_object *messages)
{
    static const char *const headers[] = {"TIME", "STATE", "QUEUE ID", "MESSAGE", "RECIPIENT", "SUBJECT"};
    struct ctl_table *table = ctl_table_new(6, headers);

    for (size_t i = 0; i < json_object_array_length(messages); i++) {
        struct json_object *message = json_object_array_get_idx(messages, i);
        struct json_object *story = member(message, "story");
        size_t count = json_object_array_length(story);
        char at[PEOPLE_TIME_SIZE] = "", uuid[UUID_SIZE];
        if (count > 0)
            people_time_of(text_of(json_object_array_get_idx(story, count - 1), "at"), at);
        ctl_table_row(table,
                      (const char *const[]){at, text_of(message, "state"), text_of(message, "queue_id"),
                                            people_uuid(text_of(message, "message_id"), uuid),
                                            text_of(message, "recipient"), text_of(message, "subject")});
    }
    ctl_table_print(table);
}

/* What could not be looked at, so that nobody takes silence for an answer. */
static void print_gaps(struct json_object *story)
{
    static const char *const sources[] = {"log", "queue"};

    for (size_t i = 0; i < 2; i++) {
        struct json_object *source = member(story, sources[i]);
        AUTO_FREE char *why = ctl_text(text_of(source, "why"));
        if (!json_object_get_boolean(member(source, "read")))
            fprintf(stderr, "without Postfix's %s: %s\n", sources[i], why);
    }
    if (!json_object_get_boolean(member(story, "complete")))
        fprintf(stderr, "not all could be searched in time: there may be more\n");
}

static enum ctl_status print(struct ctl *ctl, struct json_object *story, const char *what)
{
    struct json_object *messages = member(story, "messages");
    size_t count = json_object_array_length(messages);

    if (ctl->json) {
        ctl_print_json(json_object_get(story));
        return count > 0 ? CTL_OK : CTL_TROUBLE;
    }
    print_gaps(story);
    if (count == 0)
        return ctl_fail(ctl, "nothing is known of \"%s\": neither store nor log nor queue has it", what);
    if (count > WHOLE) {
        print_list(messages);
        printf("\nsendpostctl trace QUEUE_ID tells one of them whole.\n");
        return CTL_OK;
    }
    for (size_t i = 0; i < count; i++)
        print_whole(json_object_array_get_idx(messages, i));
    return CTL_OK;
}

/* --- following ---------------------------------------------------------------------------------------- */

static bool is_over(const char *state)
{
    static const char *const ends[] = {"delivered", "sent", "dropped", "bounced", "soft_bounced", "gone"};

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (strcmp(state, ends[i]) == 0)
            return true;
    return false;
}

/* What was not printed before; true while more can come. */
static bool print_new(struct ctl *ctl, struct json_object *story, struct json_object *printed)
{
    struct json_object *messages = member(story, "messages");
    bool more = json_object_array_length(messages) == 0;

    for (size_t i = 0; i < json_object_array_length(messages); i++) {
        struct json_object *message = json_object_array_get_idx(messages, i);
        struct json_object *entries = member(message, "story");
        const char *recipient = text_of(message, "recipient"), *state = text_of(message, "state");
        more = more || !is_over(state);
        if (!ctl->json && !json_object_object_get_ex(printed, recipient, NULL))
            print_head(message);
        json_object_object_add(printed, recipient, json_object_new_string(state));
        for (size_t k = 0; k < json_object_array_length(entries); k++) {
            struct json_object *entry = json_object_array_get_idx(entries, k);
            AUTO_FREE char *key = xasprintf("%s %s %s %s", recipient, text_of(entry, "at"),
                                            text_of(entry, "what"), text_of(entry, "text"));
            if (json_object_object_get_ex(printed, key, NULL))
                continue;
            json_object_object_add(printed, key, NULL);
            if (ctl->json)
                ctl_json_begins();
            if (ctl->json)
                printf("%s\n", json_object_to_json_string_ext(entry, JSON_C_TO_STRING_PLAIN |
                                                                         JSON_C_TO_STRING_NOSLASHESCAPE));
            else
                print_entry(entry);
        }
    }
    fflush(stdout);
    return more && !ferror(stdout);
}

static enum ctl_status follow(struct ctl *ctl, struct store *store, const char *what, size_t limit)
{
    const struct timespec pause = {.tv_sec = 1};
    struct json_object *printed = json_object_new_object();
    bool more = true;

    while (more) {
        struct json_object *story = gather(ctl, store, what, limit);
        if (story == NULL)
            break;
        more = print_new(ctl, story, printed);
        json_object_put(story);
        store_rest(store);
        if (more) {
            nanosleep(&pause, NULL);
            ctl_ask_queue(ctl);
        }
    }
    json_object_put(printed);
    return more ? CTL_TROUBLE : CTL_OK;
}

/* ------------------------------------------------------------------------------------------------------ */

static enum ctl_status run(struct ctl *ctl)
{
    const char *why, *number = ctl_option(ctl, "limit");
    size_t limit = 20;
    struct outcome error;

    if (ctl->operand_count != 1)
        return ctl_usage(ctl, "one thing is wanted: a queue id, message UUID, Message-ID, address or domain");
    if (!trace_understands(ctl->operands[0], &why))
        return ctl_usage(ctl, "\"%s\" cannot be looked for: %s", ctl->operands[0], why);
    if (number != NULL && !people_number(number, 1, 10000, &limit))
        return ctl_usage(ctl, "--limit \"%s\" is no number between 1 and 10000", number);
    struct store *store = ctl_store(ctl);
    if (store == NULL)
        return CTL_TROUBLE;
    if (!event_index_catch_up(store, clock_monotonic_ms() + SEARCH_MS, &error))
        return ctl_fail(ctl, "%s", error.text);
    if (ctl_option(ctl, "follow") != NULL)
        return follow(ctl, store, ctl->operands[0], limit);
    struct json_object *story = gather(ctl, store, ctl->operands[0], limit);
    if (story == NULL)
        return CTL_TROUBLE;
    enum ctl_status status = print(ctl, story, ctl->operands[0]);
    json_object_put(story);
    return status;
}

static const struct ctl_option options[] = {
    {"follow", 'f', NULL, "go on until the message is through"},
    {"limit", 'n', "N", "messages at most, the latest first (20)"},
    {.name = NULL},
};

const struct ctl_command ctl_trace = {
    .name = "trace",
    .synopsis = "WHAT [-f] [--limit N]",
    .summary = "Tell the story of a message: by queue id, message UUID, Message-ID, address or domain",
    .examples = "  sendpostctl trace 4bXyz1Qwz9\n"
                "  sendpostctl trace user@example.com\n"
                "  sendpostctl trace example.com --limit 100 --json | jq '.messages[].state'\n"
                "  sendpostctl trace 4bXyz1Qwz9 -f\n",
    .options = options,
    .reads_log = true,
    .asks_queue = true,
    .run = run,
};
