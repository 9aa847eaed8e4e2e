/*
 * channel: the worker's end of the conversation with its supervisor (supervisor/request.h): the request comes
 * and the results go over REQUEST_DESCRIPTOR.
 */
#ifndef SENDPOST_SUPERVISOR_CHANNEL_H
#define SENDPOST_SUPERVISOR_CHANNEL_H

#include "supervisor/request.h"

/* Strings of the request point into *payload_r, which the caller frees. False when there is no supervisor. */
bool channel_receive(struct delivery_request *request_r, char **payload_r) __attribute__((nonnull));

/*
 * Somebody waits for the result: the supervisor, and the reader of its standard output, which is pipe(8). Its
 * death closes both the message and that output, and the message then looks complete though it is cut short:
 * so only what is awaited after its end was read is known to be whole. Where standard output is no pipe (a
 * person's terminal or file) its reader cannot be missed. See doc/protocol.md.
 */
bool channel_is_awaited(void);

/* Look no more, and give up the supervisor's output: pipe(8) waits until nobody has it any more. To be done
 * before the result is sent. */
void channel_stop_looking(void);

void channel_send(const struct delivery_result *result) __attribute__((nonnull));

#endif
