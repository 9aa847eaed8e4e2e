/*
 * front: what the two programs that Postfix's pipe(8) starts have in common. Needs the C library alone.
 */
#ifndef SENDPOST_SUPERVISOR_FRONT_H
#define SENDPOST_SUPERVISOR_FRONT_H

#include <stdbool.h>

#include "supervisor/request.h"
#include "supervisor/supervise.h"

/* Descriptors 0 to 2 are taken by something, or what we open next would be mistaken for them; all others that
 * came with us are closed, or a process that stays idle would hold on to them. */
void front_settle_descriptors(void);

/* An option that both programs have, into the request; false when it is none of them. */
bool front_option(int option, char *argument, struct delivery_request *request) __attribute__((nonnull(3)));

/*
 * Have supervision->program do what request asks (supervisor/supervise.h); the rest of *supervision is filled
 * here. shared: a process that is idle after a delivery may do it. What the program printed in a dry run
 * waits in supervision->child_stdout.
 */
void front_supervise(struct supervision *supervision, const struct delivery_request *request, bool shared,
                     struct delivery_result *result_r) __attribute__((nonnull));

/* What the program printed in a dry run; nothing otherwise. */
void front_print(const struct supervision *supervision) __attribute__((nonnull));

/* The line for Postfix, and the status. */
int front_finish(int status, const char *text) __attribute__((nonnull));

#endif
