#include "bounce/charset.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

/* Where bytes beyond ASCII stand in runs, by how strictly a charset tells what is not its own; and where they
 * stand alone, among ASCII letters. */
static const char *const of_other_scripts[] = {"euc-jp", "cp949",        "gb18030", "big5-hkscs",
                                               "cp932",  "windows-1251", "koi8-r"};
static const char *const of_latin[] = {"windows-1252", "windows-1250", "windows-1254"};

static bool makes_sense(const struct classify_rules *rules, const char *text)
{
    struct classify_result result;
    size_t length;

    classify_text(rules, 0, "", text, strlen(text), &result);
    length = strlen(result.rule);
    return length > 0 && result.rule[length - 1] != '}';
}

/* Whether most bytes beyond ASCII have no neighbour of their kind: letters with accents. */
static bool is_latin(const char *text)
{
    size_t alone = 0, together = 0;
    bool before = false;

    for (; *text != '\0'; text++) {
        bool high = (unsigned char)*text >= 0x80, behind = (unsigned char)text[1] >= 0x80;

        if (high && (before || behind))
            together++;
        else if (high)
            alone++;
        before = high;
    }
    return alone > together;
}

/* ASCII letters say nothing about the charset. */
static void blank_ascii(char *text)
{
    for (; *text != '\0'; text++)
        if (g_ascii_isalnum(*text))
            *text = ' ';
}

static char *convert(const char *text, const char *charset)
{
    char *converted = g_convert(text, -1, "utf-8", charset, NULL, NULL, NULL), *copy = NULL;

    if (converted != NULL)
        copy = xstrdup(converted);
    g_free(converted);
    return copy;
}

char *charset_settle(const struct classify_rules *notices, const struct classify_rules *failures,
                     const char *text)
{
    bool escapes = strstr(text, "\033$") != NULL, latin = is_latin(text);
    const char *const *charsets = latin ? of_latin : of_other_scripts;
    size_t count =
        latin ? sizeof of_latin / sizeof of_latin[0] : sizeof of_other_scripts / sizeof of_other_scripts[0];

    if (escapes)
        return convert(text, "iso-2022-jp");
    if (g_utf8_validate(text, -1, NULL))
        return NULL;
    for (size_t i = 0; i < count; i++) {
        char *converted = convert(text, charsets[i]);

        if (converted == NULL)
            continue;
        AUTO_FREE char *telling = xstrdup(converted);
        if (!latin)
            blank_ascii(telling);
        if (makes_sense(failures, telling) || (!latin && makes_sense(notices, telling)))
            return converted;
        free(converted);
    }
    return latin ? convert(text, of_latin[0]) : NULL;
}
