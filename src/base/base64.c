#include "base/base64.h"

#include <stdint.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encode(const void *bytes, size_t length, char *out, size_t size)
{
    const unsigned char *in = bytes;
    size_t n = 0;

    if (length > SIZE_MAX / 2 || (length + 2) / 3 * 4 >= size)
        return 0;
    for (size_t i = 0; i < length; i += 3) {
        uint32_t three = (uint32_t)in[i] << 16 | (i + 1 < length ? (uint32_t)in[i + 1] << 8 : 0) |
                         (i + 2 < length ? in[i + 2] : 0);

        out[n++] = digits[three >> 18];
        out[n++] = digits[three >> 12 & 63];
        out[n++] = i + 1 < length ? digits[three >> 6 & 63] : '=';
        out[n++] = i + 2 < length ? digits[three & 63] : '=';
    }
    out[n] = '\0';
    return n;
}

size_t base64_decode(const char *text, size_t length, unsigned char *out, size_t size)
{
    uint32_t bits = 0;
    size_t n = 0, padding = 0;

    if (length == 0 || length % 4 != 0)
        return 0;
    for (size_t i = 0; i < length; i++) {
        const char *digit = text[i] != '\0' ? strchr(digits, text[i]) : NULL;

        if (text[i] == '=' && i + 2 >= length)
            padding++;
        else if (digit == NULL || padding > 0)
            return 0;
        bits = bits << 6 | (digit != NULL ? (uint32_t)(digit - digits) : 0);
        for (size_t j = 0; i % 4 == 3 && j < 3 - padding; j++) {
            if (n == size)
                return 0;
            out[n++] = (unsigned char)(bits >> (16 - 8 * j));
        }
    }
    return n;
}
