/* idle_private: what the two sides of the meeting place (idle_call.c, idle_await.c) share. idle.h tells of
 * it. */
#ifndef SENDPOST_SUPERVISOR_IDLE_PRIVATE_H
#define SENDPOST_SUPERVISOR_IDLE_PRIVATE_H

#include "supervisor/idle.h"

#define IDLE_READY 'R' /* the deliverer's first word */

/* --- the line --------------------------------------------------------------------------------- */

enum idle_side {
    IDLE_CALLS,  /* who waits in it; not possible while there is nobody of the other side */
    IDLE_ANSWERS /* who reads it, or has started somebody who will; it is made if it is not there */
};

/* It never blocks. -1 with errno. */
int idle_line_open(int place, uint64_t key, enum idle_side side);

/* Nobody reads it any more. */
bool idle_line_deserted(int line);

/* What stands in the line: the name of a socket in the meeting place, "PID.SINCE", ended by zeros. */
struct idle_token {
    char name[32];
};

/* Of this process. No name is used twice, for it has the time in it. */
struct idle_token idle_token_make(void);

/* The one that came first; false: none is there. */
bool idle_token_read(int line, struct idle_token *token_r) __attribute__((nonnull));

/* Remove what processes left in the meeting place that were killed, and lines that nobody uses any more. */
void idle_place_sweep(int place);

/* --- sockets ---------------------------------------------------------------------------------- */

/* A listening socket of this name. -1: there is none. */
int idle_listen(int place, const char *name) __attribute__((nonnull));

/* A channel to who listens under this name. -1: nobody does, and the name is removed. */
int idle_connect(int place, const char *name) __attribute__((nonnull));

bool idle_peer_is_ours(int channel, pid_t *pid_r) __attribute__((nonnull));

/* What is to be received next comes soon, or never. */
bool idle_readable_in_time(int channel);

bool idle_send_descriptors(int channel, const int gifts[IDLE_GIFTS]);

bool idle_receive_descriptors(int channel, struct idle_visit *visit_r) __attribute__((nonnull));

/* They had not come in time. What is sent from here on does not arrive, and the supervisor hears of that;
 * true: they came before, and it counts on this process, which it may end. */
bool idle_descriptors_came_late(int channel);

#endif
