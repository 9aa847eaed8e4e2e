/*
 * suppression_intake: changes of others on their way into the store. They come in the order of a stream or of
 * a hash; applied in that order, each would touch other pages of each tree, and a million would write
 * gigabytes. So they are gathered here, some hundred thousand at a time, and applied in the order of their
 * addresses, which changes nothing: of two changes of one address the later one counts in whatever order they
 * come (policy/suppression_journal.h).
 *
 * Who delivers waits for the lock that writing takes: it is held for some hundredths of a second at a time,
 * and others have their turn in between.
 *
 * What is in memory only is lost when the process ends: remember how far one has come when all is applied,
 * not before.
 */
#ifndef SENDPOST_POLICY_SUPPRESSION_INTAKE_H
#define SENDPOST_POLICY_SUPPRESSION_INTAKE_H

#include "policy/suppression_journal.h"

#define SUPPRESSION_INTAKE_MAX 200000 /* some 25 MB */

/* All zero: empty. */
struct suppression_intake {
    struct suppression_intake_change *changes;
    size_t count, room;
    size_t applied; /* of them, once they are sorted */
    bool sorted;
};

/* change->heard is taken for granted. Not while some of them are applied and others are not. */
void suppression_intake_put(struct suppression_intake *intake, const struct suppression_change *change)
    __attribute__((nonnull));

/*
 * Apply until all are, or deadline_ms (clock_monotonic_ms()) is over; at the end of all it is empty. self: by
 * what origin others know the changes of this host. *counted grows by how many counted. False with *error_r
 * set: what was not applied is still there.
 */
bool suppression_intake_apply(struct suppression_intake *intake, struct store *store, const char *self,
                              int64_t deadline_ms, uint64_t *counted, struct outcome *error_r)
    __attribute__((nonnull));

void suppression_intake_clear(struct suppression_intake *intake) __attribute__((nonnull));

#endif
