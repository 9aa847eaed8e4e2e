#include "postlog/log_level.h"

#include <strings.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void skip_blanks(struct cursor *cursor)
{
    while (cursor->at < cursor->end && is_blank(*cursor->at))
        cursor->at++;
}

/* "info", "mail.info", "mail:info", "MAIL/INFO"; of the facilities only ours may stand alone. */
bool log_level_is(struct log_slice word)
{
    static const char *const names[] = {"emerg", "panic",         "alert",   "crit", "critical",
                                        "err",   "error",         "warning", "warn", "notice",
                                        "info",  "informational", "debug",   "mail", "maillog"};

    if (word.length > 5 && strncasecmp(word.at, "mail", 4) == 0 && memchr(".:/|,", word.at[4], 5) != NULL)
        word = (struct log_slice){word.at + 5, word.length - 5};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i]) == word.length && strncasecmp(word.at, names[i], word.length) == 0)
            return true;
    return word.length == 3 && is_digit(word.at[0]) && word.at[1] == '.' && is_digit(word.at[2]); /* "2.6" */
}

/* "info", "[info]", "<mail.info>", "(info)", each perhaps with a colon behind */
bool log_level_take(struct cursor *cursor)
{
    struct cursor probe = *cursor;
    const char *closing = NULL;

    if (probe.at < probe.end && memchr("[<(", *probe.at, 3) != NULL) {
        closing = *probe.at == '[' ? "]" : *probe.at == '<' ? ">" : ")";
        probe.at++;
    }
    struct log_slice word = {probe.at, 0};
    while (probe.at < probe.end && !is_blank(*probe.at) && memchr("[]<>()", *probe.at, 6) == NULL)
        probe.at++;
    word.length = (size_t)(probe.at - word.at);
    if (word.length > 0 && word.at[word.length - 1] == ':')
        word.length--;
    if (!log_level_is(word) || (closing != NULL && !cursor_skip(&probe, closing, 1)))
        return false;
    SKIP(&probe, ":");
    if (probe.at < probe.end && !is_blank(*probe.at))
        return false;
    skip_blanks(&probe);
    *cursor = probe;
    return true;
}

/* Postfix's own words for what is no delivery (msg(3)); those of a syslog daemon are of the line's level,
 * "info". */
static bool is_own_word(struct cursor probe)
{
    return SKIP(&probe, "warning:") || SKIP(&probe, "error:") || SKIP(&probe, "fatal:") ||
           SKIP(&probe, "panic:");
}

void log_level_skip(struct cursor *cursor)
{
    struct cursor probe = *cursor;
    struct log_slice id;

    SKIP(cursor, " ");
    if (cursor->at < cursor->end && (is_digit(*cursor->at) || (*cursor->at >= 'A' && *cursor->at <= 'Z')))
        return; /* a queue id: nearly always */
    skip_blanks(cursor);
    SKIP(cursor, "\xef\xbb\xbf");
    skip_blanks(cursor);
    probe = *cursor;
    if (SKIP(&probe, "[ID ") && take_until(&probe, ']', &id)) { /* Solaris: syslogd(8), message IDs */
        skip_blanks(&probe);
        *cursor = probe;
        return;
    }
    /* "info: header …" and "warning: …" are Postfix's own words; with a queue id behind they are not */
    if (probe.at < probe.end && !is_own_word(probe) &&
        ((*probe.at >= 'a' && *probe.at <= 'z') || memchr("[<(", *probe.at, 3) != NULL) &&
        log_level_take(&probe)) {
        size_t digits = 0;

        while (digits < cursor_left(&probe) && is_alphanumeric(probe.at[digits]))
            digits++;
        if (digits >= 5 && digits < cursor_left(&probe) && probe.at[digits] == ':' &&
            !(probe.at[0] >= 'a' && probe.at[0] <= 'z'))
            *cursor = probe;
    }
}
