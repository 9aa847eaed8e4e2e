/*
 * suppression_file: a list of addresses as people have it, plain text or CSV (RFC 4180), line by line.
 *
 * Plain text: an address or domain a line. CSV: address, reason, date in this order, or in the order of a
 * first line that names its columns (an export of another system; columns that mean nothing here are passed
 * over); the separator is a comma, or a semicolon or tab where the first line has no comma. Empty lines and
 * lines beginning with # are passed over; a UTF-8 byte order mark and CRLF line ends are taken in stride.
 */
#ifndef SENDPOST_POLICY_SUPPRESSION_FILE_H
#define SENDPOST_POLICY_SUPPRESSION_FILE_H

#include "policy/suppression.h"

struct suppression_file {
    enum suppression_reason reason; /* where a line names none */
    unsigned match;                 /* enum suppression_match */
    int64_t since_ms;
    /* filled while reading; zero at first */
    bool begun;
    char separator;
    size_t address_column, reason_column, since_column;
};

enum suppression_line { SUPPRESSION_ENTRY, SUPPRESSION_NOTHING, SUPPRESSION_ERROR };

/* line is NUL-terminated and is changed. *why_r (a constant string) with SUPPRESSION_ERROR. */
enum suppression_line suppression_file_read(struct suppression_file *file, char *line,
                                            struct suppression *entry_r, const char **why_r)
    __attribute__((nonnull));

/* One line of CSV that reads back as the same entry; the caller frees. */
char *suppression_file_line(const struct suppression *entry) __attribute__((nonnull, returns_nonnull));
#define SUPPRESSION_FILE_HEADER "address,reason,date"

#endif
