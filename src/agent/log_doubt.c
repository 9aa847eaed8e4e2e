#include "agent/log_doubt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/redact.h"
#include "base/xalloc.h"
#include "postlog/log_cursor.h"

/* A Postfix that works writes lines that we understand all the time: as long as there are some, others are
 * not looked at. */
#define QUIET 50
#define QUOTED 180

static bool has(const char *text, size_t length, const char *word)
{
    return memmem(text, length, word, strlen(word)) != NULL;
}

/* "postfix/smtp", "postfix-out/relay/smtp", and then "[" or ": ": no path such as /etc/postfix/main.cf. */
static bool is_tag(const char *at, const char *end)
{
    while (at < end &&
           ((*at >= 'a' && *at <= 'z') || is_digit(*at) || *at == '-' || *at == '_' || *at == '/'))
        at++;
    return end - at > 1 && (*at == '[' || (*at == ':' && at[1] == ' '));
}

/* Where a line of another form would have its tag, "postfix/smtp[123]:", with any syslog_name. */
static bool has_tag(const char *text, size_t length)
{
    static const char *const programs[] = {"/smtp[", "/qmgr[", "/cleanup[", "/smtpd[", "/local[", "/pickup["};
    static const char name[] = "postfix";
    const char *end = text + length, *at = text;

    while ((at = memmem(at, (size_t)(end - at), name, sizeof name - 1)) != NULL) {
        const char *behind = at + sizeof name - 1;
        if ((at == text || at[-1] != '/') && memchr(behind, '/', (size_t)(end - behind)) != NULL &&
            is_tag(behind, end))
            return true;
        at = behind;
    }
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++)
        if (has(text, length, programs[i]))
            return true;
    return false;
}

/* What a delivery agent says of a recipient, wherever it stands. */
static bool has_fate(const char *text, size_t length)
{
    return has(text, length, " to=<") && has(text, length, " status=") && has(text, length, " relay=");
}

static bool is_unread(const struct postfix_log_line *line, const char *text, size_t length)
{
    switch (line->kind) {
    case POSTFIX_LOG_FOREIGN:
        return has_tag(text, length);
    case POSTFIX_LOG_OTHER:
        return has_fate(text, length);
    default:
        return line->kind == POSTFIX_LOG_BROKEN;
    }
}

static void quote(struct log_doubt *doubt, const char *text, size_t length)
{
    AUTO_FREE char *clean = redact_log_line(text, length < 2 * QUOTED ? length : 2 * QUOTED);

    snprintf(doubt->line, sizeof doubt->line, "%.*s", QUOTED, clean);
    for (size_t i = strlen(doubt->line); i > 0 && i >= QUOTED && (unsigned char)doubt->line[i - 1] > 127;)
        doubt->line[--i] = '\0'; /* no part of a character */
}

void log_doubt_look(struct log_doubt *doubt, const struct postfix_log_line *line, const char *text,
                    size_t length)
{
    if (line->kind > POSTFIX_LOG_BROKEN) {
        doubt->understood = true;
        doubt->quiet = doubt->unread = 0;
        return;
    }
    if ((doubt->understood && ++doubt->quiet < QUIET) || !is_unread(line, text, length))
        return;
    if (doubt->unread++ == 0)
        quote(doubt, text, length);
}
