/*
 * own_log: where the lines of deliveries go. They go to syslog; where Postfix writes a log file by itself
 * (maillog_file) and no syslog daemon listens, they need a file of their own, which Postfix names to its
 * commands as SENDPOST_LOG_FILE in export_environment.
 */
#ifndef SENDPOST_CTL_OWN_LOG_H
#define SENDPOST_CTL_OWN_LOG_H

/* The file that is named; NULL: none, syslog has them. directory as in postfix_conf.h. The caller frees. */
char *own_log_named(const char *directory);

/* The setting that names one, "export_environment = …", where they would go nowhere, and the file; NULL: all
 * is well. The caller frees both. */
char *own_log_needed(const char *directory, char **path_r) __attribute__((nonnull(2)));

#endif
