/*
 * html: a notice that is written in HTML becomes lines of plain text: enough to find words and addresses, no
 * more. Entities become the characters that they stand for, an address in angle brackets that nobody has
 * escaped stays.
 */
#ifndef SENDPOST_BOUNCE_HTML_H
#define SENDPOST_BOUNCE_HTML_H

#include <glib.h>

/* Until text has max bytes, or a few more. */
void html_append(GString *text, const char *html, size_t max) __attribute__((nonnull));

#endif
