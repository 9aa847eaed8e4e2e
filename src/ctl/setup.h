/*
 * setup: what `sendpostctl setup` has been told, and how it becomes files. The answers live in memory that is
 * overwritten when it is given up; nothing secret is printed. setup.c leads from question to question,
 * setup_answers.c asks and validates, setup_provider.c knows who gives OAuth tokens, setup_oauth.c logs in
 * there, setup_user.c finds who delivers, setup_try.c tries what was answered, setup_files.c writes,
 * setup_interrupt.c cleans up where a signal ends it, setup_finish.c does what follows.
 */
#ifndef SENDPOST_CTL_SETUP_H
#define SENDPOST_CTL_SETUP_H

#include <signal.h>

#include "config/config_import.h"
#include "ctl/ctl.h"

#define SETUP_UUID_KEY_FILE "uuid-key" /* beside the configuration */
#define SETUP_API_KEY_FILE "event-api-key"

enum setup_question {
    SETUP_ACCOUNT_ID,
    SETUP_SUBACCOUNT_ID,
    SETUP_NAME,
    SETUP_TPSP_ID,
    SETUP_HOST,
    SETUP_PORT,
    SETUP_SECURITY,
    SETUP_USERNAME,
    SETUP_PASSWORD, /* secret; without one, but with a username: a login with OAuth tokens */
    SETUP_PROVIDER, /* of these tokens: "microsoft", "google" or "other" */
    SETUP_TENANT,
    SETUP_TOKEN_ENDPOINT,
    SETUP_DEVICE_ENDPOINT,
    SETUP_SCOPE,
    SETUP_CLIENT_ID,
    SETUP_CLIENT_SECRET, /* secret */
    SETUP_REFRESH_TOKEN, /* secret: answered, or what a login came to */
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
    bool logs_in;                /* once more, though there is a token */
    bool tokens_only;            /* the server takes no password */
    char *user;                  /* who delivers */
    gid_t group;                 /* ... with this group, which may read the files */
    char *log_path;              /* where this machine's Postfix logs; NULL: cannot be told */
    char *helo_name;             /* what its Postfix says in EHLO; NULL: not fit for others */
    struct config_import import; /* of --import; empty without */
    char *answers[SETUP_COUNT];  /* "" where there is none; NULL: not asked yet */

