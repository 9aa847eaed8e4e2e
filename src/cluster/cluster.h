/*
 * cluster: what several hosts share through one Valkey or Redis server: one script (cluster/limits.lua) that
 * decides about rate limits, called here with a deadline.
 *
 * Away. A server that is not there, a replica, loading, full, slow or confused costs a delivery
 * CLUSTER_PATIENCE_MS once; then the circuit is open for all processes of this host, and nobody waits for it
 * until one probes again: after CLUSTER_FIRST_PAUSE_MS, twice as long after each failure,
 * CLUSTER_LONGEST_PAUSE_MS at most. Circuit, clock and epoch lie in memory that the processes of the host
 * share (struct cluster_shared), which the caller brings: every word stands for itself and may be lost.
 *
 * Clock. Times are the server's, made steady by the script; this side tells what time it should be there by
 * its own clock (CLOCK_BOOTTIME, which does not step), so that a server whose clock jumps ahead gives nothing
 * out early. A jump below CLUSTER_TOLERANCE_US is not noticed.
 *
 * Epoch. A number that changes when the server does: started anew, failed over, emptied. In a new epoch the
 * hosts first bring what they know of the limits (CLUSTER_EPOCH tells them to), for a second and a half; then
 * slots are given out again, and a host that comes later brings its knowledge before it gets any.
 *
 * A cluster belongs to one thread.
 */
#ifndef SENDPOST_CLUSTER_CLUSTER_H
#define SENDPOST_CLUSTER_CLUSTER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "net/dns.h"
#include "net/tls.h"

#define CLUSTER_PATIENCE_MS 200
#define CLUSTER_FIRST_PAUSE_MS 250
#define CLUSTER_LONGEST_PAUSE_MS 5000
#define CLUSTER_TOLERANCE_US 250000
#define CLUSTER_LIMITS_MAX 64 /* limits in one call */
#define CLUSTER_LANES_MAX 24
#define CLUSTER_KEY_SIZE 160
#define CLUSTER_TEXT_SIZE 8192

/* What the processes of a host share. All zero: nothing known, circuit closed. */
struct cluster_shared {
    /* 0: closed; else the time of the next probe in ms << 16, and failures in a row */
    _Atomic int64_t circuit;
    _Atomic int64_t away_ms;     /* clock_monotonic_ms() since when it is away; 0: it is not */
    _Atomic int64_t clock_us;    /* server's time less ours */
    _Atomic int64_t measured_ms; /* clock_monotonic_ms() of that; 0: never */
    _Atomic int64_t epoch;       /* in which this host has brought what it knows; below 0: it is about to */
    _Atomic int64_t taken;       /* deliveries that were granted */
    _Atomic int64_t host;        /* what tells this host from the others; 0: nobody has said so yet */
};

struct cluster_limit {
    char key[CLUSTER_KEY_SIZE]; /* what it is about: "primary gmail 3600000"; the prefix is added here */
    unsigned lanes;
    int64_t pace_us, window_us;
};

/* A slot of one limit, as the script gave it. */
struct cluster_slot {
    unsigned lane; /* from 0 */
    int64_t before_us, after_us;
};

/* Connections to a TPSP at a time, over all hosts. */
struct cluster_connection {
    const char *tpsp;
    const char *host;          /* a word that no other host has */
    unsigned number;           /* among those of the host */
    unsigned most;             /* of all hosts together */
    int64_t least_us, life_us; /* how long a connection is believed without another word of it */
};

/* What the hosts tell each other of a TPSP is a text of their own, and has a version. */
struct cluster_told {
    const char *tpsp;
    int64_t version; /* known; 0: none */
};

enum cluster_answer {
    CLUSTER_GRANTED,
    CLUSTER_REFUSED, /* which limit, and for how long */
    CLUSTER_BUSY,    /* as many connections as are allowed are in use: connections of them */
    CLUSTER_EPOCH,   /* bring what this host knows, or wait while others do: wait_us */
    CLUSTER_NEWS,    /* of what was told there is another version by now: version, text; nothing was done */
    CLUSTER_DONE,    /* of everything but take */
    CLUSTER_AWAY,    /* cluster_why_away() */
};

struct cluster_reply {
    int64_t now_us;               /* server's */
    int64_t epoch;                /* server's */
    int64_t wait_us;              /* REFUSED: until the next slot; EPOCH: until slots are given out */
    size_t limit;                 /* REFUSED: index of the limit whose next slot comes last */
    int64_t version;              /* NEWS, and of cluster_tell() DONE */
    int64_t asked;                /* NEWS: the version that was known when it was asked */
    char text[CLUSTER_TEXT_SIZE]; /* NEWS */
    unsigned connections;
    unsigned *numbers; /* where cluster_connections() wants them */
    size_t number_room, number_count;
    bool better_not_kept; /* GRANTED: other hosts wait for a connection, and this host has more than they */
    struct cluster_slot slots[CLUSTER_LIMITS_MAX]; /* GRANTED */
    struct {
        unsigned available;
        int64_t wait_us;
    } peeked[CLUSTER_LIMITS_MAX];
};

struct cluster;

/* config->server_count > 0; config, resolver and tls outlive it. NULL with *error_r set where hiredis is not
 * installed. */
struct cluster *cluster_open(const struct config_cluster *config, struct dns_resolver *resolver,
                             struct tls_contexts *tls, struct outcome *error_r) __attribute__((nonnull));
void cluster_close(struct cluster *cluster); /* NULL is fine */

