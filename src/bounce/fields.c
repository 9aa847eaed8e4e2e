#include "bounce/fields.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/outcome.h"
#include "base/xalloc.h"

/* One group of fields, as far as it is read. */
struct group {
    char original[FIELDS_VALUE_SIZE], final[FIELDS_VALUE_SIZE], actual[FIELDS_VALUE_SIZE];
    char action[32], status[64], diagnostic[FIELDS_VALUE_SIZE];
    /* these may come more than once: the first counts */
    char remote[256], supplementary[FIELDS_VALUE_SIZE];
};

static const struct {
    const char *name;
    size_t offset, size;
} known[] = {
#define FIELD(name, member)                                                     \
    {                                                                           \
        name, offsetof(struct group, member), sizeof((struct group *)0)->member \
    }
    FIELD("Original-Recipient", original),
    FIELD("Final-Recipient", final),
    FIELD("X-Actual-Recipient", actual),
    FIELD("Action", action),
    FIELD("Status", status),
    FIELD("Diagnostic-Code", diagnostic),
    FIELD("Remote-MTA", remote),
    FIELD("X-Supplementary-Info", supplementary),
#undef FIELD
};

bool fields_address(char address_r[ADDRESS_SIZE], const char *value)
{
    const char *open = strchr(value, '<'), *at, *begin, *end, *why;
    size_t length;

    if (open != NULL && strchr(open, '>') != NULL) {
        begin = open + 1;
        end = strchr(open, '>');
    } else {
        const char *type = strchr(value, ';');

        begin = type != NULL ? type + 1 : value;
        begin += strspn(begin, " \t\"'");
        end = begin + strcspn(begin, " \t(<>\"',");
    }
    /* a source route: @relay:user@host */
    if (*begin == '@') {
        const char *colon = memchr(begin, ':', (size_t)(end - begin));

        if (colon != NULL)
            begin = colon + 1;
    }
    if (end - begin > 7 && strncasecmp(begin, "mailto:", 7) == 0)
        begin += 7;
    at = memchr(begin, '@', (size_t)(end - begin));
    length = (size_t)(end - begin);
    while (length > 0 && strchr(".:", begin[length - 1]) != NULL)
        length--;
    if (at == NULL || length == 0 || length >= ADDRESS_SIZE)
        return false;
    memcpy(address_r, begin, length);
    address_r[length] = '\0';
    return address_valid(address_r, &why);
}

static enum fields_action action_of(const char *word, const char *status)
{
    static const struct {
        const char *word;
        enum fields_action action;
    } actions[] = {{"failed", FIELDS_FAILED},  {"failure", FIELDS_FAILED}, {"delayed", FIELDS_DELAYED},
                   {"delivered", FIELDS_DONE}, {"relayed", FIELDS_DONE},   {"expanded", FIELDS_DONE}};

    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
        if (strncasecmp(word, actions[i].word, strlen(actions[i].word)) == 0)
            return actions[i].action;
    return *status == '2' ? FIELDS_DONE : FIELDS_UNSAID;
}

static void copy_status(char status_r[12], const char *value)
{
    size_t length = strspn(value, "0123456789.");

    if (length > 11 || outcome_enhanced_length(value, length) != length)
        length = 0;
    memcpy(status_r, value, length);
    status_r[length] = '\0';
}

/* "smtp; 550 no" is kept from its second word. A type is one short word (RFC 3464 section 2.1.2). */
static const char *without_type(const char *value)
{
    size_t type = strcspn(value, "; \t");

    return value[type] == ';' && type < 32 ? value + type + 1 + strspn(value + type + 1, " \t") : value;
}

/* Diagnostic-Code, else what Oracle's server writes: "<mx.example.net #5.0.0 smtp; 550 no such user>" */
static const char *said(const struct group *group)
{
    const char *supplementary = strchr(group->supplementary, ';');

    if (*group->diagnostic != '\0' || supplementary == NULL)
        return without_type(group->diagnostic);
    return supplementary + 1 + strspn(supplementary + 1, " \t");
}

static void take_group(struct group *group, struct fields_recipient **recipients, size_t *count)
{
    struct fields_recipient *recipient;

    if (*count == FIELDS_RECIPIENTS_MAX || (!*group->original && !*group->final && !*group->actual))
        return;
    if (*recipients == NULL)
        *recipients = xcalloc(FIELDS_RECIPIENTS_MAX, sizeof **recipients);
    recipient = &(*recipients)[*count];
    if (!fields_address(recipient->address, group->original) &&
        !fields_address(recipient->address, group->final) &&
        !fields_address(recipient->address, group->actual))
        return;
    if (!fields_address(recipient->final, group->final))
        memcpy(recipient->final, recipient->address, sizeof recipient->final);
    copy_status(recipient->status, group->status);
    recipient->action = action_of(group->action, recipient->status);
    memccpy(recipient->remote, without_type(group->remote), '\0', sizeof recipient->remote - 1);
    recipient->remote[strcspn(recipient->remote, " \t([;")] = '\0';
    memcpy(recipient->diagnostic, said(group), strlen(said(group)) + 1);
    (*count)++;
}

/* The value, unfolded, into the group; a field that is there already begins the next group. */
static bool store_field(struct group *group, const char *line, const char *end)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t name = strlen(known[i].name), length = 0;
        char *value = (char *)group + known[i].offset;
        const char *at = line + name;

        if ((size_t)(end - line) <= name || strncasecmp(line, known[i].name, name) != 0)
            continue;
        at += strspn(at, " \t");
        if (*at != ':')
            continue;
        if (*value != '\0')
            return known[i].offset >= offsetof(struct group, remote);
        for (at++; at < end && length + 1 < known[i].size; at++) {
            char c = *at == '\n' || *at == '\t' ? ' ' : *at;

            if (c != ' ' || (length > 0 && value[length - 1] != ' '))
                value[length++] = c;
        }
        while (length > 0 && value[length - 1] == ' ')
            length--;
        value[length] = '\0';
        return true;
    }
    return true;
}

size_t fields_read(struct fields_recipient **recipients_r, const char *text)
{
    AUTO_FREE struct group *group = xcalloc(1, sizeof *group);
    size_t count = 0;

    *recipients_r = NULL;
    while (*text != '\0') {
        const char *end = text + strcspn(text, "\n");

        if (end == text || strspn(text, " \t") >= (size_t)(end - text)) { /* an empty line ends a group */
            take_group(group, recipients_r, &count);
            memset(group, 0, sizeof *group);
            text = end + (*end != '\0');
            continue;
        }
        while (*end == '\n' && (end[1] == ' ' || end[1] == '\t') && end[1 + strspn(end + 1, " \t")] != '\n')
            end += 1 + strcspn(end + 1, "\n");
        if (!store_field(group, text, end)) {
            take_group(group, recipients_r, &count);
            memset(group, 0, sizeof *group);
            store_field(group, text, end);
        }
        text = end + (*end != '\0');
    }
    take_group(group, recipients_r, &count);
    if (count == 0) {
        free(*recipients_r);
        *recipients_r = NULL;
    }
    return count;
}
