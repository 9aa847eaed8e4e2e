#include "classify/classify.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "classify/classify_rules.h"

static const char *const verdicts[] = {
    [CLASSIFY_SOFT] = "soft", [CLASSIFY_HARD] = "hard", [CLASSIFY_OFF] = "off"};

const struct classify_kind classify_kind_hardness = {
    .verdicts = verdicts, .verdict_list = "hard, soft, off", .verdict_count = 3, .off = CLASSIFY_OFF};

char *classify_path(const char *config_path)
{
    return classify_file(config_path, "classify");
}

struct classify_rules *classify_open(const char *path, struct outcome *error_r)
{
    return classify_load(&classify_kind_hardness, path, data_classify, data_classify_count, error_r);
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

struct classify_rules *classify_parse(const char *name, const char *text, size_t length,
                                      struct outcome *error_r)
{
    return classify_join(&classify_kind_hardness, name, text, length, data_classify, data_classify_count,
                         error_r);
}

uint64_t classify_speaker(const struct classify_rules *rules, const char *host, size_t host_length,
                          const char *recipient)
{
    const char *domain = strrchr(recipient, '@');

    return classify_services_of(rules, host, host_length) |
           (domain != NULL ? classify_services_of(rules, domain + 1, strlen(domain + 1)) : 0);
}

void classify_text(const struct classify_rules *rules, int smtp_code, const char *status, const char *text,
                   size_t length, struct classify_result *result_r)
{
    classify_said(rules, 0, smtp_code, status, text, length, result_r);
}

void classify_said(const struct classify_rules *rules, uint64_t speaker, int smtp_code, const char *status,
                   const char *text, size_t length, struct classify_result *result_r)
{
    struct classify_words words;
    struct classify_facts facts = {.service = speaker};
    const struct classify_rule *rule;

    classify_words(&words, text, length);
    *result_r = (struct classify_result){.reason = "unknown", .rule = "", .file = CLASSIFY_BUILTIN};
    facts.status = classify_choose_status(status, &words);
    result_r->smtp_code = smtp_code > 0 ? smtp_code : words.smtp_code;
    classify_set_code(&facts, result_r->smtp_code);
    if (facts.status.class != 0)
        snprintf(result_r->status, sizeof result_r->status, "%hhu.%hu.%hu", facts.status.class,
                 facts.status.subject, facts.status.detail);

    rule = classify_first(rules, &words, &facts);
    if (rule == NULL)
        return;
    result_r->hard = rules->sections[rule->section].verdict == CLASSIFY_HARD;
    result_r->reason = rules->sections[rule->section].reason;
    result_r->rule = rule->written;
    result_r->file = rule->file;
    result_r->line = rule->line;
}
