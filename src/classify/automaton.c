#include "classify/automaton.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

#define STATES_MAX 65535u

/*
 * States are rows of a table, 0 the root. outputs form lists through "next": first the words that end in a
 * state, then those of its longest proper suffix that is a state too. 0 ends a list: output i is word i - 1.
 */
struct automaton {
    uint8_t column[256]; /* of each byte; 0 for those that no word has */
    size_t width;
    uint32_t state_count, state_room;
    uint16_t *step;   /* [state][column] */
    uint32_t *output; /* [state] first of its list */
    uint32_t *next;   /* [output] */
};

static void assign_columns(struct automaton *automaton, const struct automaton_word *words, size_t count)
{
    automaton->width = 1;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < words[i].length; j++) {
            uint8_t *column = &automaton->column[(unsigned char)words[i].text[j]];

            /* 255 columns and the one for the rest are more than UTF-8 text can use */
            if (*column == 0 && automaton->width < 256)
                *column = (uint8_t)automaton->width++;
        }
}

static uint32_t new_state(struct automaton *automaton)
{
    if (automaton->state_count == automaton->state_room) {
        automaton->state_room = automaton->state_room ? automaton->state_room * 2 : 1024;
        automaton->step =
            xrealloc(automaton->step, automaton->state_room * automaton->width * sizeof *automaton->step);
        automaton->output = xrealloc(automaton->output, automaton->state_room * sizeof *automaton->output);
    }
    memset(automaton->step + automaton->state_count * automaton->width, 0,
           automaton->width * sizeof *automaton->step);
    automaton->output[automaton->state_count] = 0;
    return automaton->state_count++;
}

/* The tree of all words. */
static bool add_word(struct automaton *automaton, const struct automaton_word *word, size_t index)
{
    uint32_t state = 0;

    for (size_t i = 0; i < word->length; i++) {
        size_t at = state * automaton->width + automaton->column[(unsigned char)word->text[i]];

        if (automaton->step[at] == 0) {
            if (automaton->state_count >= STATES_MAX)
                return false;
            uint32_t fresh = new_state(automaton);
            automaton->step[at] = (uint16_t)fresh;
        }
        state = automaton->step[at];
    }
    automaton->next[index + 1] = automaton->output[state];
    automaton->output[state] = (uint32_t)index + 1;
    return true;
}

static void append_outputs(struct automaton *automaton, uint32_t state, uint32_t suffix)
{
    uint32_t *end = &automaton->output[state];

    while (*end != 0)
        end = &automaton->next[*end];
    *end = automaton->output[suffix];
}

/* Breadth first, so that the row of a state's suffix is complete when the state's own is filled in. */
static void link_suffixes(struct automaton *automaton)
{
    AUTO_FREE uint16_t *queue = xcalloc(automaton->state_count, sizeof *queue);
    AUTO_FREE uint16_t *suffix = xcalloc(automaton->state_count, sizeof *suffix);
    size_t width = automaton->width, head = 0, tail = 0;

    queue[tail++] = 0;
    while (head < tail) {
        uint16_t state = queue[head++];
        uint16_t *row = automaton->step + state * width;
        const uint16_t *fallback = automaton->step + suffix[state] * width;

        for (size_t column = 0; column < width; column++) {
            uint16_t child = row[column];

            if (child != 0) {
                if (state != 0)
                    suffix[child] = fallback[column];
                append_outputs(automaton, child, suffix[child]);
                queue[tail++] = child;
            } else if (state != 0) {
                row[column] = fallback[column];
            }
        }
    }
}

struct automaton *automaton_build(const struct automaton_word *words, size_t count)
{
    struct automaton *automaton = xcalloc(1, sizeof *automaton);

    assign_columns(automaton, words, count);
    automaton->next = xcalloc(count + 1, sizeof *automaton->next);
    new_state(automaton);
    for (size_t i = 0; i < count; i++)
        if (!add_word(automaton, &words[i], i)) {
            automaton_free(automaton);
            return NULL;
        }
    link_suffixes(automaton);
    return automaton;
}

void automaton_free(struct automaton *automaton)
{
    if (automaton == NULL)
        return;
    free(automaton->step);
    free(automaton->output);
    free(automaton->next);
    free(automaton);
}

size_t automaton_next(const struct automaton *automaton, struct automaton_pass *pass, const char *text,
                      size_t length)
{
    const uint16_t *step = automaton->step;
    const uint32_t *output = automaton->output;
    size_t width = automaton->width, at = pass->at;
    uint32_t state = pass->state, found = pass->output;

    while (found == 0 && at < length) {
        state = step[state * width + automaton->column[(unsigned char)text[at++]]];
        found = output[state];
    }
    pass->at = at;
    pass->state = state;
    if (found == 0)
        return AUTOMATON_END;
    pass->output = automaton->next[found];
    return found - 1;
}
