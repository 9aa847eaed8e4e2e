/*
 * complaint: what a feedback report says (RFC 5965): somebody has told his provider that a message of ours is
 * spam, and the provider tells us. Such a report makes no event, for the API knows none; whoever complained
 * gets no more mail (bounce/complaint_store.h).
 *
 * Providers hide who it was (RFC 6590), so a report without a recipient is the usual one: then its message
 * UUID says whom it is about, where it proves itself for the recipient that the store knows it with. What
 * else is in the report are guesses, which count where the UUID proves them. Of a UUID that proves nothing
 * the recipient has to be named (bounce/belief.h).
 */
#ifndef SENDPOST_BOUNCE_COMPLAINT_H
#define SENDPOST_BOUNCE_COMPLAINT_H

#include "bounce/dsn.h"

#define COMPLAINT_RECIPIENTS_MAX 100

/*
 * fields: the text of the message/feedback-report part; returned: header of the message that it is about.
 * What is no complaint (not-spam, auth-failure, virus, other …) gets a why_none; else *report_r has at least
 * one recipient, and complaint is set. Its message_id is filled where it is empty and the report names our
 * bounce address.
 */
void complaint_read(const char *fields, const char *returned, struct dsn *report_r) __attribute__((nonnull));

#endif
