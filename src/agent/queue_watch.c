#include "agent/queue_watch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/xalloc.h"

#define EVERY_MS 15000
#define LOOKING_MS 150000 /* more than two turns of a slow Prometheus */
#define TIMEOUT_MS 4000
#define STORE_MS 1000 /* nobody who has mail in hand waits for it */

struct queue_watch {
    const char *state_dir;
    pthread_mutex_t lock;
    struct page_queue queue;
    struct backlog backlog;
    bool backlog_known;
    int64_t looked_ms, asked_ms; /* 0: never */
};

struct queue_watch *queue_watch_new(const char *state_dir)
{
    struct queue_watch *watch = xcalloc(1, sizeof *watch);

    watch->state_dir = state_dir;
    pthread_mutex_init(&watch->lock, NULL);
    snprintf(watch->queue.why, sizeof watch->queue.why, "it is being asked");
    return watch;
}

struct page_queue queue_watch_look(struct queue_watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    struct page_queue queue = watch->queue;
    watch->looked_ms = clock_monotonic_ms();
    pthread_mutex_unlock(&watch->lock);
    return queue;
}

bool queue_watch_backlog(struct queue_watch *watch, struct backlog *backlog_r)
{
    pthread_mutex_lock(&watch->lock);
    bool known = watch->backlog_known;
    *backlog_r = watch->backlog;
    pthread_mutex_unlock(&watch->lock);
    return known;
}

/* Without the ladder all that waits for it would be something else. */
static bool read_backlog(const struct queue_watch *watch, const char *text, const struct page_queue *queue,
                         struct backlog *backlog_r)
{
    uint64_t counted = 0;
    int64_t until_ms = clock_monotonic_ms() + STORE_MS;
    struct outcome ignored;
    struct store *store;

    if (!store_open_to_read(&store, watch->state_dir, until_ms, &ignored))
        return false;
    bool ok = backlog_read(backlog_r, store, text, queue->whole, until_ms, &ignored);
    store_close(store);
    for (int i = 0; i < PAGE_QUEUES; i++)
        counted += queue->messages[i];
    backlog_r->complete = backlog_r->complete && backlog_r->messages == counted; /* the text has a bound */
    return ok;
}

void queue_watch_tick(struct queue_watch *watch)
{
    int64_t now_ms = clock_monotonic_ms();
    struct page_queue queue;
    struct backlog backlog = {0};
    AUTO_FREE char *text = NULL;

    pthread_mutex_lock(&watch->lock);
    bool due = watch->looked_ms > 0 && now_ms < watch->looked_ms + LOOKING_MS &&
               (watch->asked_ms == 0 || now_ms > watch->asked_ms + EVERY_MS);
    pthread_mutex_unlock(&watch->lock);
    if (!due)
        return;
    page_queue_read(&queue, TIMEOUT_MS, &text);
    bool known = queue.known && text != NULL && read_backlog(watch, text, &queue, &backlog);
    pthread_mutex_lock(&watch->lock);
    watch->queue = queue;
    watch->backlog = backlog;
    watch->backlog_known = known;
    watch->asked_ms = clock_monotonic_ms();
    pthread_mutex_unlock(&watch->lock);
}
