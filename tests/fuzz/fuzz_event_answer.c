/* What an event API answers, made fit for logs and people: one line of UTF-8, bounded, and never the key.
 * Input: the key up to the first NUL, then the body. The same bytes as a description and as an address of an
 * event. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/xalloc.h"
#include "event/event.h"
#include "event/event_client.h"

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

static void check_answer(const char *key, const char *body, size_t length)
{
    struct event_answer answer = {.status = 422};

    event_answer_describe(&answer, key, body, length);
    check_clean(answer.text, sizeof answer.text);
    /* "HTTP 422: " and the mask are not the answer's; a byte that is no character is replaced by others */
    for (const char *at = key; *at != '\0'; at++)
        if (strchr("* HTP:", *at) != NULL || (unsigned char)*at < ' ' || (unsigned char)*at > 126)
            return;
    if (strlen(key) >= 4 && strstr(answer.text, key) != NULL)
        abort();
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
    const uint8_t *end = memchr(data, 0, size);
    size_t key_length = end != NULL ? (size_t)(end - data) : 0;
    AUTO_FREE char *key = xstrndup((const char *)data, key_length);
    const char *body = (const char *)data + (end != NULL ? key_length + 1 : 0);
    size_t length = size - (end != NULL ? key_length + 1 : 0);

    check_answer(key, body, length);
    check_event(body, length);
    return 0;
}
