/*
 * postfix_tell: tells Postfix to come at once with messages that were deferred (postqueue -i, -f). It takes
 * that from root and from whom authorized_flush_users names, so a child does it, which keeps the rights that
 * we came with: start it before ctl_config() gives them up.
 */
#ifndef SENDPOST_CTL_POSTFIX_TELL_H
#define SENDPOST_CTL_POSTFIX_TELL_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

struct postfix_tell {
    pid_t child;
    FILE *ids; /* a queue id, "-" for the whole queue, or "?" and words, a line each */
};

#define POSTFIX_TELL_MAX 500 /* one by one; of more Postfix is told to look through its whole queue */

/* False with errno set. */
bool postfix_tell_begin(struct postfix_tell *tell_r) __attribute__((nonnull));

void postfix_tell_one(struct postfix_tell *tell, const char *queue_id) __attribute__((nonnull));
void postfix_tell_all(struct postfix_tell *tell) __attribute__((nonnull));
/* Of what is in its queue now with these words as the reason why. */
void postfix_tell_waiting(struct postfix_tell *tell, const char *words) __attribute__((nonnull));

/* Whether Postfix took it all; what it said otherwise is on stderr. To be called in any case. */
bool postfix_tell_end(struct postfix_tell *tell) __attribute__((nonnull));

#endif
