#include "classify/classify_reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

bool classify_reader_fail(struct classify_reader *reader, const char *what)
{
    outcome_local(reader->error, "4.3.5", "%s:%zu: %s; see the head of the built-in rule file for the form",
                  reader->file, reader->line, what);
    return false;
}

void *classify_grow(void *items, size_t count, size_t size)
{
    return (count & (count - 1)) == 0 ? xrealloc(items, (count ? count * 2 : 1) * size) : items;
}

static bool switched_off(const struct classify_rules *rules, const char *reason)
{
    for (size_t i = 0; i < rules->section_count; i++)
        if (rules->sections[i].action.kind == REPLY_NO_ACTION &&
            rules->sections[i].verdict == rules->kind->off && strcmp(rules->sections[i].reason, reason) == 0)
            return true;
    return false;
}

static void add_section(struct classify_reader *reader, const struct classify_section *section)
{
    struct classify_rules *rules = reader->rules;

    rules->sections = classify_grow(rules->sections, rules->section_count, sizeof *rules->sections);
    reader->skip = (section->action.kind == REPLY_NO_ACTION && section->verdict == rules->kind->off) ||
                   switched_off(rules, section->reason);
    rules->sections[rules->section_count++] = *section;
    reader->in_section = true;
}

/* "[reason] slower after 3 in 10m"; takes reason. */
static bool read_action(struct classify_reader *reader, char *reason, const char *text)
{
    struct classify_section section = {.reason = reason, .written = xstrdup(text)};
    const char *wrong = reply_action_read(section.written, &section.action);

    section.action.reason = reason;
    /* added in any case: whoever frees the rules frees it */
    add_section(reader, &section);
    return wrong == NULL || classify_reader_fail(reader, wrong);
}

/* "[reason] verdict" */
static bool read_section(struct classify_reader *reader, const char *line, size_t length)
{
    struct classify_rules *rules = reader->rules;
    const char *close = memchr(line, ']', length);
    size_t name = close ? (size_t)(close - line) - 1 : 0;
    const char *verdict = close ? close + 1 : line;

    if (name == 0 || name > 40 || strspn(line + 1, "abcdefghijklmnopqrstuvwxyz0123456789-") != name)
        return classify_reader_fail(reader,
                                    "a section begins with [reason], of lower-case letters, digits and '-'");
    verdict += strspn(verdict, " \t");
    if (rules->kind->stages != NULL && reply_action_named(verdict))
        return read_action(reader, xstrndup(line + 1, name), verdict);
    for (size_t i = 0; i < rules->kind->verdict_count; i++) {
        if (strcmp(verdict, rules->kind->verdicts[i]) != 0)
            continue;
        struct classify_section section = {.reason = xstrndup(line + 1, name), .verdict = (unsigned)i};

        add_section(reader, &section);
        return true;
    }
    AUTO_FREE char *what = xasprintf("the verdict after [reason] is none of %s", rules->kind->verdict_list);
    return classify_reader_fail(reader, what);
}

static bool read_rule(struct classify_reader *reader, const char *line, size_t length)
{
    struct classify_rules *rules = reader->rules;
    struct classify_rule rule = {.file = reader->file, .line = reader->line};
    size_t used;

    if (!reader->in_section)
        return classify_reader_fail(reader, "the first line must begin a section: [reason] verdict");
    if (!classify_read_condition(reader, &rule.condition, line, length, &used))
        return false;
    if (reader->skip)
        return true;
    used += strspn(line + used, " \t");
    if (used < length && !classify_read_wording(reader, &rule, line + used, length - used))
        return false;
    if (used == length || rule.part_count > 0) {
        rules->compound = classify_grow(rules->compound, rules->compound_count, sizeof *rules->compound);
        rules->compound[rules->compound_count++] = (uint32_t)rules->rule_count;
    }
    rule.section = rules->section_count - 1;
    rule.written = xstrndup(line, length);
    rules->rules = classify_grow(rules->rules, rules->rule_count, sizeof *rules->rules);
    rules->rules[rules->rule_count++] = rule;
    return true;
}

/* Each line that says something, without the space around it. define: definitions only, else all but them. */
static bool read_lines(struct classify_reader *reader, const char *text, size_t length, bool define)
{
    size_t at = 0;

    while (at < length) {
        const char *newline = memchr(text + at, '\n', length - at);
        size_t end = newline ? (size_t)(newline - text) : length, begin = at;

        reader->line++;
        at = end + 1;
        while (begin < end && strchr(" \t\r", text[begin]) != NULL)
            begin++;
        while (end > begin && strchr(" \t\r", text[end - 1]) != NULL)
            end--;
        if (begin == end || text[begin] == '#')
            continue;
        if (memchr(text + begin, '\0', end - begin) != NULL)
            return classify_reader_fail(reader, "the line holds a NUL byte");

        AUTO_FREE char *line = xstrndup(text + begin, end - begin);
        bool definition = classify_is_definition(line);
        if (definition != define)
            continue;
        if (define ? !classify_read_definition(reader, line, end - begin)
                   : !(line[0] == '[' ? read_section : read_rule)(reader, line, end - begin))
            return false;
    }
    return true;
}

bool classify_rules_define(struct classify_rules *rules, const char *file, const char *text, size_t length,
                           struct outcome *error_r)
{
    struct classify_reader reader = {.rules = rules, .file = file, .error = error_r};

    return read_lines(&reader, text, length, true);
}

bool classify_rules_read(struct classify_rules *rules, const char *file, const char *text, size_t length,
                         struct outcome *error_r)
{
    struct classify_reader reader = {.rules = rules, .file = file, .error = error_r};

    return read_lines(&reader, text, length, false);
}

bool classify_rules_finish(struct classify_rules *rules, struct outcome *error_r)
{
    AUTO_FREE struct automaton_word *words = xcalloc(rules->fragment_count + 1, sizeof *words);

    for (size_t i = 0; i < rules->fragment_count; i++)
        words[i] = (struct automaton_word){rules->words + rules->fragments[i].at, rules->fragments[i].length};
    rules->automaton = automaton_build(words, rules->fragment_count);
    free(rules->words);
    rules->words = NULL;
    rules->words_length = rules->words_size = 0;
    if (rules->automaton == NULL)
        outcome_local(error_r, "4.3.5", "%s: too many wordings; leave out what you do not need",
                      rules->path ? rules->path : CLASSIFY_BUILTIN);
    return rules->automaton != NULL;
}
