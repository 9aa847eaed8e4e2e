/*
 * judgement: what the judge, who reads what strangers wrote and has no rights, tells the recorder, who has
 * them: one JSON object on a pipe.
 *
 *     {"why_none": "…", "complaint": true, "reached": true, "message_id": "…", "date_ms": 0, "recipients":
 * [{"address": "…", "final": "…", "hard": true, "delayed": false, "smtp_code": 550, "status": "5.1.1",
 * "text": "…", "reason": "…", "rule": "…"}, …]}
 *
 * The recorder does not trust it: whoever has taken the judge over may write anything. So every field has its
 * form and its bound, or the whole is refused. What it says is still only the word of a report, which is
 * believed for what the recorder can prove (bounce/belief.h).
 */
#ifndef SENDPOST_BOUNCE_JUDGEMENT_H
#define SENDPOST_BOUNCE_JUDGEMENT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "bounce/dsn.h"

#define JUDGEMENT_SIZE_MAX (1u << 20)
#define JUDGEMENT_RECIPIENTS_MAX 100 /* as many as are read from fields, from prose, from a complaint */

/* The line, which the caller frees. judgement_decode() takes it, whatever dsn_read() has found: what goes
 * beyond a bound of the recorder's is cut or left out. */
char *judgement_encode(const struct dsn *report) __attribute__((nonnull, returns_nonnull));

struct judgement {
    struct dsn report; /* its texts stand in holder */
    struct json_object *holder;
};

/* False with *error_r set, which says what is wrong with it. judgement_clear() in any case. */
bool judgement_decode(const char *text, size_t length, struct judgement *judgement_r, struct outcome *error_r)
    __attribute__((nonnull));
void judgement_clear(struct judgement *judgement) __attribute__((nonnull));

#endif
