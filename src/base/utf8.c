#include "base/utf8.h"

#include <stdbool.h>
#include <string.h>

static bool continues(const unsigned char *text, size_t count)
{
    for (size_t i = 1; i <= count; i++)
        if ((text[i] & 0xc0) != 0x80)
            return false;
    return true;
}

size_t utf8_sequence(const char *string, size_t length)
{
    const unsigned char *text = (const unsigned char *)string;

    if (length == 0)
        return 0;
    if (text[0] < 0x80)
        return 1;
    if (text[0] >= 0xc2 && text[0] <= 0xdf)
        return length >= 2 && continues(text, 1) ? 2 : 0;
    if ((text[0] & 0xf0) == 0xe0) {
        bool overlong = text[0] == 0xe0 && length > 1 && text[1] < 0xa0;
        bool surrogate = text[0] == 0xed && length > 1 && text[1] > 0x9f;
        return length >= 3 && continues(text, 2) && !overlong && !surrogate ? 3 : 0;
    }
    if (text[0] >= 0xf0 && text[0] <= 0xf4) {
        bool overlong = text[0] == 0xf0 && length > 1 && text[1] < 0x90;
        bool too_large = text[0] == 0xf4 && length > 1 && text[1] > 0x8f;
        return length >= 4 && continues(text, 3) && !overlong && !too_large ? 4 : 0;
    }
    return 0;
}

/* How much of the beginning is printable ASCII, as nearly all text is. */
static size_t plain(const char *text, size_t length)
{
    size_t count = 0;

    while (count < length && text[count] >= ' ' && text[count] < 127)
        count++;
    return count;
}

size_t utf8_clean(char *buffer, size_t size, const char *text, size_t length)
{
    size_t used = plain(text, length < size ? length : size > 0 ? size - 1 : 0);

    if (used > 0)
        memcpy(buffer, text, used);
    text += used;
    length -= used;
    while (length > 0) {
        size_t taken = utf8_sequence(text, length), given = taken;
        const char *put = text;
        unsigned char first = (unsigned char)text[0];
        if (taken == 0) {
            put = "\xef\xbf\xbd";
            given = 3;
            taken = 1;
        } else if (first < ' ' || first == 127 || (first == 0xc2 && (unsigned char)text[1] < 0xa0)) {
            put = " ";
            given = 1;
        }
        if (used + given + 1 > size)
            break;
        memcpy(buffer + used, put, given);
        used += given;
        text += taken;
        length -= taken;
    }
    if (size > 0)
        buffer[used] = '\0';
    return used;
}
