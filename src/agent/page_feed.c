#include "agent/page_feed.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/xalloc.h"

#define BLOCK 16384 /* more than a line can have */
#define BEAT_MS 10000
static const char beat[] = ":\n\n";

struct follower {
    struct page_feed *feed;
    struct MHD_Connection *connection; /* NULL: free */
    uint64_t next;                     /* the number of the line it is to get */
    int64_t until_ms, said_ms;
    int descriptor;
    bool suspended, gone;
};

struct page_feed {
    pthread_mutex_t lock;
    struct event_text lines[PAGE_FEED_LINES]; /* by number modulo; the last PAGE_FEED_LINES */
    uint64_t count;                           /* that there ever were: the number of the next */
    struct follower followers[PAGE_FEED_CLIENTS];
};

struct page_feed *page_feed_new(void)
{
    struct page_feed *feed = xcalloc(1, sizeof *feed);

    pthread_mutex_init(&feed->lock, NULL);
    return feed;
}

/* The lock is held. */
static void wake(struct follower *follower)
{
    if (follower->connection == NULL || !follower->suspended)
        return;
    follower->suspended = false;
    MHD_resume_connection(follower->connection);
}

/* As many whole lines as there is room for. The lock is held. */
static size_t give_lines(struct follower *follower, char *buffer, size_t size)
{
    struct page_feed *feed = follower->feed;
    size_t length = 0;

    if (feed->count - follower->next > PAGE_FEED_LINES)
        follower->next = feed->count - PAGE_FEED_LINES;
    while (follower->next < feed->count) {
        const struct event_text *line = &feed->lines[follower->next % PAGE_FEED_LINES];
        if (length + line->length > size)
            break;
        memcpy(buffer + length, line->bytes, line->length);
        length += line->length;
        follower->next++;
    }
    return length;
}

static ssize_t on_room(void *context, uint64_t position, char *buffer, size_t size)
{
    struct follower *follower = context;
    struct page_feed *feed = follower->feed;
    int64_t now_ms = clock_monotonic_ms();

    (void)position;
    pthread_mutex_lock(&feed->lock);
    size_t length = give_lines(follower, buffer, size);
    if (length == 0 && now_ms > follower->said_ms + BEAT_MS && size >= sizeof beat - 1)
        memcpy(buffer, beat, length = sizeof beat - 1);
    bool old = follower->gone || now_ms > follower->until_ms;
    if (length > 0) {
        follower->said_ms = now_ms;
    } else if (!old) {
        follower->suspended = true;
        MHD_suspend_connection(follower->connection);
    }
    pthread_mutex_unlock(&feed->lock);
    return length == 0 && old ? MHD_CONTENT_READER_END_OF_STREAM : (ssize_t)length;
}

static void on_end(void *context)
{
    struct follower *follower = context;

    pthread_mutex_lock(&follower->feed->lock);
    follower->connection = NULL;
    pthread_mutex_unlock(&follower->feed->lock);
}

static struct follower *take_place(struct page_feed *feed, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct follower *free_one = NULL;
    int64_t now_ms = clock_monotonic_ms();

    pthread_mutex_lock(&feed->lock);
    for (size_t i = 0; i < PAGE_FEED_CLIENTS && free_one == NULL; i++)
        if (feed->followers[i].connection == NULL)
            free_one = &feed->followers[i];
    if (free_one != NULL) /* said_ms 0: the first beat goes out at once, so that the browser knows it is in */
        *free_one = (struct follower){.feed = feed,
                                      .connection = connection,
                                      .next = feed->count,
                                      .descriptor = info != NULL ? info->connect_fd : -1,
                                      .until_ms = now_ms + PAGE_FEED_LIFE_MS};
    pthread_mutex_unlock(&feed->lock);
    return free_one;
}

struct MHD_Response *page_feed_follow(struct page_feed *feed, struct MHD_Connection *connection)
{
    struct follower *follower = take_place(feed, connection);

    if (follower == NULL)
        return NULL;
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, on_room, follower, on_end);
    if (response == NULL)
        on_end(follower);
    return response;
}

bool page_feed_is_followed(struct page_feed *feed)
{
    bool followed = false;

    pthread_mutex_lock(&feed->lock);
    for (size_t i = 0; i < PAGE_FEED_CLIENTS; i++)
        followed = followed || feed->followers[i].connection != NULL;
    pthread_mutex_unlock(&feed->lock);
    return followed;
}

void page_feed_add(struct page_feed *feed, const struct event *event, const char *state)
{
    struct event_text line = {0};

    event_text_add(&line, "data: ", 6);
    event_add_json(&line, event, state);
    event_text_add(&line, "\n\n", 2);
    pthread_mutex_lock(&feed->lock);
    struct event_text *place = &feed->lines[feed->count++ % PAGE_FEED_LINES];
    free(place->bytes);
    *place = line;
    for (size_t i = 0; i < PAGE_FEED_CLIENTS; i++)
        wake(&feed->followers[i]);
    pthread_mutex_unlock(&feed->lock);
}

/* libmicrohttpd does not look at who is suspended: his place would stay taken until the next beats. */
static bool has_gone(const struct follower *follower)
{
    char byte;

    return recv(follower->descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

void page_feed_tick(struct page_feed *feed)
{
    int64_t now_ms = clock_monotonic_ms();

    pthread_mutex_lock(&feed->lock);
    for (size_t i = 0; i < PAGE_FEED_CLIENTS; i++) {
        struct follower *follower = &feed->followers[i];
        if (follower->connection == NULL)
            continue;
        follower->gone = follower->gone || has_gone(follower);
        if (follower->gone || now_ms > follower->until_ms || now_ms > follower->said_ms + BEAT_MS)
            wake(follower);
    }
    pthread_mutex_unlock(&feed->lock);
}
