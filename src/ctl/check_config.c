/* sendpostctl check: the configuration file, and what it makes the programs do. */
#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/xalloc.h"
#include "ctl/check.h"
#include "policy/provider.h"
#include "policy/provider_rules.h"

#define SENDPOST_RATE_MAX 100000 /* messages an hour, of a provider as it is entered there */

static void look_file(struct check *check)
{
    struct outcome error;
    struct config *config = config_load(check->ctl->config_path, &error);
    AUTO_FREE char *remedy = xasprintf(
        "correct it: editor %s, see postfix-sendpost.yaml(5); mail is deferred until this is mended",
        check->ctl->config_path);

    if (config != NULL)
        check_say(check, CHECK_OK, NULL,
                  "%s loads for user %s; the secrets it names are readable and private",
                  check->ctl->config_path, check->user != NULL ? check->user : "root");
    else
        check_say(check, CHECK_FAILURE, remedy, "%s", error.text);
    config_free(config);
}

/* Who can write it decides where mail and keys go. */
static void look_writable(struct check *check)
{
    struct stat status;
    AUTO_FREE char *copy = xstrdup(check->ctl->config_path);
    const char *paths[] = {check->ctl->config_path, dirname(copy)};

    for (size_t i = 0; i < 2; i++)
        if (stat(paths[i], &status) == 0 && (status.st_mode & S_IWOTH) != 0 &&
            (status.st_mode & S_ISVTX) == 0) {
            AUTO_FREE char *remedy = xasprintf("chmod o-w %s", paths[i]);
            check_say(check, CHECK_FAILURE, remedy,
                      "anybody may change %s (mode %04o), and so where mail and keys go", paths[i],
                      (unsigned)status.st_mode & 07777);
        }
}

static bool is_hash_name(const char *name)
{
    return strspn(name, "0123456789abcdef") == 8 && name[8] == '.' &&
           strspn(name + 9, "0123456789") == strlen(name + 9) && name[9] != '\0';
}

static void look_ca(struct check *check, const char *who, const struct config_tls *tls)
{
    if (!tls->verify || tls->ca_path == NULL)
        return;
    DIR *directory = opendir(tls->ca_path);
    if (directory == NULL) {
        check_say(check, CHECK_FAILURE,
                  "install the package ca-certificates, or name another tls-ca-path or tls-ca-file",
                  "%s: cannot read the CA directory %s: %s", who, tls->ca_path, strerror(errno));
        return;
    }
    const struct dirent *entry;
    bool found = false;
    while (!found && (entry = readdir(directory)) != NULL)
        found = is_hash_name(entry->d_name);
    closedir(directory);
    if (!found) {
        AUTO_FREE char *remedy =
            xasprintf("openssl rehash %s, or name one file with tls-ca-file", tls->ca_path);
        check_say(check, CHECK_FAILURE, remedy, "%s: the CA directory %s holds no hashed certificates", who,
                  tls->ca_path);
    }
}

static void look_cas(struct check *check)
{
    const struct config *config = check->config;

    if (config->endpoint != NULL && strncmp(config->endpoint, "https", 5) == 0)
        look_ca(check, "event endpoint", &config->report.tls);
    for (size_t i = 0; i < config->tpsp_count; i++)
        if (config->tpsps[i].security != SECURITY_NONE)
            look_ca(check, config->tpsps[i].name, &config->tpsps[i].tls);
}

/* --- what it will do ------------------------------------------------------------------------- */

static void tell_tpsp(struct check *check, const struct config_tpsp *tpsp)
{
    static const char *const security[] = {"no TLS", "STARTTLS", "implicit TLS"};
    bool login = tpsp->username != NULL && tpsp->auth != AUTH_NONE, six = strchr(tpsp->host, ':') != NULL;
    AUTO_FREE char *limit = tpsp->global_rate.limit == 0
                                ? xstrdup("no hourly limit")
                                : xasprintf("at most %u an hour", tpsp->global_rate.limit);

    check_say(check, CHECK_OK, NULL, "tpsp %s: %s%s%s:%u with %s, %s%s, %s", tpsp->name, six ? "[" : "",
              tpsp->host, six ? "]" : "", (unsigned)tpsp->port, security[tpsp->security],
              login ? "login as " : "no login", login ? tpsp->username : "", limit);
    if (tpsp->security == SECURITY_NONE)
        check_say(check, CHECK_WARNING, "security: starttls, or tls", "tpsp %s: mail travels unencrypted",
                  tpsp->name);
    else if (!tpsp->tls.verify)
        check_say(check, CHECK_WARNING, "tls-verify: true; tls-ca-file for a CA of your own",
                  "tpsp %s: whoever can redirect the connection can read mail and password", tpsp->name);
    if (tpsp->security == SECURITY_NONE && login)
        check_say(check, CHECK_WARNING, "security: starttls, or tls",
                  "tpsp %s: the password travels unencrypted", tpsp->name);
    if (tpsp->id == 0)
        check_say(check, CHECK_WARNING, "give the number that SendPost shows for it as id",
                  "tpsp %s: has no id; SendPost cannot tell which provider a message took", tpsp->name);
    if (tpsp->global_rate.limit > SENDPOST_RATE_MAX)
        check_say(check, CHECK_WARNING, "max-rate-per-hour: 100000, unless you know better",
                  "tpsp %s: %u messages an hour are more than SendPost lets a provider be given", tpsp->name,
                  (unsigned)tpsp->global_rate.limit);
}

