/*
 * setup: what `sendpostctl setup` has been told, and how it becomes files. The answers live in memory that is
 * overwritten when it is given up; nothing secret is printed.
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
    SETUP_SECURITY,
    SETUP_PORT,
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
    const char *user;            /* who delivers: whose group may read the files */
    char *log_path;              /* where this machine's Postfix logs; NULL: cannot be told */
    char *helo_name;             /* what its smtp(8) says in EHLO; NULL: no name for others to know */
    struct config_import import; /* of --import; empty without */
    char *answers[SETUP_COUNT];  /* "" where there is none */
};

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

/* --oauth NAME */
enum ctl_status setup_oauth(const struct setup *setup, const char *name) __attribute__((nonnull));

/* "DIRECTORY/NAME" beside the configuration; the caller frees. */
char *setup_path(const struct setup *setup, const char *name) __attribute__((nonnull, returns_nonnull));

#endif
