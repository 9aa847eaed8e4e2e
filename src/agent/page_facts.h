/*
 * page_facts: what the status page tells, gathered from the board, the store, the rate table, Postfix's queue
 * and the configuration, in turns that are short. What cannot be known now is marked so.
 *
 * One thread. Texts may be a remote end's own words, with addresses: page_html.h says what is shown to whom.
 */
#ifndef SENDPOST_AGENT_PAGE_FACTS_H
#define SENDPOST_AGENT_PAGE_FACTS_H

#include "agent/board.h"
#include "agent/domain_watch.h"
#include "agent/page_tally.h"
#include "agent/queue_watch.h"
#include "config/config.h"
#include "policy/breaker.h"
#include "policy/rate_table.h"
#include "policy/slow_down.h"
#include "policy/suspension.h"

#define PAGE_RUNGS 16  /* attempts that are told apart; the last has all above */
#define PAGE_LIMITS 24 /* of a TPSP that are shown */
#define PAGE_FINDINGS 24
#define PAGE_SLOW_DOWNS 8 /* of a TPSP that are shown */
#define PAGE_SUSPENSIONS 16

struct page_limit {
    char text[128];       /* "100/h: 16 used this hour, spread, next slot in 40 s" */
    const char *provider; /* NULL: for all */
};

struct page_tpsp {
    struct breaker breaker;                            /* until_ns: from now */
    int64_t last_hour;                                 /* accepted; -1: not known */
    struct slow_down_view slow_downs[PAGE_SLOW_DOWNS]; /* times: from now */
    const char *slow_providers[PAGE_SLOW_DOWNS];       /* NULL: for all */
    size_t slow_count;
    int64_t certificate_ms; /* when the TPSP's ends; 0: not seen */
    struct page_limit limits[PAGE_LIMITS];
    size_t limit_count;
};

struct page_suspension {
    char text[SUSPENSION_NAME_SIZE + SUSPENSION_TEXT_SIZE + 16], command[128];
};

/* The retry ladder. */
struct page_ladder {
    bool known;
    int64_t waiting, held;
    int64_t by_attempts[PAGE_RUNGS];
    int64_t next_ms, oldest_ms; /* when the next is due, when the oldest first failed; 0: none */
};

/* Something that is wrong now, and what mends it. */
struct page_finding {
    bool grave;
    char text[1200];
    char command[128]; /* to copy; "": what to do is in the text */
};

struct page_facts {
    int64_t now_ms;
    const struct config *config;
    struct board_facts board;
    struct page_tpsp *tpsps; /* as in the configuration */
    struct page_ladder ladder;
    struct page_queue queue;
    bool backlog_known;
    struct backlog backlog; /* what the mail in it waits for */
    struct queue_watch *queue_watch;
    struct domain_fact domains[DOMAIN_WATCH_MAX];
    size_t domain_count;
    struct domain_watch *domain_watch;
    struct page_tally *tally;
    bool store_known;
    double disk_free; /* part of the file system of the state directory; below 0: not known */
    struct page_suspension suspensions[PAGE_SUSPENSIONS];
    size_t suspension_count;
    struct page_finding findings[PAGE_FINDINGS];
    size_t finding_count;
};

struct page_facts *page_facts_new(const struct config *config, struct queue_watch *queue)
    __attribute__((nonnull, returns_nonnull));

/* True: the events are not all counted yet. */
bool page_facts_gather(struct page_facts *facts, struct board *board, struct page_feed *feed)
    __attribute__((nonnull));

#endif
