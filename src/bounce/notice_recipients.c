/* Which addresses a notice without a machine-readable part speaks of. */
#include "bounce/notice.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/xalloc.h"
#include "bounce/notice_line.h"
#include "bounce/notice_text.h"

/* --- addresses -------------------------------------------------------------------------------------- */

enum strength {
    STRENGTH_NONE,  /* not the failed address: behind "from", in a message id */
    STRENGTH_WEAK,  /* somewhere in a sentence */
    STRENGTH_LABEL, /* behind "to", "recipient" and the like */
    STRENGTH_START, /* at the start of a line, or behind nothing but codes */
};

struct mention {
    char address[ADDRESS_SIZE];
    enum strength strength;
    size_t line; /* offset of the line in the text */
};

static bool is_local(char c)
{
    return isalnum((unsigned char)c) || (c != '\0' && strchr("!#$%&'*+/=?^_`{|}~.-", c) != NULL);
}

/*
 * Where an address begins that is the value of an attribute of an X.400 address: "dda:SMTP=a@b",
 * "DD.RFC-822=a@b" (RFC 2156 section 4.3). 0: it is none.
 */
static size_t behind_attribute(const char *text, size_t begin, size_t at)
{
    static const char *const names[] = {"smtp=", "rfc-822=", "rfc822=", "rfc-822:", "email=", "internet="};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t name = strlen(names[i]);

        for (size_t from = begin; from + name < at; from++)
            if (strncasecmp(text + from, names[i], name) == 0)
                return from + name;
    }
    return 0;
}

/* The address around the '@' at offset at; *begin_r and *end_r bound it. */
static bool address_around(const struct notice_line *line, size_t at, size_t *begin_r, size_t *end_r,
                           char address_r[ADDRESS_SIZE])
{
    size_t begin = at, end = at + 1;
    const char *why;

    while (begin > 0 && is_local(line->text[begin - 1]))
        begin--;
    size_t attribute = behind_attribute(line->text, begin, at);
    if (attribute > 0)
        begin = attribute;
    while (begin < at && strchr("'`*-.=/|?&", line->text[begin]) != NULL)
        begin++;
    while (end < line->length &&
           (isalnum((unsigned char)line->text[end]) || line->text[end] == '.' || line->text[end] == '-'))
        end++;
    while (end > at + 1 && !isalnum((unsigned char)line->text[end - 1]))
        end--;
    *begin_r = begin;
    *end_r = end;
    if (end - begin >= ADDRESS_SIZE || memchr(line->text + at, '.', end - at) == NULL)
        return false;
    memcpy(address_r, line->text + begin, end - begin);
    address_r[end - begin] = '\0';
    return address_valid(address_r, &why);
}

/* The word before offset end, in lower case. */
static void word_before(const struct notice_line *line, size_t end, char word_r[16])
{
    size_t begin = end, length = 0;

    while (begin > 0 && isalpha((unsigned char)line->text[begin - 1]))
        begin--;
    for (size_t i = begin; i < end && length < 15; i++)
        word_r[length++] = (char)tolower((unsigned char)line->text[i]);
    word_r[length] = '\0';
}

static bool among(const char *word, const char *const words[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(word, words[i]) == 0)
            return true;
    return false;
}

static enum strength strength_of(const struct notice_line *line, size_t begin)
{
    static const char *const labels[] = {"to",        "recipient", "recipients", "address",
                                         "addresses", "rcpt",      "user",       "mailbox",
                                         "account",   "for",       "mailto",     "addressee"};
    static const char *const others[] = {"from", "sender",  "id",   "path", "by",
                                         "cc",   "contact", "helo", "reply"};
    size_t before = begin;
    bool words = false;
    char word[16];

    if (begin > 0 && line->text[begin - 1] == '=' && behind_attribute(line->text, 0, begin + 1) == begin)
        return STRENGTH_START; /* an X.400 address, all of it */
    if (line->length - begin > 8 && strncasecmp(line->text + begin, "imceaex-", 8) == 0)
        return STRENGTH_NONE; /* Exchange's own address, in which there is no Internet address */

