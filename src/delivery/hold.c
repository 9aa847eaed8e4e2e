/*
 * Mail that waits for trouble which is not its own: how we stand with each TPSP that was asked, and the row
 * that says what the message waits for. See policy/standing.h.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "delivery/delivery.h"
#include "policy/standing.h"
#include "relay/remedy.h"

/* Where the trouble is as a rule: the file of the login, or keys of the configuration. False: nowhere here.
 */
static bool find_place(const struct delivery *delivery, char place_r[STANDING_MEND_SIZE])
{
    const struct config_tpsp *tpsp = delivery->tpsp;
    const char *path = delivery->context->config->path,
               *keys = relay_remedy_keys(delivery->relay.stage, delivery->outcome.text);
    const char *login = tpsp->oauth.token_endpoint != NULL ? "oauth"
                        : tpsp->password != NULL           ? "password"
                                                           : "oauth-token";

    if (delivery->relay.stage != RELAY_AUTH && keys == NULL)
        return false;
    if (delivery->relay.stage == RELAY_AUTH && tpsp->login_path != NULL)
        snprintf(place_r, STANDING_MEND_SIZE, "%s (%s-file of %s in %s)", tpsp->login_path, login, tpsp->name,
                 path);
    else
        snprintf(place_r, STANDING_MEND_SIZE, "%s (%s of %s)", path, keys != NULL ? keys : login, tpsp->name);
    return true;
}

/* The place, and the command that mends it. */
static void find_mend(const struct delivery *delivery, char mend_r[STANDING_MEND_SIZE])
{
    char place[STANDING_MEND_SIZE];

    mend_r[0] = '\0';
    if (!find_place(delivery, place))
        return;
    AUTO_FREE char *remedy = relay_remedy(delivery->tpsp, delivery->relay.stage, delivery->outcome.text);
    snprintf(mend_r, STANDING_MEND_SIZE, "%.300s: %s", place, remedy);
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
