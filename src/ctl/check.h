/*
 * check: the parts of `sendpostctl check`. Each looks at one thing and says what it found, a line a finding;
 * what is not well comes with its remedy. Nothing is changed, and no mail or event is sent.
 */
#ifndef SENDPOST_CTL_CHECK_H
#define SENDPOST_CTL_CHECK_H

#include <sys/types.h>

#include "ctl/ctl.h"
#include "ctl/postfix_conf.h"

enum check_level { CHECK_OK, CHECK_WARNING, CHECK_FAILURE, CHECK_LEVELS };

struct check {
    struct ctl *ctl;
    const struct config *config; /* NULL when it cannot be loaded */
    const char *subject;         /* the part that speaks: "configuration", "state" … */
    size_t counts[CHECK_LEVELS];
    struct json_object *findings; /* every one so far */
    bool quiet;                   /* collect, print nothing */
    char *agent_groups;           /* look as the agent, which has these groups besides; NULL: as a delivery */
    const char *own_log;          /* while check_as_user() looks at it */
    /* who delivers, and with which group: user= in master.cf, else the owner of the state directory */
    char *user;
    gid_t group;
};

/* remedy: NULL where there is nothing to do. Secrets are no business of a finding. */
void check_say(struct check *check, enum check_level level, const char *remedy, const char *format, ...)
    __attribute__((nonnull(1, 4), format(printf, 4, 5)));

/* Run look() as the delivery user, in a child, where we are root; as we are otherwise. Its findings come
 * back. So nothing in the state directory is ever opened by root. */
void check_as_user(struct check *check, void (*look)(struct check *check)) __attribute__((nonnull));

void check_configuration(struct check *check) __attribute__((nonnull)); /* check_config.c */
void check_smtp(struct check *check) __attribute__((nonnull));          /* check_smtp.c */
void check_routes(struct check *check) __attribute__((nonnull));        /* check_routes.c */
void check_state(struct check *check) __attribute__((nonnull));         /* check_state.c */
void check_log(struct check *check) __attribute__((nonnull));           /* check_agent.c */
void check_agent(struct check *check) __attribute__((nonnull));
/* check_trust.c */
void check_keys(struct check *check) __attribute__((nonnull));
void check_trust(struct check *check, const char *directory) __attribute__((nonnull(1)));
void check_clock(struct check *check) __attribute__((nonnull));
void check_network(struct check *check) __attribute__((nonnull)); /* check_network.c */
void check_tpsps(struct check *check) __attribute__((nonnull));   /* check_tpsp.c */
void check_domains(struct check *check) __attribute__((nonnull)); /* check_domains.c */
void check_cluster(struct check *check) __attribute__((nonnull)); /* check_cluster.c */
/* check_postfix.c */
void check_postfix(struct check *check, const char *directory) __attribute__((nonnull(1)));

/* check_targets.c: whether each transport that mail is routed to is there */
void check_route_targets(struct check *check, const char *directory) __attribute__((nonnull(1)));

/* check_port.c: "nginx (process 123)", who listens on this TCP port of this machine; NULL: cannot be told.
 * The caller frees. */
char *check_port_owner(const char *listen) __attribute__((nonnull));

/* check_bounces.c */
void check_bounce_routes(struct check *check, const char *directory,
                         const struct postfix_transports *transports) __attribute__((nonnull(1, 3)));

#endif
