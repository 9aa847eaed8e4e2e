/*
 * provider_rules: the table behind provider.h. Ours is data/providers, compiled in and sorted; the
 * postmaster's is a file of the same form, where a pattern counts instead of the same pattern of ours.
 *
 * A rule set is read-only once opened and may be shared by threads.
 */
#ifndef SENDPOST_POLICY_PROVIDER_RULES_H
#define SENDPOST_POLICY_PROVIDER_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/outcome.h"
#include "base/provider_category.h"

enum provider_kind { PROVIDER_DOMAIN, PROVIDER_MX };

struct provider_rule {
    const char *pattern; /* lower case */
    enum provider_category category;
};

struct provider_rules;

/*
 * The built-in rules and those of the file at path, when path is not NULL and the file exists. NULL with
 * *error_r set (file, line, remedy) when it cannot be read or understood; a caller that must go on opens
 * again with NULL, which cannot fail.
 */
struct provider_rules *provider_rules_open(const char *path, struct outcome *error_r)
    __attribute__((nonnull(2)));
void provider_rules_close(struct provider_rules *rules); /* NULL is fine */

/* The rule for this very name, NULL when there is none. name: lower case, without the final dot. */
const struct provider_rule *provider_rules_exact(const struct provider_rules *rules, enum provider_kind kind,
                                                 const char *name) __attribute__((nonnull));

/* The rule with the longest wildcard above name, NULL when there is none. */
const struct provider_rule *provider_rules_wildcard(const struct provider_rules *rules,
                                                    enum provider_kind kind, const char *name)
    __attribute__((nonnull));

/* Whether any rule of this kind names the category. */
bool provider_rules_know(const struct provider_rules *rules, enum provider_kind kind,
                         enum provider_category category) __attribute__((nonnull));

#endif
