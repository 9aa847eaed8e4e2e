#include "bounce/notice_line.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

bool notice_next_line(const char **text, const char *end, struct notice_line *line_r)
{
    const char *newline;

    if (*text >= end)
        return false;
    newline = memchr(*text, '\n', (size_t)(end - *text));
    *line_r = (struct notice_line){*text, (size_t)((newline ? newline : end) - *text)};
    *text = newline ? newline + 1 : end;
    if (line_r->length > NOTICE_LINE_MAX)
        line_r->length = NOTICE_LINE_MAX;
    return true;
}

bool notice_line_is_blank(const struct notice_line *line)
{
    for (size_t i = 0; i < line->length; i++)
        if (!isspace((unsigned char)line->text[i]))
            return false;
    return true;
}

bool notice_has(const char *text, size_t length, const char *words)
{
    size_t size = strlen(words);

    for (size_t i = 0; i + size <= length; i++)
        if (strncasecmp(text + i, words, size) == 0)
            return true;
    return false;
}
