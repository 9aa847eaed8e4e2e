/*
 * ctl: the frame of sendpostctl. main.c parses options for every subcommand along tables, so that --help, the
 * manual and the shell completion tell the same story; a subcommand is one file with one struct ctl_command,
 * listed in main.c.
 *
 *     static int run(struct ctl *ctl) { … return CTL_OK; }
 *     const struct ctl_command ctl_rates = {.name = "rates", …, .run = run};
 *
 * Text that came from a remote end or a message is printed through ctl_text() or a table, which make it safe
 * for a terminal.
 */
#ifndef SENDPOST_CTL_CTL_H
#define SENDPOST_CTL_CTL_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/run.h"
#include "config/config.h"
#include "relay/relay.h"
#include "store/store.h"

#define CTL_FRAGMENTS PKGDATADIR "/postfix-conf" /* settings of Postfix, with the reasons */

enum ctl_status { CTL_OK = 0, CTL_TROUBLE = 1, CTL_USAGE = 64 };

struct ctl_option {
    const char *name;     /* long form, without dashes */
    char letter;          /* 0: none */
    const char *argument; /* its name in --help; NULL: takes none */
    const char *help;
};

struct ctl_command;

struct ctl {
    const struct ctl_command *command;
    const char *config_path;
    bool json;
    bool verbose;
    size_t operand_count;
    char **operands;     /* what is no option, after the name of the subcommand */
    const char **values; /* one for each row of command->options; see ctl_option() */
    struct config *config;
    struct store *store;
    struct run *queue; /* "postqueue -j", once the configuration is there; NULL where nobody asks it */
};

struct ctl_command {
    const char *name;
    const char *synopsis;             /* operands and own options: "[TPSP…] [--from A] [--to B]" */
    const char *summary;              /* one line for the overview */
    const char *examples;             /* indented by two spaces, a line each, with line ends */
    const struct ctl_option *options; /* ends with a row without name; NULL: none of its own */
    bool stays_root;                  /* opens nothing in the state directory, but in children that do not */
    bool reads_log;                   /* with the groups that the agent has for it */
    bool tells_rights;                /* says what the delivery user may not do, though root may */
    bool asks_queue;                  /* Postfix's, with the rights that we come with: ctl->queue */
    int queue_patience_ms;            /* ... for so long, and then with what came; 0: to its end */
    enum ctl_status (*run)(struct ctl *ctl);
};

/* The value given for an option of the subcommand: NULL when it was not given, "" when it takes none. */
const char *ctl_option(const struct ctl *ctl, const char *name) __attribute__((nonnull));

/* "sendpostctl NAME: …" and where help is, on stderr. Returns CTL_USAGE, ctl_fail() CTL_TROUBLE. */
enum ctl_status ctl_usage(const struct ctl *ctl, const char *format, ...)
    __attribute__((nonnull, format(printf, 2, 3)));
enum ctl_status ctl_fail(const struct ctl *ctl, const char *format, ...)
    __attribute__((nonnull, format(printf, 2, 3)));

/*
 * The configuration, loaded once; NULL when it cannot be: that has been said, return CTL_TROUBLE. With it
 * root becomes the owner of the state directory, for good (base/state_dir.h): what only root may open, a file
 * that a person names, say, is to be open by then.
 */
const struct config *ctl_config(struct ctl *ctl) __attribute__((nonnull));

/* Asks Postfix for its queue, anew; ctl->queue->status is 0 when it answered. */
void ctl_ask_queue(struct ctl *ctl) __attribute__((nonnull));

/* The store of that configuration, opened once; NULL as above. */
struct store *ctl_store(struct ctl *ctl) __attribute__((nonnull));

/* --- output (ctl_output.c) ------------------------------------------------------------------- */

enum ctl_colour { CTL_PLAIN, CTL_BOLD, CTL_GREEN, CTL_YELLOW, CTL_RED, CTL_DIM };

/* Escape sequence when stdout is a terminal that wants colour (NO_COLOR, TERM=dumb), else "". */
const char *ctl_colour(enum ctl_colour colour) __attribute__((returns_nonnull));

