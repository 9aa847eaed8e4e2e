#include "agent/feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/xalloc.h"
#include "event/event_store.h"
#include "policy/slow_down_behind.h"

/* What was said, and what of the message's own event tells of whom. */
struct kept {
    char *tpsp, *provider, *sender, *recipient, *status, *text;
    int code;
    int64_t time_ms;
    bool bounced;
};

struct feed {
    const struct config *config;
    struct store *store;
    struct rate_table *table; /* NULL: not opened yet */
    struct replies *replies;
    struct kept *kept; /* in the order of the log */
    size_t kept_count;
};

struct feed *feed_open(const struct config *config, struct store *store)
{
    struct feed *feed = xcalloc(1, sizeof *feed);

    feed->config = config;
    feed->store = store;
    return feed;
}

void feed_close(struct feed *feed)
{
    if (feed == NULL)
        return;
    feed_forget(feed);
    free(feed->kept);
    rate_table_close(feed->table);
    replies_close(feed->replies);
    free(feed);
}

static bool open_all(struct feed *feed)
{
    struct outcome error;

    if (feed->replies == NULL)
        feed->replies = replies_open_beside(feed->config->path);
    return feed->table != NULL ||
           rate_table_open(&feed->table, feed->config->state_dir, &rate_clock_system, &error);
}

/* The event of the pipe for this recipient. */
struct looking {
    const char *recipient;
    struct event sent;
    bool found;
};

static bool see(void *context, const struct event *sent)
{
    struct looking *looking = context;

    looking->found = *sent->tpsp != '\0' && strcasecmp(sent->recipient, looking->recipient) == 0;
    if (looking->found)
        looking->sent = *sent;
    return !looking->found;
}

void feed_event(struct feed *feed, const struct event *event, int64_t now_ms)
{
    bool bounced = event->cs == CS_HARD_BOUNCED || event->cs == CS_SOFT_BOUNCED;
    static _Thread_local struct looking looking;
    struct outcome error;

    if (!feed->config->slow_down.enabled || (!bounced && event->cs != CS_DEFERRED) ||
        event->timestamp_ms < now_ms - SLOW_DOWN_RECENT_MS)
        return;
    looking.recipient = event->recipient;
    looking.found = false;
    if (!event_store_sent(feed->store, event->message_id, see, &looking, &error) || !looking.found)
        return;
    feed->kept = xrealloc(feed->kept, (feed->kept_count + 1) * sizeof *feed->kept);
    feed->kept[feed->kept_count++] = (struct kept){.tpsp = xstrdup(looking.sent.tpsp),
                                                   .provider = xstrdup(looking.sent.provider),
                                                   .sender = xstrdup(looking.sent.sender),
                                                   .recipient = xstrdup(event->recipient),
                                                   .status = xstrdup(event->smtp_enhanced_code),
                                                   .text = xstrdup(event->smtp_description),
                                                   .code = event->smtp_code,
                                                   .time_ms = event->timestamp_ms,
                                                   .bounced = bounced};
}

static void tell(const struct feed *feed, const struct kept *kept, int64_t now_ms)
{
    static _Thread_local struct event sent;

    snprintf(sent.tpsp, sizeof sent.tpsp, "%s", kept->tpsp);
    snprintf(sent.provider, sizeof sent.provider, "%s", kept->provider);
    snprintf(sent.sender, sizeof sent.sender, "%s", kept->sender);
    const struct slow_down_said said = {.sent = &sent,
                                        .recipient = kept->recipient,
                                        .code = kept->code,
                                        .status = kept->status,
                                        .text = kept->text,
                                        .length = strlen(kept->text),
                                        .time_ms = kept->time_ms,
                                        .bounced = kept->bounced};
    slow_down_hear_behind(feed->config, feed->table, feed->replies, &said, now_ms);
}

void feed_tell(struct feed *feed, int64_t now_ms)
{
    if (feed->kept_count == 0)
        return;
    if (open_all(feed))
        for (size_t i = 0; i < feed->kept_count; i++)
            tell(feed, &feed->kept[i], now_ms);
    feed_forget(feed);
}

void feed_forget(struct feed *feed)
{
    for (size_t i = 0; i < feed->kept_count; i++) {
        struct kept *kept = &feed->kept[i];
        char *const texts[] = {kept->tpsp,      kept->provider, kept->sender,
                               kept->recipient, kept->status,   kept->text};
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
            free(texts[k]);
    }
    feed->kept_count = 0;
}
