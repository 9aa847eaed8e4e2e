#include "cluster/question.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define DRIFT_PER_MS_US 1 /* two clocks that nobody sets drift apart by less: 0.1 % */

static void add(struct question_words *words, const char *word)
{
    if (words->count < QUESTION_WORDS_MAX)
        words->words[words->count++] = word;
}

static void add_number(struct question_words *words, int64_t number)
{
    if (words->count < QUESTION_WORDS_MAX) {
        snprintf(words->numbers[words->count], QUESTION_NUMBER_SIZE, "%" PRId64, number);
        add(words, words->numbers[words->count]);
    }
}

/* What time it is there, by our own clock; 0: not known. The tolerance grows with the age of the comparison.
 */
static void add_clock(struct question_words *words, const struct cluster_shared *shared, bool again,
                      int64_t now_us)
{
    int64_t measured_ms = atomic_load(&shared->measured_ms), age_ms = now_us / 1000 - measured_ms;

    if (measured_ms == 0 || age_ms < 0) {
        add_number(words, 0);
        add_number(words, 0);
        return;
    }
    int64_t estimate_us = now_us + atomic_load(&shared->clock_us);
    add_number(words, again ? -estimate_us : estimate_us);
    add_number(words, CLUSTER_TOLERANCE_US + age_ms * DRIFT_PER_MS_US);
}

/* One hash tag: all keys of a cluster belong together. */
static void add_keys(struct question_words *words, const struct question *question, const char *name)
{
    add_number(words,
               (int64_t)question->count + 1 + (question->connection != NULL) + (question->told != NULL));
    snprintf(words->keys[0], sizeof words->keys[0], "{%.60s}:state", name);
    add(words, words->keys[0]);
    for (size_t i = 0; i < question->count; i++) {
        snprintf(words->keys[i + 1], sizeof words->keys[i + 1], "{%.60s}:limit:%s", name,
                 question->limits[i].key);
        add(words, words->keys[i + 1]);
    }
    if (question->connection != NULL) {
        char *key = words->keys[question->count + 1];
        snprintf(key, sizeof words->keys[0], "{%.60s}:connections:%.150s", name, question->connection->tpsp);
        add(words, key);
    }
    if (question->told != NULL) {
        char *key = words->keys[question->count + 2];
        snprintf(key, sizeof words->keys[0], "{%.60s}:told:%.150s", name, question->told->tpsp);
        add(words, key);
    }
}

static bool is(const struct question *question, const char *operation)
{
    return strcmp(question->operation, operation) == 0;
}

static void add_connection(struct question_words *words, const struct question *question)
{
    const struct cluster_connection *connection = question->connection;

    if (connection == NULL)
        return;
    add(words, connection->host);
    if (is(question, "take") || is(question, "disconnect"))
        add_number(words, connection->number);
    if (is(question, "take")) {
        add_number(words, connection->most);
        add_number(words, connection->least_us);
    }
    if (is(question, "take") || is(question, "connected"))
        add_number(words, connection->life_us);
    for (size_t i = 0; i < question->number_count; i++)
        add_number(words, question->numbers[i]);
}

void question_compose(struct question_words *words_r, const struct question *question,
                      const struct config_cluster *config, const struct cluster_shared *shared,
                      const char *sha1, const char *run_id, bool again)
{
    words_r->count = 0;
    add(words_r, "EVALSHA");
    add(words_r, sha1);
    add_keys(words_r, question, config->name);
    add(words_r, question->operation);
    add(words_r, run_id);
    add_number(words_r, question->epoch != 0 ? question->epoch : atomic_load(&shared->epoch));
    add_clock(words_r, shared, again, clock_monotonic_us());
    add_number(words_r, (int64_t)question->count);
    if (question->told != NULL)
        add_number(words_r, question->told->version);
    else
        add(words_r, "");
    for (size_t i = 0; i < question->count; i++) {
        add_number(words_r, question->limits[i].lanes);
        add_number(words_r, question->limits[i].pace_us);
        add_number(words_r, question->limits[i].window_us);
    }
    for (size_t i = 0; question->slots != NULL && i < question->count; i++) {
        add_number(words_r, (int64_t)question->slots[i].lane + 1);
        add_number(words_r, question->slots[i].before_us);
        add_number(words_r, question->slots[i].after_us);
    }
    for (size_t i = 0; question->left_us != NULL && i < question->count; i++) {
        add_number(words_r, question->limits[i].lanes);
        for (unsigned lane = 0; lane < question->limits[i].lanes; lane++)
            add_number(words_r, question->left_us[i][lane]);
    }
    add_connection(words_r, question);
    if (question->text != NULL)
        add(words_r, question->text);
}
