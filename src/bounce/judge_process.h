/*
 * judge_process: the judge at work for the recorder: sendpost-judge, in a process of its own that reads our
 * standard input and has no rights (bounce/sandbox.h). What it prints goes where our own standard error goes.
 */
#ifndef SENDPOST_BOUNCE_JUDGE_PROCESS_H
#define SENDPOST_BOUNCE_JUDGE_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "bounce/judgement.h"
#include "supervisor/request.h"

struct judge_process {
    pid_t pid;
    int output;
};

/* rules_path: of the postmaster. False with *error_r set. */
bool judge_start(struct judge_process *process_r, const char *rules_path,
                 const struct delivery_request *request, struct outcome *error_r) __attribute__((nonnull));

/* Wait for what it has to say, but not for ever, and for its end: it is gone when this returns, whatever it
 * did. False with *error_r set: it said nothing that counts. judgement_clear() in any case. */
bool judge_finish(struct judge_process *process, struct judgement *judgement_r, struct outcome *error_r)
    __attribute__((nonnull));

#endif
