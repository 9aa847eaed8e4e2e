/*
 * log_shipper: lines that a log shipper has wrapped in a JSON object become lines of Postfix again.
 *
 *   {"log":"Nov 23 … postfix/smtp[10]: …\n","stream":"stdout","time":"…"}    Docker, driver json-file
 *   {"MESSAGE":"…","SYSLOG_IDENTIFIER":"postfix/smtp","_HOSTNAME":"mx",…}    journalctl -o json
 *   {"@timestamp":"…","message":"…"} and other names for the same            Filebeat, Fluent Bit, rsyslog
 * templates
 *
 * also behind the prefix of the kubelet's CRI ("… stdout F {…}") or of Fluentd's files. Only names at the top
 * of the object are looked at (of an object within it those that no wider one has). Where the line inside has
 * no prefix of its own, the object's time, host and tag stand in for it.
 *
 * One thread. Linear in the length of the line.
 */
#ifndef SENDPOST_POSTLOG_LOG_SHIPPER_H
#define SENDPOST_POSTLOG_LOG_SHIPPER_H

#include "postlog/log_pieces.h"

struct log_shipper {
    char *buffer; /* the strings of the object, without their escapes; slices point into it */
    size_t size;
    bool ends_lines; /* Docker's: a "log" was seen that has its line end, so that one without it is a part */
};

void log_shipper_free(struct log_shipper *shipper) __attribute__((nonnull));

/* As postfix_log_parse(), for a line that was foreign to it. False: it is a part of a line, and waits among
 * the pieces. Slices are valid until the next call. */
bool log_shipper_parse(struct log_shipper *shipper, struct log_pieces *pieces, const char *line,
                       size_t length, struct postfix_log_line *line_r) __attribute__((nonnull));

#endif
