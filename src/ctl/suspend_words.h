/* suspend_words: suspensions (policy/suspension.h) as sendpostctl tells of them. */
#ifndef SENDPOST_CTL_SUSPEND_WORDS_H
#define SENDPOST_CTL_SUSPEND_WORDS_H

#include <json-c/json.h>

#include "policy/suspension.h"

/* An array: tpsp, provider, pool, since, until, reason; null where it has none. tpsp: NULL for all. */
struct json_object *suspend_words_json(const struct config *config, struct rate_table *table,
                                       const char *tpsp) __attribute__((nonnull(1, 2)));

/* "TPSP primary is suspended until … (maintenance), since …", for each. */
void suspend_words_each(const struct config *config, struct rate_table *table,
                        void (*tell)(void *context, const struct suspension_scope *scope, const char *line),
                        void *context) __attribute__((nonnull(1, 2, 3)));

/* "primary", "primary/gmail", "--pool bulk": as suspend and resume take it. The caller frees. */
char *suspend_words_operand(const struct suspension_scope *scope) __attribute__((nonnull, returns_nonnull));

#endif
