/* Lists of addresses of any content: what is taken from a line is an address or a domain, and what is written
 * of it reads back as the same entry. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "policy/suppression_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct suppression *entry)
{
    struct suppression_file file = {.since_ms = 1};
    struct suppression again;
    char header[] = SUPPRESSION_FILE_HEADER;
    const char *why;
    AUTO_FREE char *line = suppression_file_line(entry);

    suppression_file_read(&file, header, &again, &why);
    if (suppression_file_read(&file, line, &again, &why) != SUPPRESSION_ENTRY ||
        strcmp(again.address, entry->address) != 0 || again.reason != entry->reason)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct suppression_file file = {.since_ms = 1};
    char *text = malloc(size + 1), *rest = text;

    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    while (rest != NULL) {
        char *line = strsep(&rest, "\n");
        struct suppression entry;
        const char *why = NULL;
        switch (suppression_file_read(&file, line, &entry, &why)) {
        case SUPPRESSION_ENTRY:
            check(&entry);
            break;
        case SUPPRESSION_ERROR:
            if (why == NULL)
                abort();
            break;
        case SUPPRESSION_NOTHING:
            break;
        }
    }
    free(text);
    return 0;
}
