/*
 * supervise: run the program that does the work as a child, and whatever becomes of it, come back with
 * something fit for pipe(8): crash, signal, missing library, deadline and nonsense all end in "75, 4.3.0".
 * Needs the C library alone, so that there is nothing in it that could fail to load.
 *
 * A child that is idle after a delivery for somebody else will do as well (supervisor/child.h).
 *
 * The child gets our standard input, the request frame on descriptor REQUEST_DESCRIPTOR, and answers there
 * with result frames (supervisor/request.h). What it, or a library in it, prints goes to the log, never to
 * Postfix.
 *
 * When Postfix's pipe(8) dies while it still writes the message, its end of the pipe closes as if the message
 * were complete. The supervisor then ends the child, so that half a message is never sent.
 */
#ifndef SENDPOST_SUPERVISOR_SUPERVISE_H
#define SENDPOST_SUPERVISOR_SUPERVISE_H

#include <stdbool.h>
#include <stddef.h>

#include "supervisor/request.h"

struct supervision {
    const char *program; /* file name of the child, beside our own executable */
    const char *frame;   /* request, encoded */
    size_t frame_length;
    const char *config_path; /* an idle child that has read this file may do it; NULL: a new one only */
    int deadline_s;          /* until the child names another */
    bool output_to_person;   /* child's output to our stderr instead of the log: --verbose by hand */
    int child_stdout;        /* descriptor for the child's standard output; -1: with its stderr */
};

/* Returns when the child's result is there or will never be. Does not wait for the end of a child that has
 * answered. Once a process. */
void supervise(const struct supervision *supervision, struct delivery_result *result_r)
    __attribute__((nonnull));

#endif
