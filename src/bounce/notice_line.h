/*
 * notice_line: the lines of a notice, for the files that read it (notice.h).
 */
#ifndef SENDPOST_BOUNCE_NOTICE_LINE_H
#define SENDPOST_BOUNCE_NOTICE_LINE_H

#include <stdbool.h>
#include <stddef.h>

#define NOTICE_LINE_MAX 1000 /* of a longer line only this is looked at */
#define NOTICE_LINES_AFTER 3 /* that belong to a line with an address */

struct notice_line {
    const char *text;
    size_t length;
};

/* The line at *text, which ends before end; moves on. False at the end. */
bool notice_next_line(const char **text, const char *end, struct notice_line *line_r)
    __attribute__((nonnull));

bool notice_line_is_blank(const struct notice_line *line) __attribute__((nonnull));

/* Whether words stand in the text, without regard to case. */
bool notice_has(const char *text, size_t length, const char *words) __attribute__((nonnull));

#endif
