#include "policy/counters.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>

#include "suites.h"
#include "temporary_store.h"

static struct counters *counters;

static void setup(void)
{
    temporary_store_open();
    counters = counters_open(temporary_directory);
    ck_assert_ptr_nonnull(counters);
}

static void teardown(void)
{
    counters_close(counters);
    temporary_store_close();
}

static void note(struct counters *table, const char *tpsp, enum outcome_class class, enum outcome_cause cause,
                 int64_t time_ms)
{
    const struct outcome outcome = {.class = class, .cause = cause};

    counters_note(table,
                  &(struct counters_delivery){.tpsp = tpsp,
                                              .provider = "gmail",
                                              .outcome = &outcome,
                                              .reason = class == OUTCOME_DEFERRED ? "mailbox full" : NULL,
                                              .rule = "452 full",
                                              .time_ms = time_ms,
                                              .certificate_ms = 1795674542000});
}

struct sum {
    enum counters_kind kind;
    unsigned place;
    uint64_t value;
    size_t series;
};

static void add(void *context, const struct counters_series *series)
{
    struct sum *sum = context;

    if (series->kind != sum->kind)
        return;
    sum->value += atomic_load(&series->values[sum->place]);
    sum->series++;
}

static uint64_t value_of(enum counters_kind kind, unsigned place)
{
    struct sum sum = {.kind = kind, .place = place};

    counters_each(counters, add, &sum);
    return sum.value;
}

START_TEST(what_deliveries_came_to_is_counted)
{
    note(counters, "primary", OUTCOME_DELIVERED, CAUSE_NONE, 300);
    note(counters, "primary", OUTCOME_DELIVERED, CAUSE_NONE, 90000000);
    note(counters, "primary", OUTCOME_DROPPED, CAUSE_MESSAGE, -5);
    note(counters, "primary", OUTCOME_DEFERRED, CAUSE_MESSAGE, 0);
    note(NULL, "primary", OUTCOME_DELIVERED, CAUSE_NONE, 1);
    ck_assert_uint_eq(value_of(COUNTERS_OUTCOMES, counters_outcome_place(OUTCOME_DELIVERED, CAUSE_NONE)), 2);
    ck_assert_uint_eq(value_of(COUNTERS_OUTCOMES, counters_outcome_place(OUTCOME_DROPPED, CAUSE_MESSAGE)), 1);
    ck_assert_uint_eq(value_of(COUNTERS_OUTCOMES, counters_outcome_place(OUTCOME_DEFERRED, CAUSE_MESSAGE)),
                      1);
    ck_assert_uint_eq(value_of(COUNTERS_DEFERRALS, 0), 1);
    /* the clock was set back: no time */
    ck_assert_uint_eq(value_of(COUNTERS_TIMES, 0), 1);
    ck_assert_uint_eq(value_of(COUNTERS_TIMES, 2), 1);
    ck_assert_uint_eq(value_of(COUNTERS_TIMES, COUNTERS_BUCKETS - 1), 1);
    ck_assert_uint_eq(value_of(COUNTERS_TIMES, COUNTERS_BUCKETS), 90000300);
    ck_assert_uint_eq(value_of(COUNTERS_CERTIFICATE, 0), 1795674542000);
}
END_TEST

START_TEST(a_wait_for_the_store_is_counted_also_where_there_was_none)
{
    counters_note_wait(counters, 0);
    counters_note_wait(counters, 101);
    counters_note_wait(counters, INT64_C(40000000));
    counters_note_wait(NULL, 1);
    ck_assert_uint_eq(value_of(COUNTERS_WAITS, 0), 1);
    ck_assert_uint_eq(value_of(COUNTERS_WAITS, 1), 1);
    ck_assert_uint_eq(value_of(COUNTERS_WAITS, COUNTERS_WAIT_BUCKETS - 1), 1);
    ck_assert_uint_eq(value_of(COUNTERS_WAITS, COUNTERS_WAIT_BUCKETS), 40000101);
}
END_TEST

START_TEST(another_process_finds_them_and_damage_begins_anew)
{
    char path[128];

    note(counters, "primary", OUTCOME_DELIVERED, CAUSE_NONE, 1);
    counters_close(counters);
    counters = counters_open(temporary_directory);
    ck_assert_uint_eq(value_of(COUNTERS_OUTCOMES, 0), 1);
    snprintf(path, sizeof path, "%s/counters", temporary_directory);
    ck_assert_int_eq(truncate(path, 100), 0);
    /* to a mapping without a file: nobody is hurt */
    note(counters, "primary", OUTCOME_DELIVERED, CAUSE_NONE, 1);
    counters_close(counters);
    counters = counters_open(temporary_directory);
    ck_assert_ptr_nonnull(counters);
    ck_assert_uint_eq(value_of(COUNTERS_OUTCOMES, 0), 0);
}
END_TEST

