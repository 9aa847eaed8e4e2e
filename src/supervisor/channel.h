/*
 * channel: the worker's end of the conversation with its supervisor (supervisor/request.h): the request comes
 * and the results go over REQUEST_DESCRIPTOR.
 */
#ifndef SENDPOST_SUPERVISOR_CHANNEL_H
#define SENDPOST_SUPERVISOR_CHANNEL_H

#include "supervisor/request.h"

/* Strings of the request point into *payload_r, which the caller frees. False when there is no supervisor. */
bool channel_receive(struct delivery_request *request_r, char **payload_r) __attribute__((nonnull));

/* The supervisor is gone. */
bool channel_is_closed(void);

void channel_send(const struct delivery_result *result) __attribute__((nonnull));

#endif
