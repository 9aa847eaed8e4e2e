/* URLs of configuration and of answers: what is accepted has a host and a path, and nothing that would end a
 * line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size);
    struct url url;

    if (text == NULL)
        return 0;
    if (url_parse(text, &url) == URL_OK &&
        (*url.host == '\0' || url.port == 0 || url.path[0] != '/' || strpbrk(url.host, "/@?# \r\n") != NULL ||
         strpbrk(url.path, "# \r\n") != NULL))
        abort();
    free(text);
    return 0;
}
