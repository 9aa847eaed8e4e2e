/*
 * told_text: the fields of the lines in which the hosts of a cluster tell each other of a TPSP (told.h). They
 * come from the server, where anything may have been written: a line counts only with its end, since what is
 * cut off may end in half a number; a number only within its bounds. What follows the fields that are known,
 * and a line of a kind that is not known, is of a newer version and passed over.
 *
 * Readers move *line behind the field and its space; what is not as it must be is false.
 */
#ifndef SENDPOST_POLICY_TOLD_TEXT_H
#define SENDPOST_POLICY_TOLD_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#define TOLD_LINE_SIZE 512 /* of a longer one, its beginning */

/* The next whole line of *text, without its end. False: there is none. */
bool told_text_line(const char **text, char line_r[TOLD_LINE_SIZE]) __attribute__((nonnull));

bool told_text_word(const char **line, const char *word) __attribute__((nonnull));

/* Decimal, least to most. */
bool told_text_number(const char **line, int64_t least, int64_t most, int64_t *number_r)
    __attribute__((nonnull));

/* Hexadecimal: what tells one host from another; 0: none. */
bool told_text_host(const char **line, int64_t *host_r) __attribute__((nonnull));

/* A time of ours as the server has it, and back; 0, and what can be no time of ours, is 0. What was before
 * our clock began, which is when this machine was started, was at its beginning, and not never. ahead_us:
 * the server's time less ours. */
int64_t told_text_there(int64_t time_ns, int64_t ahead_us);
int64_t told_text_here(int64_t time_us, int64_t ahead_us);

#endif
