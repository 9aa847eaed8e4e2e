/*
 * selinux: whether SELinux confines what pipe(8) starts. The policy of Fedora and its relatives runs it in
 * the domain of pipe(8), postfix_pipe_t, which may neither write below /var/lib nor make sockets below /run.
 */
#ifndef SENDPOST_CTL_SELINUX_H
#define SENDPOST_CTL_SELINUX_H

#include <stdbool.h>

#define SELINUX_REMEDY "semanage permissive -a postfix_pipe_t"

/* SELinux enforces, and the domain was not made permissive. Only root can tell the latter. root: "" but in
 * tests. */
bool selinux_confines_pipe(const char *root) __attribute__((nonnull));

#endif
