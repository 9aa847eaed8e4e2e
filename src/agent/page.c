#include "agent/page.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/page_facts.h"
#include "agent/page_html.h"
#include "agent/page_search.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"

#define EVERY_MS 2000    /* it is written while somebody looks */
#define FEED_MS 500      /* new events are looked for while somebody follows */
#define HURRY_MS 20      /* between two turns while events are still to be counted */
#define LOOKING_MS 30000 /* after the last request somebody is taken to look still */
#define PATIENCE_MS 2000 /* of a request for the first page after a while */

struct page {
    const struct config *config;
    struct board *board;
    struct page_feed *feed;
    struct page_facts *facts; /* of the thread */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake, written;
    int64_t asked_ms;   /* when somebody last did; these and the next under the lock */
    int64_t written_ms; /* 0: never */
    char *texts[2];     /* without addresses, with */
};

static void until(struct timespec *time_r, int64_t from_now_ms)
{
    clock_gettime(CLOCK_MONOTONIC, time_r);
    time_r->tv_sec += from_now_ms / 1000;
    time_r->tv_nsec += from_now_ms % 1000 * 1000000;
    if (time_r->tv_nsec >= 1000000000) {
        time_r->tv_sec++;
        time_r->tv_nsec -= 1000000000;
    }
}

static void write_anew(struct page *page)
{
    char *fresh[2];

    for (int i = 0; i < 2; i++)
        fresh[i] = page_document(page->facts, i == 1);
    pthread_mutex_lock(&page->lock);
    for (int i = 0; i < 2; i++) {
        free(page->texts[i]);
        page->texts[i] = fresh[i];
    }
    page->written_ms = clock_monotonic_ms();
    pthread_cond_broadcast(&page->written);
    pthread_mutex_unlock(&page->lock);
}

/* Until there is something to do. */
static void rest(struct page *page, bool more)
{
    pthread_mutex_lock(&page->lock);
    for (;;) {
        bool followed = page_feed_is_followed(page->feed);
        int64_t now_ms = clock_monotonic_ms(), due_ms = page->written_ms + (followed ? FEED_MS : EVERY_MS);
        struct timespec time;
        if (now_ms > page->asked_ms + LOOKING_MS && !followed) {
            pthread_cond_wait(&page->wake, &page->lock);
            continue;
        }
        if (more)
            due_ms = page->written_ms + HURRY_MS;
        if (now_ms >= due_ms)
            break;
        until(&time, due_ms - now_ms);
        pthread_cond_timedwait(&page->wake, &page->lock, &time);
    }
    pthread_mutex_unlock(&page->lock);
}

static void *run(void *context)
{
    struct page *page = context;

    for (;;) {
        bool more = page_facts_gather(page->facts, page->board, page->feed);
        write_anew(page);
        page_feed_tick(page->feed);
        rest(page, more);
    }
    return NULL;
}

struct page *page_start(const struct config *config, struct board *board, struct queue_watch *queue)
{
    struct page *page = xcalloc(1, sizeof *page);
    pthread_condattr_t attributes;

    page->config = config;
    page->board = board;
    page->feed = page_feed_new();
    page->facts = page_facts_new(config, queue);
    pthread_mutex_init(&page->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&page->wake, &attributes);
    pthread_cond_init(&page->written, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&page->thread, NULL, run, page) != 0)
        log_line(LOG_ERR, "the status page stays empty: cannot start a thread");
    return page;
}

struct page_feed *page_feed_of(struct page *page)
{
    return page->feed;
}

/* Nothing foreign has the mark in it: "<" is escaped. */
static char *with_found(const char *text, const char *found)
{
    const char *mark = strstr(text, PAGE_FOUND_MARK);

    return mark != NULL
               ? xasprintf("%.*s%s%s", (int)(mark - text), text, found, mark + strlen(PAGE_FOUND_MARK))
               : xstrdup(text);
}

char *page_html(struct page *page, bool addresses, const char *query)
{
    AUTO_FREE char *found =
        addresses && query != NULL && *query != '\0' ? page_search(page->config, query) : NULL;
    struct timespec give_up;

    until(&give_up, PATIENCE_MS);
    pthread_mutex_lock(&page->lock);
    page->asked_ms = clock_monotonic_ms();
    pthread_cond_signal(&page->wake);
    while ((page->written_ms == 0 || page->written_ms < page->asked_ms - 2 * EVERY_MS) &&
           pthread_cond_timedwait(&page->written, &page->lock, &give_up) == 0)
        ;
    char *text =
        with_found(page->texts[addresses] != NULL ? page->texts[addresses] : "", found != NULL ? found : "");
    pthread_mutex_unlock(&page->lock);
    return text;
}
