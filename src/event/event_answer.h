/*
 * event_answer: what the HTTP status of the event API's answer means for events: the contract's table.
 */
#ifndef SENDPOST_EVENT_EVENT_ANSWER_H
#define SENDPOST_EVENT_EVENT_ANSWER_H

enum event_answer {
    EVENT_ANSWER_ACCEPTED,
    EVENT_ANSWER_REFUSED, /* this request, as it is */
    EVENT_ANSWER_KEY_REFUSED,
    EVENT_ANSWER_BUSY,          /* or none at all: nobody's event is taken now */
    EVENT_ANSWER_FAILING,       /* perhaps because of one event */
    EVENT_ANSWER_MISCONFIGURED, /* this is no event API */
    EVENT_ANSWER_UNWANTED,  /* never of a status: the endpoint takes no such events, see report.deferred */
    EVENT_ANSWER_NOT_ASKED, /* never of a status: a pause, or no time left */
};

/* status: 0 when there was no answer. */
enum event_answer event_answer_of(int status);

#endif
