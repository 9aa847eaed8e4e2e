#include "agent/board.h"

#include <math.h>
#include <stdio.h>

#include "base/clock.h"

const double board_bucket_bounds[BOARD_BUCKETS] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                                   0.5,   1,    2.5,   5,    10,  INFINITY};

void board_init(struct board *board, const char *log_path, int64_t started_ms)
{
    *board = (struct board){.lock = PTHREAD_MUTEX_INITIALIZER, .facts = {.started_ms = started_ms}};
    snprintf(board->facts.log_path, sizeof board->facts.log_path, "%s", log_path);
}

void board_read(struct board *board, struct board_facts *facts_r)
{
    pthread_mutex_lock(&board->lock);
    *facts_r = board->facts;
    pthread_mutex_unlock(&board->lock);
}

void board_note_ingest(struct board *board, const struct ingest_status *status)
{
    pthread_mutex_lock(&board->lock);
    board->facts.ingest = *status;
    board->facts.log_open = status->path != NULL;
    board->facts.ingest.path = NULL; /* the file may be closed before anybody reads this */
    pthread_mutex_unlock(&board->lock);
}

void board_note_log_error(struct board *board, const char *text)
{
    pthread_mutex_lock(&board->lock);
    snprintf(board->facts.log_error, sizeof board->facts.log_error, "%s", text);
    pthread_mutex_unlock(&board->lock);
}

void board_note_missing(struct board *board, bool missing)
{
    pthread_mutex_lock(&board->lock);
    board->facts.log_missing = missing;
    pthread_mutex_unlock(&board->lock);
}

void board_note_stalled(struct board *board, bool stalled)
{
    pthread_mutex_lock(&board->lock);
    board->facts.log_stalled = stalled;
    pthread_mutex_unlock(&board->lock);
}

static enum board_post post_kind(int status)
{
    switch (event_answer_of(status)) {
    case EVENT_ANSWER_ACCEPTED:
        return BOARD_POST_ACCEPTED;
    case EVENT_ANSWER_REFUSED:
        return BOARD_POST_REFUSED;
    case EVENT_ANSWER_KEY_REFUSED:
        return BOARD_POST_KEY;
    default:
        return BOARD_POST_FAILED;
    }
}

void board_note_post(struct board *board, int status, int64_t elapsed_ms)
{
    double seconds = (double)elapsed_ms / 1000;
    int bucket = 0;

    while (seconds > board_bucket_bounds[bucket])
        bucket++;
    pthread_mutex_lock(&board->lock);
    board->facts.posts[post_kind(status)]++;
    board->facts.latency_counts[bucket]++;
    board->facts.latency_sum_s += seconds;
    if (post_kind(status) == BOARD_POST_ACCEPTED)
        board->facts.last_report_ms = clock_realtime_ms();
    pthread_mutex_unlock(&board->lock);
}

int64_t board_unread(const struct board_facts *facts)
{
    return facts->ingest.size > facts->ingest.offset ? facts->ingest.size - facts->ingest.offset : 0;
}

double board_lag_seconds(const struct board_facts *facts)
{
    int64_t lag_ms = facts->ingest.last_line_ms > 0 ? clock_realtime_ms() - facts->ingest.last_line_ms : 0;

    return board_unread(facts) > 0 && lag_ms > 0 ? (double)lag_ms / 1000 : 0;
}