/* A copy of text without control characters and invalid UTF-8; the caller frees. */
char *ctl_text(const char *text) __attribute__((nonnull, returns_nonnull));

/* A table with left-aligned columns, printed when it is complete. A header that begins with '>' makes its
 * column right-aligned. */
struct ctl_table;
struct ctl_table *ctl_table_new(size_t columns, const char *const headers[])
    __attribute__((nonnull, returns_nonnull));
/* As many strings as there are columns; copied. NULL is an empty cell. */
void ctl_table_row(struct ctl_table *table, const char *const cells[]) __attribute__((nonnull));
size_t ctl_table_rows(const struct ctl_table *table) __attribute__((nonnull));
/* Prints and frees. On a terminal, lines are cut to its width, unless all of it is wanted, and words of our
 * vocabulary have their colour. */
void ctl_table_print(struct ctl_table *table) __attribute__((nonnull));
void ctl_table_whole(struct ctl_table *table) __attribute__((nonnull));
/* For lists that go on: prints the rows so far, the header once, in columns that only grow. Ends with
 * ctl_table_free() in place of ctl_table_print(). */
void ctl_table_flush(struct ctl_table *table) __attribute__((nonnull));
void ctl_table_free(struct ctl_table *table) __attribute__((nonnull));

/* Print a JSON value with its line end, and give it up. */
void ctl_print_json(struct json_object *value);
/* For what prints JSON piece by piece: it has begun. Where nothing did, and a command ends in trouble, {"ok":
 * false, "error": …} is printed with what ctl_fail() said last. */
void ctl_json_begins(void);
bool ctl_json_has_begun(void);
void ctl_json_complaint(const char *text) __attribute__((nonnull));
struct json_object *ctl_json_trouble(void) __attribute__((returns_nonnull));

/*
 * An array that is printed a row at a time, for there may be millions; a row is given up. Where reading them
 * fails, which ctl_fail() has said, the array is no answer: that object stands in its place, or is its last
 * row when others were printed before. Elsewhere than on standard output it is the last row in any case.
 */
struct ctl_json_rows {
    FILE *stream;
    size_t count;
};
void ctl_json_row(struct ctl_json_rows *rows, struct json_object *row) __attribute__((nonnull));
void ctl_json_rows_end(struct ctl_json_rows *rows, bool whole) __attribute__((nonnull));

/* --- what one subcommand does for another ---------------------------------------------------------- */

struct ctl_test_end {
    enum relay_stage failed_at;
    bool tokens_only; /* the server offers logins with OAuth tokens and none with a password */
};

/* test.c: send a test message through a TPSP of a configuration. recipient: NULL for the default. results:
 * takes what came of it; NULL: it is printed for people, step by step. *end_r: of one that failed. */
bool ctl_test_config(struct ctl *ctl, const struct config *config, const char *name, const char *recipient,
                     struct json_object *results, struct ctl_test_end *end_r)
    __attribute__((nonnull(1, 2, 3, 6)));

/* postfix.c: as `postfix install`. directory, user: NULL for the default. */
enum ctl_status ctl_postfix_install(struct ctl *ctl, const char *directory, const char *user)
    __attribute__((nonnull(1)));

/* --- the subcommands, in the order of --help -------------------------------------------------- */

extern const struct ctl_command ctl_setup;
extern const struct ctl_command ctl_check;
extern const struct ctl_command ctl_test;
extern const struct ctl_command ctl_trace;
extern const struct ctl_command ctl_status_command;
extern const struct ctl_command ctl_top;
extern const struct ctl_command ctl_events;
extern const struct ctl_command ctl_deliveries;
extern const struct ctl_command ctl_retry;
extern const struct ctl_command ctl_suspend;
extern const struct ctl_command ctl_resume;
extern const struct ctl_command ctl_suppress;
extern const struct ctl_command ctl_sync;
extern const struct ctl_command ctl_rates;
extern const struct ctl_command ctl_explain;
extern const struct ctl_command ctl_rehearse;
extern const struct ctl_command ctl_classify;
extern const struct ctl_command ctl_postfix;
extern const struct ctl_command ctl_ui;

#endif
