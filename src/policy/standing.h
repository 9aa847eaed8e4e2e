/*
 * standing: how this host stands with a TPSP. Has it ever greeted us? Is mail held because of trouble that no
 * message can help: ours (login, TLS, host name, network), or a refusal of the account, this host or the
 * session? Held mail waits as long as Postfix's maximal_queue_lifetime lets it, so it has to be told loudly:
 * the log, `sendpostctl status`, /health and the metrics take it from here.
 *
 * Table standing, a row for each TPSP. A TPSP counts as known from its first greeting until its host, port or
 * security changes: silence of one that is not known is ours, for a wrong port looks the same.
 *
 * The row is read at each delivery and written when something changes, inside the caller's transaction or as
 * one of its own.
 */
#ifndef SENDPOST_POLICY_STANDING_H
#define SENDPOST_POLICY_STANDING_H

#include "config/config.h"
#include "store/store.h"

#define STANDING_MEND_SIZE 512

struct standing {
    int64_t greeted_ms; /* when it first did; 0: never since the endpoint last changed */
    int64_t held_ms;    /* mail is held since; 0: it is not */
    enum outcome_cause cause;
    char text[OUTCOME_TEXT_SIZE];  /* why, in the last words */
    char mend[STANDING_MEND_SIZE]; /* the file to mend, and by what; "" when there is nothing to mend here */
};

/* All zero where nothing is known. False with *error_r set when the store cannot tell. */
bool standing_read(struct store *store, const struct config_tpsp *tpsp, struct standing *standing_r,
                   struct outcome *error_r) __attribute__((nonnull));

/* Whether mail waits for this, however long, and nothing of it is counted: not the message's fault, and no
 * silence of a TPSP that is known. */
bool standing_holds(const struct outcome *outcome) __attribute__((nonnull));

/*
 * What asking the TPSP came to. greeted: it took the connection with its 220. mend: the file in which to mend
 * the trouble, if this is some. Silence of a TPSP that is not known becomes CAUSE_OURS in *outcome.
 */
bool standing_note(struct store *store, const struct config_tpsp *tpsp, bool greeted, const char *mend,
                   int64_t now_ms, struct outcome *outcome, struct outcome *error_r) __attribute__((nonnull));

/* Calls see() for each TPSP of the configuration that mail is held for, with the number of messages that
 * wait. */
bool standing_each_held(struct store *store, const struct config *config,
                        void (*see)(void *context, const struct config_tpsp *tpsp,
                                    const struct standing *standing, int64_t messages),
                        void *context, struct outcome *error_r) __attribute__((nonnull(1, 2, 3, 5)));

#endif
