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

#endif