static void print_members(FILE *stream, const struct config *config, const struct config_pool *pool)
{
    for (size_t i = 0; i < pool->member_count; i++) {
        fprintf(stream, "%s%s", i > 0 ? ", " : "", config->tpsps[pool->members[i].tpsp].name);
        if (pool->strategy == STRATEGY_WEIGHTED)
            fprintf(stream, " (%u)", pool->members[i].weight);
    }
}

static void print_routes(FILE *stream, const struct config *config, const struct config_pool *pool)
{
    for (size_t i = 0; i < pool->route_count; i++) {
        const struct config_route *route = &pool->routes[i];
        fprintf(stream, "%s%s first to %s", i > 0 ? ", " : "", route->key,
                config->tpsps[pool->members[route->member].tpsp].name);
    }
}

static void tell_pool(struct check *check, const struct config_pool *pool)
{
    static const char *const strategy[] = {"in this order", "in turn", "by weight", "by mailbox provider",
                                           "by sender domain"};
    const struct config *config = check->config;
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    if (stream == NULL)
        return;
    print_members(stream, config, pool);
    fprintf(stream, ", %s", pool->member_count == 1 ? "always" : strategy[pool->strategy]);
    if (pool->route_count > 0) {
        fputs(": ", stream);
        print_routes(stream, config, pool);
    }
    if (pool->overflow >= 0)
        fprintf(stream, "; when nobody of them can take it, pool %s", config->pools[pool->overflow].name);
    fclose(stream);
    check_say(check, CHECK_OK, NULL, "pool %s: to %s", pool->name, text);
    free(text);
}

static void tell_unused(struct check *check)
{
    const struct config *config = check->config;

    for (size_t i = 0; i < config->tpsp_count; i++) {
        bool used = false;
        for (size_t pool = 0; pool < config->pool_count; pool++)
            for (size_t member = 0; member < config->pools[pool].member_count; member++)
                used = used || config->pools[pool].members[member].tpsp == i;
        if (!used)
            check_say(check, CHECK_WARNING, "make it a member of a pool, or remove it",
                      "tpsp %s: is in no pool, nothing goes to it", config->tpsps[i].name);
    }
    if (config_pool_for(config, NULL, "user@example.com") == NULL)
        check_say(check, CHECK_WARNING, "name one of the pools default",
                  "there is no pool default: mail that Postfix routes without naming a pool is deferred");
}

static void tell_events(struct check *check)
{
    const struct config *config = check->config;
    bool keyless = config->api_key == NULL;

    check->subject = "events";
    if (config->endpoint == NULL) {
        check_say(check, CHECK_WARNING, "endpoint: https://…, once SendPost is to see them",
                  "are kept here only (endpoint: none)");
        return;
    }
    for (size_t i = 0; keyless && i < config->tpsp_count; i++)
        if (config->tpsps[i].api_key == NULL) {
            check_say(check, CHECK_FAILURE,
                      "create an event API key in SendPost, and name its file as api-key-file",
                      "no API key for those of tpsp %s: the API will refuse them", config->tpsps[i].name);
            return;
        }
    check_say(check, CHECK_OK, NULL, "go to %s", config->endpoint);
}

/* A file that cannot be understood costs nothing but its own rules, so it would go unnoticed. */
static void look_providers(struct check *check)
{
    AUTO_FREE char *path = provider_file(check->config);
    struct outcome error;
    struct provider_rules *rules = provider_rules_open(path, &error);

    if (rules == NULL)
        check_say(check, CHECK_FAILURE, "correct the line, see postfix-sendpost-policy(7)", "%s", error.text);
    provider_rules_close(rules);
}

void check_configuration(struct check *check)
{
    check->subject = "configuration";
    check_as_user(check, look_file);
    look_writable(check);
    if (check->config == NULL)
        return;
    check_as_user(check, look_cas);
    check_as_user(check, look_providers);
    check_say(check, CHECK_OK, NULL, "account %lld, sub-account %lld", (long long)check->config->account_id,
              (long long)check->config->subaccount_id);
    for (size_t i = 0; i < check->config->tpsp_count; i++)
        tell_tpsp(check, &check->config->tpsps[i]);
    for (size_t i = 0; i < check->config->pool_count; i++)
        tell_pool(check, &check->config->pools[i]);
    check_as_user(check, check_routes);
    tell_unused(check);
    check_smtp(check);
    tell_events(check);
}
