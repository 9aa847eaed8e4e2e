/*
 * json: values as every JSON object of ours has them: a time is RFC 3339 in UTC, a number is as short as it
 * can be said, and what is not known, or never was, is null.
 *
 * json-c has NULL for what it lacks memory for, which a later call of it meets with an assertion, or shows as
 * a null that nobody meant. So its constructors, and what adds to an array or object, end the process as
 * xalloc does: the linker puts those of json.c in their place (JSON_WRAPPED of Makefile.am).
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
