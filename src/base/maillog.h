/*
 * maillog: the file that a Postfix of this machine writes its log to by itself (maillog_file, postlogd(8)),
 * instead of leaving it to syslog.
 */
#ifndef SENDPOST_BASE_MAILLOG_H
#define SENDPOST_BASE_MAILLOG_H

#include <stdbool.h>

/*
 * The maillog_file that log_path ought to be, for the caller to free; NULL when log_path may be right: it is
 * one of them, or some instance logs through syslog or to its standard output, or nothing can be told.
 * log_path: a file, or "journal". directory: of the configuration, NULL for the default one; the other
 * instances that it names are asked, too.
 */
char *maillog_elsewhere(const char *directory, const char *log_path) __attribute__((nonnull(2)));

#endif
