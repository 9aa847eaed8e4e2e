/*
 * classify_rules: rule files of the form that the head of data/classify describes, and the table they become.
 * Two kinds of file share it: those that tell hard from soft (data/classify, data/notices), and data/replies,
 * which says whose trouble a reply of a TPSP is and what is to be done about it, and may name stage, service,
 * provider and login in its conditions.
 *
 * A wording is one or several parts, joined by '&', that must all be in the text ('!' before one: must not).
 * A part is made of fragments between its '*', and each fragment may be any of several, where it names a
 * group of words. All fragments of all rules are found in one pass over the text.
 */
#ifndef SENDPOST_CLASSIFY_CLASSIFY_RULES_H
#define SENDPOST_CLASSIFY_CLASSIFY_RULES_H

#include <stdint.h>

#include "classify/automaton.h"
#include "classify/classify_words.h"
#include "classify/reply_action.h"

#define CLASSIFY_CONDITION_MAX 8 /* codes, or statuses, in one pair of braces */
#define CLASSIFY_GAP_MAX 60      /* characters that may stand at a '*' */
#define CLASSIFY_GAPPED_MAX 2048 /* pieces of all wordings with a '*' */
#define CLASSIFY_PARTS_MAX 8     /* of one wording */
#define CLASSIFY_SHARED_MAX 1024 /* different parts of all wordings that have several */
#define CLASSIFY_SERVICES_MAX 64
#define CLASSIFY_BUILTIN "built-in"

/* What a section can say. Data files of one kind have their own verdicts, in this order. */
enum classify_verdict { CLASSIFY_SOFT, CLASSIFY_HARD, CLASSIFY_OFF };

/* A kind of rule file. */
struct classify_kind {
    /* as a section names them; "off" among them */
    const char *const *verdicts;
    /* "hard, soft, off": for messages */
    const char *verdict_list;
    size_t verdict_count;
    unsigned off; /* which of them is "off" */
    /* names of stages, NULL-terminated; NULL: rules know no stage, service, login */
    const char *const *stages;
};

struct classify_section {
    char *reason;
    unsigned verdict;
    char *written;              /* of an action; NULL: of a verdict */
    struct reply_action action; /* its kind alone tells that the section is of one */
};

#define CLASSIFY_ANY 0xffff
#define CLASSIFY_NONE 0 /* as a class: there is no enhanced code */

struct classify_condition {
    size_t code_count, status_count;       /* 0: no condition */
    char codes[CLASSIFY_CONDITION_MAX][4]; /* "550", "5xx" */
    struct {
        unsigned short class, subject, detail;
    } statuses[CLASSIFY_CONDITION_MAX]; /* or CLASSIFY_ANY */
    uint32_t stages;                    /* a bit each; 0: any */
    uint64_t services;                  /* a bit each; 0: any */
    uint64_t providers;                 /* likewise, by enum provider_category */
    int login;                          /* 1: only where we logged in, -1: only where not, 0: any */
};

/* What conditions are held against. */
struct classify_facts {
    char reply[4]; /* "550"; digits that are not known are no digits */
    struct classify_code status;
    uint32_t stage;    /* its bit */
    uint64_t service;  /* its bit; 0: none */
    uint64_t provider; /* likewise */
    bool logged_in;
    bool action; /* a rule with an action is looked for, else one with a verdict */
};

/* One part of a wording of several: a bit in the set of those found. */
struct classify_part {
    uint16_t shared;
    bool absent; /* it must not be there */
};

struct classify_rule {
    const char *file;
    char *written; /* the line as it is in the file */
    size_t line;
    size_t section;
    struct classify_condition condition;
    size_t part_count; /* of a wording of several parts; 0: one part or none */
    struct classify_part parts[CLASSIFY_PARTS_MAX];
};

#define CLASSIFY_SHARED UINT32_MAX

