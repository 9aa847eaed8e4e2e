/*
 * slow_words: what is slowed down, paused or limited at a TPSP, in a line for people and as JSON.
 */
#ifndef SENDPOST_CTL_SLOW_WORDS_H
#define SENDPOST_CTL_SLOW_WORDS_H

#include <json-c/json.h>

#include "policy/slow_down.h"

/* For each that there is, of the TPSP first, then of its providers. */
void slow_words_each(const struct config *config, struct rate_table *table, const struct config_tpsp *tpsp,
                     void (*tell)(void *context, const char *line), void *context)
    __attribute__((nonnull(1, 2, 3, 4)));

/* One line; the caller frees. provider: NULL for the TPSP. */
char *slow_words(const struct slow_down_view *view, struct rate_table *table, const char *tpsp,
                 const char *provider) __attribute__((nonnull(1, 2, 3), returns_nonnull));

/* An array with an object for each. */
struct json_object *slow_words_json(const struct config *config, struct rate_table *table,
                                    const struct config_tpsp *tpsp) __attribute__((nonnull));

#endif
