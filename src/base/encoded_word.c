#include "base/encoded_word.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "base/utf8.h"
#include "base/xalloc.h"

struct word {
    const char *charset, *text, *end;
    size_t charset_length, text_length;
    char encoding;
};

/* =?charset?encoding?text?= ; RFC 2231 allows "*language" behind the charset. */
static bool take_word(const char *at, struct word *word_r)
{
    *word_r = (struct word){.charset = at + 2};
    if (strncmp(at, "=?", 2) != 0)
        return false;
    const char *mark = strchr(word_r->charset, '?');
    if (mark == NULL || mark[1] == '\0' || mark[2] != '?')
        return false;
    word_r->charset_length = strcspn(word_r->charset, "*?");
    word_r->encoding = mark[1];
    word_r->text = mark + 3;
    word_r->text_length = strcspn(word_r->text, "? ");
    word_r->end = word_r->text + word_r->text_length + 2;
    return strncmp(word_r->text + word_r->text_length, "?=", 2) == 0;
}

static bool is_charset(const struct word *word, const char *name)
{
    return strlen(name) == word->charset_length &&
           strncasecmp(name, word->charset, word->charset_length) == 0;
}

static int digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = c == '\0' ? NULL : strchr(digits, c >= 'A' && c <= 'F' ? c | 32 : c);

    return found == NULL ? -1 : (int)(found - digits);
}

/* The bytes of the word; as many as it has characters at most. */
static size_t decode_bytes(const struct word *word, unsigned char *bytes_r)
{
    size_t length = 0;

    if (word->encoding == 'b' || word->encoding == 'B')
        return base64_decode(word->text, word->text_length, bytes_r, word->text_length + 1);
    for (size_t i = 0; i < word->text_length; i++) {
        int high = -1, low = -1;
        if (word->text[i] == '=' && i + 2 < word->text_length) {
            high = digit(word->text[i + 1]);
            low = digit(word->text[i + 2]);
        }
        if (high >= 0 && low >= 0)
            i += 2;
        int byte = high >= 0 && low >= 0 ? high << 4 | low : word->text[i] == '_' ? ' ' : word->text[i];
        bytes_r[length++] = (unsigned char)byte;
    }
    return length;
}

/* The word's characters behind what is in text already. False: it stays as it is. */
static bool add_word(FILE *stream, const struct word *word)
{
    AUTO_FREE unsigned char *bytes = xmalloc(word->text_length + 1);
    bool utf8 = is_charset(word, "utf-8") || is_charset(word, "us-ascii");
    bool latin = is_charset(word, "iso-8859-1") || is_charset(word, "windows-1252");

    if ((!utf8 && !latin) || strchr("bBqQ", word->encoding) == NULL)
        return false;
    size_t length = decode_bytes(word, bytes);
    for (size_t i = 0; i < length; i++)
        if (utf8 || bytes[i] < 0x80) {
            fputc(bytes[i], stream);
        } else { /* the few that windows-1252 has between 0x80 and 0x9f are no matter */
            fputc(0xc0 | bytes[i] >> 6, stream);
            fputc(0x80 | (bytes[i] & 0x3f), stream);
        }
    return true;
}

size_t encoded_word_decode(char *buffer, size_t size, const char *text)
{
    char *plain = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&plain, &length);
    bool behind_word = false;

    if (stream == NULL)
        return utf8_clean(buffer, size, text, strlen(text));
    while (*text != '\0') {
        struct word word;
        /* white space between two encoded words is not shown (section 6.2) */
        size_t space = behind_word ? strspn(text, " \t") : 0;
        if (take_word(text + space, &word) && add_word(stream, &word)) {
            behind_word = true;
            text = word.end;
            continue;
        }
        behind_word = false;
        fputc(*text++, stream);
    }
    fclose(stream);
    size_t written = utf8_clean(buffer, size, plain, length);
    free(plain);
    return written;
}
