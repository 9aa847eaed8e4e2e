#include "policy/validate.h"

#include <inttypes.h>
#include <string.h>

#include "base/address.h"

static void drop(struct outcome *outcome_r, const char *enhanced, const char *what, const char *why)
{
    outcome_set(outcome_r, OUTCOME_DROPPED, CAUSE_POLICY, 0, enhanced, "%s%s", what, why);
}

bool validate(const struct config *config, const struct validate_facts *facts, struct outcome *outcome_r)
{
    int64_t limit = config->validation.max_message_size;
    const char *why;

    if (limit > 0 && facts->size > (uint64_t)limit)
        outcome_set(outcome_r, OUTCOME_DROPPED, CAUSE_POLICY, 0, "5.3.4",
                    "message of %" PRIu64 " bytes is larger than the limit of %" PRId64, facts->size, limit);
    else if (facts->header_overflow)
        drop(outcome_r, "5.3.4", "message header is too large", "");
    else if (config->validation.require_from && (facts->from == NULL || *facts->from == '\0'))
        drop(outcome_r, "5.6.0", "message has no From: header field", "");
    else if (!address_valid(facts->recipient, &why))
        drop(outcome_r, "5.1.3", "bad recipient address: ", why);
    else if (*facts->sender != '\0' && !address_valid(facts->sender, &why))
        drop(outcome_r, "5.1.7", "bad sender address: ", why);
    else
        return true;
    return false;
}
