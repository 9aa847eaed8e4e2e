#include "classify/classify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "classify/classify_rules.h"

#define FILE_MAX (1u << 20) /* bytes of a rule file */

/* --- opening ------------------------------------------------------------------------------------------ */

static bool read_lines(struct classify_rules *rules, const char *name, const char *const lines[],
                       size_t count, struct outcome *error_r)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    bool ok;

    if (stream == NULL) {
        outcome_local(error_r, "4.3.0", "%s: out of memory", name);
        return false;
    }
    for (size_t i = 0; i < count; i++)
        fprintf(stream, "%s\n", lines[i]);
    fclose(stream);
    ok = classify_rules_read(rules, name, text, length, error_r);
    free(text);
    return ok;
}

/* Appends nothing and succeeds when there is no such file. */
static bool read_file(struct classify_rules *rules, struct outcome *error_r)
{
    AUTO_FCLOSE FILE *stream = fopen(rules->path, "re");
    AUTO_FREE char *text = NULL;
    size_t length;

    if (stream == NULL && errno == ENOENT)
        return true;
    if (stream == NULL) {
        outcome_local(error_r, "4.3.5", "%s: %s; make it readable or remove it", rules->path,
                      strerror(errno));
        return false;
    }
    text = xmalloc(FILE_MAX + 1);
    length = fread(text, 1, FILE_MAX + 1, stream);
    if (ferror(stream)) {
        outcome_local(error_r, "4.3.5", "%s: %s; make it readable or remove it", rules->path,
                      strerror(errno));
        return false;
    }
    if (length > FILE_MAX) {
        outcome_local(error_r, "4.3.5", "%s: larger than 1 MB; leave out what you do not need", rules->path);
        return false;
    }
    return classify_rules_read(rules, rules->path, text, length, error_r);
}

/* The rules read so far become a rule set together with ours; on failure they are freed. */
static struct classify_rules *complete(struct classify_rules *rules, bool ok, struct outcome *error_r)
{
    if (ok && read_lines(rules, CLASSIFY_BUILTIN, data_classify, data_classify_count, error_r) &&
        classify_rules_finish(rules, error_r))
        return rules;
    classify_close(rules);
    return NULL;
}

char *classify_path(const char *config_path)
{
    const char *slash = strrchr(config_path, '/');

    return xasprintf("%.*sclassify", slash != NULL ? (int)(slash + 1 - config_path) : 0, config_path);
}

struct classify_rules *classify_open(const char *path, struct outcome *error_r)
{
    struct classify_rules *rules = xcalloc(1, sizeof *rules);

    if (path == NULL)
        return complete(rules, true, error_r);
    rules->path = xstrdup(path);
    return complete(rules, read_file(rules, error_r), error_r);
}

struct classify_rules *classify_parse(const char *name, const char *text, size_t length,
                                      struct outcome *error_r)
{
    struct classify_rules *rules = xcalloc(1, sizeof *rules);

    return complete(rules, classify_rules_read(rules, name, text, length, error_r), error_r);
}

struct classify_rules *classify_compile(const char *name, const char *const lines[], size_t count,
                                        struct outcome *error_r)
{
    struct classify_rules *rules = xcalloc(1, sizeof *rules);

    if (read_lines(rules, name, lines, count, error_r) && classify_rules_finish(rules, error_r))
        return rules;
    classify_close(rules);
    return NULL;
}

struct classify_rules *classify_open_beside(const char *config_path)
{
    AUTO_FREE char *path = classify_path(config_path);
    struct outcome error;
    struct classify_rules *rules = classify_open(path, &error);

    if (rules != NULL)
        return rules;
    log_line(LOG_ERR, "%s; the built-in rules alone are used", error.text);
    return classify_open(NULL, &error);
}

void classify_close(struct classify_rules *rules)
{
    if (rules == NULL)
        return;
    for (size_t i = 0; i < rules->section_count; i++)
        free(rules->sections[i].reason);
    for (size_t i = 0; i < rules->rule_count; i++)
        free(rules->rules[i].written);
    for (size_t i = 0; i < rules->fragment_count; i++)
        free(rules->fragments[i].text);
    automaton_free(rules->automaton);
    free(rules->sections);
    free(rules->rules);
    free(rules->fragments);
    free(rules->bare);
    free(rules->path);
    free(rules);
}

/* --- judging ------------------------------------------------------------------------------------------ */

struct codes {
    char reply[4]; /* "550"; digits 'x' that are not known */
    struct classify_code status;
};

