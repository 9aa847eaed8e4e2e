/*
 * api_answer: lists of SendPost's API, as its OpenAPI description has them. Foreign bytes: what is no entry
 * that could be one of ours is counted and passed over; but it is there, and not taken for gone.
 */
#ifndef SENDPOST_SENDPOST_API_ANSWER_H
#define SENDPOST_SENDPOST_API_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/suppression.h"

struct api_suppression {
    struct suppression entry; /* since_ms: when it was made there */
    int64_t created_ns;       /* its time of creation, as it was written */
};

struct api_suppressions {
    struct api_suppression *items;
    size_t count;
    size_t all; /* what the list held, the unusable included */
    /* What was not understood, the last of all items, with an address alone: "" where not even that was. */
    size_t unclear;
};

struct api_domain {
    char name[ADDRESS_SIZE], host[ADDRESS_SIZE],
        target[ADDRESS_SIZE]; /* host, target: "" where none is given */
    bool verified;            /* its return path is */
};

struct api_domains {
    struct api_domain *items;
    size_t count, all;
};

/* False when the body is no list. The result is to be freed. */
bool api_suppressions_parse(struct api_suppressions *list_r, const char *body, size_t length)
    __attribute__((nonnull(1)));

/* Whether an address, in any case, may be in the list. */
bool api_suppressions_hold(const struct api_suppressions *list, const char *address) __attribute__((nonnull));

bool api_domains_parse(struct api_domains *list_r, const char *body, size_t length)
    __attribute__((nonnull(1)));

#endif
