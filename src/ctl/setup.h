/*
 * setup: what `sendpostctl setup` has been told, and how it becomes files. The answers live in memory that is
 * overwritten when it is given up; nothing secret is printed. setup.c leads from question to question,
 * setup_answers.c asks and validates, setup_try.c tries what was answered, setup_files.c writes,
 * setup_finish.c does what follows.
 */
#ifndef SENDPOST_CTL_SETUP_H
#define SENDPOST_CTL_SETUP_H

#include "config/config_import.h"
#include "ctl/ctl.h"

enum setup_question {
    SETUP_ACCOUNT_ID,
    SETUP_SUBACCOUNT_ID,
    SETUP_NAME,
    SETUP_TPSP_ID,
    SETUP_HOST,
    SETUP_PORT,
    SETUP_SECURITY,
    SETUP_USERNAME,
    SETUP_PASSWORD, /* secret */
    SETUP_MAX_RATE,
    SETUP_API_KEY, /* secret */
    SETUP_ENDPOINT,
    SETUP_STATE_DIR,
    SETUP_COUNT
};

struct setup {
    struct ctl *ctl;
    bool batch;                  /* ask nothing */
    bool adds;                   /* a further TPSP: --add */
    const char *user;            /* who delivers: whose group may read the files */
    char *log_path;              /* where this machine's Postfix logs; NULL: cannot be told */
    char *helo_name;             /* what its Postfix says in EHLO; NULL: not fit for others */
    struct config_import import; /* of --import; empty without */
    char *answers[SETUP_COUNT];  /* "" where there is none */

    /* of the configuration that is there and is changed, not replaced; old NULL: there is none */
    struct config *old;
    char *old_text;
    /* its answers; NULL: none. Secrets: "" when there is one, which is kept unless another is given */
    char *before[SETUP_COUNT];
    /* what the test came to, for --json; NULL: none */
    struct json_object *test;
};

/* --- setup_answers.c --- */

/* Ask, or take from the options; what there was before is the answer where nothing else is said. */
enum ctl_status setup_gather(struct setup *setup) __attribute__((nonnull));
/* The same for one question, of which an answer was found wrong. */
enum ctl_status setup_gather_again(struct setup *setup, enum setup_question which) __attribute__((nonnull));

/* A line of a person; NULL at the end of the input. The caller frees. */
char *setup_ask_line(const char *prompt) __attribute__((nonnull));
/* "PROMPT [Y/n]: "; false at the end of the input. */
bool setup_ask_yes(const char *prompt, bool fallback) __attribute__((nonnull));

/* --- setup_try.c --- */

/* Stage, test, ask again what was wrong; true with the files staged, to be committed. */
bool setup_try(struct setup *setup) __attribute__((nonnull));

/* --- setup_finish.c --- */

/* The transport, the route, where our lines are logged, the services. */
enum ctl_status setup_finish(const struct setup *setup) __attribute__((nonnull));

/* --- setup_files.c --- */

/*
 * Write configuration and secrets beside their places, as FILE.new, and load them: NULL when that fails,
 * which has been said. Then setup_commit() puts them in place, the configuration last, or setup_discard()
 * removes them. Modes: 0640 with the group of the user when root, else 0600.
 */
struct config *setup_stage(const struct setup *setup) __attribute__((nonnull));
bool setup_commit(const struct setup *setup) __attribute__((nonnull));
void setup_discard(const struct setup *setup) __attribute__((nonnull));

/* One line to a new file with the modes of a secret; and a file in the place of another. False: it was said
 * why not. */
bool setup_write_secret(const struct setup *setup, const char *path, const char *secret)
    __attribute__((nonnull));
bool setup_replace(const struct setup *setup, const char *from, const char *to) __attribute__((nonnull));

/* "DIRECTORY/NAME" beside the configuration; the caller frees. */
char *setup_path(const struct setup *setup, const char *name) __attribute__((nonnull, returns_nonnull));

/* --oauth NAME, setup_oauth.c */
enum ctl_status setup_oauth(const struct setup *setup, const char *name) __attribute__((nonnull));

#endif
