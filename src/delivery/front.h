/*
 * front: what the two programs that Postfix's pipe(8) starts have in common. Needs the C library alone.
 */
#ifndef SENDPOST_FRONT_H
#define SENDPOST_FRONT_H

#include <stdbool.h>

/* Descriptors 0 to 2 are taken by something, or what we open next would be mistaken for them. */
void front_occupy_descriptors(void);

/* "<>", and what pipe(8) writes for it when null_sender= is missing, are the null sender. Changes argument. */
const char *front_sender(char *argument) __attribute__((nonnull, returns_nonnull));

/* pipe(8) gives stdout and stderr the same pipe, which nothing but the status line may begin. */
bool front_stderr_is_for_a_person(void);

void front_copy_to_stdout(int descriptor);

/* The line for Postfix, and the status. */
int front_finish(int status, const char *text) __attribute__((nonnull));

#endif
