#include "bounce/notice.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/xalloc.h"
#include "event/classify_words.h"

#define HEADER_RUN 3   /* so many header fields in a row are the returned header */
#define LINE_MAX_ 1000 /* of a longer line only this is looked at */
#define LINES_BEFORE 2
#define WORDS_LINES 6
#define LINES_AFTER 3 /* that belong to a line with an address or a code */

struct line {
    const char *text;
    size_t length;
};

/* The line at text, which ends before end; moves on. */
static bool next_line(const char **text, const char *end, struct line *line_r)
{
    const char *newline;

    if (*text >= end)
        return false;
    newline = memchr(*text, '\n', (size_t)(end - *text));
    *line_r = (struct line){*text, (size_t)((newline ? newline : end) - *text)};
    *text = newline ? newline + 1 : end;
    if (line_r->length > LINE_MAX_)
        line_r->length = LINE_MAX_;
    return true;
}

static bool is_blank(const struct line *line)
{
    for (size_t i = 0; i < line->length; i++)
        if (!isspace((unsigned char)line->text[i]))
            return false;
    return true;
}

/* Whether words stand in the line, without regard to case. */
static bool has(const char *text, size_t length, const char *words)
{
    size_t size = strlen(words);

    for (size_t i = 0; i + size <= length; i++)
        if (strncasecmp(text + i, words, size) == 0)
            return true;
    return false;
}

/* --- kind, and the returned message ---------------------------------------------------------------------- */

static const char *section_of(const struct classify_rules *rules, const char *text, size_t length)
{
    struct classify_result result;

    classify_text(rules, 0, "", text, length, &result);
    return result.reason;
}

enum notice_kind notice_kind(const struct classify_rules *rules, const char *text)
{
    static const struct {
        const char *section;
        enum notice_kind kind;
    } kinds[] = {{"delay", NOTICE_DELAY},
                 {"confirmation", NOTICE_CONFIRMATION},
                 {"failure", NOTICE_FAILURE},
                 {"auto-reply", NOTICE_AUTO_REPLY}};
    const char *section = section_of(rules, text, strlen(text));

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(section, kinds[i].section) == 0)
            return kinds[i].kind;
    return NOTICE_OTHER;
}

/* "Name: value" from the first column, the name being one that a message header has. */
static bool is_header_field(const struct line *line, bool *telling_r)
{
    static const char *const telling[] = {"received",       "return-path", "message-id", "mime-version",
                                          "dkim-signature", "from",        "date",       "subject"};
    size_t name = 0;

    while (name < line->length && (isalnum((unsigned char)line->text[name]) || line->text[name] == '-'))
        name++;
    if (name < 2 || name >= line->length || line->text[name] != ':')
        return false;
    for (size_t i = 0; i < sizeof telling / sizeof telling[0]; i++)
        if (strlen(telling[i]) == name && strncasecmp(line->text, telling[i], name) == 0)
            *telling_r = true;
    return true;
}

/* "----- Original message -----" and nothing else. */
static bool is_ruled(const struct line *line)
{
    static const char *const titles[] = {"original message", "returned message", "message header",
                                         "original mail",    "message headers",  "original header",
                                         "message contents"};
    size_t begin = 0, end = line->length;

    while (begin < end && strchr("-=_*# \t<>", line->text[begin]) != NULL)
        begin++;
    while (end > begin && strchr("-=_*# \t:>", line->text[end - 1]) != NULL)
        end--;
    for (size_t i = 0; i < sizeof titles / sizeof titles[0]; i++)
        if (strlen(titles[i]) == end - begin && strncasecmp(line->text + begin, titles[i], end - begin) == 0)
            return begin > 0 || end < line->length;
    return false;
}

size_t notice_length(const struct classify_rules *rules, const char *text)
{
    const char *at = text, *end = text + strlen(text), *run_begin = text;
    unsigned run = 0;
    bool telling = false;
    struct line line;

    while (next_line(&at, end, &line)) {
        bool folded = line.length > 0 && (line.text[0] == ' ' || line.text[0] == '\t');

        if (run > 0 && folded && !is_blank(&line))
            continue;
        if (run == 0) {
            run_begin = line.text;
            telling = false;
        }
        if (is_header_field(&line, &telling)) {
            if (++run >= HEADER_RUN && telling)
                return (size_t)(run_begin - text);
            continue;
        }
        run = 0;
        if (line.length < 120 &&
            (is_ruled(&line) || strcmp(section_of(rules, line.text, line.length), "returned") == 0))
            return (size_t)(line.text - text);
    }
    return (size_t)(end - text);
}

/* --- addresses -------------------------------------------------------------------------------------------- */

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

