/*
 * suppression: addresses, and whole domains, that get no mail from here, each with reason and date. Table
 * suppression, by address in its normal form: in lower case and without a final dot; a whole domain as
 * "@example.com". An internationalised domain stays in the form in which it was written, "münchen.de" or
 * "xn--mnchen-3ya.de", and stops both. A domain does not include its subdomains. Where
 * suppression.case-sensitive is on, local parts are kept as they are written, and only the very same one is
 * stopped.
 */
#ifndef SENDPOST_POLICY_SUPPRESSION_H
#define SENDPOST_POLICY_SUPPRESSION_H

#include "base/address.h"
#include "config/config.h"
#include "store/store.h"

enum suppression_reason {
    SUPPRESSION_MANUAL,
    SUPPRESSION_UNSUBSCRIBE,
    SUPPRESSION_HARD_BOUNCE,
    SUPPRESSION_SPAM_COMPLAINT,
    SUPPRESSION_REASONS
};

struct suppression {
    char address[ADDRESS_SIZE]; /* the entry; "@example.com" is a domain */
    enum suppression_reason reason;
    int64_t since_ms; /* clock_realtime_ms() */
};

/* "manual", "unsubscribe", "hard bounce", "spam complaint". */
const char *suppression_reason_name(enum suppression_reason reason) __attribute__((returns_nonnull));

/* Without regard to case; '-' and '_' may stand for the space. */
bool suppression_reason_by_name(const char *name, enum suppression_reason *reason_r) __attribute__((nonnull));

/* How addresses are compared. */
enum suppression_match {
    SUPPRESSION_SUB_ADDRESS = 1,    /* an entry without sub-address stops all of them */
    SUPPRESSION_CASE_SENSITIVE = 2, /* of local parts */
};

/* As the configuration has it. */
unsigned suppression_match(const struct config *config) __attribute__((nonnull));

/* "user@Example.com", "Example.com" or "@Example.com" in its normal form; false with the reason in *why_r (a
 * constant string) when it is neither an address nor a domain. */
bool suppression_normalise(const char *text, unsigned match, char address_r[ADDRESS_SIZE], const char **why_r)
    __attribute__((nonnull));

/* The same address with its internationalised domain in the other form, "u@xn--mnchen-3ya.de" for
 * "u@münchen.de" and the other way round; false when there is none. address: in normal form. */
bool suppression_other_form(const char *address, char other_r[ADDRESS_SIZE]) __attribute__((nonnull));

/*
 * The entry that stops mail to recipient: of itself, of the address without its sub-address (what follows the
 * first "+" of the local part) where match says so, or of its domain. match: enum suppression_match. 1 with
 * *found_r filled, 0 when there is none, -1 with *error_r set.
 */
int suppression_find(struct store *store, const char *recipient, unsigned match, struct suppression *found_r,
                     struct outcome *error_r) __attribute__((nonnull));

/* Add, or replace reason and date of, an entry whose address is in normal form; inside the caller's
 * transaction or as one of its own. */
bool suppression_add(struct store *store, const struct suppression *entry, struct outcome *error_r)
    __attribute__((nonnull));

/* A hard bounce was seen: add the recipient when suppression.on-hard-bounce says so. What is there already
 * keeps its reason and date. 1 when the list has changed, 0 when not, -1 with *error_r set. */
int suppression_after_hard_bounce(struct store *store, const struct config *config, const char *recipient,
                                  int64_t now_ms, struct outcome *error_r) __attribute__((nonnull));

/* Of the meta table: how many recipients were suppressed for it. */
#define SUPPRESSION_COMPLAINTS_KEY "bounce.complaints"

/* The recipient has complained: it is added, or its reason becomes the stronger one; a complaint that is
 * there already keeps its date. The result as above. */
int suppression_after_complaint(struct store *store, const struct config *config, const char *recipient,
                                int64_t now_ms, struct outcome *error_r) __attribute__((nonnull));

/* 1 when it was there (in any case, without SUPPRESSION_CASE_SENSITIVE), 0 when not, -1 with *error_r set.
 * address: in normal form. */
int suppression_remove(struct store *store, const char *address, unsigned match, struct outcome *error_r)
    __attribute__((nonnull));

/* The stage of a delivery: false with *outcome_r set when recipient is suppressed (5.7.1) or the store cannot
 * tell. */
bool suppression_pass(struct store *store, const struct config *config, const char *recipient,
                      struct outcome *outcome_r) __attribute__((nonnull));

#endif
