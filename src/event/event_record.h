/*
 * event_record: a reporter's memory: who may ask the API now, and what is put on record after an answer. A
 * part of event_report; nobody else includes it.
 */
#ifndef SENDPOST_EVENT_EVENT_RECORD_H
#define SENDPOST_EVENT_EVENT_RECORD_H

#include "event/event_ask.h"
#include "event/event_pause.h"
#include "event/event_report.h"

struct event_reporter {
    struct event_asker asker;
    struct event_pause endpoint_pause;
    struct event_pause key_pause;
    int batches;        /* more than 1: the API is quick (event_report.c) */
    bool claimed;       /* a pause has ended, and it is this process that asks */
    int64_t swept_ms;   /* clock_monotonic_ms() */
    int64_t sweep_from; /* event_store_sweep() */
};

/* The pauses of the endpoint and of this key (NULL: none), from the store. */
void event_record_read_pauses(struct event_reporter *reporter, const char *key, int64_t now_ms)
    __attribute__((nonnull(1)));

/* Whether the API may be asked now, for the key whose pauses were read. */
bool event_record_may_ask(struct event_reporter *reporter, int64_t now_ms) __attribute__((nonnull));

/* The API has judged one event: kind is ANSWER_ACCEPTED or ANSWER_REFUSED. learnt: see event_ask_alone(). */
bool event_record_settled(struct event_reporter *reporter, const struct event *event, enum answer_kind kind,
                          bool learnt, struct outcome *error_r) __attribute__((nonnull));
bool event_record_batch_accepted(struct event_reporter *reporter, const struct event *events, int count,
                                 struct outcome *error_r) __attribute__((nonnull));

/* One that was tried alone stays pending, on disk before this returns. pause: others should wait, too.
 * put_off: this one should wait longer at each time. */
bool event_record_kept(struct event_reporter *reporter, const struct event *event, enum answer_kind kind,
                       bool pause, bool put_off, struct outcome *error_r) __attribute__((nonnull));

/* A whole batch stays pending, as it is. */
bool event_record_released(struct event_reporter *reporter, enum answer_kind kind, struct outcome *error_r)
    __attribute__((nonnull));

#endif