    /* of the configuration that is there and is changed, not replaced; old NULL: there is none */
    struct config *old;
    char *old_text;
    /* its answers; NULL: none. Secrets: "" when there is one, which is kept unless another is given */
    char *before[SETUP_COUNT];
    /* what the test came to, for --json; NULL: none */
    struct json_object *test;
    struct setup_files *files; /* that are staged; NULL: none */
    int lock;                  /* -1: not yet */
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

/* --- setup_provider.c --- */

/* Whether the login is one with tokens; then, whether a question about them is one for this provider, and
 * whether it gives the first one to a device (RFC 8628), which has still to be done. */
bool setup_uses_oauth(const struct setup *setup) __attribute__((nonnull));
bool setup_oauth_wants(const struct setup *setup, enum setup_question which) __attribute__((nonnull));
bool setup_can_log_in(const struct setup *setup) __attribute__((nonnull));
bool setup_needs_login(const struct setup *setup) __attribute__((nonnull));

/* What a question about them suggests; NULL: nothing. And what is wrong with an answer; NULL: nothing. */
const char *setup_oauth_suggestion(const struct setup *setup, enum setup_question which)
    __attribute__((nonnull));
const char *setup_oauth_fault(enum setup_question which, const char *answer) __attribute__((nonnull));

/* The section that is there: as what there was before; itself, NULL: none; and whether the answers change it.
 */
void setup_oauth_fill_in(struct setup *setup, const struct config_oauth *oauth) __attribute__((nonnull));
const struct config_oauth *setup_oauth_before(const struct setup *setup) __attribute__((nonnull));
bool setup_oauth_differs(const struct setup *setup) __attribute__((nonnull));

/* The section as YAML in one line, with the files of its secrets (NULL: none); the caller frees. */
char *setup_oauth_section(const struct setup *setup, const char *client_secret, const char *refresh_token)
    __attribute__((nonnull(1), returns_nonnull));

/* --- setup_try.c --- */

/* Stage, test, ask again what was wrong; true with the files staged, to be committed. */
bool setup_try(struct setup *setup) __attribute__((nonnull));

/* --- setup_user.c --- */

/* Who delivers, as --user, master.cf or what is there says. False: it was said that there is no such user. */
bool setup_find_user(struct setup *setup) __attribute__((nonnull));
/* The directory of the configuration and the key of UUIDs, which the packages make for a user of theirs, are
 * given to the group of whom they are for now; false where he cannot read what was written, which was said.
 */
bool setup_open_to_user(const struct setup *setup) __attribute__((nonnull));
/* What another user than the packages' needs besides. */
void setup_tell_user(const struct setup *setup) __attribute__((nonnull));

/* --- setup_finish.c --- */

/* The transport, the route, where our lines are logged, the services. */
enum ctl_status setup_finish(const struct setup *setup) __attribute__((nonnull));

/* --- setup_files.c --- */

/*
 * Write configuration and secrets beside their places, as FILE.new, and load them: NULL when that fails,
 * which has been said, and nothing is left. Then setup_commit() puts them in place, the configuration last,
 * or removes them where it cannot, which was said; or setup_discard() removes them. Modes: 0640 with the
 * group of the user when root, else 0600.
 */
struct config *setup_stage(struct setup *setup) __attribute__((nonnull));
bool setup_commit(struct setup *setup) __attribute__((nonnull));
void setup_discard(struct setup *setup) __attribute__((nonnull));

/* Act as the user who delivers, who owns the state directory, where root runs this; and as root again. */
void setup_become_user(const struct setup *setup) __attribute__((nonnull));
void setup_become_root(void);

/* One line to a new file with the modes of a secret; and a file in the place of another. False: it was said
 * why not. */
bool setup_write_secret(const struct setup *setup, const char *path, const char *secret)
    __attribute__((nonnull));
bool setup_replace(const struct setup *setup, const char *from, const char *to) __attribute__((nonnull));

/* "DIRECTORY/NAME" beside the configuration; the caller frees. */
char *setup_path(const struct setup *setup, const char *name) __attribute__((nonnull, returns_nonnull));

/* --- setup_interrupt.c --- */

/* From here on SIGINT, SIGTERM, SIGHUP and SIGQUIT remove what is staged and let the terminal echo again. */
void setup_interrupt_begin(void);
/* Files that they remove: paths stay where they are, and may be NULL; count 0: none. */
void setup_interrupt_removes(char *const paths[], size_t count);
/* They wait, for a change that must not stop half way. */
void setup_interrupt_wait(sigset_t *before_r) __attribute__((nonnull));
void setup_interrupt_go_on(const sigset_t *before) __attribute__((nonnull));
/* The terminal does not echo, if there is one; then it does again. */
bool setup_interrupt_quiet(void);
void setup_interrupt_echo(void);
/* One run at a time in the directory of the configuration, if that is there: they stage under the same names.
 * False: there is another, which was said. */
bool setup_lock(struct setup *setup) __attribute__((nonnull));
/* What an earlier run has left that was killed; with the lock. */
void setup_interrupt_sweep(const struct setup *setup) __attribute__((nonnull));

/* --- setup_oauth.c --- */

/* The login at the provider of a configuration that is staged: the answer for SETUP_REFRESH_TOKEN. False: it
 * was said why not. */
bool setup_log_in(struct setup *setup, const struct config *config) __attribute__((nonnull));
/* What a trial has left of tokens, now or an earlier one that was killed: it is of the configuration that is
 * written, or it goes. */
void setup_settle_login(const struct setup *setup) __attribute__((nonnull));
/* --oauth NAME */
enum ctl_status setup_oauth(const struct setup *setup, const char *name) __attribute__((nonnull));

#endif
