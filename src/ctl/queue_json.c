#include "ctl/queue_json.h"

#include "base/json.h"

static struct json_object *waits_json(const struct backlog *backlog)
{
    struct json_object *list = json_object_new_array();

    for (int wait = 0; wait < BACKLOG_WAITS; wait++) {
        struct json_object *row = json_object_new_object();
        json_add_text(row, "what", backlog_wait_name((enum backlog_wait)wait));
        json_add_number(row, "recipients", (int64_t)backlog->recipients[wait]);
        json_object_array_add(list, row);
    }
    return list;
}

static struct json_object *reasons_json(const struct backlog *backlog)
{
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; i < backlog->reason_count; i++) {
        struct json_object *row = json_object_new_object();
        json_add_text(row, "text", backlog->reasons[i].text);
        json_add_number(row, "recipients", (int64_t)backlog->reasons[i].count);
        json_object_array_add(list, row);
    }
    return list;
}

struct json_object *queue_json(const struct backlog *backlog, const char *why)
{
    struct json_object *object = json_object_new_object();

    json_add_flag(object, "read", backlog != NULL);
    json_add_text(object, "why", why);
    if (backlog == NULL)
        return object;
    json_add_flag(object, "complete", backlog->complete);
    json_add_number(object, "messages", (int64_t)backlog->messages);
    json_add_time(object, "oldest_at", backlog->oldest_ms);
    json_add_time(object, "next_attempt", backlog->next_ms);
    json_object_object_add(object, "waits", waits_json(backlog));
    json_object_object_add(object, "reasons", reasons_json(backlog));
    return object;
}
