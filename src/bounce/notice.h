/*
 * notice: what a mail system says in prose. Which kind of notice is it, where does the returned message
 * begin, which addresses failed, and in which words? Written for what such notices have in common (an address
 * at the start of a line or behind "to", a reply code in front of the reason, a returned header at the end),
 * not for the one or the other program; the wordings are in data/notices.
 *
 * Linear in the length of the text; at most NOTICE_RECIPIENTS_MAX addresses.
 */
#ifndef SENDPOST_BOUNCE_NOTICE_H
#define SENDPOST_BOUNCE_NOTICE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/address.h"
#include "classify/classify.h"

#define NOTICE_RECIPIENTS_MAX 100

enum notice_kind {
    NOTICE_OTHER,
    NOTICE_DELAY,
    NOTICE_CONFIRMATION,
    NOTICE_FAILURE,
    NOTICE_AUTO_REPLY,
    NOTICE_CHALLENGE, /* a person, or a program in his place, wants the sender to confirm something */
};

/* rules: data/notices. text may be "". */
enum notice_kind notice_kind(const struct classify_rules *rules, const char *text) __attribute__((nonnull));

/* Where the returned message begins; the length of text when there is none. */
size_t notice_length(const struct classify_rules *rules, const char *text) __attribute__((nonnull));

struct notice_recipient {
    char address[ADDRESS_SIZE];
    char *text; /* the lines about this address, first those that come with it */
};

/*
 * The failed addresses in the first length bytes of text. not_these (count others, "" is skipped) are those
 * of the report itself: its sender, whom it is to. weak_too: an address that stands somewhere in a sentence
 * will do. Returns how many are in *recipients_r; notice_free() it.
 */
size_t notice_recipients(struct notice_recipient **recipients_r, const char *text, size_t length,
                         const char *const not_these[], size_t others, bool weak_too)
    __attribute__((nonnull));
void notice_free(struct notice_recipient *recipients, size_t count); /* NULL is fine */

/* The lines of text about address, as in notice_recipient.text; the caller frees. */
char *notice_about(const char *text, size_t length, const char *address) __attribute__((nonnull));

/* Whether a line of the text holds a reply code or enhanced code of a failure. */
bool notice_has_code(const char *text) __attribute__((nonnull));

/* Whether the lines about an address show that it was refused in reply to DATA, not to RCPT TO. */
bool notice_after_data(const char *text) __attribute__((nonnull));

/* The remote end's own words in the lines about an address: from a line with a reply code or enhanced code
 * on, else the first words. */
void notice_words(const char *text, char *words_r, size_t size) __attribute__((nonnull));

#endif
