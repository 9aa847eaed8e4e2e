#include "delivery/status.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/log.h"

#define DESCRIPTION_SIZE (OUTCOME_TEXT_SIZE + 896)

/* What smtp(8) says of a refusal; our own words, which name the host, where they are not the server's
 * alone. */
static void describe(const struct status_facts *facts, char *text_r, size_t size)
{
    static const char *const commands[RELAY_STAGE_COUNT] = {
        [RELAY_MAIL] = "MAIL FROM", [RELAY_RCPT] = "RCPT TO", [RELAY_DATA] = "DATA"};
    const struct outcome *outcome = facts->outcome;
    const struct relay_result *relay = facts->relay;

    if (relay == NULL || outcome->cause != CAUSE_MESSAGE || outcome->smtp_code == 0)
        snprintf(text_r, size, "%s", outcome->text);
    else
        snprintf(text_r, size, "host %s said: %d %s (in reply to %s)", relay->peer, outcome->smtp_code,
                 outcome->text, commands[relay->stage] != NULL ? commands[relay->stage] : "the last command");
}

struct delivery_result status_result(const struct status_facts *facts)
{
    const struct outcome *outcome = facts->outcome;
    struct delivery_result result = {.status = EX_OK};
    char description[DESCRIPTION_SIZE];

    if (outcome->class == OUTCOME_DELIVERED) {
        /* of a success Postfix logs the first 100 characters: the UUID comes first */
        snprintf(result.text, sizeof result.text, "2.0.0 uuid=%s tpsp=%s %d %s", facts->uuid, facts->tpsp,
                 outcome->smtp_code, outcome->text);
        return result;
    }
    describe(facts, description, sizeof description);
    result.status = outcome->class == OUTCOME_DEFERRED ? EX_TEMPFAIL : EX_UNAVAILABLE;
    snprintf(result.text, sizeof result.text, "%s %s", outcome->enhanced, description);
    /* a server has a store, too, and says 4.3.x of it */
    result.own_trouble =
        outcome->cause == CAUSE_OURS && outcome->smtp_code == 0 && strncmp(outcome->enhanced, "4.3.", 4) == 0;
    return result;
}

void status_log(const struct status_facts *facts)
{
    static const char *const words[] = {
        [OUTCOME_DELIVERED] = "sent", [OUTCOME_DEFERRED] = "deferred", [OUTCOME_DROPPED] = "dropped"};
    const struct outcome *outcome = facts->outcome;
    const struct relay_result *relay = facts->relay;
    char description[DESCRIPTION_SIZE], use[32] = "";

    if (relay && relay->connection_use > 1) /* as smtp(8) says it */
        snprintf(use, sizeof use, ", conn_use=%u", relay->connection_use);
    if (outcome->class == OUTCOME_DELIVERED)
        snprintf(description, sizeof description, "%d %s", outcome->smtp_code, outcome->text);
    else
        describe(facts, description, sizeof description);
    log_line(
        outcome->class == OUTCOME_DELIVERED ? LOG_INFO : LOG_WARNING,
        "%s: to=<%s>, from=<%s>, tpsp=%s, relay=%s%s, engine=%s, tls=%s, delay=%d.%02d, dsn=%s, uuid=%s, "
        "status=%s (%s)",
        *facts->queue_id ? facts->queue_id : "NOQUEUE", facts->recipient, facts->sender,
        *facts->tpsp ? facts->tpsp : "none", relay && *relay->peer ? relay->peer : "none", use,
        relay && *relay->engine ? relay->engine : "none", relay && *relay->tls ? relay->tls : "none",
        (int)(facts->delay_ms / 1000), (int)(facts->delay_ms % 1000 / 10), outcome->enhanced, facts->uuid,
        words[outcome->class], description);
}
