/*
 * server: one connection to a Valkey or Redis server (RESP2): TLS verified, login, and everything under a
 * deadline. What is said on it is formatted and read by hiredis; the bytes are ours to carry
 * (net/transport.h).
 *
 * A server that is not fit to be asked (a replica, one that is still loading, one that may throw keys away,
 * one in sharded cluster mode) is refused at the connection, with the reason. Whatever goes wrong later ends
 * the connection: a reply that was not read in time would be taken for the answer to the next question.
 *
 * Belongs to one thread. Deadlines are clock_monotonic_ms().
 */
#ifndef SENDPOST_CLUSTER_SERVER_H
#define SENDPOST_CLUSTER_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/hiredis_library.h"
#include "config/config.h"
#include "net/dns.h"
#include "net/tls.h"

#define SERVER_RUN_ID_SIZE 41 /* forty hexadecimal digits: a new one at each start */
#define SERVER_ERROR_SIZE 256

struct server {
    const struct hiredis_library *library;
    struct transport transport;
    struct redisReader *reader; /* NULL: not connected */
    char name[300];             /* "valkey1.example.net:6379", for messages */
    char run_id[SERVER_RUN_ID_SIZE];
    char version[40];              /* "valkey 8.1.1" */
    char error[SERVER_ERROR_SIZE]; /* why the last call failed, what to do included */
};

struct server_peer {
    const struct config_cluster *cluster;
    size_t index; /* of cluster->servers */
    struct dns_resolver *resolver;
    struct tls_contexts *tls;
};

/* library is loaded and outlives it. */
void server_init(struct server *server, const struct hiredis_library *library) __attribute__((nonnull));

/* False with server->error set. A connected server is closed first. */
bool server_connect(struct server *server, const struct server_peer *peer, int64_t deadline_ms)
    __attribute__((nonnull));

static inline bool server_is_connected(const struct server *server)
{
    return server->reader != NULL;
}

/*
 * One command and its reply, which is the caller's to free with server_reply_free(). NULL with server->error
 * set and the connection closed. An error that the server answered is a reply (REDIS_REPLY_ERROR), not a
 * failure.
 */
struct redisReply *server_command(struct server *server, int count, const char *const *words,
                                  const size_t *lengths, int64_t deadline_ms) __attribute__((nonnull(1, 3)));
/* reply NULL is fine. */
void server_reply_free(const struct server *server, struct redisReply *reply) __attribute__((nonnull(1)));

void server_close(struct server *server) __attribute__((nonnull));

#endif
