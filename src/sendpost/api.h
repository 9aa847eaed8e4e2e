/*
 * api: requests to SendPost's own API with the key of the sub-account, each with a deadline. Belongs to one
 * thread.
 */
#ifndef SENDPOST_SENDPOST_API_H
#define SENDPOST_SENDPOST_API_H

#include <stdio.h>

#include "config/config.h"
#include "sendpost/api_answer.h"

struct api;

struct api *api_open(const struct config *config, FILE *trace) __attribute__((nonnull(1), returns_nonnull));
void api_close(struct api *api); /* NULL is fine */

#define API_PAGE 1000 /* entries that are asked for; a server may give fewer */

/* Entries made from the one day to the other, both included, at most 60 days apart; days since 1970-01-01.
 * search: such an address alone, NULL for all. False with *error_r set, a wish to wait included: see
 * api_wait_ms(). */
bool api_list_suppressions(struct api *api, int64_t from_day, int64_t to_day, const char *search,
                           size_t offset, struct api_suppressions *list_r, struct outcome *error_r)
    __attribute__((nonnull(1, 6, 7)));

/* Up to API_PAGE entries; *list_r: what the server has made of them. */
bool api_add_suppressions(struct api *api, const struct suppression *entries, size_t count,
                          struct api_suppressions *list_r, struct outcome *error_r) __attribute__((nonnull));
bool api_remove_suppressions(struct api *api, const struct suppression *entries, size_t count,
                             struct outcome *error_r) __attribute__((nonnull));

bool api_list_domains(struct api *api, size_t offset, struct api_domains *list_r, struct outcome *error_r)
    __attribute__((nonnull));

/* Of the last answer; 0: there was none. */
int api_status(const struct api *api) __attribute__((nonnull));

/* How long the last answer asks to wait; 0: it does not. */
int64_t api_wait_ms(const struct api *api) __attribute__((nonnull));

#endif
