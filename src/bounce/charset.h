/*
 * charset: a text whose charset nobody has told, or told wrong, as many mail systems write their notices. The
 * charset is the first in which the words beyond ASCII make sense.
 */
#ifndef SENDPOST_BOUNCE_CHARSET_H
#define SENDPOST_BOUNCE_CHARSET_H

#include "classify/classify.h"

/*
 * The text in UTF-8, the caller frees; NULL when it is UTF-8 already, or nothing makes sense. Words make
 * sense when a wording of one of the two rule sets is found in them.
 */
char *charset_settle(const struct classify_rules *notices, const struct classify_rules *failures,
                     const char *text) __attribute__((nonnull));

#endif
