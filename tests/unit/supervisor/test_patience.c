#include "supervisor/patience.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "suites.h"

static char directory[] = "/tmp/sendpost-test-XXXXXX";
static int place;

static void set_up(void)
{
    memcpy(directory + sizeof directory - 7, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(directory));
    place = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_ge(place, 0);
}

static void tear_down(void)
{
    unlinkat(place, "started", 0);
    close(place);
    ck_assert_int_eq(rmdir(directory), 0);
}

static void set_age(const char *name, int64_t age_ms)
{
    int64_t at_ms = clock_realtime_ms() - age_ms;
    const struct timespec at = {.tv_sec = at_ms / 1000, .tv_nsec = at_ms % 1000 * 1000000};

    ck_assert_int_eq(utimensat(place, name, (const struct timespec[2]){at, at}, 0), 0);
}

static const struct {
    int64_t idle_ms, passed_ms;
    long processors;
    bool room;
} rooms[] = {
    {0, 16, 2, false},    {10, 16, 2, false}, /* a tick of its clock may be nothing */
    {20, 16, 2, true},    {32, 16, 2, true},      {100, 1000, 2, false},
    {270, 1000, 2, true}, {270, 1000, 64, false}, {-5, 1000, 2, false},
};

START_TEST(an_eighth_of_the_processors_is_room)
{
    ck_assert_msg(patience_room(rooms[_i].idle_ms, rooms[_i].passed_ms, rooms[_i].processors) ==
                      rooms[_i].room,
                  "%lld of %lld on %ld", (long long)rooms[_i].idle_ms, (long long)rooms[_i].passed_ms,
                  rooms[_i].processors);
}
END_TEST

START_TEST(who_does_not_ask_for_all_starts_none)
{
    const struct idle_wait wait = {.ms = PATIENCE_MOST_MS - 1};
    struct patience patience = PATIENCE_BEGIN(place);

    for (int i = 0; i < 100; i++)
        ck_assert(!patience_is_over(&patience, &wait));
}
END_TEST

START_TEST(nobody_waits_for_ever)
{
    const struct idle_wait soon = {.ms = 3}, late = {.ms = PATIENCE_MOST_MS};
    struct patience patience = PATIENCE_BEGIN(place);

    ck_assert(!patience_is_over(&patience, &soon));
    ck_assert(patience_is_over(&patience, &late));
}
END_TEST

static const struct {
    int64_t passed_ms;
    long processors;
    bool turn;
} turns[] = {
    {0, 1, false}, {19, 1, false}, {20, 1, true},  {9, 2, false},      {10, 2, true},
    {0, 64, true}, {-9, 2, false}, {-10, 2, true}, {3600000, 2, true}, {-3600000, 2, true},
};

/* The clock may have been set. */
START_TEST(starts_take_what_the_processors_have_at_most)
{
    ck_assert_msg(patience_turn(turns[_i].passed_ms, turns[_i].processors) == turns[_i].turn, "%lld on %ld",
                  (long long)turns[_i].passed_ms, turns[_i].processors);
}
END_TEST

START_TEST(a_start_is_told)
{
    struct stat status;

    patience_tell_start(place);
    set_age("started", 3600000);
    int64_t before_ms = clock_realtime_ms();
    patience_tell_start(place);
    ck_assert_int_eq(fstatat(place, "started", &status, 0), 0);
    ck_assert_int_ge(clock_ms(status.st_mtim), before_ms - 20); /* files have the time of the last tick */
}
END_TEST

UNIT_SUITE(patience_suite)
{
    Suite *suite = suite_create("patience");
    TCase *cases = tcase_create("patience");

    tcase_add_checked_fixture(cases, set_up, tear_down);
    suite_add_tcase(suite, cases);
    tcase_add_loop_test(cases, an_eighth_of_the_processors_is_room, 0, sizeof rooms / sizeof rooms[0]);
    tcase_add_test(cases, who_does_not_ask_for_all_starts_none);
    tcase_add_test(cases, nobody_waits_for_ever);
    tcase_add_loop_test(cases, starts_take_what_the_processors_have_at_most, 0,
                        sizeof turns / sizeof turns[0]);
    tcase_add_test(cases, a_start_is_told);
    return suite;
}
