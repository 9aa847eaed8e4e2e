/*
 * connections: of those that a TPSP allows us at a time (max-connections) a delivery holds a lease, over all
 * processes of this host.
 *
 * A lease is a lock on one byte of STATE_DIR/connections (fcntl(2), open file description locks): slot number
 * 0 to max-connections - 1 of the TPSP, at an offset derived from its name. Such a lock is taken in one step,
 * and the kernel gives it up in the moment in which its holder ends, of whatever it ends: there is no instant
 * at which a killed process leaves one behind, no process id that could be another's by then, and no clock.
 * A word in `rates` would need all three: an owner, proof that he lives, and somebody to look. It holds
 * across pid namespaces, too, as long as they share the directory.
 *
 * A connection that is kept for the next delivery keeps its lease. Who finds none free waits
 * (CONNECTIONS_POLL_NS), and says so by a shared lock on a byte beside the slots: deliverers that are idle
 * and hold one look there (connections_wanted()), and let go of theirs.
 *
 * Where max-connections was made smaller, slots above it that are still held count against it. The file may
 * be deleted: what was held under it is then not counted any more.
 *
 * The kernel gives up what a killed process held in an order of its own: the server may count its connection
 * for an instant longer than we do.
 *
 * A desk holds the leases of one process, one for each TPSP at most, and belongs to one thread.
 */
#ifndef SENDPOST_POLICY_CONNECTIONS_H
#define SENDPOST_POLICY_CONNECTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

#define CONNECTIONS_POLL_NS INT64_C(20000000) /* how often who waits for one looks again */

struct connections_desk;

/* config is kept. Opens nothing yet. */
struct connections_desk *connections_open(const struct config *config)
    __attribute__((nonnull, returns_nonnull));
void connections_close(struct connections_desk *desk); /* NULL is fine; lets go of all */

enum connections_answer {
    CONNECTIONS_TAKEN,
    CONNECTIONS_HELD, /* from before, by a connection that is kept; or there is no such limit */
    CONNECTIONS_NONE_FREE,
    CONNECTIONS_TROUBLE, /* *error_r says what (CAUSE_OURS, 4.3.0) */
};

/* Take one of limit for the TPSP, one of config->tpsps; limit 0: there is none. Above it those count that are
 * held by then. NONE_FREE: others hear that one is wanted, until it is taken
 * or connections_stop_waiting(). */
enum connections_answer connections_take(struct connections_desk *desk, const struct config_tpsp *tpsp,
                                         unsigned limit, struct outcome *error_r) __attribute__((nonnull));
/* The one that is held is enough as it is: with those of all others that makes limit at most. */
bool connections_is_within(const struct connections_desk *desk, const struct config_tpsp *tpsp,
                           unsigned limit) __attribute__((nonnull));
void connections_let_go(struct connections_desk *desk, const struct config_tpsp *tpsp)
    __attribute__((nonnull));
/* What is called before a lease is let go: it ends the session that is kept under it, for another process may
 * have the lease in the next moment. NULL: no session is. */
void connections_on_let_go(struct connections_desk *desk,
                           void (*end_session)(void *context, const struct config_tpsp *tpsp), void *context)
    __attribute__((nonnull(1)));
void connections_stop_waiting(struct connections_desk *desk) __attribute__((nonnull));

bool connections_is_held(const struct connections_desk *desk, const struct config_tpsp *tpsp)
    __attribute__((nonnull));
/* One was asked for, and is not held: then no connection may be kept, either. */
bool connections_is_lost(const struct connections_desk *desk, const struct config_tpsp *tpsp)
    __attribute__((nonnull));
bool connections_any_held(const struct connections_desk *desk) __attribute__((nonnull));

/* Whether somebody waits for one of this TPSP. */
bool connections_wanted(struct connections_desk *desk, const struct config_tpsp *tpsp)
    __attribute__((nonnull));

/* In a cluster each lease is known to the others by its number (connections_share.h): which it is, and of how
 * many; false: none is held. */
bool connections_lease(const struct connections_desk *desk, const struct config_tpsp *tpsp,
                       unsigned *number_r, unsigned *limit_r) __attribute__((nonnull));

/* The others have agreed to it: a lock on a second byte says so for as long as the lease is held. And the
 * numbers of which all processes of this host have it confirmed; their count. */
bool connections_confirm(struct connections_desk *desk, const struct config_tpsp *tpsp)
    __attribute__((nonnull));
size_t connections_confirmed(struct connections_desk *desk, const struct config_tpsp *tpsp,
                             unsigned numbers_r[CONNECTIONS_MAX]) __attribute__((nonnull));

/* Take this number and no other, for a moment, so that nobody else does; false: somebody has it. Until
 * connections_let_go(). */
bool connections_take_number(struct connections_desk *desk, const struct config_tpsp *tpsp, unsigned number)
    __attribute__((nonnull));

/* For people: how many are held, by all processes. */
unsigned connections_count(struct connections_desk *desk, const struct config_tpsp *tpsp)
    __attribute__((nonnull));

#endif