    while (before > 0 && strchr(" \t<\"'(:[*>=-;", line->text[before - 1]) != NULL)
        before--;
    word_before(line, before, word);
    if (among(word, others, sizeof others / sizeof others[0]) ||
        notice_has(line->text, before, "message-id") || notice_has(line->text, before, "mail from") ||
        notice_has(line->text, before, "reply-to"))
        return STRENGTH_NONE;
    for (size_t i = 0; i < before; i++)
        words =
            words || (!isdigit((unsigned char)line->text[i]) && strchr(" \t.-<>*#", line->text[i]) == NULL);
    if (!words)
        return STRENGTH_START;
    return among(word, labels, sizeof labels / sizeof labels[0]) ? STRENGTH_LABEL : STRENGTH_WEAK;
}

static bool is_among(const char *address, const char *const addresses[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(address, addresses[i]) == 0)
            return true;
    return false;
}

/* "(a)" for the '@' that a PrintableString lacks (X.400). The rewritten line is in buffer. */
static void restore_at_signs(struct notice_line *line, char buffer[NOTICE_LINE_MAX])
{
    size_t length = 0;

    if (memmem(line->text, line->length, "(a)", 3) == NULL ||
        !(notice_has(line->text, line->length, "smtp=") || notice_has(line->text, line->length, "822=")))
        return;
    for (size_t i = 0; i < line->length; i++) {
        bool sign = i + 2 < line->length && memcmp(line->text + i, "(a)", 3) == 0;

        buffer[length++] = sign ? '@' : line->text[i];
        i += sign ? 2 : 0;
    }
    *line = (struct notice_line){buffer, length};
}

/* "To: a@b" where a Subject field stands near: what the message that came back was addressed to, which a list
 * or an alias may have made another address of. */
static bool is_quoted_to(const struct notice_line *line, const char *text, const char *end)
{
    static const char *const names[] = {
        "To",      "Cc",   "An",   "A",      "À",    "Para",     "Aan", "Do", "Til", "Till", "Vastaanottaja",
        "Címzett", "Kime", "Кому", "收件人", "宛先", "받는 사람"};
    struct notice_line near, behind;
    const char *at = line->text + line->length + (line->text + line->length < end);
    size_t begin = 0;
    bool field = false;

    while (begin < line->length && strchr(" \t>|*", line->text[begin]) != NULL)
        begin++;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !field; i++) {
        size_t name = strlen(names[i]);

        field = line->length - begin > name && strncasecmp(line->text + begin, names[i], name) == 0 &&
                (line->text[begin + name] == ':' || line->text[begin + name] == ' ' ||
                 memcmp(line->text + begin + name, "\xef", 1) == 0);
    }
    if (!field)
        return false;
    for (int lines = 0; lines < 3 && notice_next_line(&at, end, &near); lines++)
        if (notice_text_is_subject(&near))
            return true;
    /* or in one of the three lines before */
    for (const char *from = line->text; from > text;) {
        const char *start = from - 1;

        while (start > text && start[-1] != '\n')
            start--;
        behind = (struct notice_line){start, (size_t)(from - 1 - start)};
        if (notice_text_is_subject(&behind))
            return true;
        if (notice_line_is_blank(&behind))
            return false;
        from = start;
    }
    return false;
}

/* Every address once, with the strongest of its mentions. */
static size_t find_mentions(struct mention *mentions, const char *text, size_t length,
                            const char *const not_these[], size_t others)
{
    const char *at = text;
    size_t count = 0;
    struct notice_line line;
    char restored[NOTICE_LINE_MAX];

    while (notice_next_line(&at, text + length, &line)) {
        size_t begin, end, offset = (size_t)(line.text - text);
        bool quoted_to = is_quoted_to(&line, text, text + length);

        restore_at_signs(&line, restored);
        for (size_t i = 0; i < line.length; i++) {
            struct mention mention = {.line = offset};
            size_t same = 0;

            if (line.text[i] != '@' || !address_around(&line, i, &begin, &end, mention.address))
                continue;
            i = end - 1;
            mention.strength = strength_of(&line, begin);
            if (quoted_to && mention.strength > STRENGTH_WEAK)
                mention.strength = STRENGTH_WEAK;
            if (mention.strength == STRENGTH_NONE || is_among(mention.address, not_these, others))
                continue;
            while (same < count && strcasecmp(mentions[same].address, mention.address) != 0)
                same++;
            if (same == count && count < NOTICE_RECIPIENTS_MAX)
                mentions[count++] = mention;
            else if (same < count && mention.strength > mentions[same].strength)
                mentions[same] = mention;
        }
    }
    return count;
}