#define THREADS 4
#define TIMES 20000

static void count(int times)
{
    struct counters *own = counters_open(temporary_directory);

    for (int i = 0; i < times; i++)
        note(own, i % 2 ? "primary" : "backup", OUTCOME_DELIVERED, CAUSE_NONE, 1);
    counters_close(own);
}

static void *count_many(void *unused)
{
    count(TIMES);
    return unused;
}

#define FEW 10

static void *count_few(void *start)
{
    pthread_barrier_wait(start);
    count(FEW);
    return NULL;
}

START_TEST(those_who_make_the_file_at_once_count_in_one)
{
    for (int round = 0; round < 20; round++) {
        pthread_t threads[THREADS];
        pthread_barrier_t start;
        struct sum sum = {.kind = COUNTERS_OUTCOMES};
        char path[128];

        pthread_barrier_init(&start, NULL, THREADS);
        counters_close(counters);
        snprintf(path, sizeof path, "%s/counters", temporary_directory);
        ck_assert_int_eq(unlink(path), 0);
        for (int i = 0; i < THREADS; i++)
            ck_assert_int_eq(pthread_create(&threads[i], NULL, count_few, &start), 0);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        pthread_barrier_destroy(&start);
        counters = counters_open(temporary_directory);
        counters_each(counters, add, &sum);
        ck_assert_uint_eq(sum.value, THREADS * FEW);
    }
}
END_TEST

#define ROUNDS 300

static void *begin_many(void *start)
{
    char name[32];

    for (int round = 0; round < ROUNDS; round++) {
        snprintf(name, sizeof name, "tpsp%d", round);
        pthread_barrier_wait(start);
        note(counters, name, OUTCOME_DELIVERED, CAUSE_NONE, 1);
    }
    return NULL;
}

/* Two of one name would be a metric that Prometheus refuses, with all others. */
START_TEST(a_series_that_many_begin_at_once_is_there_once)
{
    pthread_t threads[THREADS];
    pthread_barrier_t start;
    struct sum sum = {.kind = COUNTERS_OUTCOMES};

    pthread_barrier_init(&start, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, begin_many, &start), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&start);
    counters_each(counters, add, &sum);
    ck_assert_uint_eq(sum.series, ROUNDS);
    ck_assert_uint_eq(sum.value, ROUNDS * THREADS);
}
END_TEST

START_TEST(nothing_is_lost_when_many_count_at_once)
{
    pthread_t threads[THREADS];
    struct sum sum = {.kind = COUNTERS_OUTCOMES};

    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, count_many, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    counters_each(counters, add, &sum);
    ck_assert_uint_eq(sum.value, THREADS * TIMES);
}
END_TEST

START_TEST(too_many_names_are_not_counted_and_do_no_harm)
{
    struct sum sum = {.kind = COUNTERS_OUTCOMES};
    char name[32];

    for (int i = 0; i < 3 * COUNTERS_SERIES; i++) {
        snprintf(name, sizeof name, "tpsp%d", i);
        note(counters, name, OUTCOME_DELIVERED, CAUSE_NONE, 1);
    }
    counters_each(counters, add, &sum);
    ck_assert_uint_gt(sum.series, COUNTERS_SERIES / 4);
    ck_assert_uint_eq(sum.value, sum.series);
}
END_TEST

UNIT_SUITE(counters_suite)
{
    Suite *suite = suite_create("counters");
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, what_deliveries_came_to_is_counted);
    tcase_add_test(all, a_wait_for_the_store_is_counted_also_where_there_was_none);
    tcase_add_test(all, another_process_finds_them_and_damage_begins_anew);
    tcase_add_test(all, those_who_make_the_file_at_once_count_in_one);
    tcase_add_test(all, a_series_that_many_begin_at_once_is_there_once);
    tcase_add_test(all, nothing_is_lost_when_many_count_at_once);
    tcase_add_test(all, too_many_names_are_not_counted_and_do_no_harm);
    suite_add_tcase(suite, all);
    return suite;
}
