/*
 * classify_rules: the rule file of the classifier (form: head of data/classify) and the table it becomes.
 */
#ifndef SENDPOST_CLASSIFY_CLASSIFY_RULES_H
#define SENDPOST_CLASSIFY_CLASSIFY_RULES_H

#include <stdint.h>

#include "classify/automaton.h"
#include "classify/classify_words.h"

#define CLASSIFY_CONDITION_MAX 8 /* codes, or statuses, in one pair of braces */
#define CLASSIFY_GAP_MAX 60      /* characters that may stand at a '*' */
#define CLASSIFY_GAPPED_MAX 2048 /* fragments of all wordings with a '*' */
#define CLASSIFY_BUILTIN "built-in"

enum classify_verdict { CLASSIFY_SOFT, CLASSIFY_HARD, CLASSIFY_OFF };

struct classify_section {
    char *reason;
    enum classify_verdict verdict;
};

#define CLASSIFY_ANY 0xffff
#define CLASSIFY_NONE 0 /* as a class: there is no enhanced code */

struct classify_condition {
    size_t code_count, status_count;       /* 0: no condition */
    char codes[CLASSIFY_CONDITION_MAX][4]; /* "550", "5xx" */
    struct {
        unsigned short class, subject, detail;
    } statuses[CLASSIFY_CONDITION_MAX]; /* or CLASSIFY_ANY */
};

struct classify_rule {
    const char *file;
    char *written; /* the line as it is in the file */
    size_t line;
    size_t section;
    bool wording; /* it has words; else its condition stands alone */
    struct classify_condition condition;
};

/* What stands between two '*' of a wording. */
struct classify_fragment {
    uint32_t rule;
    uint16_t slot; /* among the fragments of wordings with a '*', the first one's is followed by the next's */
    bool first, last;
    char *text;
    size_t length;
};

struct classify_rules {
    char *path; /* the postmaster's file, named by rules */
    struct classify_section *sections;
    struct classify_rule *rules;         /* in order: the first that fits decides */
    struct classify_fragment *fragments; /* same index as the automaton's words */
    uint32_t *bare;                      /* rules without wording, in order */
    size_t section_count, rule_count, fragment_count, bare_count, slot_count;
    struct automaton *automaton;
};

/* Append the rules of text. False with *error_r set to "file:line: …". */
bool classify_rules_read(struct classify_rules *rules, const char *file, const char *text, size_t length,
                         struct outcome *error_r) __attribute__((nonnull));

/* After the last read. */
bool classify_rules_finish(struct classify_rules *rules, struct outcome *error_r) __attribute__((nonnull));

/* A rule set of these lines alone: for other data files of the same form. */
struct classify_rules *classify_compile(const char *name, const char *const lines[], size_t count,
                                        struct outcome *error_r) __attribute__((nonnull));

/* data/classify and its like, compiled in: a string a line. */
extern const char *const data_classify[];
extern const size_t data_classify_count;
extern const char *const data_notices[];
extern const size_t data_notices_count;
extern const char *const data_boilerplate[];
extern const size_t data_boilerplate_count;
extern const char *const data_filters[];
extern const size_t data_filters_count;

#endif
