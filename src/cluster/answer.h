/*
 * answer: what cluster/limits.lua answers, read. Whatever is not as the script answers makes the server one
 * that is not to be trusted: CLUSTER_AWAY.
 */
#ifndef SENDPOST_CLUSTER_ANSWER_H
#define SENDPOST_CLUSTER_ANSWER_H

#include "cluster/cluster.h"

struct redisReply;

/* peek: it was asked for what is free. limits, count: of the question. */
enum cluster_answer answer_read(const struct redisReply *reply, const struct cluster_limit *limits,
                                size_t count, bool peek, struct cluster_reply *reply_r)
    __attribute__((nonnull));

#endif
