#include "bounce/notice.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "bounce/notice_line.h"
#include "classify/classify_words.h"

#define HEADER_RUN 3   /* so many header fields in a row are the returned header */
#define LINES_BEFORE 2 /* that belong to a line with a code: which command it answers */
#define WORDS_LINES 6  /* at most, in the remote end's words */

/* --- kind, and the returned message ----------------------------------------------------------------- */

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
    } kinds[] = {{"challenge", NOTICE_CHALLENGE}, {"listed", NOTICE_FAILURE},
                 {"delay", NOTICE_DELAY},         {"confirmation", NOTICE_CONFIRMATION},
                 {"failure", NOTICE_FAILURE},     {"auto-reply", NOTICE_AUTO_REPLY}};
    const char *section = section_of(rules, text, strlen(text));

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(section, kinds[i].section) == 0)
            return kinds[i].kind;
    return NOTICE_OTHER;
}

/* The line without its marks of quotation ("> ", "| "); *quoted_r: whether it had any. */
static struct notice_line unquoted(const struct notice_line *line, bool *quoted_r)
{
    struct notice_line inner = *line;

    *quoted_r = false;
    while (inner.length > 0 && (*inner.text == '>' || *inner.text == '|')) {
        *quoted_r = true;
        inner.text++;
        inner.length--;
        if (inner.length > 0 && *inner.text == ' ') {
            inner.text++;
            inner.length--;
        }
    }
    return inner;
}

/* "Name: value" from the first column, the name being one that a message header has. */
static bool is_header_field(const struct notice_line *line, bool *telling_r)
{
    static const char *const telling[] = {
        "received", "return-path", "message-id", "mime-version", "dkim-signature", "from",   "date",
        "subject",  "von",         "betreff",    "de",           "objet",          "da",     "oggetto",
        "asunto",   "van",         "onderwerp",  "od",           "temat",          "assunto"};
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

/* "----- Original message -----" and nothing else, but for the dashes. */
static bool is_title(const struct notice_line *line, const char *rule)
{
    struct classify_words words;
    size_t length;

    classify_words(&words, line->text, line->length);
    length = words.length;
    classify_words(&words, rule, strlen(rule));
    return words.length == length;
}

/* A line behind which the returned message begins. */
static bool begins_returned(const struct classify_rules *rules, const struct notice_line *line)
{
    struct classify_result result;

    classify_text(rules, 0, "", line->text, line->length, &result);
    return strcmp(result.reason, "returned") == 0 ||
           (strcmp(result.reason, "title") == 0 && is_title(line, result.rule));
}

/* Whether nothing has been said yet. */
static bool is_forwarded(const struct classify_rules *rules, const char *text, size_t length)
{
    return strcmp(section_of(rules, text, length), "failure") != 0;
}

size_t notice_length(const struct classify_rules *rules, const char *text)
{
    const char *at = text, *end = text + strlen(text), *run_begin = text;
    unsigned run = 0;
    bool telling = false;
    struct notice_line line;

    while (notice_next_line(&at, end, &line)) {
        bool quoted;
        struct notice_line inner = unquoted(&line, &quoted);
        bool folded = inner.length > 0 && (inner.text[0] == ' ' || inner.text[0] == '\t');

        if (run > 0 && folded && !notice_line_is_blank(&inner))
            continue;
        if (run == 0) {
            run_begin = line.text;
            telling = false;
        }
        if (is_header_field(&inner, &telling)) {
            if (++run < HEADER_RUN || !telling)
                continue;
            /* a report that somebody forwarded begins with its own header */
            if (!quoted || !is_forwarded(rules, text, (size_t)(run_begin - text)))
                return (size_t)(run_begin - text);
            continue;
        }
        run = 0;
        if (line.length < 120 && begins_returned(rules, &line))
            return (size_t)(line.text - text);
    }
    return (size_t)(end - text);
}

/* --- the remote end's words ------------------------------------------------------------------------- */

/* "550 x", "550-x", "#5.1.1", "5.1.1 x": where the code is in the line; its length when there is none. */
static size_t code_in(const struct notice_line *line)
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

bool notice_has_code(const char *text)
{
    const char *at = text, *end = text + strlen(text);
    struct notice_line line;

    while (notice_next_line(&at, end, &line))
        if (code_in(&line) < line.length)
            return true;
    return false;
}

bool notice_after_data(const char *text)
{
    static const char *const words[] = {" in reply to end of data ", " in reply to data ",
                                        " after end of data "};
    const char *at = text, *end = text + strlen(text);
    struct classify_words evened;
    struct notice_line line;

    classify_words(&evened, text, strlen(text));
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (memmem(evened.text, evened.length, words[i], strlen(words[i])) != NULL)
            return true;
    while (notice_next_line(&at, end, &line)) {
        size_t mark = 0;

        while (mark < line.length && (line.text[mark] == '>' || line.text[mark] == ' '))
            mark++;
        if (line.length - mark >= 4 && strncmp(line.text + mark, "DATA", 4) == 0 &&
            notice_line_is_blank(&(struct notice_line){line.text + mark + 4, line.length - mark - 4}))
            return true;
    }
    return false;
}

/* The next few lines that say something, as one line of words. */
static void join_lines(const char *from, const char *end, bool stop_at_blank, char *words_r, size_t size)
{
    size_t length = 0, lines = 0;
    struct notice_line line;

    while (lines < WORDS_LINES && notice_next_line(&from, end, &line)) {
        if (notice_line_is_blank(&line)) {
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
    struct notice_line line;

    while (notice_next_line(&at, end, &line)) {
        size_t code = code_in(&line);

        if (code < line.length) {
            const char *from = before[0] ? before[0] : before[1] ? before[1] : line.text + code;

            join_lines(from, end, true, words_r, size);
            return;
        }
        before[0] = before[1];
        before[1] = line.text;
        /* an empty line ends the paragraph; a line with an address is the heading of what we are looking
         * for */
        if (notice_line_is_blank(&line) || (memchr(line.text, '@', line.length) != NULL && line.text == text))
            before[0] = before[1] = NULL;
    }
    join_lines(text, end, false, words_r, size);
}
