#include "supervisor/request.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- encoding --------------------------------------------------------------------------------- */

struct frame {
    char *bytes;
    size_t length; /* the four bytes of the length included */
    bool overflow;
};

static void frame_put(struct frame *frame, const char *name, const char *value)
{
    size_t name_size = strlen(name) + 1, value_size = strlen(value) + 1;

    if (name_size + value_size > 4 + REQUEST_FRAME_MAX - frame->length) {
        frame->overflow = true;
        return;
    }
    memcpy(frame->bytes + frame->length, name, name_size);
    memcpy(frame->bytes + frame->length + name_size, value, value_size);
    frame->length += name_size + value_size;
}

static bool frame_begin(struct frame *frame)
{
    *frame = (struct frame){.bytes = malloc(4 + REQUEST_FRAME_MAX), .length = 4};
    return frame->bytes != NULL;
}

static size_t frame_end(struct frame *frame, char **frame_r)
{
    uint32_t payload = (uint32_t)(frame->length - 4);

    if (frame->overflow) {
        free(frame->bytes);
        *frame_r = NULL;
        return 0;
    }
    for (int i = 0; i < 4; i++)
        frame->bytes[i] = (char)(payload >> (24 - 8 * i));
    *frame_r = frame->bytes;
    return frame->length;
}

size_t request_encode(const struct delivery_request *request, char **frame_r)
{
    struct frame frame;

    *frame_r = NULL;
    if (!frame_begin(&frame))
        return 0;
    frame_put(&frame, "config", request->config_path);
    frame_put(&frame, "sender", request->sender);
    frame_put(&frame, "recipient", request->recipient);
    frame_put(&frame, "pool", request->pool);
    frame_put(&frame, "queue-id", request->queue_id);
    frame_put(&frame, "uuid", request->uuid);
    frame_put(&frame, "size", request->size);
    frame_put(&frame, "dry-run", request->dry_run ? "yes" : "");
    frame_put(&frame, "verbose", request->verbose ? "yes" : "");
    return frame_end(&frame, frame_r);
}

size_t result_encode(const struct delivery_result *result, char **frame_r)
{
    struct frame frame;
    char number[16];

    *frame_r = NULL;
    if (!frame_begin(&frame))
        return 0;
    if (result->deadline_s > 0) {
        snprintf(number, sizeof number, "%d", result->deadline_s);
        frame_put(&frame, "deadline", number);
    } else {
        snprintf(number, sizeof number, "%d", result->status);
        frame_put(&frame, "status", number);
        frame_put(&frame, "text", result->text);
    }
    return frame_end(&frame, frame_r);
}

/* --- decoding --------------------------------------------------------------------------------- */

/* The next pair of a payload; false at its end. A payload that does not end in NUL has no pairs. */
static bool pair_next(const char *payload, size_t length, size_t *at, const char **name_r,
                      const char **value_r)
{
    if (length == 0 || payload[length - 1] != '\0' || *at >= length)
        return false;
    size_t value_at = *at + strlen(payload + *at) + 1;
    if (value_at >= length)
        return false; /* a name without a value: *at stays short of the end, which tells the caller */
    *name_r = payload + *at;
    *value_r = payload + value_at;
    *at = value_at + strlen(*value_r) + 1;
    return true;
}

bool request_decode(const char *payload, size_t length, struct delivery_request *request_r)
{
    const char *name, *value;
    size_t at = 0;

    *request_r =
        (struct delivery_request){.config_path = "", .pool = "", .queue_id = "", .uuid = "", .size = ""};
    while (pair_next(payload, length, &at, &name, &value)) {
        if (strcmp(name, "config") == 0)
            request_r->config_path = value;
        else if (strcmp(name, "sender") == 0)
            request_r->sender = value;
        else if (strcmp(name, "recipient") == 0)
            request_r->recipient = value;
        else if (strcmp(name, "pool") == 0)
            request_r->pool = value;
        else if (strcmp(name, "queue-id") == 0)
            request_r->queue_id = value;
        else if (strcmp(name, "uuid") == 0)
            request_r->uuid = value;
        else if (strcmp(name, "size") == 0)
            request_r->size = value;
        else if (strcmp(name, "dry-run") == 0)
            request_r->dry_run = *value != '\0';
        else if (strcmp(name, "verbose") == 0)
            request_r->verbose = *value != '\0';
    }
    return at == length && request_r->sender != NULL && request_r->recipient != NULL;
}

/* Decimal digits only, below 100,000. */
static int small_number(const char *text)
{
    int number = 0;

    if (*text == '\0' || strlen(text) > 5)
        return -1;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return -1;
        number = number * 10 + (*text - '0');
    }
    return number;
}

bool result_decode(const char *payload, size_t length, struct delivery_result *result_r)
{
    const char *name, *value;
    size_t at = 0;

    *result_r = (struct delivery_result){.status = -1};
    while (pair_next(payload, length, &at, &name, &value)) {
        if (strcmp(name, "deadline") == 0)
            result_r->deadline_s = small_number(value);
        else if (strcmp(name, "status") == 0)
            result_r->status = small_number(value);
        else if (strcmp(name, "text") == 0)
            snprintf(result_r->text, sizeof result_r->text, "%s", value);
    }
    return at == length && (result_r->deadline_s > 0 || (result_r->status >= 0 && *result_r->text != '\0'));
}

bool result_valid(const struct delivery_result *result)
{
    char digit = result->status == 0 ? '2' : result->status == 75 ? '4' : result->status == 69 ? '5' : '\0';
    const char *text = result->text;

    /* class "." subject "." detail SP: RFC 3463 section 2 */
    if (digit == '\0' || text[0] != digit || text[1] != '.')
        return false;
    size_t subject = strspn(text + 2, "0123456789");
    if (subject < 1 || subject > 3 || text[2 + subject] != '.')
        return false;
    size_t detail = strspn(text + 3 + subject, "0123456789");
    if (detail < 1 || detail > 3 || text[3 + subject + detail] != ' ')
        return false;
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == 127)
            return false;
    return true;
}