static bool code_fits(const char pattern[4], const char code[4])
{
    for (size_t i = 0; i < 3; i++)
        if (pattern[i] != 'x' && pattern[i] != code[i])
            return false;
    return true;
}

static bool number_fits(unsigned short pattern, unsigned short number)
{
    return pattern == CLASSIFY_ANY || pattern == number;
}

/* No code at all has class 0, which "*" does not stand for. */
static bool class_fits(unsigned short pattern, unsigned char class)
{
    return pattern == CLASSIFY_ANY ? class != 0 : pattern == class;
}

static bool condition_holds(const struct classify_condition *condition, const struct codes *codes)
{
    bool code = condition->code_count == 0, status = condition->status_count == 0;

    for (size_t i = 0; i < condition->code_count && !code; i++)
        code = code_fits(condition->codes[i], codes->reply);
    for (size_t i = 0; i < condition->status_count && !status; i++)
        status = class_fits(condition->statuses[i].class, codes->status.class) &&
                 number_fits(condition->statuses[i].subject, codes->status.subject) &&
                 number_fits(condition->statuses[i].detail, codes->status.detail);
    return code && status;
}

/* The first rule, in file order, whose wording and condition fit; rule_count when none does. */
static size_t first_wording(const struct classify_rules *rules, const struct classify_words *words,
                            const struct codes *codes)
{
    struct automaton_pass pass = {0};
    uint16_t ends[CLASSIFY_GAPPED_MAX + 1]; /* where a fragment ended last; 0: not seen */
    size_t best = rules->rule_count, found;

    memset(ends, 0, (rules->slot_count + 1) * sizeof ends[0]);
    while ((found = automaton_next(rules->automaton, &pass, words->text, words->length)) != AUTOMATON_END) {
        const struct classify_fragment *fragment = &rules->fragments[found];

        if (fragment->rule >= best)
            continue;
        if (!fragment->first) {
            size_t start = pass.at - fragment->length, before = ends[fragment->slot - 1];

            /* two fragments may share the space between them */
            if (before == 0 || start + 1 < before || start > before + CLASSIFY_GAP_MAX)
                continue;
        }
        if (!fragment->last)
            ends[fragment->slot] = (uint16_t)pass.at;
        else if (condition_holds(&rules->rules[fragment->rule].condition, codes))
            best = fragment->rule;
    }
    return best;
}

/* The remote end's own code, in the text, is preferred to a status that says less or was made up on the
 * way. */
static struct classify_code choose_status(const char *given, const struct classify_words *words)
{
    struct classify_code code = {0};

    if (classify_code_parse(&code, given, strlen(given)) == 0)
        return words->status;
    return words->status.class != 0 && words->status.detail != 0 ? words->status : code;
}

void classify_text(const struct classify_rules *rules, int smtp_code, const char *status, const char *text,
                   size_t length, struct classify_result *result_r)
{
    struct classify_words words;
    struct codes codes = {.reply = "---"};
    size_t best;

    classify_words(&words, text, length);
    *result_r = (struct classify_result){.reason = "unknown", .rule = "", .file = CLASSIFY_BUILTIN};
    codes.status = choose_status(status, &words);
    result_r->smtp_code = smtp_code > 0 ? smtp_code : words.smtp_code;
    if (result_r->smtp_code >= 100 && result_r->smtp_code <= 999) {
        codes.reply[0] = (char)('0' + result_r->smtp_code / 100);
        codes.reply[1] = (char)('0' + result_r->smtp_code / 10 % 10);
        codes.reply[2] = (char)('0' + result_r->smtp_code % 10);
    } else if (codes.status.class != 0) {
        codes.reply[0] = (char)('0' + codes.status.class);
    }
    if (codes.status.class != 0)
        snprintf(result_r->status, sizeof result_r->status, "%hhu.%hu.%hu", codes.status.class,
                 codes.status.subject, codes.status.detail);

    best = first_wording(rules, &words, &codes);
    for (size_t i = 0; i < rules->bare_count && rules->bare[i] < best; i++)
        if (condition_holds(&rules->rules[rules->bare[i]].condition, &codes))
            best = rules->bare[i];
    if (best == rules->rule_count)
        return;
    result_r->hard = rules->sections[rules->rules[best].section].verdict == CLASSIFY_HARD;
    result_r->reason = rules->sections[rules->rules[best].section].reason;
    result_r->rule = rules->rules[best].written;
    result_r->file = rules->rules[best].file;
    result_r->line = rules->rules[best].line;
}
