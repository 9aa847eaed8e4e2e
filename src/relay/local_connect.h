/*
 * local_connect: the one shim by which the engines, which know only TCP, are attached to a local stream. This
 * object defines the symbol connect(): in a thread that has announced a stream the next call is given that
 * stream instead of a connection; everywhere else, and ever after, it is the plain system call. No other
 * symbol is touched.
 */
#ifndef SENDPOST_RELAY_LOCAL_CONNECT_H
#define SENDPOST_RELAY_LOCAL_CONNECT_H

/* The next connect() of this thread gets a duplicate of descriptor; those that follow fail until
 * local_connect_end(). */
void local_connect_begin(int descriptor);
void local_connect_end(void);

#endif
