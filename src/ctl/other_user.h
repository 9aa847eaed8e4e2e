/*
 * other_user: what has to be said where deliveries run as another user than the packages' own, to whom their
 * unit and their tmpfiles.d give the directories back: at each start of the agent, and at the boot.
 */
#ifndef SENDPOST_CTL_OTHER_USER_H
#define SENDPOST_CTL_OTHER_USER_H

#define OTHER_USER_NOT "sendpost" /* the user of the packages */

/* What gives the state directory to a user so that it lasts; NULL for the packages' own, who needs nothing.
 * The caller frees. */
char *other_user_remedy(const char *user, const char *state_dir) __attribute__((nonnull));

#endif
