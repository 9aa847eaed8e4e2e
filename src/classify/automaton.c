#include "classify/automaton.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

#define STATES_MAX 65535u

/*
 * States are rows of a table with a column for each ASCII byte that words have, 0 the root: one step a byte.
 * Bytes of other scripts are rare in texts and many in words, and would make the table five times as large
 * and too big for the cache: steps over them are kept as a list a state, and where there is
 * none the state's longest proper suffix is asked.
 *
 * outputs form lists through "next": first the words that end in a state, then those of its longest proper
 * suffix that is a state too. 0 ends a list: output i is word i - 1.
 */
struct automaton {
    uint8_t column[128]; /* of each byte; 0 for those that no word has */
    size_t width;
    uint32_t state_count;
    uint16_t *step;         /* [state][column] */
    uint16_t *suffix;       /* [state] */
    uint32_t *output;       /* [state] first of its list */
    uint32_t *next;         /* [output] */
    uint32_t *first_high;   /* [state] first of its steps over bytes from 0x80 on; 0: none */
    struct high_step *high; /* [0] is none */
    uint32_t high_count, high_room;
    struct branch *branches; /* [state] while it is built */
};

/* The tree as lists: of the few bytes that go on from a state. 0, the root, is nobody's child. */
struct branch {
    uint16_t first, next; /* child, and sibling, over an ASCII byte */
    uint8_t column;       /* of the byte that leads here */
};

struct high_step {
    uint32_t next; /* of the same state; 0: the last */
    uint16_t state;
    uint8_t byte;
};

static void assign_columns(struct automaton *automaton, const struct automaton_word *words, size_t count)
{
    automaton->width = 1;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < words[i].length; j++) {
            unsigned char byte = (unsigned char)words[i].text[j];

            if (byte < 0x80 && automaton->column[byte] == 0)
                automaton->column[byte] = (uint8_t)automaton->width++;
        }
}

static void reserve_states(struct automaton *automaton, uint32_t room)
{
    automaton->step = xrealloc(automaton->step, room * automaton->width * sizeof *automaton->step);
    automaton->output = xrealloc(automaton->output, room * sizeof *automaton->output);
    automaton->first_high = xrealloc(automaton->first_high, room * sizeof *automaton->first_high);
    automaton->branches = xrealloc(automaton->branches, room * sizeof *automaton->branches);
}

/* There is room for it: see room_for(). */
static uint32_t new_state(struct automaton *automaton)
{
    memset(automaton->step + automaton->state_count * automaton->width, 0,
           automaton->width * sizeof *automaton->step);
    automaton->output[automaton->state_count] = 0;
    automaton->first_high[automaton->state_count] = 0;
    automaton->branches[automaton->state_count] = (struct branch){.first = 0};
    return automaton->state_count++;
}

/* The state behind the byte in the tree; 0: there is none. */
static uint16_t high_child(const struct automaton *automaton, uint32_t state, unsigned char byte)
{
    for (uint32_t at = automaton->first_high[state]; at != 0; at = automaton->high[at].next)
        if (automaton->high[at].byte == byte)
            return automaton->high[at].state;
    return 0;
}

static void add_high_child(struct automaton *automaton, uint32_t state, unsigned char byte, uint16_t child)
{
    if (automaton->high_count >= automaton->high_room) {
        automaton->high_room = automaton->high_room ? automaton->high_room * 2 : 1024;
        automaton->high = xrealloc(automaton->high, automaton->high_room * sizeof *automaton->high);
    }
    if (automaton->high_count == 0)
        automaton->high[automaton->high_count++] = (struct high_step){.next = 0};
    automaton->high[automaton->high_count] =
        (struct high_step){.next = automaton->first_high[state], .state = child, .byte = byte};
    automaton->first_high[state] = automaton->high_count++;
}

static void add_child(struct automaton *automaton, uint32_t state, uint8_t column, uint16_t child)
{
    struct branch *branches = automaton->branches;

    automaton->step[state * automaton->width + column] = child;
    branches[child].column = column;
    branches[child].next = branches[state].first;
    branches[state].first = child;
}

