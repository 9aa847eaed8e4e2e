/*
 * classify: is a failure hard or soft? Hard means that the address is bad: unknown user or host, moved, takes
 * no mail at all. Whatever speaks of policy, content, reputation, size, quota, rate or expiry is soft, also
 * with a 5xx code.
 *
 * The rules are data: data/classify, compiled in, documented in its own head. The postmaster's file, when
 * there is one, holds rules of the same form that are tried before ours. All wordings of all rules are
 * matched in one pass over the text (Aho and Corasick, CACM 18(6), 1975), after line breaks, reply codes,
 * case, punctuation, accents and addresses have been evened out; then the first rule in file order decides.
 *
 * A rule set is read-only once opened and may be shared by threads. Building it takes about a millisecond.
 */
#ifndef SENDPOST_CLASSIFY_CLASSIFY_H
#define SENDPOST_CLASSIFY_CLASSIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/outcome.h"

#define CLASSIFY_TEXT_MAX 4096 /* bytes of a text that are looked at */

/* Where the postmaster's own rules are: the file "classify" beside the configuration file. The caller
 * frees. */
char *classify_path(const char *config_path) __attribute__((nonnull, returns_nonnull));

struct classify_rules;

struct classify_result {
    bool hard;
    int smtp_code;                      /* as given, else as found in the text, else 0 */
    char status[OUTCOME_ENHANCED_SIZE]; /* the enhanced code that was judged; "" when there is none */
    const char *reason;                 /* name of the section: "user-unknown", "quota" … */
    const char *rule;                   /* the deciding line as it is written; "" when none applied */
    const char *file;                   /* "built-in" or the path of the postmaster's file */
    size_t line;                        /* in that file, from 1 */
};

/*
 * The built-in rules, preceded by those of the file at path when path is not NULL and the file exists. NULL
 * with *error_r set (file, line, remedy) when the file cannot be read or understood: a caller that must go on
 * takes classify_open_beside(); NULL for path cannot fail.
 */
struct classify_rules *classify_open(const char *path, struct outcome *error_r) __attribute__((nonnull(2)));
void classify_close(struct classify_rules *rules); /* NULL is fine */

/* The built-in rules, preceded by the postmaster's, which lie beside the configuration. Wrong ones are told
 * in the log, and ours alone used. */
struct classify_rules *classify_open_beside(const char *config_path)
    __attribute__((nonnull, returns_nonnull));

/* As classify_open(path), with rules from memory instead of a file; name is for messages. Kept by pointer:
 * name. */
struct classify_rules *classify_parse(const char *name, const char *text, size_t length,
                                      struct outcome *error_r) __attribute__((nonnull));

/*
 * Who spoke, for rules that one mailbox provider's words alone mean: the host that said it, or "" where that
 * is not known, and the recipient's address, or "". 0: no provider that the rules know.
 */
uint64_t classify_speaker(const struct classify_rules *rules, const char *host, size_t host_length,
                          const char *recipient) __attribute__((nonnull));

/*
 * Judge one failure. smtp_code: the reply code, 0 when not known. status: the enhanced status code, "" when
 * not known. text: the remote end's words, or a whole log line's or report's diagnostic; it may hold line
 * breaks and need not end with NUL. A code in the text is what the remote end said itself and is preferred to
 * a less specific status. Strings in the result live as long as the rules.
 */
void classify_text(const struct classify_rules *rules, int smtp_code, const char *status, const char *text,
                   size_t length, struct classify_result *result_r) __attribute__((nonnull));

/* The same, said by classify_speaker(). */
void classify_said(const struct classify_rules *rules, uint64_t speaker, int smtp_code, const char *status,
                   const char *text, size_t length, struct classify_result *result_r)
    __attribute__((nonnull));

#endif
