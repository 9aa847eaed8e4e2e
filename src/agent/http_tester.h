/*
 * http_tester: the connectivity test that is asked for by HTTP. It takes seconds, so it runs in a thread of
 * its own, one at a time, while its connection is suspended.
 */
#ifndef SENDPOST_AGENT_HTTP_TESTER_H
#define SENDPOST_AGENT_HTTP_TESTER_H

#include <microhttpd.h>
#include <stddef.h>

#include "config/config.h"

struct http_tester;
struct http_test; /* one request */

/* config outlives it. */
struct http_tester *http_tester_new(const struct config *config) __attribute__((nonnull, returns_nonnull));

struct http_test *http_test_new(struct http_tester *tester, struct MHD_Connection *connection)
    __attribute__((nonnull, returns_nonnull));
void http_test_take(struct http_test *test, const char *bytes, size_t length) __attribute__((nonnull));

/* The body is complete: called once before the test and once behind it. started() is called where a test
 * begins: its connection lasts longer than others. */
enum MHD_Result http_test_answer(struct http_test *test, void (*started)(void *context), void *context)
    __attribute__((nonnull(1, 2)));

/* The request is over. */
void http_test_free(struct http_test *test); /* NULL is fine */

#endif
