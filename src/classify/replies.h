/*
 * replies: whose trouble a reply of a TPSP is: the message's, the account's, this host's or the session's.
 *
 * The rules are data: data/replies, compiled in, documented in its own head; the postmaster's file beside the
 * configuration, when there is one, is tried before them. Before a reply is matched, every echo of recipient
 * and sender in it becomes a token (echo.h): no correspondent can speak to the rules by what he is called.
 * The defaults are rules as well, the last ones: each reply of 400 and more has a verdict.
 *
 * A rule set is read-only once opened and may be shared by threads. Building it takes a few milliseconds: a
 * caller that lives for one message opens it when the first refusal comes.
 */
#ifndef SENDPOST_CLASSIFY_REPLIES_H
#define SENDPOST_CLASSIFY_REPLIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/outcome.h"
#include "base/provider_category.h"
#include "classify/reply_action.h"

/* What the reply answers. */
enum reply_stage {
    REPLY_GREETING,
    REPLY_EHLO,
    REPLY_STARTTLS,
    REPLY_AUTH,
    REPLY_MAIL,
    REPLY_RCPT,
    REPLY_DATA, /* the command */
    REPLY_DOT,  /* the content */
    REPLY_STAGES
};

/* "greeting", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "dot" */
const char *reply_stage_name(enum reply_stage stage) __attribute__((returns_nonnull));
bool reply_stage_by_name(const char *name, enum reply_stage *stage_r) __attribute__((nonnull));

struct replies;

/* Whose reply it is, and to what. */
struct reply_facts {
    enum reply_stage stage;
    int code;              /* 0: not known, or in the text */
    const char *status;    /* enhanced code, "" when not known; one in the text is preferred */
    const char *recipient; /* NULL: not known */
    const char *sender;    /* NULL: not known; "" is the null sender */
    const char *service;   /* as replies_service() names it; "" when it is none we know */
    bool logged_in;
    /* whose words they are where no TPSP speaks, but what is behind it, in a log or a bounce; NULL: none's */
    const enum provider_category *provider;
};

enum reply_whose { REPLY_OF_MESSAGE, REPLY_OF_ACCOUNT, REPLY_OF_HOST, REPLY_OF_SESSION };

struct reply_verdict {
    enum reply_whose whose;
    /* The recipient's own: his mailbox or his mail server speaks, perhaps passed on by the TPSP. Final also
     * on a kept connection, and never a reason to leave the TPSP alone. */
    bool of_recipient;
    bool by_default;    /* no rule knew the words: told by code and stage alone */
    uint64_t words;     /* a hash of what was said, echoes left out: the same words are the same refusal */
    const char *reason; /* name of the section */
    const char *rule;   /* the deciding line as it is written */
    const char *file;   /* "built-in" or the path of the postmaster's file */
    size_t line;
    struct reply_action action; /* what is to be done about it besides */
};

/* "message", "account", "host", "session" */
const char *reply_whose_name(enum reply_whose whose) __attribute__((returns_nonnull));

/* Where the postmaster's own rules are: the file "replies" beside the configuration file. The caller frees.
 */
char *replies_path(const char *config_path) __attribute__((nonnull, returns_nonnull));

/* As classify_open(). */
struct replies *replies_open(const char *path, struct outcome *error_r) __attribute__((nonnull(2)));
/* As classify_open_beside(). */
struct replies *replies_open_beside(const char *config_path) __attribute__((nonnull, returns_nonnull));
struct replies *replies_parse(const char *name, const char *text, size_t length, struct outcome *error_r)
    __attribute__((nonnull));
void replies_close(struct replies *replies); /* NULL is fine */

/*
 * The service whose replies a TPSP gives. configured: "auto", "none" or a name; "auto" goes by the host. ""
 * when there is none. Lives as long as the rules and configured.
 */
const char *replies_service(const struct replies *replies, const char *configured, const char *host)
    __attribute__((nonnull, returns_nonnull));

/* Whether some rule or host belongs to the service of this name. */
bool replies_know_service(const struct replies *replies, const char *name) __attribute__((nonnull));

/* Judge a reply of 400 or more. Strings in the result live as long as the rules. */
void replies_judge(const struct replies *replies, const struct reply_facts *facts, const char *text,
                   size_t length, struct reply_verdict *verdict_r) __attribute__((nonnull));

#endif
