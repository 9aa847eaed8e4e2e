/*
 * Mail that waits for trouble which is not its own: how we stand with each TPSP that was asked, and the row
 * that says what the message waits for. See policy/standing.h.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "delivery/delivery.h"
#include "policy/standing.h"

/* The file of the login, or what is to be mended of it in the configuration itself. */
static void find_login(const struct delivery *delivery, char mend_r[STANDING_MEND_SIZE])
{
    const struct config_tpsp *tpsp = delivery->tpsp;
    const char *key = tpsp->oauth.token_endpoint != NULL ? "oauth"
                      : tpsp->password != NULL           ? "password"
                                                         : "oauth-token";

    if (tpsp->login_path != NULL)
        snprintf(mend_r, STANDING_MEND_SIZE, "%s (%s-file of %s in %s)", tpsp->login_path, key, tpsp->name,
                 delivery->context->config->path);
    else
        snprintf(mend_r, STANDING_MEND_SIZE, "%s (%s of %s)", delivery->context->config->path, key,
                 tpsp->name);
}

/* Where in the configuration the trouble of this stage is mended, as a rule. */
static void find_mend(const struct delivery *delivery, char mend_r[STANDING_MEND_SIZE])
{
    static const char *const keys[RELAY_STAGE_COUNT] = {
        [RELAY_RESOLVE] = "host",        [RELAY_CONNECT] = "host, port",
        [RELAY_TLS] = "tls-ca-path",     [RELAY_GREETING] = "host, port",
        [RELAY_EHLO] = "host, port",     [RELAY_STARTTLS] = "security, tls-ca-path",
        [RELAY_MAIL] = "username, auth", [RELAY_RCPT] = "username, auth"};
    const char *key = keys[delivery->relay.stage];

    mend_r[0] = '\0';
    if (delivery->relay.stage == RELAY_AUTH)
        find_login(delivery, mend_r);
    else if (key != NULL)
        snprintf(mend_r, STANDING_MEND_SIZE, "%s (%s of %s)", delivery->context->config->path, key,
                 delivery->tpsp->name);
}

void delivery_note_standing(struct delivery *delivery)
{
    char mend[STANDING_MEND_SIZE];
    struct outcome error;

    find_mend(delivery, mend);
    if (!standing_note(delivery->context->store, delivery->tpsp, delivery->relay.greeted, mend,
                       clock_realtime_ms(), &delivery->outcome, &error))
        log_line(LOG_WARNING, "%s: how we stand with %s is not on record: %s", delivery->uuid,
                 delivery->tpsp->name, error.text);
    if (delivery->holder == NULL && standing_holds(&delivery->outcome)) {
        delivery->holder = delivery->tpsp;
        delivery->hold = delivery->outcome;
    }
}

/* A member of the pool for which mail is held, though it was not asked: its breaker is open. */
static void look_for_holder(struct delivery *delivery)
{
    const struct config *config = delivery->context->config;

    for (size_t i = 0; i < delivery->pool->member_count && delivery->holder == NULL; i++) {
        const struct config_tpsp *tpsp = &config->tpsps[delivery->pool->members[i].tpsp];
        struct standing standing;
        struct outcome error;
        if (!standing_read(delivery->context->store, tpsp, &standing, &error) || standing.held_ms == 0)
            continue;
        delivery->holder = tpsp;
        outcome_set(&delivery->hold, OUTCOME_DEFERRED, CAUSE_OURS, 0, delivery->outcome.enhanced,
                    "%s; %s is left alone for this: %s", delivery->outcome.text, tpsp->name, standing.text);
    }
}

/*
 * As long as mending the trouble with one TPSP may help the message, the silence of another is not held
 * against it.
 */
void delivery_hold(struct delivery *delivery)
{
    struct retry_key key = delivery_retry_key(delivery);
    const struct outcome *outcome = &delivery->outcome;
    struct outcome error;

    if (delivery->pool == NULL || outcome->class != OUTCOME_DEFERRED ||
        (outcome->cause != CAUSE_UNREACHABLE && !standing_holds(outcome)))
        return;
    if (delivery->holder == NULL)
        look_for_holder(delivery);
    if (delivery->holder == NULL)
        return;
    if (outcome->cause == CAUSE_UNREACHABLE || !delivery->asked)
        delivery->outcome = delivery->hold;
    if (!retry_held(delivery->context->store, &key, &delivery->past, delivery->request->sender,
                    delivery->holder->name, clock_realtime_ms(), outcome, &error))
        log_line(LOG_WARNING, "%s: that it is held is not on record: %s", delivery->uuid, error.text);
}