/* What stands between two '*' of a wording, or one of the ways to say it. */
struct classify_fragment {
    uint32_t rule;   /* that it decides with its like; CLASSIFY_SHARED: it is of a shared part */
    uint16_t shared; /* then: which */
    uint16_t slot;   /* among the pieces of parts with a '*', the first one's is followed by the next's */
    bool first, last;
    uint32_t at; /* its words, in rules->words */
    uint32_t length;
};

struct classify_group {
    char *name;
    char **words;
    size_t count;
};

struct classify_service {
    char *name;
    char **domains;
    size_t count;
};

struct classify_rules {
    const struct classify_kind *kind;
    char *path; /* the postmaster's file, named by rules */
    struct classify_group *groups;
    struct classify_service *services;
    struct classify_section *sections;
    struct classify_rule *rules;         /* in order: the first that fits decides */
    struct classify_fragment *fragments; /* same index as the automaton's words */
    uint32_t *compound;                  /* rules of several parts, and those without wording, in order */
    char **shared;                       /* the shared parts as they are written */
    char *words;                         /* of the fragments, until the automaton is built of them */
    size_t words_length, words_size;
    size_t group_count, service_count, section_count, rule_count, fragment_count, compound_count,
        shared_count, slot_count;
    struct automaton *automaton;
};

extern const struct classify_kind classify_kind_hardness, classify_kind_replies;

/*
 * First all definitions of groups and services of all texts, then all rules: so the file of the postmaster,
 * whose rules come first, may use the groups of ours. False with *error_r set to "file:line: …".
 */
bool classify_rules_define(struct classify_rules *rules, const char *file, const char *text, size_t length,
                           struct outcome *error_r) __attribute__((nonnull));
bool classify_rules_read(struct classify_rules *rules, const char *file, const char *text, size_t length,
                         struct outcome *error_r) __attribute__((nonnull));

/* After the last read. */
bool classify_rules_finish(struct classify_rules *rules, struct outcome *error_r) __attribute__((nonnull));

/* A rule set of these lines alone: for other data files of the same form. */
struct classify_rules *classify_compile(const char *name, const char *const lines[], size_t count,
                                        struct outcome *error_r) __attribute__((nonnull));

/* The rules of the file at path, when path is not NULL and there is one, then these lines. */
struct classify_rules *classify_load(const struct classify_kind *kind, const char *path,
                                     const char *const lines[], size_t count, struct outcome *error_r)
    __attribute__((nonnull(1, 3, 5)));

/* The rules of text, named name, then these lines. */
struct classify_rules *classify_join(const struct classify_kind *kind, const char *name, const char *text,
                                     size_t length, const char *const lines[], size_t count,
                                     struct outcome *error_r) __attribute__((nonnull));

/* The first rule, in order, whose wording and condition fit; NULL when none does. */
const struct classify_rule *classify_first(const struct classify_rules *rules,
                                           const struct classify_words *words,
                                           const struct classify_facts *facts) __attribute__((nonnull));

/* The bits of the services that the host, or a domain, is of or lies under. */
uint64_t classify_services_of(const struct classify_rules *rules, const char *host, size_t length)
    __attribute__((nonnull));

/* The digits of code, or what is known of it from the status, into facts->reply. */
void classify_set_code(struct classify_facts *facts, int code) __attribute__((nonnull));

/* "550 5.1.1" given from outside, and what the words hold: the remote end's own code, in the text, is
 * preferred to a status that says less or was made up on the way. */
struct classify_code classify_choose_status(const char *given, const struct classify_words *words)
    __attribute__((nonnull));

/* The file NAME beside the configuration file. The caller frees. */
char *classify_file(const char *config_path, const char *name) __attribute__((nonnull, returns_nonnull));

/* data/classify and its like, compiled in: a string a line. */
extern const char *const data_classify[];
extern const size_t data_classify_count;
extern const char *const data_notices[];
extern const size_t data_notices_count;
extern const char *const data_boilerplate[];
extern const size_t data_boilerplate_count;
extern const char *const data_filters[];
extern const size_t data_filters_count;
extern const char *const data_replies[];
extern const size_t data_replies_count;

#endif
