#include "classify/classify_words.h"

#include <string.h>

enum kind { SPACE, WORD, HIGH, AT, QUOTE, DIGIT, CUT, TOKEN };

/* What each byte is: letters and digits are words, bytes of UTF-8 sequences are looked at more closely. */
static const unsigned char kinds[256] = {
    ['0' ... '9'] = DIGIT,
    ['A' ... 'Z'] = WORD,
    ['a' ... 'z'] = WORD,
    [0x80 ... 0xff] = HIGH,
    ['@'] = AT,
    ['\''] = QUOTE,
    ['?'] = CUT,
    ['#'] = CUT,
    [CLASSIFY_RECIPIENT] = TOKEN,
    [CLASSIFY_SENDER] = TOKEN,
    [CLASSIFY_IP] = TOKEN,
};

/* What may stand in an unquoted local part (RFC 5322 atext and '.') beside word bytes. */
static const bool in_local_part[256] = {
    ['!'] = true, ['#'] = true, ['$'] = true, ['%'] = true, ['&'] = true, ['\''] = true, ['*'] = true,
    ['+'] = true, ['-'] = true, ['.'] = true, ['/'] = true, ['='] = true, ['?'] = true,  ['^'] = true,
    ['_'] = true, ['`'] = true, ['{'] = true, ['|'] = true, ['}'] = true, ['~'] = true,
};

/* U+00C0 to U+00FF without their accents; 0 where the letter has no plain form. */
static const char plain_latin[65] = "aaaaaaaceeeeiiiidnooooo\0ouuuuy\0saaaaaaaceeeeiiiidnooooo\0ouuuuy\0y";

/* U+0100 to U+017F likewise. */
static const char plain_extended[129] = "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiiijjkkklllllll"
                                        "lllnnnnnnnnnoooooooorrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return kinds[(unsigned char)c] == WORD || kinds[(unsigned char)c] == DIGIT;
}

size_t classify_code_parse(struct classify_code *code_r, const char *text, size_t length)
{
    unsigned short part[2] = {0, 0};
    size_t at = 1;

    if (length < 5 || (text[0] != '4' && text[0] != '5'))
        return 0;
    for (size_t i = 0; i < 2; i++) {
        size_t digits = 0;

        if (at >= length || text[at++] != '.')
            return 0;
        for (; at < length && digits < 4 && is_digit(text[at]); at++, digits++)
            part[i] = (unsigned short)(part[i] * 10 + (text[at] - '0'));
        if (digits == 0 || digits > 3)
            return 0;
    }
    *code_r = (struct classify_code){
        .class = (unsigned char)(text[0] - '0'), .subject = part[0], .detail = part[1]};
    return at;
}

/* RFC 3463 has subjects 0 to 7; a higher number is a program's version or an address. */
static size_t status_at(struct classify_code *code_r, const char *text, size_t length)
{
    size_t end = classify_code_parse(code_r, text, length);

    if (end == 0 || code_r->subject > 7)
        return 0;
    if (end < length &&
        (is_word(text[end]) || (text[end] == '.' && end + 1 < length && is_digit(text[end + 1]))))
        return 0;
    return end;
}

