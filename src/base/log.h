/*
 * log: one line to syslog, facility mail, in Postfix's own style, tag "postfix-sendpost/PROGRAM[pid]".
 *
 * Where no syslog daemon listens (containers, tests) the environment variable SENDPOST_LOG_FILE names a file
 * that gets the same lines instead, each appended with one write(2), so that processes may share it; through
 * Postfix it arrives by export_environment. With verbose on, lines also go to stderr.
 *
 * Control characters in a line are replaced by '?', and secrets are the caller's duty: nothing that holds a
 * password or a key is ever passed here. Safe in any thread after log_open().
 */
#ifndef SENDPOST_BASE_LOG_H
#define SENDPOST_BASE_LOG_H

#include <stdbool.h>
#include <syslog.h>

/* program: "pipe", "agent", "bounce", "ctl"; kept by pointer. Call once, in main. */
void log_open(const char *program, bool verbose) __attribute__((nonnull));

/* For a program that seldom has a line, one thread, and a deadline to guard: opened with the first, and no
 * syslog daemon is waited for longer than a second. */
void log_open_later(const char *program) __attribute__((nonnull));

/* priority: LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG (LOG_DEBUG only with verbose). One line of at most
 * 2,000 bytes. */
void log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3), nonnull));

#endif
