/* What slow_down.c and slow_down_hear.c, the parts of slow_down, share. */
#ifndef SENDPOST_POLICY_SLOW_DOWN_PRIVATE_H
#define SENDPOST_POLICY_SLOW_DOWN_PRIVATE_H

#include "policy/slow_down.h"

/* The entry of TPSP or provider; NULL: there is none, or with make: none can be made. */
struct rate_entry *slow_down_entry(const struct slow_down *slow_down, const char *provider, bool make)
    __attribute__((nonnull(1)));

struct slow_down_law slow_down_law_for(const struct config *config, const struct rate_slowed *slowed)
    __attribute__((nonnull));

/* The scope as it is written: "all", or the provider. */
const char *slow_down_scope(const char *provider) __attribute__((returns_nonnull));

/* One step down, and the word about it. Why: "rule: words". */
void slow_down_step_down(const struct slow_down *slow_down, const char *provider, uint32_t factor_ppm,
                         const char *why) __attribute__((nonnull(1, 4)));

/* Whether a refusal for its rate is a step already: it is slowed down. */
bool slow_down_is_slowed(const struct slow_down *slow_down, const char *provider) __attribute__((nonnull(1)));

void slow_down_say(const struct slow_down *slow_down, const char *provider, const char *why)
    __attribute__((nonnull(1, 3)));

/* Rule and words that caused it; "" when nothing was said. */
void slow_down_said(const struct slow_down *slow_down, const char *provider, char said_r[SLOW_DOWN_SAID_SIZE])
    __attribute__((nonnull(1, 3)));

#endif
