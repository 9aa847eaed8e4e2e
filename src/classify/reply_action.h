/*
 * reply_action: what is to be done when a reply says that too much is sent, as a section of data/replies
 * names it:
 *
 *     [reason] slower [50%] [of provider] [after 3 in 10m] [source ADDRESS]
 *     [reason] pause for 30m …    connections 3 for 1h …    close [20] …    hold for 1h …
 */
#ifndef SENDPOST_CLASSIFY_REPLY_ACTION_H
#define SENDPOST_CLASSIFY_REPLY_ACTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPLY_ACTION_AFTER_MAX 24

enum reply_action_kind {
    REPLY_NO_ACTION,
    REPLY_SLOWER,      /* the limit is multiplied */
    REPLY_PAUSE,       /* nothing for a time */
    REPLY_CONNECTIONS, /* at most so many at a time, for a time */
    REPLY_CLOSE,       /* end a session after so many messages */
    REPLY_HOLD,        /* nothing to this recipient for a time */
};

/* Strings live as long as the rules. */
struct reply_action {
    enum reply_action_kind kind;
    bool of_provider;    /* of the mailbox provider alone, not of the whole TPSP */
    bool by_service;     /* the rule is for a service of which we know that the reply is its own */
    uint32_t factor_ppm; /* REPLY_SLOWER: the rule's own factor; 0: none */
    unsigned number;     /* REPLY_CONNECTIONS, REPLY_CLOSE; 0: as it was learnt */
    int64_t for_ms;      /* REPLY_PAUSE, REPLY_CONNECTIONS, REPLY_HOLD */
    unsigned after;      /* so many such replies … */
    int64_t within_ms;   /* … in this time begin it */
    const char *reason;  /* name of the section */
    const char *source;  /* where the rule is from: an address, or "" */
    const char *rule;    /* the deciding line as it is written */
    const char *file;    /* "built-in" or the path of the postmaster's file */
    size_t line;
};

/* Whether text begins with the name of an action. */
bool reply_action_named(const char *text) __attribute__((nonnull));

/* NULL, or what is wrong, a constant. source points into text. */
const char *reply_action_read(const char *text, struct reply_action *action_r) __attribute__((nonnull));

/* "slower 50% of provider after 3 in 10m"; returns buffer. */
#define REPLY_ACTION_TEXT_SIZE 160
char *reply_action_text(const struct reply_action *action, char buffer[REPLY_ACTION_TEXT_SIZE])
    __attribute__((nonnull));

#endif
