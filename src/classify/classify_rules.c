#include "classify/classify_rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

/* Where we are in a rule file: for messages, and to know the section that a line belongs to. */
struct reader {
    struct classify_rules *rules;
    const char *file;
    size_t line;
    bool in_section;
    bool skip; /* the section is switched off */
    struct outcome *error;
};

static bool fail(struct reader *reader, const char *what)
{
    outcome_local(reader->error, "4.3.5", "%s:%zu: %s; see the head of the built-in rule file for the form",
                  reader->file, reader->line, what);
    return false;
}

/* Make room for one more item; sizes double at powers of two. */
static void *grow(void *items, size_t count, size_t size)
{
    return (count & (count - 1)) == 0 ? xrealloc(items, (count ? count * 2 : 1) * size) : items;
}

static bool switched_off(const struct classify_rules *rules, const char *reason)
{
    for (size_t i = 0; i < rules->section_count; i++)
        if (rules->sections[i].verdict == CLASSIFY_OFF && strcmp(rules->sections[i].reason, reason) == 0)
            return true;
    return false;
}

/* "[reason] verdict" */
static bool read_section(struct reader *reader, const char *line, size_t length)
{
    static const char *const verdicts[] = {"soft", "hard", "off"};
    struct classify_rules *rules = reader->rules;
    const char *close = memchr(line, ']', length);
    size_t name = close ? (size_t)(close - line) - 1 : 0;
    const char *verdict = close ? close + 1 : line;

    if (name == 0 || name > 40 || strspn(line + 1, "abcdefghijklmnopqrstuvwxyz0123456789-") != name)
        return fail(reader, "a section begins with [reason], of lower-case letters, digits and '-'");
    verdict += strspn(verdict, " \t");
    for (size_t i = 0; i < sizeof verdicts / sizeof verdicts[0]; i++) {
        if (strcmp(verdict, verdicts[i]) != 0)
            continue;
        struct classify_section section = {.reason = xstrndup(line + 1, name),
                                           .verdict = (enum classify_verdict)i};

        rules->sections = grow(rules->sections, rules->section_count, sizeof *rules->sections);
        reader->skip = section.verdict == CLASSIFY_OFF || switched_off(rules, section.reason);
        rules->sections[rules->section_count++] = section;
        reader->in_section = true;
        return true;
    }
    return fail(reader, "the verdict after [reason] is none of hard, soft, off");
}

/* "550", "5xx" */
static bool read_code(struct classify_condition *condition, const char *item, size_t length)
{
    if (length != 3 || strchr("245", item[0]) == NULL || condition->code_count == CLASSIFY_CONDITION_MAX)
        return false;
    for (size_t i = 1; i < 3; i++)
        if (item[i] != 'x' && (item[i] < '0' || item[i] > '9'))
            return false;
    memcpy(condition->codes[condition->code_count++], item, 3);
    return true;
}

/* "5.1.1", "*.2.*", "none" */
static bool read_status(struct classify_condition *condition, const char *item, size_t length)
{
    unsigned short part[3] = {CLASSIFY_NONE, CLASSIFY_ANY, CLASSIFY_ANY};
    bool none = length == 4 && memcmp(item, "none", 4) == 0;
    size_t at = none ? length : 0;

    for (size_t i = 0; i < 3 && !none; i++) {
        size_t begin = at;
        unsigned value = 0;

        if (i > 0 && (at >= length || item[at++] != '.'))
            return false;
        begin = at;
        if (at < length && item[at] == '*') {
            at++;
            value = CLASSIFY_ANY;
        } else {
            for (; at < length && at - begin < 3 && item[at] >= '0' && item[at] <= '9'; at++)
                value = value * 10 + (unsigned)(item[at] - '0');
        }
        if (at == begin)
            return false;
        part[i] = (unsigned short)value;
    }
    if (at != length || condition->status_count == CLASSIFY_CONDITION_MAX)
        return false;
    condition->statuses[condition->status_count].class = part[0];
    condition->statuses[condition->status_count].subject = part[1];
    condition->statuses[condition->status_count++].detail = part[2];
    return true;
}

/* One "key=item,item" inside the braces. */
static bool read_term(struct classify_condition *condition, const char *term, size_t length)
{
    bool code = length > 5 && memcmp(term, "code=", 5) == 0;
    size_t at = code ? 5 : 7;

    if (!code && !(length > 7 && memcmp(term, "status=", 7) == 0))
        return false;
    while (at <= length) {
        const char *comma = memchr(term + at, ',', length - at);
        size_t end = comma ? (size_t)(comma - term) : length;

        if (!(code ? read_code : read_status)(condition, term + at, end - at))
            return false;
        at = end + 1;
    }
    return true;
}

/* "{code=550,551 status=5.1.*}" at the start of line; *used_r bytes of it, 0 when there is none. */
static bool read_condition(struct reader *reader, struct classify_condition *condition, const char *line,
                           size_t length, size_t *used_r)
{
    const char *close = memchr(line, '}', length);
    size_t end, at = 1;

    *used_r = 0;
    if (line[0] != '{')
        return true;
    if (close == NULL)
        return fail(reader, "the '{' has no '}'");
    end = (size_t)(close - line);
    while (at < end) {
        size_t term = strcspn(line + at, " }");

        if (term > 0 && !read_term(condition, line + at, term))
            return fail(reader,
                        "a condition is code=550,5xx or status=5.1.1,*.2.*,none, at most 8 of a kind");
        at += term + 1;
    }
    if (condition->code_count + condition->status_count == 0)
        return fail(reader, "the braces are empty");
    *used_r = end + 1;
    return true;
}

