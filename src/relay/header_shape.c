#include "relay/header_shape.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* The fields that libESMTP knows (header_actions[] in its headers.c) and does something about. */
enum { REQUIRED = 1, ONCE = 2, DROPPED = 4 };
static const struct known_field {
    const char *name;
    unsigned flags;
    const char *missing, *repeated;
} known_fields[] = {
    {"Date", REQUIRED | ONCE, "a missing Date is added", "a second Date is dropped"},
    {"From", REQUIRED | ONCE, "a missing From is added", "a second From is dropped"},
    {"Message-Id", REQUIRED | ONCE, "a missing Message-Id is added", "a second Message-Id is dropped"},
    {"Sender", ONCE, NULL, "a second Sender is dropped"},
    {"To", ONCE, NULL, "a second To is dropped"},
    {"Cc", ONCE, NULL, "a second Cc is dropped"},
    {"Bcc", ONCE, NULL, "a second Bcc is dropped"},
    {"Reply-To", ONCE, NULL, "a second Reply-To is dropped"},
    {"Disposition-Notification-To", ONCE, NULL, "a second Disposition-Notification-To is dropped"},
    {"Return-Path", DROPPED, NULL, "Return-Path is dropped"},
    {"Resent-Reply-To", DROPPED, NULL, "Resent-Reply-To is dropped"},
};
#define KNOWN_COUNT (sizeof known_fields / sizeof known_fields[0])

static bool is_field(const char *name, size_t length, const char *known)
{
    return length == strlen(known) && strncasecmp(name, known, length) == 0;
}

/* One field, its name up to the colon exactly as libESMTP takes it: "Date :" is not Date to it. */
static const char *look_at_field(const char *name, size_t length, bool seen[KNOWN_COUNT])
{
    static const char original[] = "Original-";

    if (length >= sizeof original - 1 && strncasecmp(name, original, sizeof original - 1) == 0)
        return "Original-… fields are dropped";
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if (!is_field(name, length, known_fields[i].name))
            continue;
        if ((known_fields[i].flags & DROPPED) != 0 || seen[i])
            return known_fields[i].repeated;
        seen[i] = true;
    }
    return NULL;
}

const char *header_shape_trouble(const char *header, size_t length)
{
    bool seen[KNOWN_COUNT] = {false};
    size_t at = 0;

    if (memchr(header, '\0', length) != NULL)
        return "the header holds a NUL";
    while (at < length) {
        const char *line = header + at;
        const char *end = memmem(line, length - at, "\r\n", 2);
        const char *colon, *trouble;

        if (end == NULL)
            return "the header does not end in a blank line";
        if (end == line)
            break;
        at += (size_t)(end - line) + 2;
        if (line != header && (*line == ' ' || *line == '\t'))
            continue;
        colon = memchr(line, ':', (size_t)(end - line));
        trouble = colon != NULL ? look_at_field(line, (size_t)(colon - line), seen) : NULL;
        if (trouble != NULL)
            return trouble;
    }
    if (at >= length)
        return "the header does not end in a blank line";
    for (size_t i = 0; i < KNOWN_COUNT; i++)
        if ((known_fields[i].flags & REQUIRED) != 0 && !seen[i])
            return known_fields[i].missing;
    return NULL;
}