static int reply_code_at(const char *text, size_t length)
{
    if (length < 3 || text[0] < '2' || text[0] > '5' || !is_digit(text[1]) || !is_digit(text[2]))
        return 0;
    if (length > 3 && (is_word(text[3]) || text[3] == '.' || text[3] == '/'))
        return 0;
    return (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
}

/* A code at the start of a word is taken out: returns how many bytes it has, 0 when there is none. */
static size_t take_code(struct classify_words *words, const char *text, size_t at, size_t length)
{
    struct classify_code status;
    char before = at > 0 ? text[at - 1] : ' ';
    size_t size;
    int code;

    if (before == '.' || before == '/' || before == '_')
        return 0;
    size = status_at(&status, text + at, length - at);
    if (size > 0) {
        if (status.detail != 0 || words->status.detail == 0)
            words->status = status;
        return size;
    }
    code = reply_code_at(text + at, length - at);
    if (code == 0)
        return 0;
    if (words->smtp_code == 0 && code >= 400)
        words->smtp_code = code;
    return 3;
}

static bool is_continuation(const char *text, size_t at, size_t left)
{
    return at < left && ((unsigned char)text[at] & 0xc0) == 0x80;
}

/* The plain form of a Latin letter with its length in bytes; 0 when it is another character. Servers that
 * write ISO 8859-1 without saying so are understood as well. */
static char plain_letter(const char *text, size_t left, size_t *bytes_r)
{
    unsigned char first = (unsigned char)text[0], second = left > 1 ? (unsigned char)text[1] : 0;

    *bytes_r = 2;
    if (!is_continuation(text, 1, left)) {
        *bytes_r = 1;
        return first >= 0xc0 ? plain_latin[first - 0xc0] : '\0';
    }
    if (first == 0xc3)
        return plain_latin[second - 0x80];
    if (first == 0xc4 || first == 0xc5)
        return plain_extended[(first - 0xc4) * 64 + second - 0x80];
    return '\0';
}

/* A Cyrillic capital as its small letter, and io as ie, into out[0] and out[1]. */
static bool small_cyrillic(const char *text, size_t left, char *out)
{
    unsigned char first = (unsigned char)text[0], second = left > 1 ? (unsigned char)text[1] : 0;
    bool io = (first == 0xd0 && second == 0x81) || (first == 0xd1 && second == 0x91);

    if (!io && (first != 0xd0 || second < 0x90 || second > 0xaf))
        return false;
    out[0] = (char)(io || second < 0xa0 ? 0xd0 : 0xd1);
    out[1] = (char)(io ? 0xb5 : second < 0xa0 ? second + 0x20 : second - 0x20);
    return true;
}

/* Bytes of punctuation beyond ASCII: of Latin-1 (C2), general (E2 80), of Chinese and Japanese (E3 80, EF BC,
 * EF BD); 0 when it is something else. */
static size_t foreign_punctuation(const char *text, size_t left)
{
    unsigned char first = (unsigned char)text[0], second = left > 1 ? (unsigned char)text[1] : 0;

    if (first == 0xc2 && is_continuation(text, 1, left))
        return 2;
    if (left > 2 && ((first == 0xe2 && second == 0x80) || (first == 0xe3 && second == 0x80) ||
                     (first == 0xef && (second == 0xbc || second == 0xbd))))
        return 3;
    return 0;
}

/* U+2019 and its like (E2 80 98 to E2 80 9F), which mail systems put where an apostrophe belongs. */
static bool is_fancy_quote(const char *text, size_t left)
{
    return left > 2 && (unsigned char)text[0] == 0xe2 && (unsigned char)text[1] == 0x80 &&
           (unsigned char)text[2] >= 0x98 && (unsigned char)text[2] <= 0x9f;
}

void classify_words(struct classify_words *words_r, const char *text, size_t length)
{
    char *out = words_r->text;
    size_t n = 1, local = 1; /* local: where the word begins that an '@' would make an address */
    bool url = false;

    if (length > CLASSIFY_TEXT_MAX)
        length = CLASSIFY_TEXT_MAX;
    words_r->smtp_code = 0;
    words_r->status = (struct classify_code){0};
    out[0] = ' ';
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        enum kind kind = kinds[c];
        size_t bytes;
        char plain;

        switch (kind) {
        case DIGIT:
            if (out[n - 1] == ' ') {
                size_t size = take_code(words_r, text, i, length);

                if (size > 0) {
                    i += size - 1;
                    local = n;
                    break;
                }
            }
            /* fall through */
        case WORD:
            out[n++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
            break;
        case HIGH:
            plain = plain_letter(text + i, length - i, &bytes);
            if (plain != 0) {
                out[n++] = plain;
                i += bytes - 1;
            } else if (is_fancy_quote(text + i, length - i)) {
                i += 2;
            } else if (small_cyrillic(text + i, length - i, out + n)) {
                n += 2;
                i++;
            } else if ((bytes = foreign_punctuation(text + i, length - i)) > 0) {
                if (out[n - 1] != ' ')
                    out[n++] = ' ';
                local = n;
                i += bytes - 1;
            } else {
                out[n++] = (char)c;
            }
            break;
        case TOKEN:
            if (out[n - 1] != ' ')
                out[n++] = ' ';
            out[n++] = (char)c;
            out[n++] = ' ';
            local = n;
            break;
        case QUOTE:
            break;
        case AT:
            n = local;
            if (out[n - 1] != ' ')
                out[n++] = ' ';
            out[n++] = '@';
            while (i + 1 < length && (is_word(text[i + 1]) || text[i + 1] == '.' || text[i + 1] == '-'))
                i++;
            break;
        case CUT:
            if (url) {
                while (i + 1 < length && (unsigned char)text[i + 1] > ' ' &&
                       strchr("<>\")]", text[i + 1]) == NULL)
                    i++;
                url = false;
            }
            /* fall through */
        case SPACE:
            if (out[n - 1] != ' ')
                out[n++] = ' ';
            if (!in_local_part[c])
                local = n;
            if (c == ':')
                url = length - i > 2 && text[i + 1] == '/' && text[i + 2] == '/';
            else if (c <= ' ')
                url = false;
            break;
        }
    }
    if (out[n - 1] != ' ')
        out[n++] = ' ';
    words_r->length = n;
}
