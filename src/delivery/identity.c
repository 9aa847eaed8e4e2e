#include "delivery/identity.h"

#include <inttypes.h>
#include <string.h>

#include "base/xalloc.h"

static const char *const identity_headers[] = {
    IDENTITY_HEADER_UUID, "X-Sendpost-Account-ID", "X-Sendpost-SubAccount-ID",
    "X-Sendpost-TPSP-ID", "X-Sendpost-TPSP-Type",
};

/* The incoming UUID counts only when there is one field and it is well-formed: of two, either may be
 * forged. */
static bool incoming_uuid(char uuid_r[UUID_SIZE], const struct message *message)
{
    AUTO_FREE char *first = message_header(message, IDENTITY_HEADER_UUID, 0);
    AUTO_FREE char *second = message_header(message, IDENTITY_HEADER_UUID, 1);

    if (first == NULL || second != NULL || !uuid_valid(first, strlen(first)))
        return false;
    uuid_copy(uuid_r, first);
    return true;
}

/* Queue ids are used again; the topmost Received field, our own Postfix's, tells one use from the next. */
static void derive(char uuid_r[UUID_SIZE], const struct message *message, const char *queue_id,
                   const char *recipient, const struct uuid_keys *keys, size_t nth)
{
    AUTO_FREE char *received = message_header(message, "Received", 0);
    AUTO_FREE char *message_id = received ? NULL : message_header(message, "Message-ID", 0);
    AUTO_FREE char *date = received ? NULL : message_header(message, "Date", 0);

    uuid_proof_derive(uuid_r, keys, nth,
                      (const char *[]){queue_id, recipient, received ? received : message_id, date}, 4,
                      recipient);
}

void identity_uuid(char uuid_r[UUID_SIZE], const struct message *message, const char *given,
                   const char *queue_id, const char *recipient, const struct uuid_keys *keys)
{
    if (*given != '\0')
        uuid_copy(uuid_r, given);
    else if (incoming_uuid(uuid_r, message))
        return;
    else if (*queue_id == '\0')
        uuid_proof_random(uuid_r, keys, recipient);
    else
        derive(uuid_r, message, queue_id, recipient, keys, 0);
}

bool identity_earlier(char uuid_r[UUID_SIZE], const struct message *message, const char *given,
                      const char *queue_id, const char *recipient, const struct uuid_keys *keys, size_t nth)
{
    if (nth > keys->count || *given != '\0' || *queue_id == '\0' || incoming_uuid(uuid_r, message))
        return false;
    derive(uuid_r, message, queue_id, recipient, keys, nth);
    return true;
}

void identity_mark(struct message *message, const char *uuid, const struct config *config,
                   const struct config_tpsp *tpsp)
{
    for (size_t i = 0; i < sizeof identity_headers / sizeof identity_headers[0]; i++)
        message_remove_header(message, identity_headers[i]);

    AUTO_FREE char *lines =
        xasprintf("%s: %s\r\n%s: %" PRId64 "\r\n%s: %" PRId64 "\r\n%s: %" PRId64 "\r\n%s: custom-smtp\r\n",
                  identity_headers[0], uuid, identity_headers[1], config->account_id, identity_headers[2],
                  config->subaccount_id, identity_headers[3], tpsp->id, identity_headers[4]);
    message_prepend(message, lines);
}
