/*
 * postfix_conf: Postfix's settings as postconf(1) tells them. directory: its configuration directory, NULL
 * for the default one. Only postfix_edit() changes anything.
 */
#ifndef SENDPOST_CTL_POSTFIX_CONF_H
#define SENDPOST_CTL_POSTFIX_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The two kinds of transport there are, each running one program of ours through pipe(8). */
struct postfix_kind {
    const char *program; /* "sendpost-pipe": its name without directory */
    const char *name;    /* of the transport, unless told otherwise */
    const char *maxproc; /* likewise */
    const char *argv;    /* what follows program and configuration */
};
extern const struct postfix_kind postfix_outgoing; /* mail to a TPSP */
extern const struct postfix_kind postfix_bounces;  /* bounces that come back */

/* A service of master.cf that runs such a program. Words as they stand in their columns. */
struct postfix_transport {
    char *name, *unprivileged, *chroot, *maxproc;
    char *arguments; /* what follows "pipe", up to argv= */
    char *argv;      /* program and its arguments */
};

struct postfix_transports {
    struct postfix_transport *items;
    size_t count;
};

/* Those of one kind. False, with *why_r (if not NULL) to be freed by the caller, when postconf cannot tell.
 * The transports are to be freed in any case. */
bool postfix_transports(const char *directory, const struct postfix_kind *kind,
                        struct postfix_transports *transports_r, char **why_r) __attribute__((nonnull(2, 3)));
void postfix_transports_free(struct postfix_transports *transports) __attribute__((nonnull));

/* Whether master.cf has a service NAME of type unix, whatever it runs. */
bool postfix_service_exists(const char *directory, const char *name) __attribute__((nonnull(2)));

/* The value of NAME=value among the arguments of pipe(8): "" when it is empty, NULL when it is not there. The
 * caller frees. */
char *postfix_attribute(const struct postfix_transport *transport, const char *name) __attribute__((nonnull));

/* user=NAME, or NAME:GROUP; NULL without. *group_r: NULL without. The caller frees both. */
char *postfix_user_words(const struct postfix_transport *transport, char **group_r) __attribute__((nonnull));

/* Whom pipe(8) becomes to run our program, and with which group alone: GROUP, else the user's own. Of the
 * transport for mail to a TPSP, else of that for bounces. False: master.cf names nobody whom this machine
 * knows; name: the caller frees. */
struct postfix_user {
    char *name;
    gid_t group;
};
bool postfix_user(const char *directory, struct postfix_user *user_r) __attribute__((nonnull(2)));

/* Whether a word stands in argv; ${x}, $x and $(x) are the same. */
bool postfix_argv_has(const struct postfix_transport *transport, const char *word) __attribute__((nonnull));

/* Whether a parameter such as default_transport is "NAME" or "NAME:nexthop". */
bool postfix_routes_to(const char *value, const char *name) __attribute__((nonnull));

/* Value of a main.cf parameter, $names expanded; NULL when Postfix does not know it. The caller frees. */
char *postfix_parameter(const char *directory, const char *name) __attribute__((nonnull(2)));

/*
 * What a parameter that lists names and lookup tables (relay_domains, transport_maps) says about key: the key
 * itself where it is listed, what postmap -q finds in the first table that knows it, else NULL. Tables
 * written into main.cf ("inline:{…}") are passed over. The caller frees.
 */
char *postfix_lookup(const char *directory, const char *parameter, const char *key)
    __attribute__((nonnull(2, 3)));

/* Value as it is set in main.cf itself; NULL when it is not. The caller frees. */
char *postfix_parameter_set(const char *directory, const char *name) __attribute__((nonnull(2)));

/*
 * Change main.cf or master.cf: postconf -e NAME=VALUE, -X NAME, -Me NAME/unix=ENTRY, -MX NAME/unix. False,
 * with *why_r to be freed by the caller, when postconf refuses.
 */
bool postfix_edit(const char *directory, const char *verb, const char *what, char **why_r)
    __attribute__((nonnull(2, 3, 4)));

/* The transport's time limit: its own -o, NAME_time_limit, or command_time_limit. The caller frees. */
char *postfix_time_limit(const char *directory, const struct postfix_transport *transport)
    __attribute__((nonnull(2)));

/* "1000s", "5m", "1000": seconds, -1 when it is no time. */
int64_t postfix_seconds(const char *text) __attribute__((nonnull));

#endif
