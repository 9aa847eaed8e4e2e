#include "policy/bounce_domain.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "policy/from_header.h"

/* In any case, with a final dot or without. */
static bool same_domain(const char *domain, size_t length, const char *prefix, const char *listed)
{
    size_t prefix_length = strlen(prefix), listed_length = strlen(listed);

    if (length > 0 && domain[length - 1] == '.')
        length--;
    if (listed_length > 0 && listed[listed_length - 1] == '.')
        listed_length--;
    return length == prefix_length + 1 + listed_length && strncasecmp(domain, prefix, prefix_length) == 0 &&
           domain[prefix_length] == '.' &&
           strncasecmp(domain + prefix_length + 1, listed, listed_length) == 0;
}

/* The name below a domain of the account that it has for bounces; where it has none there, ours. */
static bool is_host_of(const struct bounce_address *address, const char *host, const char *name,
                       const char *prefix)
{
    size_t length = strlen(name), host_length = strlen(host);

    if (host_length > 0 && host[host_length - 1] == '.')
        host_length--;
    bool below = host_length > length + 1 && host[host_length - length - 1] == '.' &&
                 strncasecmp(host + host_length - length, name, length) == 0;
    char own[FROM_DOMAIN_SIZE];

    if (!below)
        return same_domain(address->domain, address->domain_length, prefix, name);
    snprintf(own, sizeof own, "%.*s", (int)(host_length - length - 1), host);
    return same_domain(address->domain, address->domain_length, own, name);
}

/* Of the account's domains (sendpost/sync.h keeps the table). A store that cannot tell denies nothing. */
static bool is_of_account(struct store *store, const struct bounce_address *address, const char *prefix)
{
    struct outcome ignored;
    sqlite3_stmt *statement = store_statement(store, "SELECT name, host FROM sendpost_domain", &ignored);
    bool heard = false, found = false;

    if (statement == NULL)
        return true;
    while (!found && sqlite3_step(statement) == SQLITE_ROW) {
        heard = true;
        found = is_host_of(address, (const char *)sqlite3_column_text(statement, 1),
                           (const char *)sqlite3_column_text(statement, 0), prefix);
    }
    sqlite3_reset(statement);
    return found || !heard;
}

bool bounce_domain_is_ours(const struct config *config, struct store *store,
                           const struct bounce_address *address)
{
    if (address->subaccount != config->subaccount_id)
        return false;
    if (config->return_path.verify == VERIFY_SENDPOST)
        return is_of_account(store, address, config->return_path.bounce_prefix);
    if (config->return_path.verify != VERIFY_STATIC)
        return true;
    for (size_t i = 0; i < config->return_path.domains.count; i++)
        if (same_domain(address->domain, address->domain_length, config->return_path.bounce_prefix,
                        config->return_path.domains.items[i]))
            return true;
    return false;
}
