/* question: the words of one call of cluster/limits.lua, whose head says what they mean. A part of cluster.
 */
#ifndef SENDPOST_CLUSTER_QUESTION_H
#define SENDPOST_CLUSTER_QUESTION_H

#include "cluster/cluster.h"

struct question {
    const char *operation;
    int64_t epoch; /* that it is for; 0: the one of this host */
    const struct cluster_limit *limits;
    size_t count;
    const struct cluster_slot *slots;            /* give-back */
    const int64_t (*left_us)[CLUSTER_LANES_MAX]; /* bring */
    const struct cluster_connection *connection; /* NULL: it is not about connections */
    const struct cluster_told *told;             /* NULL: it is not asked for news */
    const char *text;                            /* tell */
    const unsigned *numbers;                     /* connected */
    size_t number_count;
};

#define QUESTION_WORDS_MAX (24 + CLUSTER_LIMITS_MAX * (6 + CLUSTER_LANES_MAX))
#define QUESTION_NUMBER_SIZE 24

struct question_words {
    const char *words[QUESTION_WORDS_MAX]; /* EVALSHA and its arguments; they lie in here */
    int count;
    char numbers[QUESTION_WORDS_MAX][QUESTION_NUMBER_SIZE];
    char keys[CLUSTER_LIMITS_MAX + 3][CLUSTER_KEY_SIZE + 80];
};

/* sha1, run_id: of the script, and of the server that is asked; both outlive the words. again: the server
 * doubted the clock (answer_doubts_clock()). */
void question_compose(struct question_words *words_r, const struct question *question,
                      const struct config_cluster *config, const struct cluster_shared *shared,
                      const char *sha1, const char *run_id, bool again) __attribute__((nonnull));

#endif
