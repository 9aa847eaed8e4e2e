#include "delivery/recover.h"

#include "base/clock.h"
#include "base/log.h"
#include "delivery/intent.h"
#include "event/event_report.h"

struct recovery {
    const struct config *config;
    struct store *store;
};

static bool keep(void *argument, int64_t key, const struct event *event)
{
    const struct recovery *recovery = argument;
    struct store *store = recovery->store;
    enum event_state state = event_report_state(recovery->config, event);
    struct outcome error;

    if (store_begin(store, STORE_DURABLE, &error) &&
        event_store_add(store, event, state, clock_realtime_ms(), &error) &&
        intent_remove(store, key, &error) && store_commit(store, &error)) {
        log_line(LOG_NOTICE, "%s: its acceptance by %s is on record now", event->message_id, event->tpsp);
        return true;
    }
    store_rollback(store);
    return false;
}

void recover(const struct config *config, struct store *store, struct mark_table *marks)
{
    struct recovery recovery = {config, store};

    mark_each_left(marks, keep, &recovery);
}

void recover_left(const struct config *config, struct store *store)
{
    struct outcome ignored;
    struct mark_table *marks = mark_table_find(config->state_dir, &ignored);

    if (marks != NULL)
        recover(config, store, marks);
    mark_table_close(marks);
}
