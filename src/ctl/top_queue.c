#include "ctl/top_queue.h"

#include <stdlib.h>
#include <string.h>

#include "policy/limit_words.h"

/* Words of the line that a delivery ended with: policy's own, and hence first. */
static const struct {
    const char *words;
    enum top_wait wait;
} reasons[] = {
    {LIMIT_WORDS_SUSPENDED, TOP_WAIT_SUSPENDED}, {LIMIT_WORDS_LIMIT, TOP_WAIT_RATE},
    {LIMIT_WORDS_PAUSED, TOP_WAIT_RATE},         {LIMIT_WORDS_CONNECTIONS, TOP_WAIT_RATE},
    {LIMIT_WORDS_RECIPIENT, TOP_WAIT_RATE},      {LIMIT_WORDS_AWAY, TOP_WAIT_RATE},
    {LIMIT_WORDS_GATHERING, TOP_WAIT_RATE},      {" is left alone after ", TOP_WAIT_ALONE},
    {"not due before ", TOP_WAIT_LADDER},
};

const char *top_wait_name(enum top_wait wait)
{
    static const char *const names[TOP_WAITS] = {
        [TOP_WAIT_RATE] = "over a rate",      [TOP_WAIT_SUSPENDED] = "suspended",
        [TOP_WAIT_ALONE] = "TPSP left alone", [TOP_WAIT_LADDER] = "not due yet",
        [TOP_WAIT_OTHER] = "deferred",
    };

    return names[wait];
}

/* Behind the name of a member in this line; within strings quotes are escaped, so that none looks like it. */
static const char *member(const char *line, size_t length, const char *name)
{
    const char *at = memmem(line, length, name, strlen(name));

    return at != NULL ? at + strlen(name) : NULL;
}

static enum top_wait wait_of(const char *line, size_t length)
{
    const char *reason = member(line, length, "\"delay_reason\": \"");

    for (size_t i = 0; reason != NULL && i < sizeof reasons / sizeof reasons[0]; i++)
        if (memmem(reason, length - (size_t)(reason - line), reasons[i].words, strlen(reasons[i].words)))
            return reasons[i].wait;
    return TOP_WAIT_OTHER;
}

static void count_line(struct top_queue *queue, const char *line, size_t length)
{
    const char *name = member(line, length, "\"queue_name\": \"");
    const char *arrival = member(line, length, "\"arrival_time\": ");

    if (name == NULL)
        return;
    if (strncmp(name, "hold\"", 5) == 0) {
        queue->hold++;
    } else if (strncmp(name, "deferred\"", 9) != 0) {
        queue->moving++;
    } else {
        int64_t came_s = arrival != NULL ? strtoll(arrival, NULL, 10) : 0;
        queue->deferred++;
        queue->waits[wait_of(line, length)]++;
        if (came_s > 0 && (queue->oldest_s == 0 || came_s < queue->oldest_s))
            queue->oldest_s = came_s;
    }
}

void top_queue_count(struct top_queue *queue_r, const char *text)
{
    *queue_r = (struct top_queue){.known = true};
    for (size_t length; *text != '\0'; text += length + (text[length] == '\n')) {
        length = strcspn(text, "\n");
        count_line(queue_r, text, length);
    }
}
