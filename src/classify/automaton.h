/*
 * automaton: finds many words in one pass over a text, all of their occurrences, overlapping ones included
 * (Aho and Corasick, "Efficient string matching", CACM 18(6), 1975), as a table with one step a byte.
 *
 * Read-only once built, safe in any thread.
 */
#ifndef SENDPOST_CLASSIFY_AUTOMATON_H
#define SENDPOST_CLASSIFY_AUTOMATON_H

#include <stddef.h>
#include <stdint.h>

struct automaton;

struct automaton_word {
    const char *text;
    size_t length; /* at least 1 */
};

/* Words may be the same. NULL when they need more states than fit (65,535). The words are not kept. */
struct automaton *automaton_build(const struct automaton_word *words, size_t count) __attribute__((nonnull));
void automaton_free(struct automaton *automaton); /* NULL is fine */

/* A pass over one text; zero it to begin. at is where the word found last ends. */
struct automaton_pass {
    size_t at;
    uint32_t state;
    uint32_t output;
};

#define AUTOMATON_END SIZE_MAX

/* The index of the next word found, in order of where they end; AUTOMATON_END after the last. */
size_t automaton_next(const struct automaton *automaton, struct automaton_pass *pass, const char *text,
                      size_t length) __attribute__((nonnull));

#endif