/* Where the words of this host lie, for the calls that follow; they may move (rate_table_ready()). */
void cluster_attach(struct cluster *cluster, struct cluster_shared *shared) __attribute__((nonnull));

/* One slot of every limit, and a connection where one is asked for (else NULL), or none. told: CLUSTER_NEWS
 * if there are any; NULL: whether or not. deadline_ms: no later than CLUSTER_PATIENCE_MS from now in any
 * case.
 */
enum cluster_answer cluster_take(struct cluster *cluster, const struct cluster_limit *limits, size_t count,
                                 const struct cluster_connection *connection, const struct cluster_told *told,
                                 int64_t deadline_ms, struct cluster_reply *reply_r)
    __attribute__((nonnull(1, 2, 7)));

/* CLUSTER_NEWS, or CLUSTER_DONE where there are none. text NULL: to hear; else it is told to the others where
 * there are none, and reply_r->version is its version. */
enum cluster_answer cluster_tell(struct cluster *cluster, const struct cluster_told *told, const char *text,
                                 int64_t deadline_ms, struct cluster_reply *reply_r)
    __attribute__((nonnull(1, 2, 5)));

/*
 * Connections. Whoever holds a number of a host alone, as by a lock, asks for it with cluster_take(), and
 * gives it up only after cluster_disconnect(). Of a host that says nothing any more the entries last life_us.
 */
enum cluster_answer cluster_disconnect(struct cluster *cluster, const struct cluster_connection *connection,
                                       int64_t deadline_ms) __attribute__((nonnull));

/* How many all hosts have (reply_r->connections), and which numbers the server knows of connection->host. */
enum cluster_answer cluster_connections(struct cluster *cluster, const struct cluster_connection *connection,
                                        int64_t deadline_ms, unsigned *numbers_r, size_t *count_r,
                                        size_t room, struct cluster_reply *reply_r) __attribute__((nonnull));

/* The TPSP was never reached. */
enum cluster_answer cluster_give_back(struct cluster *cluster, const struct cluster_limit *limits,
                                      size_t count, const struct cluster_slot *slots, int64_t deadline_ms)
    __attribute__((nonnull));

/*
 * A new epoch, in this order (tests/model/cluster_return.pml): cluster_bringing(), then what this host knows
 * is looked up and brought for that epoch and no other, then cluster_brought(). Whoever notes a slot of an
 * earlier epoch after the first of these finds that it does not count (cluster_epoch_is()), whoever noted it
 * before is found by the look-up; and who is overtaken by another epoch has brought nothing.
 */
void cluster_bringing(struct cluster *cluster, int64_t epoch) __attribute__((nonnull));

/* What this host knows: for each limit, how long each lane is still taken (0: it is free), limits[i].lanes of
 * them. CLUSTER_EPOCH: it was another epoch by then. */
enum cluster_answer cluster_bring(struct cluster *cluster, int64_t epoch, const struct cluster_limit *limits,
                                  size_t count, const int64_t (*left_us)[CLUSTER_LANES_MAX],
                                  int64_t deadline_ms, struct cluster_reply *reply_r)
    __attribute__((nonnull));

/* The connections of connection->host, in the same way. */
enum cluster_answer cluster_bring_connections(struct cluster *cluster, int64_t epoch,
                                              const struct cluster_connection *connection,
                                              const unsigned *numbers, size_t count, int64_t deadline_ms,
                                              struct cluster_reply *reply_r) __attribute__((nonnull));

/* All of it is brought: in this epoch slots may be taken. */
void cluster_brought(struct cluster *cluster, int64_t epoch) __attribute__((nonnull));

/* Whether this is still the epoch in which this host has brought what it knows: asked after a slot was noted,
 * which else does not count. */
bool cluster_epoch_is(const struct cluster *cluster, int64_t epoch) __attribute__((nonnull));

enum cluster_answer cluster_peek(struct cluster *cluster, const struct cluster_limit *limits, size_t count,
                                 int64_t deadline_ms, struct cluster_reply *reply_r) __attribute__((nonnull));
/* tpsp: its connections are forgotten, too; NULL: they are not. */
enum cluster_answer cluster_reset(struct cluster *cluster, const struct cluster_limit *limits, size_t count,
                                  const char *tpsp, int64_t deadline_ms) __attribute__((nonnull(1, 2)));

/*
 * Any other command, for work that no delivery waits for: the circuit is neither asked nor touched. The reply
 * is to be freed; NULL: away. An error that the server answers is a reply.
 */
struct redisReply;
struct redisReply *cluster_command(struct cluster *cluster, int count, const char *const *words,
                                   int64_t deadline_ms) __attribute__((nonnull));
/* reply NULL is fine. */
void cluster_reply_free(const struct cluster *cluster, struct redisReply *reply) __attribute__((nonnull(1)));

/* Which server it is: another word after each start of it. Connects where that is needed; NULL: away. */
const char *cluster_run_id(struct cluster *cluster, int64_t deadline_ms) __attribute__((nonnull));

/* In words, of the last call that ended in CLUSTER_AWAY. */
const char *cluster_why_away(const struct cluster *cluster) __attribute__((nonnull, returns_nonnull));

/* For people: the server in use, "" when none is; its version; the round trip of the last call. */
const char *cluster_server(const struct cluster *cluster) __attribute__((nonnull, returns_nonnull));
const char *cluster_version(const struct cluster *cluster) __attribute__((nonnull, returns_nonnull));
int64_t cluster_delay_us(const struct cluster *cluster) __attribute__((nonnull));

#endif
