#include "policy/suppression_file.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "base/xalloc.h"

#define COLUMNS_MAX 64
#define NO_COLUMN COLUMNS_MAX

/* --- CSV -------------------------------------------------------------------------------------------- */

/*
 * Take the quotes off a field in place; returns what stands behind it. NULL, and nothing is changed, when the
 * closing quote does not end the field: the quoted local part of an address ("a b"@example.com) begins alike.
 */
static char *unquote(char *field, char separator)
{
    char *to = field, *from = field + 1, *close = from, *behind;

    while (*close != '\0' && (*close != '"' || close[1] == '"'))
        close += *close == '"' ? 2 : 1;
    behind = *close == '"' ? close + 1 : close;
    behind += strspn(behind, " ");
    if (*behind != '\0' && *behind != separator)
        return NULL;
    while (from < close) {
        if (*from == '"')
            from++;
        *to++ = *from++;
    }
    *to = '\0';
    return behind;
}

static void trim_end(char *text)
{
    size_t length = strlen(text);

    while (length > 0 && isspace((unsigned char)text[length - 1]))
        text[--length] = '\0';
}

static char *trim(char *field)
{
    field += strspn(field, " \t");
    trim_end(field);
    return field;
}

/* Cut the line at its separators; returns how many fields there are. */
static size_t split(char *line, char separator, char *fields[COLUMNS_MAX])
{
    size_t count = 0;

    while (line != NULL && count < COLUMNS_MAX) {
        char *field = line + strspn(line, separator == '\t' ? " " : " \t");
        char *behind = *field == '"' ? unquote(field, separator) : NULL;
        char *next = strchr(behind != NULL ? behind : field, separator);
        if (next != NULL)
            *next++ = '\0';
        fields[count++] = behind != NULL ? field : trim(field);
        line = next;
    }
    return count;
}

static bool is_one_of(const char *name, const char *const names[])
{
    while (*names != NULL && strcasecmp(name, *names) != 0)
        names++;
    return *names != NULL;
}

/* Whether the fields are names of columns; then remember which is which. */
static bool read_names(struct suppression_file *file, char *const fields[], size_t count)
{
    static const char *const addresses[] = {"address",       "email",     "e-mail", "mail", "email_address",
                                            "email address", "recipient", "domain", NULL};
    static const char *const reasons[] = {"reason", "type", "category", NULL};
    static const char *const dates[] = {"date",       "since",     "created", "created_at",
                                        "created at", "timestamp", "time",    NULL};
    size_t address = NO_COLUMN, reason = NO_COLUMN, since = NO_COLUMN;

    for (size_t i = count; i-- > 0;) {
        if (is_one_of(fields[i], addresses))
            address = i;
        else if (is_one_of(fields[i], reasons))
            reason = i;
        else if (is_one_of(fields[i], dates))
            since = i;
    }
    if (address == NO_COLUMN)
        return false;
    file->address_column = address;
    file->reason_column = reason;
    file->since_column = since;
    return true;
}

/* --- values ----------------------------------------------------------------------------------------- */

/* ".123", "Z" or "+01:00" behind a time of day; false for anything else. */
static bool read_time_tail(const char *text, int64_t *ms)
{
    int hours = 0, minutes = 0, length = 0;
    char sign;

    if (*text == '.') {
        for (int64_t weight = 100; isdigit((unsigned char)*++text); weight /= 10)
            *ms += (*text - '0') * weight;
    }
    if (strcasecmp(text, "z") == 0 || strcasecmp(text, " utc") == 0 || *text == '\0')
        return true;
    text += *text == ' ';
    if (sscanf(text, "%c%2d%n", &sign, &hours, &length) < 2 || (sign != '+' && sign != '-'))
        return false;
    text += length;
    text += *text == ':';
    if (*text != '\0' && (sscanf(text, "%2d%n", &minutes, &length) < 1 || text[length] != '\0'))
        return false;
    *ms -= (sign == '-' ? -1 : 1) * (int64_t)(hours * 60 + minutes) * 60000;
    return true;
}

