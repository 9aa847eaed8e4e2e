/* What address_valid() lets through goes into an SMTP command line: nothing in it may end that line or the
 * address. Bounce addresses are read from the same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/bounce_address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Without a NUL at its end, as the log has it: what is taken is well-formed, and nothing beyond it is read.
 */
static void check_bounce_address(const char *text, size_t size)
{
    struct bounce_address address;
    char *exact = malloc(size > 0 ? size : 1);

    if (exact == NULL)
        return;
    if (size > 0)
        memcpy(exact, text, size);
    if (bounce_address_parse(&address, exact, size) &&
        (!uuid_valid(address.uuid, strlen(address.uuid)) || address.subaccount < 0 ||
         address.domain + address.domain_length != exact + size))
        abort();
    free(exact);
}

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
    check_bounce_address((const char *)data, size);
    return 0;
}
