#include "bounce/notice_text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/xalloc.h"
#include "bounce/notice.h"
#include "bounce/notice_line.h"

#define SUBJECT_MIN 4 /* bytes; a shorter subject may be a word of the notice itself */

/* How mail programs and mail systems call the field, in the languages of item 5 and their neighbours. */
static const char *const subject_names[] = {
    "Subject",
    "Betreff",
    "Objet",
    "Sujet",
    "Asunto",
    "Oggetto",
    "Assunto",
    "Onderwerp",
    "Temat",
    "Тема",
    "Ämne",
    "Emne",
    "Aihe",
    "Tárgy",
    "Konu",
    "Předmět",
    "Predmet",
    "Subiect",
    "Θέμα",
    "件名",
    "題名",
    "主题",
    "主題",
    "主旨",
    "标题",
    "邮件主题",
    "郵件主旨",
    "제목",
    "Original Subject",
    "Message subject",
    "Subject of message",
    "Your subject",
};

/* Where the value begins in a line "[>] Subject: value"; 0: it is no such field. */
static size_t subject_value(const struct notice_line *line)
{
    size_t begin = 0;

    while (begin < line->length && strchr(" \t>|*-\"'", line->text[begin]) != NULL)
        begin++;
    for (size_t i = 0; i < sizeof subject_names / sizeof subject_names[0]; i++) {
        size_t name = strlen(subject_names[i]), at = begin + name;

        if (line->length - begin <= name || strncasecmp(line->text + begin, subject_names[i], name) != 0)
            continue;
        while (at < line->length && (line->text[at] == ' ' || line->text[at] == '\t'))
            at++;
        if (at < line->length && line->text[at] == ':')
            return at + 1;
        if (at + 2 < line->length && memcmp(line->text + at, "\xef\xbc\x9a", 3) == 0) /* a full-width colon */
            return at + 3;
    }
    return 0;
}

static size_t indentation(const struct notice_line *line)
{
    size_t blanks = 0;

    while (blanks < line->length && strchr(" \t>|", line->text[blanks]) != NULL)
        blanks++;
    return blanks;
}

/* Without leading and trailing blanks and quotes. */
static char *trimmed(const char *text, size_t length)
{
    while (length > 0 && strchr(" \t\"'", *text) != NULL) {
        text++;
        length--;
    }
    while (length > 0 && strchr(" \t\"'", text[length - 1]) != NULL)
        length--;
    return xstrndup(text, length);
}

bool notice_text_is_subject(const struct notice_line *line)
{
    return subject_value(line) > 0;
}

char *notice_text_quoted_subject(const char *text, size_t length)
{
    const char *at = text;
    struct notice_line line;

    while (notice_next_line(&at, text + length, &line)) {
        size_t value = subject_value(&line);

        if (value > 0)
            return trimmed(line.text + value, line.length - value);
    }
    return xstrdup("");
}

/* Spaces over bytes of the copy: line breaks and offsets stay. */
static void blank_out(char *at, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (at[i] != '\n')
            at[i] = ' ';
}

/* The value, and the lines to which it is folded: indented further than the field's name. */
static void blank_quoted_subjects(char *text, size_t length)
{
    const char *at = text;
    struct notice_line line;
    size_t folded_beyond = 0;

    while (notice_next_line(&at, text + length, &line)) {
        size_t value = subject_value(&line), own = indentation(&line);

        if (value > 0) {
            blank_out(text + (line.text - text) + value, line.length - value);
            folded_beyond = own + 4;
        } else if (folded_beyond > 0 && own >= folded_beyond && !notice_line_is_blank(&line)) {
            blank_out(text + (line.text - text), line.length);
        } else {
            folded_beyond = 0;
        }
    }
}

/* Whether a character may go on with a word, an address or a host name: then what is beside it is only a
 * part. */
static bool goes_on(char c)
{
    return isalnum((unsigned char)c) || (c != '\0' && strchr("@.-_+=", c) != NULL);
}

static void blank_words(char *text, const char *words)
{
    size_t size = strlen(words);

    if (size < SUBJECT_MIN)
        return;
    for (char *found = text; (found = strstr(found, words)) != NULL; found += size)
        if ((found == text || !goes_on(found[-1])) &&
            (!goes_on(found[size]) || strchr(".-", found[size]) != NULL))
            blank_out(found, size);
}

/* A paragraph with an address or a reply code is about somebody. */
static bool may_be_boilerplate(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        bool code = i + 3 < length && (text[i] == '4' || text[i] == '5') && text[i + 1] >= '0' &&
                    text[i + 1] <= '9' && text[i + 2] >= '0' && text[i + 2] <= '9' &&
                    (text[i + 3] == ' ' || text[i + 3] == '-') &&
                    (i == 0 || strchr(" \n\t:>(", text[i - 1]) != NULL);

        if (text[i] == '@' || code)
            return false;
    }
    return true;
}

static void blank_boilerplate(const struct classify_rules *rules, char *text, size_t length)
{
    char *begin = text, *end = text + length;

    while (begin < end) {
        char *stop = begin;
        struct classify_result result;

        while (stop < end &&
               !(stop[0] == '\n' && (stop + 1 == end || stop[1 + strspn(stop + 1, " \t")] == '\n')))
            stop++;
        if (stop > begin && may_be_boilerplate(begin, (size_t)(stop - begin))) {
            classify_text(rules, 0, "", begin, (size_t)(stop - begin), &result);
            if (result.hard)
                blank_out(begin, (size_t)(stop - begin));
        }
        begin = stop + 1;
    }
}

char *notice_text_own(const struct classify_rules *boilerplate, const char *text, size_t length,
                      const char *subject)
{
    char *own = xstrndup(text, length);
    AUTO_FREE char *quoted = notice_text_quoted_subject(own, strlen(own));

    length = strlen(own);
    blank_quoted_subjects(own, length);
    if (subject != NULL)
        blank_words(own, subject);
    blank_words(own, quoted);
    blank_boilerplate(boilerplate, own, length);
    return own;
}

/* "Delivery Status Notification: Delayed": the words before the colon only announce those behind it. */
static bool only_announces(const char *text, size_t length)
{
    static const char *const words[] = {"status", "notification", "report", "notice", "warning"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (notice_has(text, length, words[i]) && !notice_has(text, length, "fail") &&
            !notice_has(text, length, "undeliver"))
            return true;
    return false;
}

/* More than "Fwd: " and its like. */
static bool says_anything(const char *text)
{
    size_t letters = 0;

    for (; *text != '\0'; text++)
        letters += isalpha((unsigned char)*text) || (unsigned char)*text >= 0x80;
    return letters > 4;
}

char *notice_text_subject(const struct classify_rules *notices, const char *text, const char *subject)
{
    char *own = xstrdup(text);
    char *colon = strchr(own, ':');

    if (subject != NULL)
        blank_words(own, subject);
    if (!says_anything(own)) /* "Fwd: " a report and nothing else: then theirs is the report's own */
        memcpy(own, text, strlen(text));
    if (colon != NULL && colon > own && (colon[1] == ' ' || colon[1] == '\0') &&
        !only_announces(own, (size_t)(colon - own))) {
        AUTO_FREE char *before = xstrndup(own, (size_t)(colon - own));

        if (notice_kind(notices, before) == NOTICE_FAILURE)
            colon[1] = '\0';
    }
    return own;
}