/* "2026-11-23", the same with "T05:01:32" or " 05:01:32" and what may follow (RFC 3339), or seconds since
 * 1970. */
static bool read_date(const char *text, int64_t *ms_r)
{
    struct tm parts = {0};
    const char *at = strptime(text, "%Y-%m-%d", &parts);
    const char *behind;

    if (at == NULL || at - text != 10 || parts.tm_year < 70) {
        char *end;
        long long seconds = strtoll(text, &end, 10);
        if (end - text != 10 || *end != '\0' || seconds <= 0)
            return false;
        *ms_r = seconds * 1000;
        return true;
    }
    *ms_r = 0;
    if (*at == 'T' || *at == 't' || *at == ' ') {
        behind = strptime(at + 1, "%H:%M:%S", &parts);
        if (behind == NULL || !read_time_tail(behind, ms_r))
            return false;
    } else if (*at != '\0') {
        return false;
    }
    *ms_r += (int64_t)timegm(&parts) * 1000;
    return *ms_r > 0; /* a year of two digits is no date */
}

/* --- lines ------------------------------------------------------------------------------------------ */

/* The first line with something in it decides how the others are read. True when it names the columns. */
static bool begin(struct suppression_file *file, char *line)
{
    AUTO_FREE char *copy = xstrdup(line);
    char *fields[COLUMNS_MAX];

    file->begun = true;
    file->separator = strchr(line, ',') != NULL || strpbrk(line, ";\t") == NULL ? ','
                      : strchr(line, ';') != NULL                               ? ';'
                                                                                : '\t';
    file->reason_column = 1;
    file->since_column = 2;
    return read_names(file, fields, split(copy, file->separator, fields));
}

enum suppression_line suppression_file_read(struct suppression_file *file, char *line,
                                            struct suppression *entry_r, const char **why_r)
{
    char *fields[COLUMNS_MAX];
    size_t count;

    if (!file->begun && strncmp(line, "\xef\xbb\xbf", 3) == 0)
        line += 3;
    trim_end(line);
    if (strchr(line, '\r') != NULL) { /* all of an old Mac's file is one such line */
        *why_r = "a carriage return within the line; tr '\\r' '\\n' <FILE >NEW makes lines of it";
        return SUPPRESSION_ERROR;
    }
    if (line[strspn(line, " \t,;")] == '\0' || *line == '#' || (!file->begun && begin(file, line)))
        return SUPPRESSION_NOTHING;
    count = split(line, file->separator, fields);
    *entry_r = (struct suppression){.reason = file->reason, .since_ms = file->since_ms};
    if (count <= file->address_column || *fields[file->address_column] == '\0')
        *why_r = "no address in this line";
    else if (!suppression_normalise(fields[file->address_column], file->match, entry_r->address, why_r))
        return SUPPRESSION_ERROR;
    else if (count > file->reason_column && *fields[file->reason_column] != '\0' &&
             !suppression_reason_by_name(fields[file->reason_column], &entry_r->reason))
        *why_r = "the reason is none of manual, unsubscribe, hard bounce, spam complaint";
    else if (count > file->since_column && *fields[file->since_column] != '\0' &&
             !read_date(fields[file->since_column], &entry_r->since_ms))
        *why_r = "the date is none; write 2026-11-23 or 2026-11-23T05:01:32Z";
    else
        return SUPPRESSION_ENTRY;
    return SUPPRESSION_ERROR;
}

char *suppression_file_line(const struct suppression *entry)
{
    char since[CLOCK_RFC3339_SIZE];
    char quoted[2 * ADDRESS_SIZE + 2];
    char *to = quoted;
    bool plain = strpbrk(entry->address, ",;\"\t#") == NULL;

    clock_rfc3339(entry->since_ms, since);
    if (plain)
        return xasprintf("%s,%s,%s", entry->address, suppression_reason_name(entry->reason), since);
    for (const char *from = entry->address; *from != '\0'; *to++ = *from++)
        if (*from == '"')
            *to++ = '"';
    *to = '\0';
    return xasprintf("\"%s\",%s,%s", quoted, suppression_reason_name(entry->reason), since);
}
