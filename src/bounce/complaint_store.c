#include "bounce/complaint_store.h"

#include "base/xalloc.h"
#include "policy/suppression.h"

bool complaint_store(struct store *store, const struct config *config, const struct belief *belief,
                     int64_t now_ms, struct outcome *error_r)
{
    if (!store_begin(store, STORE_DURABLE, error_r))
        return false;
    bool ok = true;
    for (size_t i = 0; ok && i < belief->count; i++)
        ok = suppression_after_complaint(store, config, belief->failures[i].recipient, now_ms, error_r);
    AUTO_FREE char *count = xasprintf(
        "%llu", (unsigned long long)(store_get_number(store, SUPPRESSION_COMPLAINTS_KEY) + belief->count));
    ok = ok && store_put(store, SUPPRESSION_COMPLAINTS_KEY, count, error_r) && store_commit(store, error_r);
    if (!ok)
        store_rollback(store);
    return ok;
}