/* --- the lines about an address --------------------------------------------------------------------- */

/* The line begins with an address, and not with this one: what follows is about that. */
static bool begins_another(const struct notice_line *line, const char *address)
{
    const char *at = memchr(line->text, '@', line->length);
    char other[ADDRESS_SIZE];
    size_t begin, end;

    return at != NULL && address_around(line, (size_t)(at - line->text), &begin, &end, other) &&
           strength_of(line, begin) == STRENGTH_START && strcasecmp(other, address) != 0;
}

static void append_lines(FILE *out, const char *text, size_t begin, size_t end)
{
    if (end > begin)
        fwrite(text + begin, 1, end - begin, out);
    fputc('\n', out);
}

char *notice_about(const char *text, size_t length, const char *address)
{
    const char *at = text;
    char *about = NULL;
    size_t size = 0, left = 0;
    struct notice_line line, before = {"", 0};
    FILE *out = open_memstream(&about, &size);

    if (out == NULL)
        return xstrdup("");
    for (; notice_next_line(&at, text + length, &line); before = line) {
        if (notice_has(line.text, line.length, address)) {
            if (left == 0 &&
                notice_has(before.text, before.length, ">>>")) /* the command that this line answers */
                fprintf(out, "%.*s\n", (int)before.length, before.text);
            left = 1 + NOTICE_LINES_AFTER;
        } else if (begins_another(&line, address)) {
            left = 0;
        }
        if (left > 0 && !notice_line_is_blank(&line)) {
            fprintf(out, "%.*s\n", (int)line.length, line.text);
            left--;
        }
    }
    fclose(out);
    return about;
}

/* Alone in a notice: all of it, from its line on first. Among others: from its line to the next one's, then
 * wherever else it is named. */
static char *lines_about(const struct mention *chosen, size_t count, size_t index, const char *text,
                         size_t length)
{
    size_t begin = chosen[index].line, end = length, size = 0;
    char *about = NULL, *elsewhere;
    FILE *out = open_memstream(&about, &size);

    if (out == NULL)
        return xstrdup("");
    for (size_t i = 0; i < count; i++)
        if (chosen[i].line > begin && chosen[i].line < end)
            end = chosen[i].line;
    append_lines(out, text, begin, end);
    if (count == 1) {
        append_lines(out, text, 0, begin);
    } else {
        elsewhere = notice_about(text, length, chosen[index].address);
        fputs(elsewhere, out);
        free(elsewhere);
    }
    fclose(out);
    return about;
}

size_t notice_recipients(struct notice_recipient **recipients_r, const char *text, size_t length,
                         const char *const not_these[], size_t others, bool weak_too)
{
    AUTO_FREE struct mention *mentions = xcalloc(NOTICE_RECIPIENTS_MAX, sizeof *mentions);
    size_t found = find_mentions(mentions, text, length, not_these, others), count = 0;
    enum strength best = STRENGTH_NONE;

    *recipients_r = NULL;
    for (size_t i = 0; i < found; i++)
        best = mentions[i].strength > best ? mentions[i].strength : best;
    for (size_t i = 0; i < found; i++)
        if (mentions[i].strength == best && (best > STRENGTH_WEAK || (weak_too && count == 0)))
            mentions[count++] = mentions[i];
    if (count == 0)
        return 0;
    *recipients_r = xcalloc(count, sizeof **recipients_r);
    for (size_t i = 0; i < count; i++) {
        memcpy((*recipients_r)[i].address, mentions[i].address, sizeof mentions[i].address);
        (*recipients_r)[i].text = lines_about(mentions, count, i, text, length);
    }
    return count;
}

void notice_free(struct notice_recipient *recipients, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(recipients[i].text);
    free(recipients);
}
