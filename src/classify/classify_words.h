/*
 * classify_words: a failure text becomes plain words, so that one wording matches what a hundred mail systems
 * make of it. Lower-case words stand between single spaces, with a space at either end; punctuation and
 * control characters are spaces, apostrophes nothing, Latin accents are dropped, other UTF-8 stays as it is.
 * Punctuation of other scripts is a space, too, and Cyrillic capitals are small letters. An address is the
 * word "@", what follows '?' or '#' in a URL is left out. Reply codes (RFC 5321 section 4.2) and enhanced
 * status codes (RFC 3463) are taken out of the words and kept beside them.
 *
 * Linear in the length of the text, which is cut at CLASSIFY_TEXT_MAX bytes.
 */
#ifndef SENDPOST_CLASSIFY_CLASSIFY_WORDS_H
#define SENDPOST_CLASSIFY_CLASSIFY_WORDS_H

#include "classify/classify.h"

/* Words of their own: what an echoed address or an IP address was replaced by (echo.h). Rules write
 * <recipient>, <sender> and <ip>. */
#define CLASSIFY_RECIPIENT 1
#define CLASSIFY_SENDER 2
#define CLASSIFY_IP 3

/* A token stands between spaces that its text need not have. */
#define CLASSIFY_WORDS_SIZE (3 * CLASSIFY_TEXT_MAX + 4)

struct classify_code {
    unsigned short subject, detail;
    unsigned char class; /* 4 or 5; 0: none */
};

struct classify_words {
    int smtp_code;               /* the first 4xx or 5xx in the text; 0: none */
    struct classify_code status; /* the last one in the text with a detail, else the last one */
    size_t length;               /* of text */
    char text[CLASSIFY_WORDS_SIZE];
};

void classify_words(struct classify_words *words_r, const char *text, size_t length) __attribute__((nonnull));

/* "5.1.1" at the start of text; its length, 0 when there is none. Classes 4 and 5 only. */
size_t classify_code_parse(struct classify_code *code_r, const char *text, size_t length)
    __attribute__((nonnull));

#endif
