#include "event/event_answer.h"

#include <stddef.h>

static const struct {
    int first, last;
    enum event_answer answer;
} table[] = {
    {0, 0, EVENT_ANSWER_BUSY},
    {200, 299, EVENT_ANSWER_ACCEPTED},
    {400, 400, EVENT_ANSWER_REFUSED},
    {401, 401, EVENT_ANSWER_KEY_REFUSED},
    {403, 403, EVENT_ANSWER_KEY_REFUSED},
    {406, 406, EVENT_ANSWER_REFUSED}, /* what SendPost's other APIs answer to a word they do not know */
    {408, 408, EVENT_ANSWER_BUSY},
    {413, 413, EVENT_ANSWER_REFUSED},
    {422, 422, EVENT_ANSWER_REFUSED},
    {429, 429, EVENT_ANSWER_BUSY},
    {503, 503, EVENT_ANSWER_BUSY},
    {500, 999, EVENT_ANSWER_FAILING},
};

enum event_answer event_answer_of(int status)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (status >= table[i].first && status <= table[i].last)
            return table[i].answer;
    return EVENT_ANSWER_MISCONFIGURED; /* redirects, 404 and the like */
}
