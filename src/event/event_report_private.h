/*
 * event_report_private: what the two halves of event_report share; nobody else includes it. event_report.c is
 * the reporter and its single events, event_report_pending.c what is left for batches.
 */
#ifndef SENDPOST_EVENT_EVENT_REPORT_PRIVATE_H
#define SENDPOST_EVENT_EVENT_REPORT_PRIVATE_H

#include "event/event_ask.h"
#include "event/event_pace.h"
#include "event/event_pause.h"
#include "event/event_report.h"
#include "event/event_sweep.h"

struct event_reporter {
    struct event_asker asker;
    struct event_pauses pauses;
    struct event_pace pace;
    struct event_sweep sweep;
    int batches; /* more than 1: the API is quick */
};

/* What the round of a TPSP's events came to. */
enum event_progress {
    EVENT_PROGRESS_NONE,    /* nothing of it is due */
    EVENT_PROGRESS_MADE,    /* some more may be due */
    EVENT_PROGRESS_KEY,     /* its key is refused: others may do better */
    EVENT_PROGRESS_STOP,    /* the API takes nothing now */
    EVENT_PROGRESS_TROUBLE, /* the store failed */
};

/* What an answer that settles nothing means for the round. */
enum event_progress event_progress_after(enum event_answer kind);

/* Whether the API may be asked now, for the key whose pauses were read. */
bool event_report_may_ask(struct event_reporter *reporter, int64_t now_ms) __attribute__((nonnull));

/* A whole batch was accepted, or stays pending as it is. */
bool event_report_batch_accepted(struct event_reporter *reporter, const struct event *events, int count,
                                 struct outcome *error_r) __attribute__((nonnull));
bool event_report_released(struct event_reporter *reporter, enum event_answer kind, struct outcome *error_r)
    __attribute__((nonnull));

/* After a batch was refused, or failed in a way that one bad event can cause. An event that fails alone where
 * others do not is put off by itself; two in a row mean that it is the API. */
enum event_progress event_report_one_at_a_time(struct event_reporter *reporter, struct event *events,
                                               int count, const char *key, int64_t deadline_ms,
                                               struct event_report_counts *counts, struct outcome *error_r)
    __attribute__((nonnull(1, 2, 6, 7)));

#endif
