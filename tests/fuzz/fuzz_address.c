/* What address_valid() lets through goes into an SMTP command line: nothing in it may end that line or the
 * address. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *address = malloc(size + 1);
    const char *why = NULL;

    if (address == NULL)
        return 0;
    memcpy(address, data, size);
    address[size] = '\0';
    if (address_valid(address, &why)) {
        if (why != NULL || strlen(address) >= ADDRESS_SIZE || address_domain(address) == NULL)
            abort();
        for (const char *at = address; *at != '\0'; at++)
            if ((unsigned char)*at < ' ' || *at == 127)
                abort();
    } else if (why == NULL) {
        abort();
    }
    if (!address_equal(address, address))
        abort();
    free(address);
    return 0;
}
