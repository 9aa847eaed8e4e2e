#include "policy/provider_rules.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "provider_data.h"

#define PATTERN_MAX 255 /* a name of 253 bytes (RFC 1035 section 2.3.4, in text form) below a "*." */

struct own_rule {
    struct provider_rule rule;
    enum provider_kind kind;
};

struct provider_rules {
    struct own_rule *own; /* of the postmaster's file: a handful, searched one by one */
    size_t own_count;
};

/* --- the postmaster's file ------------------------------------------------------------------------ */

static bool pattern_valid(const char *pattern)
{
    size_t length = strlen(pattern);

    if (strncmp(pattern, "*.", 2) == 0)
        pattern += 2;
    for (const char *c = pattern; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && strchr("-._", *c) == NULL)
            return false;
    return *pattern != '\0' && *pattern != '.' && length <= PATTERN_MAX && strstr(pattern, "..") == NULL;
}

static bool own_add(struct provider_rules *rules, enum provider_kind kind, enum provider_category category,
                    const char *pattern, size_t length)
{
    char *copy = xstrndup(pattern, length);

    if (length > 1 && copy[length - 1] == '.')
        copy[length - 1] = '\0';
    for (char *c = copy; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    rules->own = xrealloc(rules->own, (rules->own_count + 1) * sizeof *rules->own);
    rules->own[rules->own_count++] = (struct own_rule){{copy, category}, kind};
    return pattern_valid(copy);
}

/* The next word of the line; its length is 0 at the end. */
static const char *next_word(const char **at, size_t *length_r)
{
    const char *word = *at + strspn(*at, " \t\r\n");

    *length_r = strcspn(word, " \t\r\n");
    *at = word + *length_r;
    return word;
}

/* NULL when the line is well-formed, else what is wrong with it. */
static const char *read_line(struct provider_rules *rules, const char *line)
{
    char name[32];
    enum provider_category category;
    enum provider_kind kind;
    size_t length;
    const char *word = next_word(&line, &length);

    if (length == 0 || *word == '#')
        return NULL;
    length = length < sizeof name ? length : sizeof name - 1;
    memcpy(name, word, length);
    name[length] = '\0';
    if (!provider_category_by_name(name, &category))
        return "no such category; the names are those of provider-rates";
    word = next_word(&line, &length);
    if (length == 6 && memcmp(word, "domain", 6) == 0)
        kind = PROVIDER_DOMAIN;
    else if (length == 2 && memcmp(word, "mx", 2) == 0)
        kind = PROVIDER_MX;
    else
        return "after the category comes \"domain\" or \"mx\"";
    word = next_word(&line, &length);
    if (length == 0)
        return "no pattern in this line";
    for (; length > 0; word = next_word(&line, &length))
        if (!own_add(rules, kind, category, word, length))
            return "a pattern is a domain name, or \"*.\" and a domain name, in ASCII";
    return NULL;
}

static bool read_file(struct provider_rules *rules, const char *path, struct outcome *error_r)
{
    FILE *file AUTO_FCLOSE = fopen(path, "re");
    char *line AUTO_FREE = NULL;
    size_t size = 0;
    unsigned number = 0;

    if (file == NULL) {
        if (errno == ENOENT)
            return true;
        outcome_local(error_r, "4.3.5", "%s: cannot be read: %s", path, strerror(errno));
        return false;
    }
    while (getline(&line, &size, file) >= 0) {
        const char *complaint = read_line(rules, line);
        number++;
        if (complaint != NULL) {
            outcome_local(error_r, "4.3.5", "%s:%u: %s", path, number, complaint);
            return false;
        }
    }
    if (ferror(file)) {
        outcome_local(error_r, "4.3.5", "%s: cannot be read: %s", path, strerror(errno));
        return false;
    }
    return true;
}

struct provider_rules *provider_rules_open(const char *path, struct outcome *error_r)
{
    struct provider_rules *rules = xcalloc(1, sizeof *rules);

    if (path != NULL && !read_file(rules, path, error_r)) {
        provider_rules_close(rules);
        return NULL;
    }
    return rules;
}

void provider_rules_close(struct provider_rules *rules)
{
    if (rules == NULL)
        return;
    for (size_t i = 0; i < rules->own_count; i++)
        free((char *)rules->own[i].rule.pattern);
    free(rules->own);
    free(rules);
}

/* --- matching -------------------------------------------------------------------------------------- */

static int by_pattern(const void *key, const void *rule)
{
    return strcmp(key, ((const struct provider_rule *)rule)->pattern);
}

const struct provider_rule *provider_rules_exact(const struct provider_rules *rules, enum provider_kind kind,
                                                 const char *name)
{
    for (size_t i = rules->own_count; i-- > 0;) /* of two for the same name the later one counts */
        if (rules->own[i].kind == kind && strcmp(rules->own[i].rule.pattern, name) == 0)
            return &rules->own[i].rule;
    if (kind == PROVIDER_DOMAIN)
        return bsearch(name, domain_rules, sizeof domain_rules / sizeof *domain_rules, sizeof *domain_rules,
                       by_pattern);
    return bsearch(name, mx_rules, sizeof mx_rules / sizeof *mx_rules, sizeof *mx_rules, by_pattern);
}

const struct provider_rule *provider_rules_wildcard(const struct provider_rules *rules,
                                                    enum provider_kind kind, const char *name)
{
    const struct provider_rule *rule = NULL;
    char *wildcard AUTO_FREE = xstrdup(name);

    /* the star takes the place of one label after the other, from the left */
    for (char *dot = strchr(wildcard, '.'); dot != NULL && rule == NULL; dot = strchr(dot + 1, '.')) {
        if (dot == wildcard)
            continue;
        dot[-1] = '*';
        rule = provider_rules_exact(rules, kind, dot - 1);
    }
    return rule;
}

bool provider_rules_know(const struct provider_rules *rules, enum provider_kind kind,
                         enum provider_category category)
{
    const struct provider_rule *ours = kind == PROVIDER_DOMAIN ? domain_rules : mx_rules;
    size_t count = kind == PROVIDER_DOMAIN ? sizeof domain_rules / sizeof *domain_rules
                                           : sizeof mx_rules / sizeof *mx_rules;

    for (size_t i = 0; i < rules->own_count; i++)
        if (rules->own[i].kind == kind && rules->own[i].rule.category == category)
            return true;
    for (size_t i = 0; i < count; i++)
        if (ours[i].category == category)
            return true;
    return false;
}
