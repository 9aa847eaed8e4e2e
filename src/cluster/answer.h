/*
 * answer: what cluster/limits.lua answers, read. Whatever is not as the script answers makes the server one
 * that is not to be trusted: CLUSTER_AWAY.
 */
#ifndef SENDPOST_CLUSTER_ANSWER_H
#define SENDPOST_CLUSTER_ANSWER_H

#include "cluster/question.h"

struct redisReply;

enum cluster_answer answer_read(const struct redisReply *reply, const struct question *question,
                                struct cluster_reply *reply_r) __attribute__((nonnull));

/* Its clock is ahead of what we expected, and nothing was done: it is to be asked again. */
bool answer_doubts_clock(const struct redisReply *reply) __attribute__((nonnull));

#endif
