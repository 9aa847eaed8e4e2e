/* A rule file of the postmaster's, of both kinds, and the text that it is applied to (the file itself):
 * refused with its line, or usable. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "classify/classify_rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As classify_parse(), without the built-in rules, whose building would take nearly all the time. */
static struct classify_rules *parse(const char *text, size_t size, struct outcome *error)
{
    char *line = malloc(size + 1);
    struct classify_rules *rules;

    if (line == NULL)
        return NULL;
    memcpy(line, text, size);
    line[size] = '\0';
    rules = classify_compile("fuzz", (const char *const[]){line}, 1, error);
    free(line);
    return rules;
}

/* As replies_parse(): rules may also name stage, service and login. */
static void as_replies(const char *text, size_t size)
{
    static const char *const none[] = {""};
    struct outcome error = {.text = ""};
    struct classify_rules *rules = classify_join(&classify_kind_replies, "fuzz", text, size, none, 0, &error);
    struct classify_words words;

    if (rules == NULL) {
        if (strncmp(error.text, "fuzz:", 5) != 0)
            abort();
        return;
    }
    classify_words(&words, text, size);
    for (unsigned i = 0; i < 16; i++) {
        struct classify_facts facts = {.stage = UINT32_C(1) << i % 8,
                                       .service = i < 8 ? 0 : UINT64_C(1) << i % 3,
                                       .logged_in = i % 2 != 0,
                                       .status = words.status};
        classify_set_code(&facts, words.smtp_code);
        const struct classify_rule *rule = classify_first(rules, &words, &facts);
        if (rule != NULL && (rule->line == 0 || rule->section >= rules->section_count))
            abort();
    }
    classify_close(rules);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome error = {.text = ""};
    struct classify_result result;
    struct classify_rules *rules = parse((const char *)data, size, &error);

    as_replies((const char *)data, size);
    if (rules == NULL) {
        if (strncmp(error.text, "fuzz:", 5) != 0)
            abort();
        return 0;
    }
    classify_text(rules, 550, "", (const char *)data, size, &result);
    if (result.reason == NULL || result.rule == NULL || (*result.rule != '\0' && result.line == 0))
        abort();
    if (*result.rule == '\0' && result.hard)
        abort();
    classify_text(rules, 0, result.status, (const char *)data, size, &result);
    classify_close(rules);
    return 0;
}
