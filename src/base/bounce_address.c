#include "base/bounce_address.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char word[] = "bounces+";

/* "4321@": the number, and where the domain begins; NULL when it is none or does not fit. */
static const char *parse_subaccount(const char *at, const char *end, int64_t *number_r)
{
    const char *first = at;

    for (*number_r = 0; at < end && *at >= '0' && *at <= '9'; at++) {
        if (*number_r > (INT64_MAX - 9) / 10)
            return NULL;
        *number_r = *number_r * 10 + (*at - '0');
    }
    return at > first && at < end && *at == '@' ? at + 1 : NULL;
}

bool bounce_address_parse(struct bounce_address *address_r, const char *text, size_t length)
{
    const size_t uuid = sizeof word - 1, uuid_end = uuid + UUID_SIZE - 1;
    const char *end = text + length;

    if (length <= uuid_end || strncasecmp(text, word, uuid) != 0 || text[uuid_end] != '+' ||
        !uuid_valid(text + uuid, UUID_SIZE - 1))
        return false;
    address_r->domain = parse_subaccount(text + uuid_end + 1, end, &address_r->subaccount);
    if (address_r->domain == NULL || address_r->domain == end)
        return false;
    address_r->domain_length = (size_t)(end - address_r->domain);
    uuid_copy(address_r->uuid, text + uuid);
    return memchr(address_r->domain, '@', address_r->domain_length) == NULL;
}

void bounce_address_format(char address_r[ADDRESS_SIZE], const char *uuid, int64_t subaccount,
                           const char *prefix, const char *domain)
{
    snprintf(address_r, ADDRESS_SIZE, "%s%s+%" PRId64 "@%s.%s", word, uuid, subaccount, prefix, domain);
}
