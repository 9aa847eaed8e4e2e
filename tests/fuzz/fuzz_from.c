/* Whatever a From: field holds: the domain that comes out is one that may stand in a DNS query and in a
 * reverse path, and it is found again when asked for alone. */
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/from_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char domain[FROM_DOMAIN_SIZE], again[FROM_DOMAIN_SIZE];
    char *value = malloc(size + 1);

    if (value == NULL)
        return 0;
    memcpy(value, data, size);
    if (from_header_domain(value, size, domain) == FROM_DOMAIN_FOUND) {
        size_t length = strlen(domain);
        if (length == 0 || length > 253 || domain[length - 1] == '.')
            abort();
        for (size_t i = 0; domain[0] != '[' && i < length; i++)
            if (!islower((unsigned char)domain[i]) && !isdigit((unsigned char)domain[i]) &&
                strchr("-_.", domain[i]) == NULL)
                abort();
        if (from_header_normalise(domain, length, again) != FROM_DOMAIN_FOUND || strcmp(domain, again) != 0)
            abort();
    }
    free(value);
    return 0;
}
