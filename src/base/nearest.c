#include "base/nearest.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

/* Levenshtein's edit distance, case and '_' for '-' forgiven; names are short. */
static size_t distance(const char *a, const char *b)
{
    size_t row[64], length = strlen(b);

    if (length >= sizeof row / sizeof row[0] || strlen(a) >= sizeof row / sizeof row[0])
        return SIZE_MAX;
    for (size_t j = 0; j <= length; j++)
        row[j] = j;
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < length; j++) {
            int ca = a[i] == '_' ? '-' : tolower((unsigned char)a[i]), cb = tolower((unsigned char)b[j]);
            size_t best = diagonal + (ca != cb);
            diagonal = row[j + 1];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (diagonal + 1 < best)
                best = diagonal + 1;
            row[j + 1] = best;
        }
    }
    return row[length];
}

const char *nearest_name(const char *written, const char *(*name)(const void *context, size_t index),
                         const void *context, size_t count)
{
    size_t length = strlen(written), best = length < 3 ? 1 : length < 7 ? 2 : 3;
    const char *nearest = NULL;

    for (size_t i = 0; i < count; i++) {
        size_t away = distance(written, name(context, i));
        if (away < best || (away == best && nearest == NULL)) {
            best = away;
            nearest = name(context, i);
        }
    }
    return nearest;
}
