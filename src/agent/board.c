#include "agent/board.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/clock.h"

const double board_bucket_bounds[BOARD_BUCKETS] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                                   0.5,   1,    2.5,   5,    10,  INFINITY};

struct board *board_new(const char *log_path, int64_t started_ms)
{
    pthread_mutexattr_t attributes;
    struct board *board =
        mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (board == MAP_FAILED)
        return NULL;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&board->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    board->facts.started_ms = started_ms;
    snprintf(board->facts.log_path, sizeof board->facts.log_path, "%s", log_path);
    return board;
}

/* Who dies with it was reading. */
void board_lock(struct board *board)
{
    if (pthread_mutex_lock(&board->lock) == EOWNERDEAD)
        pthread_mutex_consistent(&board->lock);
}

void board_unlock(struct board *board)
{
    pthread_mutex_unlock(&board->lock);
}

void board_read(struct board *board, struct board_facts *facts_r)
{
    board_lock(board);
    *facts_r = board->facts;
    board_unlock(board);
}

void board_note_ingest(struct board *board, const struct ingest_status *status)
{
    board_lock(board);
    board->facts.ingest = *status;
    board->facts.log_open = status->path != NULL;
    board->facts.ingest.path = NULL; /* the file may be closed before anybody reads this */
    board_unlock(board);
}

void board_note_log_error(struct board *board, const char *text)
{
    board_lock(board);
    snprintf(board->facts.log_error, sizeof board->facts.log_error, "%s", text);
    board_unlock(board);
}

void board_note_missing(struct board *board, bool missing)
{
    board_lock(board);
    board->facts.log_missing = missing;
    board_unlock(board);
}

void board_note_stalled(struct board *board, bool stalled)
{
    board_lock(board);
    board->facts.log_stalled = stalled;
    board_unlock(board);
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
    board_lock(board);
    board->facts.posts[post_kind(status)]++;
    board->facts.latency_counts[bucket]++;
    board->facts.latency_sum_s += seconds;
    if (post_kind(status) == BOARD_POST_ACCEPTED)
        board->facts.last_report_ms = clock_realtime_ms();
    board_unlock(board);
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
