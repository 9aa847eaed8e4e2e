/*
 * fields: the recipients of a delivery status notification (RFC 3464 section 2.3), from the text of its
 * message/delivery-status part or from the same fields where a mail system put them into its prose.
 */
#ifndef SENDPOST_BOUNCE_FIELDS_H
#define SENDPOST_BOUNCE_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"

#define FIELDS_RECIPIENTS_MAX 100
#define FIELDS_VALUE_SIZE 2048

enum fields_action {
    FIELDS_FAILED,
    FIELDS_DELAYED,
    FIELDS_DONE, /* delivered, relayed or expanded: no failure */
    FIELDS_UNSAID,
};

struct fields_recipient {
    char address[ADDRESS_SIZE]; /* what we sent to: Original-Recipient, else Final-Recipient */
    char final[ADDRESS_SIZE];   /* Final-Recipient; address where there is none */
    enum fields_action action;
    char status[12];                    /* "" when there is none */
    char remote[256];                   /* the host that said it (Remote-MTA); "" when there is none */
    char diagnostic[FIELDS_VALUE_SIZE]; /* without its type; "" when there is none */
};

/* Returns how many are in *recipients_r (malloc'd, the caller frees; NULL for none). */
size_t fields_read(struct fields_recipient **recipients_r, const char *text) __attribute__((nonnull));

/* The address in a header field's value ("rfc822; <a@b>", "Name <a@b>", "a@b (comment)"), validated. */
bool fields_address(char address_r[ADDRESS_SIZE], const char *value) __attribute__((nonnull));

#endif
