#include "cluster/answer.h"

#include <hiredis/hiredis.h>
#include <limits.h>
#include <string.h>

/* All numbers of the script are Lua's, which are whole up to here; sums of two are none to worry about. */
#define NUMBER_MAX (INT64_C(1) << 53)

static bool is_within(const struct redisReply *reply, size_t at, int64_t least, int64_t most)
{
    return at < reply->elements && reply->element[at]->type == REDIS_REPLY_INTEGER &&
           reply->element[at]->integer >= least && reply->element[at]->integer <= most;
}

static bool is_number(const struct redisReply *reply, size_t at)
{
    return is_within(reply, at, -NUMBER_MAX, NUMBER_MAX);
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
        if (!is_within(reply, at, 1, (int64_t)limits[i].lanes) || !is_number(reply, at + 1))
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
        if (!is_within(reply, at, 0, UINT_MAX) || !is_number(reply, at + 1))
            return false;
        reply_r->peeked[i].available = (unsigned)number(reply, at);
        reply_r->peeked[i].wait_us = number(reply, at + 1) - reply_r->now_us;
    }
    return true;
}

/* How many all hosts have, then the numbers of the one that asked. More of them than there is room for are no
 * connections of ours. */
static bool read_connections(const struct redisReply *reply, struct cluster_reply *reply_r)
{
    reply_r->number_count = 0;
    if (!is_within(reply, 3, 0, UINT_MAX))
        return false;
    reply_r->connections = (unsigned)number(reply, 3);
    for (size_t at = 4; at < reply->elements; at++) {
        if (!is_within(reply, at, 0, UINT_MAX))
            return false;
        if (reply_r->number_count < reply_r->number_room)
            reply_r->numbers[reply_r->number_count++] = (unsigned)number(reply, at);
    }
    return true;
}

static enum cluster_answer read_granted(const struct redisReply *reply, const struct question *question,
                                        struct cluster_reply *reply_r)
{
    size_t last = 3 + 2 * question->count;

    if (!read_slots(reply, question->limits, question->count, reply_r) ||
        (question->connection != NULL && !is_number(reply, last)))
        return CLUSTER_AWAY;
    reply_r->better_not_kept = question->connection != NULL && number(reply, last) != 0;
    return CLUSTER_GRANTED;
}

/* What is read of a text that is too long, of a newer version then, are the lines that there is room for: to
 * say "away" for its sake would stop all mail of this host for as long as the others have something to tell.
 */
static size_t text_length(const struct redisReply *text)
{
    if (text->len < CLUSTER_TEXT_SIZE)
        return text->len;
    const char *end = memrchr(text->str, '\n', CLUSTER_TEXT_SIZE - 1);
    return end != NULL ? (size_t)(end - text->str) + 1 : 0;
}

static enum cluster_answer read_news(const struct redisReply *reply, const struct question *question,
                                     struct cluster_reply *reply_r)
{
    if (question->told == NULL || !is_within(reply, 3, 0, NUMBER_MAX) || reply->elements < 5 ||
        reply->element[4]->type != REDIS_REPLY_STRING)
        return CLUSTER_AWAY;
    size_t length = text_length(reply->element[4]);
    reply_r->version = number(reply, 3);
    reply_r->asked = question->told->version;
    memcpy(reply_r->text, reply->element[4]->str, length);
    reply_r->text[length] = '\0';
    return CLUSTER_NEWS;
}

static enum cluster_answer read_done(const struct redisReply *reply, const struct question *question,
                                     struct cluster_reply *reply_r)
{
    bool ok = true;

    reply_r->version = is_number(reply, 3) ? number(reply, 3) : 0;
    reply_r->wait_us = is_number(reply, 3) ? number(reply, 3) : 0;
    if (strcmp(question->operation, "peek") == 0)
        ok = read_peeked(reply, question->count, reply_r);
    else if (strcmp(question->operation, "connections") == 0)
        ok = read_connections(reply, reply_r);
    return ok ? CLUSTER_DONE : CLUSTER_AWAY;
}

bool answer_doubts_clock(const struct redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
           reply->element[0]->type == REDIS_REPLY_STRING && strcmp(reply->element[0]->str, "clock") == 0;
}

enum cluster_answer answer_read(const struct redisReply *reply, const struct question *question,
                                struct cluster_reply *reply_r)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 3 ||
        reply->element[0]->type != REDIS_REPLY_STRING || !is_number(reply, 1) || !is_number(reply, 2))
        return CLUSTER_AWAY;
    const char *word = reply->element[0]->str;
    reply_r->now_us = number(reply, 1);
    reply_r->epoch = number(reply, 2);
    if (strcmp(word, "granted") == 0)
        return read_granted(reply, question, reply_r);
    if (strcmp(word, "refused") == 0 && is_within(reply, 3, 1, (int64_t)question->count) &&
        is_number(reply, 4)) {
        reply_r->limit = (size_t)number(reply, 3) - 1;
        reply_r->wait_us = number(reply, 4) - reply_r->now_us;
        return CLUSTER_REFUSED;
    }
    if (strcmp(word, "busy") == 0 && question->connection != NULL && is_within(reply, 3, 0, UINT_MAX)) {
        reply_r->connections = (unsigned)number(reply, 3);
        return CLUSTER_BUSY;
    }
    if (strcmp(word, "news") == 0)
        return read_news(reply, question, reply_r);
    if (strcmp(word, "epoch") == 0 && is_number(reply, 3)) {
        reply_r->wait_us = number(reply, 3);
        return CLUSTER_EPOCH;
    }
    return strcmp(word, "done") == 0 ? read_done(reply, question, reply_r) : CLUSTER_AWAY;
}
