#include "bounce/belief.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bounce_address.h"
#include "base/uuid_proof.h"
#include "base/xalloc.h"
#include "event/event_store.h"
#include "policy/bounce_domain.h"

/* What is being looked at. */
struct looking {
    struct belief *belief;
    const struct config *config;
    const struct dsn *report;
    bool proven;
    char last[ADDRESS_SIZE]; /* recipient whose proof was looked at last: events of one come in a row */
};

static bool is_same(const char *a, const char *b)
{
    return *a != '\0' && strcasecmp(a, b) == 0;
}

static struct belief_failure *add_failure(struct belief *belief, const struct dsn_recipient *said,
                                          const char *recipient)
{
    for (size_t i = 0; i < belief->count; i++)
        if (belief->failures[i].said == said || is_same(belief->failures[i].recipient, recipient))
            return NULL;
    belief->failures = xrealloc(belief->failures, (belief->count + 1) * sizeof belief->failures[0]);
    struct belief_failure *failure = &belief->failures[belief->count++];
    *failure = (struct belief_failure){.said = said};
    memccpy(failure->recipient, recipient, '\0', sizeof failure->recipient - 1);
    return failure;
}

/* --- which message ---------------------------------------------------------------------------------- */

/* The bounce address names it, else the header of what was returned. */
static void find_message(struct looking *looking, struct store *store, const char *address)
{
    struct belief *belief = looking->belief;
    struct bounce_address verp;

    if (!bounce_address_parse(&verp, address, strlen(address))) {
        memcpy(belief->message_id, looking->report->message_id, sizeof belief->message_id);
        return;
    }
    memcpy(belief->message_id, verp.uuid, sizeof belief->message_id);
    if (verp.subaccount != looking->config->subaccount_id)
        belief->why_not = "its bounce address is of another sub-account";
    else if (!bounce_domain_is_ours(looking->config, store, &verp))
        belief->why_not = "its bounce address is of a domain that is none of ours";
}

/* --- which recipient ----------------------------------------------------------------------------------- */

/* What it says of the one recipient; NULL: nothing. Who is named as the address that mail went on to may be
 * that of several. */
static const struct dsn_recipient *said_about(const struct dsn *report, const char *recipient)
{
    const struct dsn_recipient *best = NULL;

    for (size_t i = 0; i < report->count; i++)
        if (is_same(report->recipients[i].address, recipient))
            return &report->recipients[i];
    for (size_t i = 0; i < report->count; i++)
        if (is_same(report->recipients[i].final, recipient) &&
            (best == NULL || dsn_badness(&report->recipients[i]) < dsn_badness(best)))
            best = &report->recipients[i];
    return best;
}

/* It names others alone: he is as bad as the best of them, and one who has the message is not bad at all. */
static const struct dsn_recipient *said_of_others(struct belief *belief, const struct dsn *report)
{
    const struct dsn_recipient *best = &report->recipients[0];

    for (size_t i = 1; i < report->count; i++)
        if (dsn_badness(&report->recipients[i]) < dsn_badness(best))
            best = &report->recipients[i];
    if (!best->hard || !report->reached)
        return best;
    belief->softened = xmalloc(sizeof *belief->softened);
    *belief->softened = *best;
    belief->softened->hard = false;
    return belief->softened;
}

static struct belief_failure *prove(struct looking *looking, const char *recipient)
{
    if (!uuid_proof_verify(&looking->config->uuid_keys, looking->belief->message_id, recipient))
        return NULL;
    looking->proven = true;
    looking->belief->count = 0; /* what the store knows without proof does not count beside it */
    const struct dsn_recipient *said = said_about(looking->report, recipient);
    return add_failure(looking->belief,
                       said != NULL ? said : said_of_others(looking->belief, looking->report), recipient);
}

static bool see_sent(void *context, const struct event *sent)
{
    struct looking *looking = context;
    struct belief *belief = looking->belief;
    struct belief_failure *failure = NULL;

    if (!is_same(looking->last, sent->recipient)) {
        memcpy(looking->last, sent->recipient, sizeof looking->last);
        failure = prove(looking, sent->recipient);
    }
    const struct dsn_recipient *said = said_about(looking->report, sent->recipient);
    if (failure == NULL && said != NULL)
        failure = add_failure(belief, said, sent->recipient);
    if (failure != NULL) {
        failure->known = true;
        failure->sent = *sent;
    }
    return !looking->proven;
}

/* The store knows nothing of it: it was wiped, or has forgotten, or another host has sent the message. */
static void prove_by_report(struct looking *looking)
{
    const struct dsn *report = looking->report;
    char recipient[ADDRESS_SIZE];

    for (int final = 0; final < 2; final++)
        for (size_t i = 0; i < report->count && !looking->proven; i++) {
            /* in one spelling, or each of them would make an event of its own */
            uuid_proof_recipient(recipient,
                                 final ? report->recipients[i].final : report->recipients[i].address);
            prove(looking, recipient);
        }
}

static bool names_somebody(const struct dsn *report)
{
    for (size_t i = 0; i < report->count; i++)
        if (*report->recipients[i].address != '\0' || *report->recipients[i].final != '\0')
            return true;
    return false;
}

bool belief_form(struct belief *belief_r, struct store *store, const struct config *config,
                 const char *address, const struct dsn *report, struct outcome *error_r)
{
    struct looking looking = {.belief = belief_r, .config = config, .report = report};

    *belief_r = (struct belief){.count = 0};
    find_message(&looking, store, address);
    if (*belief_r->message_id == '\0')
        belief_r->why_not = "neither the bounce address nor the returned header names its message UUID";
    if (belief_r->why_not != NULL)
        return true;
    if (!event_store_sent(store, belief_r->message_id, see_sent, &looking, error_r))
        return false;
    if (!looking.proven)
        prove_by_report(&looking);
    if (belief_r->count == 0)
        belief_r->why_not =
            names_somebody(report)
                ? "its message UUID proves nothing, and is not known here with that recipient"
                : "it names no recipient, and its message UUID proves itself for none known here";
    return true;
}

void belief_clear(struct belief *belief)
{
    free(belief->failures);
    free(belief->softened);
    *belief = (struct belief){.count = 0};
}
