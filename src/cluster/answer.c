#include "cluster/answer.h"

#include <hiredis/hiredis.h>
#include <string.h>

static bool is_number(const struct redisReply *reply, size_t at)
{
    return at < reply->elements && reply->element[at]->type == REDIS_REPLY_INTEGER;
}

static int64_t number(const struct redisReply *reply, size_t at)
{
    return reply->element[at]->integer;
}

/* Whatever of this is not as the script answers makes the server one that is not to be trusted. */
static bool read_slots(const struct redisReply *reply, const struct cluster_limit *limits, size_t count,
                       struct cluster_reply *reply_r)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = 3 + 2 * i;
        if (!is_number(reply, at) || !is_number(reply, at + 1) || number(reply, at) < 1 ||
            number(reply, at) > (int64_t)limits[i].lanes)
            return false;
        struct cluster_slot *slot = &reply_r->slots[i];
        slot->lane = (unsigned)number(reply, at) - 1;
        slot->before_us = number(reply, at + 1);
        slot->after_us = reply_r->now_us + (slot->lane == 0 ? limits[i].pace_us : limits[i].window_us);
    }
    return true;
}

static bool read_peeked(const struct redisReply *reply, size_t count, struct cluster_reply *reply_r)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = 3 + 2 * i;
        if (!is_number(reply, at) || !is_number(reply, at + 1))
            return false;
        reply_r->peeked[i].available = (unsigned)number(reply, at);
        reply_r->peeked[i].wait_us = number(reply, at + 1) - reply_r->now_us;
    }
    return true;
}

enum cluster_answer answer_read(const struct redisReply *reply, const struct cluster_limit *limits,
                                size_t count, bool peek, struct cluster_reply *reply_r)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 3 ||
        reply->element[0]->type != REDIS_REPLY_STRING || !is_number(reply, 1) || !is_number(reply, 2))
        return CLUSTER_AWAY;
    const char *word = reply->element[0]->str;
    reply_r->now_us = number(reply, 1);
    reply_r->epoch = number(reply, 2);
    if (strcmp(word, "granted") == 0)
        return read_slots(reply, limits, count, reply_r) ? CLUSTER_GRANTED : CLUSTER_AWAY;
    if (strcmp(word, "refused") == 0 && is_number(reply, 3) && is_number(reply, 4) && number(reply, 3) >= 1 &&
        number(reply, 3) <= (int64_t)count) {
        reply_r->limit = (size_t)number(reply, 3) - 1;
        reply_r->wait_us = number(reply, 4) - reply_r->now_us;
        return CLUSTER_REFUSED;
    }
    if (strcmp(word, "epoch") == 0 && is_number(reply, 3)) {
        reply_r->wait_us = number(reply, 3);
        return CLUSTER_EPOCH;
    }
    if (strcmp(word, "done") != 0)
        return CLUSTER_AWAY;
    reply_r->wait_us = is_number(reply, 3) ? number(reply, 3) : 0;
    return !peek || read_peeked(reply, count, reply_r) ? CLUSTER_DONE : CLUSTER_AWAY;
}
