#include "policy/bounce_domain.h"

#include <string.h>
#include <strings.h>

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

bool bounce_domain_is_ours(const struct config *config, const struct bounce_address *address)
{
    if (address->subaccount != config->subaccount_id)
        return false;
    if (config->return_path.verify != VERIFY_STATIC)
        return true;
    for (size_t i = 0; i < config->return_path.domains.count; i++)
        if (same_domain(address->domain, address->domain_length, config->return_path.bounce_prefix,
                        config->return_path.domains.items[i]))
            return true;
    return false;
}
