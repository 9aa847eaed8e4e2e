#include "bounce/complaint_store.h"

#include "base/xalloc.h"
#include "policy/suppression.h"

bool complaint_store(struct store *store, const struct config *config, const struct belief *belief,
                     int64_t now_ms, struct outcome *error_r)
{
    if (!store_begin(store, STORE_DURABLE, error_r))
        return false;
    uint64_t number = store_get_number(store, SUPPRESSION_COMPLAINTS_KEY);
    bool ok = true;
    for (size_t i = 0; ok && i < belief->count; i++) {
        struct belief_failure *failure = &belief->failures[i];
        int changed = suppression_after_complaint(store, config, failure->recipient, now_ms, error_r);
        ok = changed >= 0;
        failure->suppressed = changed > 0;
        number += failure->suppressed;
    }
    AUTO_FREE char *count = xasprintf("%llu", (unsigned long long)number);
    ok = ok && store_put(store, SUPPRESSION_COMPLAINTS_KEY, count, error_r) && store_commit(store, error_r);
    if (!ok)
        store_rollback(store);
    return ok;
}
