#include "agent/ingest_lock.h"

#include "base/clock.h"
#include "store/store.h"

#define WAIT_MS 10000

int ingest_lock(const char *state_dir, struct outcome *error_r)
{
    int64_t give_up_ms = clock_monotonic_ms() + WAIT_MS;
    int lock = store_lock(state_dir, "ingest", give_up_ms, error_r);

    if (lock < 0 && clock_monotonic_ms() > give_up_ms)
        outcome_local(error_r, "4.3.0",
                      "another sendpost-agent follows the log with state directory %s, and reports all that "
                      "is in it: leave it to that one, or stop it first ('fuser -v %s/ingest.lock' names it)",
                      state_dir, state_dir);
    return lock;
}
