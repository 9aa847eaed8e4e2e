/*
 * config: the YAML configuration file, read once into a tree of plain structs. Unknown keys, wrong types,
 * duplicate keys and impossible values are errors that name file, line, key and remedy:
 *
 *     config.yaml:14: tpsps[0].security: "ssl" is none of none, starttls, tls
 *
 * The tree is read-only after config_load() and may be shared by threads. Strings are never NULL unless said
 * so here. All durations are milliseconds, all sizes bytes. Secrets live only in the fields marked as such
 * and are overwritten by config_free(). A file that holds a secret and can be read by others (mode & 007) is
 * refused.
 */
#ifndef SENDPOST_CONFIG_CONFIG_H
#define SENDPOST_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/file_stamp.h"
#include "base/network.h"
#include "base/outcome.h"
#include "base/provider_category.h"
#include "base/uuid_proof.h"

enum config_security { SECURITY_NONE, SECURITY_STARTTLS, SECURITY_TLS };
enum config_auth {
    AUTH_AUTO,
    AUTH_NONE,
    AUTH_PLAIN,
    AUTH_LOGIN,
    AUTH_SCRAM_SHA_256,
    AUTH_XOAUTH2,
    AUTH_OAUTHBEARER
};
enum config_engine { ENGINE_AUTO, ENGINE_LIBESMTP, ENGINE_LIBCURL };
enum config_accepted_as { ACCEPTED_AS_DELIVERED, ACCEPTED_AS_SENT, ACCEPTED_AS_NONE };
enum config_deferred { DEFERRED_AUTO, DEFERRED_TRUE, DEFERRED_FALSE };
enum config_dropped_as { DROPPED_AS_AUTO, DROPPED_AS_DROPPED, DROPPED_AS_BOUNCED };
enum config_strategy {
    STRATEGY_FAILOVER,
    STRATEGY_ROUND_ROBIN,
    STRATEGY_WEIGHTED,
    STRATEGY_BY_PROVIDER,
    STRATEGY_BY_SENDER_DOMAIN
};
enum config_verify { VERIFY_OFF, VERIFY_STATIC, VERIFY_DNS, VERIFY_SENDPOST };
enum config_provider_lookup { PROVIDER_LOOKUP_DOMAIN, PROVIDER_LOOKUP_MX };

struct config_strings {
    char **items;
    size_t count;
};

/* limit messages in any window of window_ms; limit 0 is unlimited. */
struct config_rate {
    uint32_t limit;
    int64_t window_ms;
};

struct config_tls {
    bool verify;     /* always true for the event endpoint */
    char *ca_path;   /* hashed directory; NULL when ca_file is given */
    char *ca_file;   /* NULL when not given */
    char *cert_file; /* of the client, with key_file; NULL: none */
    char *key_file;
};

#define RATE_BURST_MAX 24    /* of rate-burst */
#define CONNECTIONS_MAX 1000 /* of max-connections */

/* Tokens for a login that are fetched and renewed (RFC 6749). */
struct config_oauth {
    char *token_endpoint; /* NULL: there is no such section */
    char *client_id;
    char *client_secret; /* secret; NULL: a client without */
    char *refresh_token; /* secret, the first of its line; NULL: none */
    /* where it is read from, perhaps not there yet; NULL: given inline, or by client credentials */
    char *refresh_token_path;
    char *device_endpoint; /* NULL: none, no first login by setup */
    char *scope;           /* NULL: what the provider thinks fit */
    struct config_tls tls;
    bool tried; /* by setup, which has not written it: it takes no place of what is written */
};

struct config_tpsp {
    char *name; /* unique; letters, digits, '-', '_', '.' */
    int64_t id;
    char *host;      /* name, IPv4 address or IPv6 address without brackets */
    uint16_t port;   /* default: 587, or 465 with security tls */
    char *service;   /* "auto", "none" or a name: whose replies these are (classify/replies.h) */
    char *helo_name; /* what EHLO says; NULL: the host's full name, else the address literal */
    enum config_security security;
    enum config_auth auth;
    bool auth_without_tls;
    char *username;    /* NULL: no login */
    char *password;    /* secret; NULL when none */
    char *oauth_token; /* secret; NULL when none */
    char *login_path;  /* the file that password or token is read from; NULL: none, it stands here */
    struct config_oauth oauth;
    enum config_engine engine;
    struct config_tls tls;
    int64_t connect_timeout_ms;
    int64_t command_timeout_ms;
    uint32_t max_connections;       /* at a time; 0: as many as there are deliveries */
    struct config_rate global_rate; /* max-rate-per-hour */
    struct config_rate *rates;      /* further windows */
    size_t rate_count;
    /* limit 0: unlimited; categories not named carry "default" */
    struct config_rate provider_rates[PROVIDER_COUNT];
    struct config_warm_up {
        bool given;
        int64_t start_ms; /* since 1970: the first day, UTC */
        struct config_plan {
            uint32_t *days; /* messages on each day */
            size_t count;   /* 0: no plan */
        } plan, providers[PROVIDER_COUNT];
    } warm_up;
    struct config_shadow { /* limits that are counted and never enforced */
        bool global, rates, warm_up;
        bool providers[PROVIDER_COUNT];
    } shadow;
    char *api_key; /* secret; NULL: the account's */
};

struct config_member {
    size_t tpsp; /* index into config.tpsps */
    uint32_t weight;
};

