/*
 * status_private: what `sendpostctl status` shows. status_read.c gathers it, status_trouble.c says what of it
 * is not well, status.c prints it for people, status_json.c for programs.
 */
#ifndef SENDPOST_CTL_STATUS_PRIVATE_H
#define SENDPOST_CTL_STATUS_PRIVATE_H

#include <json-c/json.h>

#include "ctl/ctl.h"
#include "ctl/limits.h"
#include "event/event_store.h"
#include "policy/standing.h"
#include "store/store.h"
#include "trace/backlog.h"

#define HOUR_MS INT64_C(3600000)
#define DAY_MS (24 * HOUR_MS)
#define ERRORS 5
#define STATUS_DISK_LOW 0.05 /* of the disk is free: no message is sent when it is full */
#define STATUS_CERTIFICATE_SOON_MS (7 * DAY_MS)

/* What became of messages in the last 24 hours. */
struct status_counts {
    uint64_t delivered, deferred, dropped, bounced, soft_bounced;
};

struct status_tpsp {
    const struct config_tpsp *config;
    struct status_counts day;
    uint64_t last_hour;     /* delivered */
    struct breaker breaker; /* until_ns: from now */
    struct limits_connections connections;
    int64_t certificate_ms; /* until when the TPSP's is good; 0: not seen */
    char **limits;          /* as limit_words() has them, with the provider before */
    size_t limit_count;
    struct json_object *limits_json, *slow_down_json;
};

/* Something that is not well, and what mends it; "": the text says it. */
struct status_trouble {
    char *text, *command;
};

struct status {
    struct ctl *ctl;
    const struct config *config;
    int64_t now_ms;
    struct status_tpsp *tpsps;
    struct status_counts day; /* of all, and of what no TPSP of the configuration did */
    struct event errors[ERRORS];
    size_t error_count;
    int64_t pending, rejected, waiting, next_ms;
    /* what sendpost-bounce was given and made no event of */
    uint64_t no_bounces, nobodys_bounces, unbelieved_bounces;
    char **slowed; /* a line for each */
    size_t slowed_count;
    char **suspended; /* likewise */
    size_t suspended_count;
    struct json_object *suspended_json;
    struct held {
        const struct config_tpsp *tpsp;
        struct standing standing;
        int64_t messages;
    } * held; /* room for one of each TPSP */
    size_t held_count;
    struct store_leftovers leftovers;
    struct backlog backlog;
    bool queue_known;
    char *why_no_queue;
    int64_t disk_free, disk_size;        /* bytes; size 0: not known */
    int64_t log_written_ms, log_line_ms; /* the file, and the last line that the agent read; 0: not known */
    struct json_object *agent;           /* what it says; NULL: it does not answer */
    char *agent_error;
    struct status_trouble *trouble; /* the gravest first */
    size_t trouble_count;
};

/* Its arrays have room for every TPSP. False: it was said why. */
bool status_read(struct status *status) __attribute__((nonnull));

/* After status_read(). */
void status_find_trouble(struct status *status) __attribute__((nonnull));

void status_print_json(const struct status *status) __attribute__((nonnull));

#endif
