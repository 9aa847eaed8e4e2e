/*
 * mta: what the Postfix of this machine says of itself: whose clients may send through it, where it logs, as
 * which user it runs, whether a filter gives mail back to it, what is wrong with our services in it. Its
 * settings are asked for with postconf(1), again when main.cf or master.cf has changed.
 *
 * Which Postfix: that of $MAIL_CONFIG, else /etc/postfix. Where there is none, nothing is known.
 */
#ifndef SENDPOST_AGENT_MTA_H
#define SENDPOST_AGENT_MTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/file_stamp.h"
#include "base/network.h"
#include "config/config.h"

struct mta {
    char *directory;          /* of its configuration */
    bool known;               /* postconf has answered */
    struct networks networks; /* mynetworks; where nothing is known, loopback, which is always in it */
    char *tables;             /* of mynetworks: "hash:/etc/postfix/mynetworks …"; "" */
    char *elsewhere;          /* where it logs to, when that is not log_path; NULL: it may be */
    uid_t owner;              /* mail_owner; (uid_t)-1: not known */
    char *wrong;              /* with our services (mta_services.h), and what mends it; NULL: nothing */
    bool filters;             /* a content_filter stands in main.cf or at a service of master.cf */
    struct file_stamp main, services; /* main.cf and master.cf, as they were when it was asked */
    int64_t looked_ms;
    const struct config *config;
};

void mta_init(struct mta *mta, const struct config *config) __attribute__((nonnull));
void mta_clear(struct mta *mta) __attribute__((nonnull));

/* Ask, if one of them has changed since or it is the first time; looks once a minute. now_ms:
 * clock_monotonic_ms(). */
void mta_look(struct mta *mta, int64_t now_ms) __attribute__((nonnull));

#endif