/* One piece of a wording, between its '*'. */
static bool read_fragment(struct reader *reader, const char *piece, size_t length,
                          struct classify_fragment *fragment)
{
    struct classify_rules *rules = reader->rules;
    struct classify_words words;
    size_t begin, end;

    classify_words(&words, piece, length);
    if (words.length < 3)
        return fail(reader, "there are no words beside a '*'");
    if (words.smtp_code != 0 || words.status.class != 0)
        return fail(reader, "a code is no word: write {code=550} or {status=5.1.1} in front");
    /* beside a '*' that touches the word, the word may go on */
    begin = !fragment->first && piece[0] != ' ' ? 1 : 0;
    end = words.length - (!fragment->last && piece[length - 1] != ' ' ? 1 : 0);
    fragment->text = xstrndup(words.text + begin, end - begin);
    fragment->length = end - begin;
    rules->fragments = grow(rules->fragments, rules->fragment_count, sizeof *rules->fragments);
    rules->fragments[rules->fragment_count++] = *fragment;
    return true;
}

static bool read_wording(struct reader *reader, const char *text, size_t length)
{
    struct classify_rules *rules = reader->rules;
    bool gapped = memchr(text, '*', length) != NULL;
    size_t at = 0;

    if (length > CLASSIFY_TEXT_MAX)
        return fail(reader, "the line is too long");
    do {
        const char *star = memchr(text + at, '*', length - at);
        size_t end = star ? (size_t)(star - text) : length;
        struct classify_fragment fragment = {
            .rule = (uint32_t)rules->rule_count, .first = at == 0, .last = end == length};

        /* a '*' at the very end only opens the last word */
        if (star != NULL && end + 1 == length) {
            fragment.last = true;
            if (gapped)
                fragment.slot = (uint16_t)rules->slot_count++;
            if (!read_fragment(reader, text + at, end - at, &fragment))
                return false;
            struct classify_fragment *open = &rules->fragments[rules->fragment_count - 1];
            open->text[--open->length] = '\0';
            return true;
        }
        if (gapped)
            fragment.slot = (uint16_t)rules->slot_count++;
        if (!read_fragment(reader, text + at, end - at, &fragment))
            return false;
        at = end + 1;
    } while (at < length);
    return rules->slot_count <= CLASSIFY_GAPPED_MAX || fail(reader, "too many wordings with a '*'");
}

static bool read_rule(struct reader *reader, const char *line, size_t length)
{
    struct classify_rules *rules = reader->rules;
    struct classify_rule rule = {.file = reader->file, .line = reader->line};
    size_t used;

    if (!reader->in_section)
        return fail(reader, "the first line must begin a section: [reason] hard");
    if (!read_condition(reader, &rule.condition, line, length, &used))
        return false;
    if (reader->skip)
        return true;
    used += strspn(line + used, " \t");
    rule.wording = used < length;
    if (rule.wording && !read_wording(reader, line + used, length - used))
        return false;
    if (!rule.wording) {
        rules->bare = grow(rules->bare, rules->bare_count, sizeof *rules->bare);
        rules->bare[rules->bare_count++] = (uint32_t)rules->rule_count;
    }
    rule.section = rules->section_count - 1;
    rule.written = xstrndup(line, length);
    rules->rules = grow(rules->rules, rules->rule_count, sizeof *rules->rules);
    rules->rules[rules->rule_count++] = rule;
    return true;
}

bool classify_rules_read(struct classify_rules *rules, const char *file, const char *text, size_t length,
                         struct outcome *error_r)
{
    struct reader reader = {.rules = rules, .file = file, .error = error_r};
    size_t at = 0;

    while (at < length) {
        const char *newline = memchr(text + at, '\n', length - at);
        size_t end = newline ? (size_t)(newline - text) : length, begin = at;

        reader.line++;
        at = end + 1;
        while (begin < end && strchr(" \t\r", text[begin]) != NULL)
            begin++;
        while (end > begin && strchr(" \t\r", text[end - 1]) != NULL)
            end--;
        if (begin == end || text[begin] == '#')
            continue;
        if (memchr(text + begin, '\0', end - begin) != NULL)
            return fail(&reader, "the line holds a NUL byte");

        AUTO_FREE char *line = xstrndup(text + begin, end - begin);
        if (!(line[0] == '[' ? read_section : read_rule)(&reader, line, end - begin))
            return false;
    }
    return true;
}

bool classify_rules_finish(struct classify_rules *rules, struct outcome *error_r)
{
    AUTO_FREE struct automaton_word *words = xcalloc(rules->fragment_count + 1, sizeof *words);

    for (size_t i = 0; i < rules->fragment_count; i++)
        words[i] = (struct automaton_word){rules->fragments[i].text, rules->fragments[i].length};
    rules->automaton = automaton_build(words, rules->fragment_count);
    if (rules->automaton == NULL)
        outcome_local(error_r, "4.3.5", "%s: too many wordings; leave out what you do not need",
                      rules->path ? rules->path : CLASSIFY_BUILTIN);
    return rules->automaton != NULL;
}
