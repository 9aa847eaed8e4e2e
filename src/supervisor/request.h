/*
 * request: what a delivery is asked for and what came of it, with the wire form in which supervisor and
 * deliverer, or one day a client and a resident service, exchange them. Needs the C library alone.
 *
 * Wire form: a frame is a 32-bit big-endian length and that many bytes of "name\0value\0" pairs, strings
 * only. Unknown names are skipped, a missing one has its default, so that either side may be newer. A frame
 * above REQUEST_FRAME_MAX is refused.
 */
#ifndef SENDPOST_SUPERVISOR_REQUEST_H
#define SENDPOST_SUPERVISOR_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#define REQUEST_FRAME_MAX 65536
#define REQUEST_DESCRIPTOR 3 /* where the deliverer finds its end of the channel */
/* And where the supervisor's standard output, whose reader is pipe(8): written to by nobody, watched by
 * channel_is_awaited(). */
#define READER_DESCRIPTOR 4

struct delivery_request {
    const char *config_path;
    const char *sender; /* "" is the null sender */
    const char *recipient;
    const char *pool;     /* "" when not given */
    const char *queue_id; /* "" when not given */
    const char *uuid;     /* "" when not given */
    const char *size;     /* of the message, as Postfix counts it; "" when not given */
    bool dry_run;
    bool verbose;
};

/* What the supervisor of a delivery goes by until it is told: delivery-timeout where nothing else is
 * configured. Then it need not be told, which would wake it up for each message. */
#define DELIVERY_DEADLINE_S 600

#define DELIVERY_TEXT_SIZE 4000 /* Postfix reads 4,096 bytes of output */

struct delivery_result {
    int deadline_s; /* > 0: not the end yet; the run has so many seconds more */
    int status;     /* 0, 75, 69 */
    /* the line for Postfix, beginning with the enhanced status code; no line end */
    char text[DELIVERY_TEXT_SIZE];
    /* The deliverer's own: what failed was its store, its memory, its configuration, and nobody else spoke.
       Stays with it, and is not sent. */
    bool own_trouble;
};

/* Append the frame to buffer (malloc'd). Returns its length; 0 when it would be larger than
 * REQUEST_FRAME_MAX. */
size_t request_encode(const struct delivery_request *request, char **frame_r) __attribute__((nonnull));
size_t result_encode(const struct delivery_result *result, char **frame_r) __attribute__((nonnull));

/* Decode the bytes of one frame (without its length). Strings of a request point into payload. False when
 * malformed. */
bool request_decode(const char *payload, size_t length, struct delivery_request *request_r)
    __attribute__((nonnull));
bool result_decode(const char *payload, size_t length, struct delivery_result *result_r)
    __attribute__((nonnull));

/*
 * Whether a result may be passed on to Postfix: status 0 with 2.x.y, 75 with 4.x.y or 69 with 5.x.y,
 * printable text. Anything else is nonsense.
 */
bool result_valid(const struct delivery_result *result) __attribute__((nonnull));

#endif