/* The address around the '@' at offset at; *begin_r and *end_r bound it. */
static bool address_around(const struct line *line, size_t at, size_t *begin_r, size_t *end_r,
                           char address_r[ADDRESS_SIZE])
{
    size_t begin = at, end = at + 1;
    const char *why;

    while (begin > 0 && is_local(line->text[begin - 1]))
        begin--;
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
static void word_before(const struct line *line, size_t end, char word_r[16])
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

static enum strength strength_of(const struct line *line, size_t begin)
{
    static const char *const labels[] = {"to",        "recipient", "recipients", "address",
                                         "addresses", "rcpt",      "user",       "mailbox",
                                         "account",   "for",       "mailto",     "addressee"};
    static const char *const others[] = {"from", "sender",  "id",   "path", "by",
                                         "cc",   "contact", "helo", "reply"};
    size_t before = begin;
    bool words = false;
    char word[16];

    while (before > 0 && strchr(" \t<\"'(:[*>=-;", line->text[before - 1]) != NULL)
        before--;
    word_before(line, before, word);
    if (among(word, others, sizeof others / sizeof others[0]) || has(line->text, before, "message-id") ||
        has(line->text, before, "mail from") || has(line->text, before, "reply-to"))
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

/* Every address once, with the strongest of its mentions. */
static size_t find_mentions(struct mention *mentions, const char *text, size_t length,
                            const char *const not_these[], size_t others)
{
    const char *at = text;
    size_t count = 0;
    struct line line;

    while (next_line(&at, text + length, &line)) {
        size_t begin, end;

        for (size_t i = 0; i < line.length; i++) {
            struct mention mention = {.line = (size_t)(line.text - text)};
            size_t same = 0;

            if (line.text[i] != '@' || !address_around(&line, i, &begin, &end, mention.address))
                continue;
            i = end - 1;
            mention.strength = strength_of(&line, begin);
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

/* --- the lines about an address ------------------------------------------------------------------------------ */

/* The line begins with an address, and not with this one: what follows is about that. */
static bool begins_another(const struct line *line, const char *address)
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
    struct line line, before = {"", 0};
    FILE *out = open_memstream(&about, &size);

    if (out == NULL)
        return xstrdup("");
    for (; next_line(&at, text + length, &line); before = line) {
        if (has(line.text, line.length, address)) {
            if (left == 0 && has(before.text, before.length, ">>>")) /* the command that this line answers */
                fprintf(out, "%.*s\n", (int)before.length, before.text);
            left = 1 + LINES_AFTER;
        } else if (begins_another(&line, address)) {
            left = 0;
        }
        if (left > 0 && !is_blank(&line)) {
            fprintf(out, "%.*s\n", (int)line.length, line.text);
            left--;
        }
    }
    fclose(out);
    return about;
}

/* Alone in a notice: all of it, from its line on first. Among others: from its line to the next one's, then wherever
 * else it is named. */
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

/* --- the remote end's words ------------------------------------------------------------------------------------ */

/* "550 x", "550-x", "#5.1.1", "5.1.1 x": where the code is in the line; its length when there is none. */
static size_t code_in(const struct line *line)
{
    for (size_t i = 0; i + 3 < line->length; i++) {
        const char *at = line->text + i;
        char before = i > 0 ? at[-1] : ' ';

        if ((at[0] != '4' && at[0] != '5') || isalnum((unsigned char)before) || before == '.' ||
            before == '-')
            continue;
        if (isdigit((unsigned char)at[1]) && isdigit((unsigned char)at[2]) && strchr(" -,:;", at[3]) != NULL)
            return i;
        if (outcome_enhanced_length(at, 5) == 5 ||
            (i + 5 < line->length && at[1] == '.' && isdigit((unsigned char)at[2]) && at[3] == '.' &&
             isdigit((unsigned char)at[4])))
            return i;
    }
    return line->length;
}

bool notice_after_data(const char *text)
{
    static const char *const words[] = {" in reply to end of data ", " in reply to data ",
                                        " after end of data "};
    const char *at = text, *end = text + strlen(text);
    struct classify_words evened;
    struct line line;

    classify_words(&evened, text, strlen(text));
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (memmem(evened.text, evened.length, words[i], strlen(words[i])) != NULL)
            return true;
    while (next_line(&at, end, &line)) {
        size_t mark = 0;

        while (mark < line.length && (line.text[mark] == '>' || line.text[mark] == ' '))
            mark++;
        if (line.length - mark >= 4 && strncmp(line.text + mark, "DATA", 4) == 0 &&
            is_blank(&(struct line){line.text + mark + 4, line.length - mark - 4}))
            return true;
    }
    return false;
}

/* The next few lines that say something, as one line of words. */
static void join_lines(const char *from, const char *end, bool stop_at_blank, char *words_r, size_t size)
{
    size_t length = 0, lines = 0;
    struct line line;

    while (lines < WORDS_LINES && next_line(&from, end, &line)) {
        if (is_blank(&line)) {
            if (stop_at_blank && length > 0)
                break;
            continue;
        }
        lines++;
        for (size_t i = 0; i < line.length && length + 2 < size; i++) {
            char c = isspace((unsigned char)line.text[i]) ? ' ' : line.text[i];

            if (c != ' ' || (length > 0 && words_r[length - 1] != ' '))
                words_r[length++] = c;
        }
        if (length > 0 && words_r[length - 1] != ' ' && length + 1 < size)
            words_r[length++] = ' ';
    }
    while (length > 0 && words_r[length - 1] == ' ')
        length--;
    words_r[length] = '\0';
}

void notice_words(const char *text, char *words_r, size_t size)
{
    const char *at = text, *end = text + strlen(text);
    const char *before[LINES_BEFORE] = {NULL, NULL}; /* lines of the same paragraph, the nearest last */
    struct line line;

    while (next_line(&at, end, &line)) {
        size_t code = code_in(&line);

        if (code < line.length) {
            const char *from = before[0] ? before[0] : before[1] ? before[1] : line.text + code;

            join_lines(from, end, true, words_r, size);
            return;
        }
        before[0] = before[1];
        before[1] = line.text;
        /* an empty line ends the paragraph; a line with an address is the heading of what we are looking for */
        if (is_blank(&line) || (memchr(line.text, '@', line.length) != NULL && line.text == text))
            before[0] = before[1] = NULL;
    }
    join_lines(text, end, false, words_r, size);
}
