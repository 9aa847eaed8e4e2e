#include "agent/queue_watch.h"

#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/xalloc.h"

#define EVERY_MS 15000
#define LOOKING_MS 150000 /* more than two turns of a slow Prometheus */
#define TIMEOUT_MS 4000

struct queue_watch {
    pthread_mutex_t lock;
    struct page_queue queue;
    int64_t looked_ms, asked_ms; /* 0: never */
};

struct queue_watch *queue_watch_new(void)
{
    struct queue_watch *watch = xcalloc(1, sizeof *watch);

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

void queue_watch_tick(struct queue_watch *watch)
{
    int64_t now_ms = clock_monotonic_ms();
    struct page_queue queue;

    pthread_mutex_lock(&watch->lock);
    bool due = watch->looked_ms > 0 && now_ms < watch->looked_ms + LOOKING_MS &&
               (watch->asked_ms == 0 || now_ms > watch->asked_ms + EVERY_MS);
    pthread_mutex_unlock(&watch->lock);
    if (!due)
        return;
    page_queue_read(&queue, TIMEOUT_MS, NULL);
    pthread_mutex_lock(&watch->lock);
    watch->queue = queue;
    watch->asked_ms = clock_monotonic_ms();
    pthread_mutex_unlock(&watch->lock);
}
