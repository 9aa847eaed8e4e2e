/*
 * json: values as every JSON object of ours has them: a time is RFC 3339 in UTC, a number is as short as it
 * can be said, and what is not known, or never was, is null.
 */
#ifndef SENDPOST_BASE_JSON_H
#define SENDPOST_BASE_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

/* clock_realtime_ms(); 0 or less: never, which is null. */
void json_add_time(struct json_object *object, const char *key, int64_t time_ms) __attribute__((nonnull));

/* With three decimals at most, and none that say nothing: 0.137, 3600. */
void json_add_decimal(struct json_object *object, const char *key, double value) __attribute__((nonnull));

void json_add_number(struct json_object *object, const char *key, int64_t number) __attribute__((nonnull));

void json_add_flag(struct json_object *object, const char *key, bool flag) __attribute__((nonnull));

/* NULL, or no text at all: null. */
void json_add_text(struct json_object *object, const char *key, const char *text)
    __attribute__((nonnull(1, 2)));

#endif
