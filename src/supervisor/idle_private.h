/* idle_private: what the two sides of the meeting place (idle_call.c, idle_await.c) share. idle.h tells of
 * it. */
#ifndef SENDPOST_SUPERVISOR_IDLE_PRIVATE_H
#define SENDPOST_SUPERVISOR_IDLE_PRIVATE_H

#include "supervisor/idle.h"

#define IDLE_READY 'R' /* the deliverer's first word */

/* --- names ------------------------------------------------------------------------------------ */

enum idle_kind {
    IDLE_RESTS,  /* KEY-PID: a deliverer */
    IDLE_SOUGHT, /* KEY+-PID: one that is to be called first */
    IDLE_WAITS,  /* KEY?SINCE-PID: a supervisor; the names of those who wait for one key sort by their age */
    IDLE_WORKS   /* KEY!-PID: a deliverer that will be idle some time, or a supervisor that has started one */
};

#define IDLE_NAME_SIZE 64

/* What all names of the key and kind begin with; its length. */
size_t idle_prefix(uint64_t key, enum idle_kind kind, char name_r[IDLE_NAME_SIZE]);

/* The next name that begins so, which *at is behind then; NULL when there is none any more. */
const char *idle_names_next_of(const struct idle_names *names, const char *prefix, size_t *at)
    __attribute__((nonnull));

/* KEY!-PID of this process. */
void idle_name_at_work(uint64_t key, char name_r[IDLE_NAME_SIZE]);

/* Whose name it is; 0 when it is nobody's. */
long idle_name_process(const char *name) __attribute__((nonnull));

/* --- sockets ---------------------------------------------------------------------------------- */

/* A listening socket that has this name from when somebody listens; it takes one caller. -1: there is none.
 */
int idle_listen(int place, const char *name) __attribute__((nonnull));

/*
 * True: *channel is connected. False: nobody is there, and the name is removed, or somebody whom another is
 * calling; *channel is -1 or a socket for the next try then. It does not block until F_SETFL says otherwise.
 */
bool idle_connect(int place, const char *name, int *channel) __attribute__((nonnull));

bool idle_peer_is_ours(int channel, pid_t *pid_r) __attribute__((nonnull));

/* What is to be received next comes soon, or never. */
bool idle_readable_in_time(int channel);

bool idle_send_descriptors(int channel, const int gifts[IDLE_GIFTS]);

bool idle_receive_descriptors(int channel, struct idle_visit *visit_r) __attribute__((nonnull));

/* They had not come in time. What is sent from here on does not arrive, and the supervisor hears of that;
 * true: they came before, and it counts on this process, which it may end. */
bool idle_descriptors_came_late(int channel);

#endif
