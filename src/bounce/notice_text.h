/*
 * notice_text: a notice without what is not the mail system's own. Reports quote the Subject of the returned
 * message, and mail gateways put footers below whatever passes; neither may decide what the report means.
 */
#ifndef SENDPOST_BOUNCE_NOTICE_TEXT_H
#define SENDPOST_BOUNCE_NOTICE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "bounce/notice_line.h"
#include "classify/classify.h"

/*
 * A copy of the first length bytes of text, the caller frees, without: the value of each quoted Subject
 * field, in any language; each other place where subject stands (NULL or "": not known); and each paragraph
 * that is nothing but boilerplate by data/boilerplate, names no address and holds no reply code. Lines stay
 * where they are.
 */
char *notice_text_own(const struct classify_rules *boilerplate, const char *text, size_t length,
                      const char *subject) __attribute__((nonnull(1, 2), returns_nonnull));

/*
 * What the Subject of a report says itself: "Undeliverable: their subject" is cut behind the colon where the
 * words before it are those of a report, and subject is left out. The caller frees.
 */
char *notice_text_subject(const struct classify_rules *notices, const char *text, const char *subject)
    __attribute__((nonnull(1, 2), returns_nonnull));

/* Whether a line is a quoted Subject field. */
bool notice_text_is_subject(const struct notice_line *line) __attribute__((nonnull));

/* The value of the first quoted Subject field in the text; "" when there is none. The caller frees. */
char *notice_text_quoted_subject(const char *text, size_t length) __attribute__((nonnull, returns_nonnull));

#endif
