/*
 * http_reply: answers, each with the headers that keep a browser from making more of it than it is: no
 * script, style, frame or request but our own (Content-Security-Policy, without exceptions), nothing kept,
 * nothing passed on, no other page may hold it.
 */
#ifndef SENDPOST_AGENT_HTTP_REPLY_H
#define SENDPOST_AGENT_HTTP_REPLY_H

#include <microhttpd.h>
#include <stddef.h>

/* body is freed. */
enum MHD_Result http_reply(struct MHD_Connection *connection, unsigned status, const char *type, char *body)
    __attribute__((nonnull));

/* As {"error":"TEXT"}; text needs no escaping. */
enum MHD_Result http_reply_error(struct MHD_Connection *connection, unsigned status, const char *text)
    __attribute__((nonnull));

/* bytes live for ever. */
enum MHD_Result http_reply_file(struct MHD_Connection *connection, const char *type, const char *bytes)
    __attribute__((nonnull));

/* Any other answer, which this gives up; header fields of its own are set before. */
enum MHD_Result http_reply_with(struct MHD_Connection *connection, unsigned status, const char *type,
                                struct MHD_Response *response) __attribute__((nonnull(1, 3)));

#endif
