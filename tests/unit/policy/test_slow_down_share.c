#include "policy/slow_down_share.h"

#include <stdlib.h>
#include <string.h>

#include "policy/slow_down_private.h"
#include "simulation.h"
#include "suites.h"

#define AHEAD_US INT64_C(1700000000000000)
#define LATER (1000 * SECOND) /* by so much the clock of the other host is ahead */

/* Two hosts, each with its own boot, clock and table; the server's clock is one. */
static struct simulation *here, *there;
static struct rate_table *tables[2];
static struct slow_down ours, theirs;
static struct config config;

static void setup(void)
{
    config = (struct config){.rate_burst = 10,
                             .slow_down = {.enabled = true,
                                           .floor = {1, 60000},
                                           .recovery_ms = 600000,
                                           .statistics = {.window_ms = 600000}}};
    here = simulation_begin();
    there = simulation_begin();
    atomic_fetch_add(&there->now, LATER);
    tables[0] = simulation_table(here);
    tables[1] = simulation_table(there);
    ours = (struct slow_down){&config, tables[0], &here->tpsp, PROVIDER_GMAIL};
    theirs = (struct slow_down){&config, tables[1], &there->tpsp, PROVIDER_GMAIL};
}

static void teardown(void)
{
    rate_table_close(tables[0]);
    rate_table_close(tables[1]);
    simulation_end(here);
    simulation_end(there);
}

static void pass(int64_t time)
{
    atomic_fetch_add(&here->now, time);
    atomic_fetch_add(&there->now, time);
}

/* From one host to the other, as the server carries it. */
static void tell(const struct slow_down *from, const struct slow_down *to, bool merge)
{
    struct slow_down_picture told, before;
    char *text = NULL;
    size_t size = 0;

    FILE *out = open_memstream(&text, &size);
    slow_down_picture(from, &told);
    slow_down_write(from, &told, from == &ours ? AHEAD_US : AHEAD_US - LATER / 1000, out);
    fclose(out);
    slow_down_picture(to, &before);
    slow_down_read(to, &before, merge, to == &ours ? AHEAD_US : AHEAD_US - LATER / 1000, text);
    free(text);
}

static struct slow_down_view look(const struct slow_down *slow_down, bool of_provider)
{
    struct slow_down_view view;

    slow_down_look(slow_down, of_provider, &view);
    return view;
}

START_TEST(what_one_host_heard_slows_the_other_down_alike)
{
    slow_down_step_down(&ours, "gmail", 0, "rate: 450 slow down");
    tell(&ours, &theirs, false);
    struct slow_down_view view = look(&theirs, true);
    ck_assert(view.slowed);
    ck_assert_uint_eq(view.rate.limit, look(&ours, true).rate.limit);
    ck_assert_str_eq(view.said, "rate: 450 slow down");
    ck_assert(!look(&theirs, false).slowed);
}
END_TEST

START_TEST(both_go_up_at_the_same_time_and_once)
{
    slow_down_step_down(&ours, NULL, 0, "rate: 450 slow down");
    tell(&ours, &theirs, false);
    bool went_up = false;
    for (int i = 0; i < 60; i++) {
        pass(4 * MINUTE);
        ck_assert_int_eq(look(&ours, false).rate.limit, look(&theirs, false).rate.limit);
        went_up = went_up || look(&ours, false).rate.limit > 50;
        if (i % 10 == 5) /* who hears it from both meanwhile goes no further for that */
            tell(&theirs, &ours, true);
    }
    ck_assert(went_up && !look(&ours, false).slowed && !look(&theirs, false).slowed);
}
END_TEST

START_TEST(of_two_the_lower_counts_until_it_is_quiet)
{
    slow_down_step_down(&ours, NULL, 100000, "rate: much slower");
    slow_down_step_down(&theirs, NULL, 900000, "rate: a little slower");
    uint32_t low = look(&ours, false).rate.limit;
    tell(&theirs, &ours, true);
    ck_assert_uint_eq(look(&ours, false).rate.limit, low);
    ck_assert_str_eq(look(&ours, false).said, "rate: much slower");
    tell(&ours, &theirs, true);
    ck_assert_uint_eq(look(&theirs, false).rate.limit, low);
    ck_assert_str_eq(look(&theirs, false).said, "rate: much slower");
}
END_TEST

START_TEST(what_is_over_there_is_over_here)
{
    slow_down_step_down(&ours, NULL, 0, "rate: 450 slow down");
    tell(&ours, &theirs, false);
    slow_down_reset(tables[0], "primary");
    tell(&ours, &theirs, true);
    ck_assert(look(&theirs, false).slowed); /* it knew something of its own */
    tell(&ours, &theirs, false);
    ck_assert(!look(&theirs, false).slowed);
}
END_TEST

START_TEST(a_mark_changes_with_every_word_and_with_nothing_else)
{
    struct slow_down_picture empty, first, second;

    slow_down_picture(&ours, &empty);
    slow_down_step_down(&ours, "gmail", 0, "rate: 450 slow down");
    slow_down_picture(&ours, &first);
    ck_assert_int_ne(slow_down_picture_mark(&empty), slow_down_picture_mark(&first));
    pass(SECOND);
    slow_down_picture(&ours, &second);
    ck_assert_int_eq(slow_down_picture_mark(&first), slow_down_picture_mark(&second));
    slow_down_step_down(&ours, NULL, 0, "rate: 450 slow down");
    slow_down_picture(&ours, &second);
    ck_assert_int_ne(slow_down_picture_mark(&first), slow_down_picture_mark(&second));
}
END_TEST

START_TEST(foreign_lines_change_nothing)
{
    static const char *const lines[] = {
        "",
        "\n\n",
        "slow-down",
        "slow-down all -1 1 1 0 0 0 0 0 0 0 0 x\n",
        "slow-down all 999999999999999999 1 1 0 0 0 0 0 0 0 0 x\n",
        "slow-down all 1 1 1 8 0 0 0 0 0 0 0 x\n",
        "slow-down nobody 1 1 1 0 0 0 0 0 0 0 0 x\n",
        "slow-down all 1 1 1 0 0 0 0 0 0 99999 0 x\n",
        "slow-down all 99999999999999999999999 1 1 0 0 0 0 0 0 0",
    };
    struct slow_down_picture before;

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        slow_down_picture(&ours, &before);
        slow_down_read(&ours, &before, false, AHEAD_US, lines[i]);
        ck_assert_msg(!look(&ours, false).slowed, "%s", lines[i]);
    }
    slow_down_read(&ours, &before, false, AHEAD_US,
                   "slow-down all 1 1 1 0 0 0 0 0 9223372036854775807 5 9223372036854775807 x\n");
    ck_assert(!look(&ours, false).paused);
}
END_TEST

UNIT_SUITE(slow_down_share_suite)
{
    Suite *suite = suite_create("slow_down_share");
    TCase *tcase = tcase_create("slow_down_share");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, what_one_host_heard_slows_the_other_down_alike);
    tcase_add_test(tcase, both_go_up_at_the_same_time_and_once);
    tcase_add_test(tcase, of_two_the_lower_counts_until_it_is_quiet);
    tcase_add_test(tcase, what_is_over_there_is_over_here);
    tcase_add_test(tcase, a_mark_changes_with_every_word_and_with_nothing_else);
    tcase_add_test(tcase, foreign_lines_change_nothing);
    suite_add_tcase(suite, tcase);
    return suite;
}
