/*
 * follow: for commands that go on until they are told to end: by SIGINT, SIGTERM or SIGHUP, or because nobody
 * reads what they print any more. All of these are good ends.
 */
#ifndef SENDPOST_CTL_FOLLOW_H
#define SENDPOST_CTL_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

/* From here on the signals wait for follow_wait(), and a reader who is gone makes writes fail. */
void follow_begin(void);

enum follow_news {
    FOLLOW_END,     /* of the command */
    FOLLOW_TIME,    /* the time is up */
    FOLLOW_KEY,     /* there is something to read on standard input; where keys are wanted */
    FOLLOW_SIZE,    /* of the terminal (SIGWINCH) */
    FOLLOW_SUSPEND, /* SIGTSTP came: give the terminal back, and call follow_stop() */
};

/* Waits for ms milliseconds at most. */
enum follow_news follow_wait(int64_t ms, bool keys);

/* Stops as SIGTSTP would have; returns when the process goes on. */
void follow_stop(void);

/* What nobody reads is no failure of the command: it is dropped. Call at the end. */
void follow_end(void);

#endif
