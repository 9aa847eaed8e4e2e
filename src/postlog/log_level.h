/*
 * log_level: the word of a level or facility that some syslog daemons put on either side of the tag.
 */
#ifndef SENDPOST_POSTLOG_LOG_LEVEL_H
#define SENDPOST_POSTLOG_LOG_LEVEL_H

#include "postlog/log_cursor.h"

/* "info", "mail.info", "mail:info", "2.6" */
bool log_level_is(struct log_slice word);

/* One at the cursor, perhaps in brackets, with the blanks behind it. */
bool log_level_take(struct cursor *cursor) __attribute__((nonnull));

/* What may stand between the tag and Postfix's own words: blanks, a byte order mark, a level. */
void log_level_skip(struct cursor *cursor) __attribute__((nonnull));

#endif