/* Whose mail goes to which member first (policy/route.h). */
struct config_route {
    char *key;     /* a mailbox provider; a sender domain, lower case; or "default" */
    size_t member; /* index into members */
};

struct config_pool {
    char *name;
    enum config_strategy strategy;
    struct config_member *members;
    size_t member_count;
    struct config_route *routes; /* of by-provider and by-sender-domain, which have one at least */
    size_t route_count;
    ptrdiff_t overflow; /* index into config.pools, or -1; chains have no cycle */
};

enum config_when_away { WHEN_AWAY_HOLD, WHEN_AWAY_SHARE };

/* Several hosts that share limits and suppression through Valkey or Redis. */
struct config_cluster {
    struct config_server {
        char *host;
        uint16_t port;
    } * servers;
    size_t server_count; /* 0: no cluster */
    bool tls;
    struct config_tls tls_settings;
    char *username; /* NULL: the server's default user */
    char *password; /* secret; NULL: no login */
    char *name;     /* prefix of all keys */
    enum config_when_away when_away;
    uint32_t share_ppm; /* of each limit, in millionths */
};

/* SendPost's own API. */
struct config_sendpost {
    char *endpoint;            /* NULL: there is no such section */
    char *key;                 /* secret, of the sub-account; NULL: a credential of another process */
    bool suppression, domains; /* what is synchronised */
    int64_t interval_ms;
    struct config_tls tls;
};

/* The files that were read, the secrets' among them. */
struct config_sources {
    struct config_source {
        char *path;
        struct file_stamp stamp;
    } * items;
    size_t count;
};

struct config {
    char *path; /* the file this came from */
    struct config_sources sources;
    int64_t account_id;
    int64_t subaccount_id;
    char *state_dir;

    char *endpoint; /* NULL: 'none' */
    char *api_key;  /* secret; NULL when none */
    struct {
        enum config_accepted_as accepted_as;
        enum config_dropped_as dropped_as;
        enum config_deferred deferred;
        /* the agent reports repeated deferrals of a recipient this far apart at least */
        int64_t deferred_interval_ms;
        int64_t timeout_ms;
        int64_t patience_ms; /* event/event_pace.h */
        struct config_tls tls;
    } report;

    struct networks trusted_senders; /* empty: Postfix's mynetworks */
    char *mta;
    char *log_path; /* "journal" for the journal */
    char *listen;   /* NULL: 'none' */
    uint32_t batch_size;
    int64_t flush_interval_ms;

    struct config_tpsp *tpsps;
    size_t tpsp_count;
    /* never empty: without pools in the file, "default" holds all tpsps in order */
    struct config_pool *pools;
    size_t pool_count;

    struct {
        enum config_verify verify;
        struct config_strings domains;
        bool rewrite;
        char *bounce_prefix;
        char *cname_target;
    } return_path;
    struct {
        int64_t max_message_size; /* 0: unlimited */
        bool require_from;
    } validation;
    struct {
        bool enabled;
        bool on_hard_bounce;
        bool sub_address;    /* a suppressed user@ also stops user+tag@ */
        bool case_sensitive; /* of local parts */
    } suppression;
    struct {
        int64_t *schedule_ms;
        size_t schedule_count;
    } retry;
    int64_t delivery_timeout_ms; /* at most 15 minutes: below Postfix's default pipe time limit of 1,000 s */
    int64_t rate_limit_wait_ms;
    /* slots that an idle limit may hand out at once, never above the limit itself */
    uint32_t rate_burst;
    enum config_provider_lookup provider_lookup;
    struct {
        struct config_strings servers;
        int64_t timeout_ms;
    } dns;
    int64_t events_retention_ms;
    bool events_subject;        /* of a message, kept with its events */
    bool credentials_elsewhere; /* a secret is a credential of another process: "cred:NAME" */
    struct uuid_keys uuid_keys; /* secret; none where no file is named and none stands at the default place */
    struct config_slow_down {
        bool enabled;
        struct config_rate floor; /* no reply brings a limit below it */
        int64_t recovery_ms;      /* a limit grows after so long without another such reply */
        struct {
            uint32_t deferred_ppm, bounced_ppm; /* of the attempts, in millionths; 0: not looked at */
            uint32_t attempts;                  /* fewer say nothing */
            int64_t window_ms;
        } statistics;
    } slow_down;
    struct config_cluster cluster;
    struct config_sendpost sendpost;
};

/*
 * NULL with *error_r set (OUTCOME_DEFERRED, CAUSE_OURS, 4.3.5) on the first error. The message holds no
 * secret, also when the offending value is one.
 */
struct config *config_load(const char *path, struct outcome *error_r) __attribute__((nonnull));
void config_free(struct config *config); /* NULL is fine */

/* Whether every file it came from is still as it was. */
bool config_is_current(const struct config *config) __attribute__((nonnull));

/*
 * The pool for a nexthop: the pool of that name; when there is none and nexthop is the domain of recipient,
 * empty or NULL, the pool "default". NULL when there is none: a local misconfiguration.
 */
const struct config_pool *config_pool_for(const struct config *config, const char *nexthop,
                                          const char *recipient) __attribute__((nonnull(1, 3)));

/* By name; NULL when there is none. */
const struct config_tpsp *config_tpsp_by_name(const struct config *config, const char *name)
    __attribute__((nonnull));

#endif
