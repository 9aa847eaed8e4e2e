#include "policy/told_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define US_NS INT64_C(1000)
#define HEX_DIGITS "0123456789abcdef"

bool told_text_line(const char **text, char line_r[TOLD_LINE_SIZE])
{
    const char *end = strchr(*text, '\n');

    if (end == NULL)
        return false;
    size_t length = (size_t)(end - *text);
    snprintf(line_r, TOLD_LINE_SIZE, "%.*s", (int)(length < TOLD_LINE_SIZE ? length : TOLD_LINE_SIZE - 1),
             *text);
    *text = end + 1;
    return true;
}

/* Behind a field there is one space, or nothing. */
static bool pass(const char **line, const char *end)
{
    if (*end != ' ' && *end != '\0')
        return false;
    *line = end + (*end == ' ');
    return true;
}

bool told_text_word(const char **line, const char *word)
{
    size_t length = strlen(word);

    return strncmp(*line, word, length) == 0 && pass(line, *line + length);
}

bool told_text_number(const char **line, int64_t least, int64_t most, int64_t *number_r)
{
    char *end;

    if (**line != '-' && (**line < '0' || **line > '9')) /* strtoll() would pass over spaces and a plus */
        return false;
    errno = 0;
    long long number = strtoll(*line, &end, 10);
    if (errno != 0 || end == *line || number < least || number > most)
        return false;
    *number_r = number;
    return pass(line, end);
}

bool told_text_host(const char **line, int64_t *host_r)
{
    size_t length = strspn(*line, HEX_DIGITS);

    if (length == 0 || length > 16)
        return false;
    *host_r = (int64_t)strtoull(*line, NULL, 16);
    return pass(line, *line + length);
}

int64_t told_text_there(int64_t time_ns, int64_t ahead_us)
{
    int64_t time_us;

    return time_ns == 0 || __builtin_add_overflow(time_ns / US_NS, ahead_us, &time_us) ? 0 : time_us;
}

int64_t told_text_here(int64_t time_us, int64_t ahead_us)
{
    int64_t passed_us, time_ns;

    if (time_us == 0 || __builtin_sub_overflow(time_us, ahead_us, &passed_us))
        return 0;
    if (passed_us < 1)
        passed_us = 1;
    return __builtin_mul_overflow(passed_us, US_NS, &time_ns) ? 0 : time_ns;
}
