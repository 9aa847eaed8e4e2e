/* A text's words and facts against the rules: the first that fits decides. */
#include <string.h>
#include <strings.h>

#include "classify/classify_rules.h"

/* The host is the domain or lies under it. */
static bool lies_under(const char *host, size_t host_length, const char *domain)
{
    size_t length = strlen(domain);

    return host_length >= length && strncasecmp(host + host_length - length, domain, length) == 0 &&
           (host_length == length || host[host_length - length - 1] == '.');
}

uint64_t classify_services_of(const struct classify_rules *rules, const char *host, size_t length)
{
    uint64_t services = 0;

    while (length > 0 && host[length - 1] == '.')
        length--;
    for (size_t i = 0; i < rules->service_count; i++)
        for (size_t j = 0; j < rules->services[i].count; j++)
            if (lies_under(host, length, rules->services[i].domains[j]))
                services |= UINT64_C(1) << i;
    return services;
}

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

static bool codes_hold(const struct classify_condition *condition, const struct classify_facts *facts)
{
    bool code = condition->code_count == 0, status = condition->status_count == 0;

    for (size_t i = 0; i < condition->code_count && !code; i++)
        code = code_fits(condition->codes[i], facts->reply);
    for (size_t i = 0; i < condition->status_count && !status; i++)
        status = class_fits(condition->statuses[i].class, facts->status.class) &&
                 number_fits(condition->statuses[i].subject, facts->status.subject) &&
                 number_fits(condition->statuses[i].detail, facts->status.detail);
    return code && status;
}

static bool condition_holds(const struct classify_condition *condition, const struct classify_facts *facts)
{
    return (condition->stages == 0 || (condition->stages & facts->stage) != 0) &&
           (condition->services == 0 || (condition->services & facts->service) != 0) &&
           (condition->providers == 0 || (condition->providers & facts->provider) != 0) &&
           (condition->login == 0 || (condition->login > 0) == facts->logged_in) &&
           codes_hold(condition, facts);
}

/* Verdicts and actions are two tables in one file. */
static bool applies(const struct classify_rules *rules, const struct classify_rule *rule,
                    const struct classify_facts *facts)
{
    return (rules->sections[rule->section].action.kind != REPLY_NO_ACTION) == facts->action &&
           condition_holds(&rule->condition, facts);
}

/* Which of the shared parts were found. */
struct found {
    uint64_t bits[CLASSIFY_SHARED_MAX / 64];
};

static bool parts_hold(const struct classify_rule *rule, const struct found *found)
{
    for (size_t i = 0; i < rule->part_count; i++) {
        uint16_t shared = rule->parts[i].shared;

        if (((found->bits[shared / 64] >> (shared % 64) & 1) != 0) == rule->parts[i].absent)
            return false;
    }
    return true;
}

/* The first rule of one part whose words and condition fit; rule_count when none does. */
static size_t first_of_one_part(const struct classify_rules *rules, const struct classify_words *words,
                                const struct classify_facts *facts, struct found *found_r)
{
    struct automaton_pass pass = {0};
    uint16_t ends[CLASSIFY_GAPPED_MAX + 1]; /* where a piece ended last; 0: not seen */
    size_t best = rules->rule_count, found;

    memset(ends, 0, (rules->slot_count + 1) * sizeof ends[0]);
    while ((found = automaton_next(rules->automaton, &pass, words->text, words->length)) != AUTOMATON_END) {
        const struct classify_fragment *fragment = &rules->fragments[found];

        if (fragment->rule != CLASSIFY_SHARED && fragment->rule >= best)
            continue;
        if (!fragment->first) {
            size_t start = pass.at - fragment->length, before = ends[fragment->slot - 1];

            /* two fragments may share the space between them */
            if (before == 0 || start + 1 < before || start > before + CLASSIFY_GAP_MAX)
                continue;
        }
        if (!fragment->last)
            ends[fragment->slot] = (uint16_t)pass.at;
        else if (fragment->rule == CLASSIFY_SHARED)
            found_r->bits[fragment->shared / 64] |= UINT64_C(1) << (fragment->shared % 64);
        else if (applies(rules, &rules->rules[fragment->rule], facts))
            best = fragment->rule;
    }
    return best;
}

const struct classify_rule *classify_first(const struct classify_rules *rules,
                                           const struct classify_words *words,
                                           const struct classify_facts *facts)
{
    struct found found = {{0}};
    size_t best = first_of_one_part(rules, words, facts, &found);

    for (size_t i = 0; i < rules->compound_count && rules->compound[i] < best; i++) {
        const struct classify_rule *rule = &rules->rules[rules->compound[i]];

        if (parts_hold(rule, &found) && applies(rules, rule, facts))
            best = rules->compound[i];
    }
    return best < rules->rule_count ? &rules->rules[best] : NULL;
}

struct classify_code classify_choose_status(const char *given, const struct classify_words *words)
{
    struct classify_code code = {0};

    if (classify_code_parse(&code, given, strlen(given)) == 0)
        return words->status;
    return words->status.class != 0 && words->status.detail != 0 ? words->status : code;
}

void classify_set_code(struct classify_facts *facts, int code)
{
    memcpy(facts->reply, "---", sizeof facts->reply);
    if (code >= 100 && code <= 999) {
        facts->reply[0] = (char)('0' + code / 100);
        facts->reply[1] = (char)('0' + code / 10 % 10);
        facts->reply[2] = (char)('0' + code % 10);
    } else if (facts->status.class != 0) {
        facts->reply[0] = (char)('0' + facts->status.class);
    }
}
