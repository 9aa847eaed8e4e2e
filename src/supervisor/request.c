#include "supervisor/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- encoding --------------------------------------------------------------------------------- */

struct pair {
    const char *name, *value;
};

static size_t encode(const struct pair *pairs, size_t count, char **frame_r)
{
    size_t payload = 0;

    for (size_t i = 0; i < count; i++)
        payload += strlen(pairs[i].name) + strlen(pairs[i].value) + 2;
    *frame_r = payload <= REQUEST_FRAME_MAX ? malloc(4 + payload) : NULL;
    if (*frame_r == NULL)
        return 0;
    char *at = *frame_r;
    for (int shift = 24; shift >= 0; shift -= 8)
        *at++ = (char)(payload >> shift);
    for (size_t i = 0; i < count; i++) {
        at = stpcpy(at, pairs[i].name) + 1;
        at = stpcpy(at, pairs[i].value) + 1;
    }
    return 4 + payload;
}

size_t request_encode(const struct delivery_request *request, char **frame_r)
{
    const struct pair pairs[] = {
        {"config", request->config_path},
        {"sender", request->sender},
        {"recipient", request->recipient},
        {"pool", request->pool},
        {"queue-id", request->queue_id},
        {"uuid", request->uuid},
        {"size", request->size},
        {"dry-run", request->dry_run ? "yes" : ""},
        {"verbose", request->verbose ? "yes" : ""},
    };

    return encode(pairs, sizeof pairs / sizeof *pairs, frame_r);
}

size_t result_encode(const struct delivery_result *result, char **frame_r)
{
    char number[16];

    snprintf(number, sizeof number, "%d", result->deadline_s > 0 ? result->deadline_s : result->status);
    if (result->deadline_s > 0)
        return encode((const struct pair[]){{"deadline", number}}, 1, frame_r);
    return encode((const struct pair[]){{"status", number}, {"text", result->text}}, 2, frame_r);
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
