/* What remote ends say, as a description and as an address of an event: clean UTF-8, bounded, and JSON that
 * can be read again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "event/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_clean(const char *text, size_t room)
{
    size_t length = strnlen(text, room);

    if (length == room)
        abort();
    for (size_t at = 0; at < length;) {
        size_t sequence = utf8_sequence(text + at, length - at);
        if (sequence == 0 || (unsigned char)text[at] < ' ' || text[at] == 127)
            abort();
        at += sequence;
    }
}

static void check_event(const char *text, size_t length)
{
    struct event event = {.cs = CS_DROPPED, .source = EVENT_SOURCE_AGENT};

    event_describe(&event, text, length);
    check_clean(event.smtp_description, sizeof event.smtp_description);
    memcpy(event.recipient, text, length < sizeof event.recipient - 1 ? length : sizeof event.recipient - 1);
    event_identify(&event, event.recipient);
    struct json_object *object = event_to_json(&event, NULL);
    const char *json = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN);
    check_clean(json, strlen(json) + 1);
    struct json_object *again = json_tokener_parse(json);
    if (again == NULL || !json_object_equal(object, again))
        abort();
    json_object_put(again);
    json_object_put(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_event((const char *)data, size);
    return 0;
}
