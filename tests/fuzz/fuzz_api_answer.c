/* Lists of SendPost's API: what is taken of them is in its normal form, and no more than they hold. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sendpost/api_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct api_suppressions suppressions;
    struct api_domains domains;

    (void)api_suppressions_parse(&suppressions, (const char *)data, size);
    (void)api_domains_parse(&domains, (const char *)data, size);
    if (suppressions.count + suppressions.unclear != suppressions.all || domains.count > domains.all)
        abort();
    for (size_t i = 0; i < suppressions.count; i++)
        if (strchr(suppressions.items[i].entry.address, '@') == NULL ||
            suppressions.items[i].created_ns <= 0 ||
            (unsigned)suppressions.items[i].entry.reason >= SUPPRESSION_REASONS)
            abort();
    (void)api_suppressions_hold(&suppressions, "user@example.com");
    for (size_t i = 0; i < domains.count; i++)
        if (domains.items[i].name[0] == '\0' || strpbrk(domains.items[i].host, " \r\n@\"") != NULL)
            abort();
    free(suppressions.items);
    free(domains.items);
    return 0;
}