static uint16_t child_of(const struct automaton *automaton, uint32_t state, unsigned char byte)
{
    return byte < 0x80 ? automaton->step[state * automaton->width + automaton->column[byte]]
                       : high_child(automaton, state, byte);
}

/* The tree of all words. */
static bool add_word(struct automaton *automaton, const struct automaton_word *word, size_t index)
{
    uint32_t state = 0;

    for (size_t i = 0; i < word->length; i++) {
        unsigned char byte = (unsigned char)word->text[i];
        uint16_t child = child_of(automaton, state, byte);

        if (child == 0) {
            if (automaton->state_count >= STATES_MAX)
                return false;
            child = (uint16_t)new_state(automaton);
            if (byte < 0x80)
                add_child(automaton, state, automaton->column[byte], child);
            else
                add_high_child(automaton, state, byte, child);
        }
        state = child;
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

/* From a state over a byte of another script. */
static uint32_t step_high(const struct automaton *automaton, uint32_t state, unsigned char byte)
{
    for (;;) {
        uint16_t child = high_child(automaton, state, byte);

        if (child != 0 || state == 0)
            return child;
        state = automaton->suffix[state];
    }
}

/* Breadth first, so that the row of a state's suffix is complete when the state's own is made of it. */
static void link_suffixes(struct automaton *automaton)
{
    AUTO_FREE uint16_t *queue = xcalloc(automaton->state_count, sizeof *queue);
    uint16_t *suffix = automaton->suffix = xcalloc(automaton->state_count, sizeof *suffix);
    const struct branch *branches = automaton->branches;
    size_t width = automaton->width, head = 0, tail = 0;

    queue[tail++] = 0;
    while (head < tail) {
        uint16_t state = queue[head++];
        uint16_t *row = automaton->step + state * width;
        const uint16_t *fallback = automaton->step + suffix[state] * width;

        for (uint32_t at = automaton->first_high[state]; at != 0; at = automaton->high[at].next) {
            uint16_t child = automaton->high[at].state;

            if (state != 0)
                suffix[child] = (uint16_t)step_high(automaton, suffix[state], automaton->high[at].byte);
            append_outputs(automaton, child, suffix[child]);
            queue[tail++] = child;
        }
        if (state != 0)
            memcpy(row, fallback, width * sizeof *row);
        for (uint16_t child = branches[state].first; child != 0; child = branches[child].next) {
            if (state != 0)
                suffix[child] = fallback[branches[child].column];
            row[branches[child].column] = child;
            append_outputs(automaton, child, suffix[child]);
            queue[tail++] = child;
        }
    }
}

/* As many states as the words can need, so that the table is not moved while it grows; what is not used of it
 * is never touched. */
static uint32_t room_for(const struct automaton_word *words, size_t count)
{
    size_t room = 1;

    for (size_t i = 0; i < count && room < STATES_MAX; i++)
        room += words[i].length;
    return room < STATES_MAX ? (uint32_t)room : STATES_MAX;
}

struct automaton *automaton_build(const struct automaton_word *words, size_t count)
{
    struct automaton *automaton = xcalloc(1, sizeof *automaton);

    assign_columns(automaton, words, count);
    reserve_states(automaton, room_for(words, count));
    automaton->next = xcalloc(count + 1, sizeof *automaton->next);
    new_state(automaton);
    for (size_t i = 0; i < count; i++)
        if (!add_word(automaton, &words[i], i)) {
            automaton_free(automaton);
            return NULL;
        }
    link_suffixes(automaton);
    reserve_states(automaton, automaton->state_count);
    free(automaton->branches);
    automaton->branches = NULL;
    return automaton;
}

void automaton_free(struct automaton *automaton)
{
    if (automaton == NULL)
        return;
    free(automaton->step);
    free(automaton->suffix);
    free(automaton->output);
    free(automaton->next);
    free(automaton->first_high);
    free(automaton->high);
    free(automaton->branches);
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
        unsigned char byte = (unsigned char)text[at++];

        state =
            byte < 0x80 ? step[state * width + automaton->column[byte]] : step_high(automaton, state, byte);
        found = output[state];
    }
    pass->at = at;
    pass->state = state;
    if (found == 0)
        return AUTOMATON_END;
    pass->output = automaton->next[found];
    return found - 1;
}
