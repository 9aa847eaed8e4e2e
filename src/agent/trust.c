#include "agent/trust.h"

#include <string.h>

#include "postlog/log_cursor.h"

/* "host[192.0.2.7]:25": the address; length 0 when there is none ("local", "unknown[unknown]" has a word). */
static struct log_slice address_of(struct log_slice client)
{
    const char *close = client.length > 0 ? memrchr(client.at, ']', client.length) : NULL;
    const char *open = close != NULL ? memrchr(client.at, '[', (size_t)(close - client.at)) : NULL;

    if (open == NULL)
        return (struct log_slice){"", 0};
    return (struct log_slice){open + 1, (size_t)(close - open - 1)};
}

enum trust_origin trust_client(const struct trust *trust, struct log_slice client, bool sasl)
{
    const struct networks *listed = &trust->config->trusted_senders;
    struct log_slice address = address_of(client);

    if (sasl)
        return TRUST_SENDER;
    if (address.length == 0)
        return TRUST_UNKNOWN;
    if (networks_hold(listed->count > 0 ? listed : &trust->mta->networks, address.at, address.length))
        return TRUST_SENDER;
    /* without a Postfix to ask, whoever is not of this machine may be a sender */
    return listed->count > 0 || trust->mta->known ? TRUST_STRANGER : TRUST_UNKNOWN;
}

/* smtp(8), or error(8) in its place while the destination does not answer. */
static bool leaves(const struct postfix_log_line *line)
{
    static const char suspended[] = "delivery temporarily suspended";

    return slice_is(line->program, "smtp") ||
           (line->status == POSTFIX_STATUS_DEFERRED && line->reason.length >= sizeof suspended - 1 &&
            memcmp(line->reason.at, suspended, sizeof suspended - 1) == 0);
}

static bool proves(const struct trust *trust, const unsigned char uuid[16], struct log_slice recipient)
{
    return recipient.length > 0 &&
           uuid_proof_verify_bytes(&trust->config->uuid_keys, uuid, recipient.at, recipient.length);
}

bool trust_uuid(const struct trust *trust, enum trust_origin origin, const unsigned char uuid[16],
                const struct postfix_log_line *line)
{
    bool out = leaves(line);

    if (origin == TRUST_SENDER || (origin == TRUST_UNKNOWN && out))
        return true;
    if (origin >= TRUST_STRANGER && !out)
        return false;
    return proves(trust, uuid, line->to) || proves(trust, uuid, line->orig_to);
}
