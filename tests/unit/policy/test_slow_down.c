#include "policy/slow_down.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/slow_down_answers.h"
#include "simulation.h"
#include "suites.h"

static struct simulation *simulation;
static struct rate_table *table;
static struct config config;
static struct slow_down slow_down;

static void use_table(struct rate_table *another)
{
    table = another;
    slow_down = (struct slow_down){
        .config = &config, .table = table, .tpsp = &simulation->tpsp, .provider = PROVIDER_GMAIL};
}

static void setup(void)
{
    simulation = simulation_begin();
    config = (struct config){.rate_burst = 10,
                             .slow_down = {.enabled = true,
                                           .floor = {1, 60000},
                                           .recovery_ms = 600000,
                                           .statistics = {300000, 100000, 50, 600000}}};
    simulation->tpsp = (struct config_tpsp){.name = (char *)"primary"};
    use_table(simulation_table(simulation));
}

static void teardown(void)
{
    rate_table_close(table);
    simulation_end(simulation);
}

static void pass(int64_t time)
{
    atomic_fetch_add(&simulation->now, time);
}

static const struct reply_action at_once = {
    .kind = REPLY_SLOWER, .after = 1, .reason = "too-fast", .rule = "slow down", .source = ""};
static const struct reply_action third = {.kind = REPLY_SLOWER,
                                          .after = 3,
                                          .within_ms = 60000,
                                          .reason = "too-fast",
                                          .rule = "slowly",
                                          .source = ""};

static void hear(const struct reply_action *action)
{
    slow_down_hear(&slow_down, &(struct slow_down_heard){.action = action,
                                                         .recipient = "user@example.com",
                                                         .text = "450 slow down",
                                                         .trusted = true});
}

static void send_and_be_told(enum slow_down_answer answer, unsigned messages, int64_t in)
{
    for (unsigned i = 0; i < messages; i++) {
        slow_down_note(&slow_down, answer, true, "user@example.com");
        pass(in / messages);
    }
}

static struct slow_down_view look(void)
{
    struct slow_down_view view;

    slow_down_look(&slow_down, false, &view);
    return view;
}

static bool is_slowed(void)
{
    return look().slowed;
}

static struct rate_set set;

/* As a delivery decides. */
static enum rate_answer decide(int64_t *next_r)
{
    const struct rate_limit *limit;
    struct rate_grant grant;
    struct outcome error;

    if (!slow_down_apply(&config, table, &set, next_r, &error))
        return RATE_REFUSED;
    enum rate_answer answer = rate_limit_take(table, &set, &grant, &limit, next_r, &error);
    ck_assert_msg(answer != RATE_TROUBLE, "%s", error.text);
    if (answer == RATE_GRANTED)
        simulation_record(simulation, grant.time_ns);
    return answer;
}

static unsigned decide_all(int64_t *next_r)
{
    unsigned count = 0;

    while (count < 1000 && decide(next_r) == RATE_GRANTED)
        count++;
    return count;
}

START_TEST(nothing_is_slowed_down_that_was_not_asked_for)
{
    int64_t next;

    simulation_set(simulation, &set, PROVIDER_GMAIL, 10);
    ck_assert_uint_eq(decide_all(&next), 1000);
    ck_assert_uint_eq(set.count, 0);
    ck_assert(!is_slowed());
}
END_TEST

START_TEST(a_rule_that_counts_begins_at_its_number_within_its_time)
{
    hear(&third);
    hear(&third);
    pass(61 * SECOND); /* both are forgotten */
    hear(&third);
    hear(&third);
    ck_assert(!is_slowed());
    pass(59 * SECOND);
    hear(&third);
    ck_assert(is_slowed());
}
END_TEST

START_TEST(once_it_is_slowed_down_every_refusal_counts)
{
    send_and_be_told(SLOW_DOWN_ACCEPTED, 600, MINUTE);
    hear(&at_once);
    struct slow_down_view first = look();
    slow_down_note(&slow_down, SLOW_DOWN_ACCEPTED, true, NULL);
    pass(21 * SECOND);
    hear(&third);
    ck_assert_uint_eq(look().rate.limit, first.rate.limit / 2);
}
END_TEST

START_TEST(without_a_limit_it_begins_at_half_the_rate_of_the_last_window)
{
    send_and_be_told(SLOW_DOWN_ACCEPTED, 600, MINUTE); /* 36,000 an hour */
    hear(&at_once);
    struct slow_down_view view = look();
    ck_assert_uint_ge(view.rate.limit, 17700);
    ck_assert_uint_le(view.rate.limit, 18300);
    ck_assert_double_eq_tol(view.factor, 0.5, 0.01);
    ck_assert_str_eq(view.said, "too-fast: 450 slow down");
}
END_TEST

START_TEST(in_a_cluster_it_begins_at_half_of_what_all_hosts_send)
{
    config.cluster.server_count = 1;
    config.cluster.name = (char *)"fleet";
    send_and_be_told(SLOW_DOWN_ACCEPTED, 600, MINUTE); /* 36,000 an hour */
    slow_down_note_hosts(table, "fleet", 5000000);
    hear(&at_once);
    ck_assert_uint_ge(look().rate.limit, 5 * 17700);
    ck_assert_uint_le(look().rate.limit, 5 * 18300);
    slow_down_reset(table, "primary");
    send_and_be_told(SLOW_DOWN_ACCEPTED, 700, 70 * SECOND);
    hear(&at_once); /* nobody has said so for a minute */
    ck_assert_uint_le(look().rate.limit, 18300);
}
END_TEST

START_TEST(with_a_limit_it_begins_there_and_holds_beside_it)
{
    int64_t next;

    simulation->tpsp.global_rate = (struct config_rate){600, 3600000};
    simulation_set(simulation, &set, PROVIDER_GMAIL, 10);
    send_and_be_told(SLOW_DOWN_ACCEPTED, 600, SECOND);
    hear(&at_once);
    ck_assert_uint_ge(look().rate.limit, 298);
    ck_assert_uint_le(look().rate.limit, 300);
    for (int64_t end = atomic_load(&simulation->now) + 9 * MINUTE; atomic_load(&simulation->now) < end;) {
        while (decide(&next) == RATE_GRANTED)
            ;
        atomic_store(&simulation->now, next);
    }
    ck_assert_uint_eq(simulation_most_in_a_window(simulation, MINUTE), 5); /* 300 an hour, evenly */
    ck_assert_uint_ge(atomic_load(&simulation->count), 44);
}
END_TEST

START_TEST(a_provider_is_slowed_down_alone)
{
    struct reply_action of_provider = at_once;
    struct slow_down_view view;

    of_provider.of_provider = true;
    hear(&of_provider);
    ck_assert(!is_slowed());
    ck_assert(slow_down_look(&slow_down, true, &view));
    slow_down.provider = PROVIDER_YAHOO;
    ck_assert(!slow_down_look(&slow_down, true, &view));
}
END_TEST

START_TEST(it_grows_with_the_decisions_until_it_is_whole)
{
    int64_t next;

    simulation->tpsp.global_rate = (struct config_rate){600, 3600000};
    simulation_set(simulation, &set, PROVIDER_GMAIL, 10);
    hear(&at_once);
    decide(&next);
    ck_assert_uint_eq(set.count, 2);
    pass(50 * MINUTE + SECOND);
    decide(&next);
    ck_assert(!is_slowed());
    ck_assert_uint_eq(set.count, 1);
}
END_TEST

START_TEST(it_outlives_processes_and_reboots)
{
    send_and_be_told(SLOW_DOWN_ACCEPTED, 600, MINUTE);
    hear(&at_once);
    struct slow_down_view before = look();
    rate_table_close(table);
    use_table(simulation_table(simulation));
    ck_assert_uint_eq(look().rate.limit, before.rate.limit);
    rate_table_close(table);
    snprintf(simulation->boot_id, sizeof simulation->boot_id, "boot-2");
    atomic_store(&simulation->now, SECOND);
    use_table(simulation_table(simulation));
    struct slow_down_view after = look();
    ck_assert_uint_eq(after.rate.limit, before.rate.limit);
    ck_assert_str_eq(after.said, before.said);
    /* how long it was down is not known: the quiet time begins anew */
    ck_assert_int_ge(after.next_ns, 10 * MINUTE);
}
END_TEST

START_TEST(it_outlives_a_boot_id_that_changes_while_the_clock_goes_on)
{
    static const struct reply_action pause = {
        .kind = REPLY_PAUSE, .for_ms = 1800000, .after = 1, .reason = "blocked", .rule = "", .source = ""};

    send_and_be_told(SLOW_DOWN_ACCEPTED, 600, MINUTE);
    hear(&at_once);
    hear(&pause);
    atomic_fetch_add(&simulation->now, 9 * MINUTE);
    struct slow_down_view before = look();
    rate_table_close(table);
    snprintf(simulation->boot_id, sizeof simulation->boot_id, "boot-2");
    int64_t moved = _i == 0 ? 0 : 100 * DAY;
    atomic_fetch_add(&simulation->now, moved);
    use_table(simulation_table(simulation));
    struct slow_down_view after = look();
    ck_assert_uint_eq(after.rate.limit, before.rate.limit);
    ck_assert_int_ge(after.next_ns, before.next_ns + moved);
    ck_assert_int_le(after.next_ns, before.next_ns + moved + SECOND); /* no quiet time begins anew */
    ck_assert(after.paused);
    ck_assert_int_ge(after.until_ns, before.until_ns + moved);
    ck_assert_int_le(after.until_ns, before.until_ns + moved + SECOND);
    atomic_store(&simulation->now, after.next_ns);
    ck_assert_uint_gt(look().rate.limit, before.rate.limit);
}
END_TEST

/* The machine was up for long before: its time must not come again before the limit grows. */
START_TEST(it_recovers_after_a_reboot_also_where_nothing_more_is_said)
{
    atomic_store(&simulation->now, 100 * DAY);
    send_and_be_told(SLOW_DOWN_ACCEPTED, 600, MINUTE);
    hear(&at_once);
    send_and_be_told(SLOW_DOWN_ACCEPTED, 1, SECOND);
    unsigned before = look().rate.limit;
    rate_table_close(table);
    snprintf(simulation->boot_id, sizeof simulation->boot_id, "boot-2");
    atomic_store(&simulation->now, SECOND);
    use_table(simulation_table(simulation));
    ck_assert_uint_eq(look().rate.limit, before);
    atomic_store(&simulation->now, 11 * MINUTE);
    ck_assert_uint_gt(look().rate.limit, before);
}
END_TEST

START_TEST(a_pause_ends_when_it_said_also_after_a_reboot)
{
    static const struct reply_action pause = {
        .kind = REPLY_PAUSE, .for_ms = 1800000, .after = 1, .reason = "blocked", .rule = "", .source = ""};
    int64_t next = 0, end = atomic_load(&simulation->now) + 30 * MINUTE;

    simulation_set(simulation, &set, PROVIDER_GMAIL, 10);
    hear(&pause);
    ck_assert_int_eq(decide(&next), RATE_REFUSED);
    ck_assert_int_eq(next, end);
    atomic_store(&simulation->now, end - 10 * MINUTE);
    ck_assert_int_eq(decide(&next), RATE_REFUSED);
    rate_table_close(table);
    snprintf(simulation->boot_id, sizeof simulation->boot_id, "boot-2");
    atomic_store(&simulation->now, SECOND);
    use_table(simulation_table(simulation));
    ck_assert_int_eq(decide(&next), RATE_REFUSED);
    ck_assert_int_le(next, 11 * MINUTE + SECOND); /* when the file was last seen is known to a second or so */
    atomic_store(&simulation->now, next);
    ck_assert_int_eq(decide(&next), RATE_GRANTED);
}
END_TEST

static void hear_of(const char *recipient)
{
    slow_down_hear(&slow_down, &(struct slow_down_heard){
                                   .action = &at_once, .recipient = recipient, .text = "450 slow down"});
}

START_TEST(a_correspondent_alone_slows_nobody_down)
{
    slow_down_note(&slow_down, SLOW_DOWN_ACCEPTED, true, "friend@example.org");
    for (int i = 0; i < 100; i++)
        hear_of("a@evil.example"), hear_of("b@EVIL.example"), pass(SECOND);
    ck_assert(!is_slowed());
    hear_of("c@wicked.example");
    ck_assert(!is_slowed());
    hear_of("d@third.example"); /* three of one mind: it is the TPSP */
    ck_assert(is_slowed());
}
END_TEST

START_TEST(where_nobody_else_is_accepted_it_is_the_tpsp_that_speaks)
{
    slow_down_note(&slow_down, SLOW_DOWN_ACCEPTED, true, "user@only.example");
    hear_of("other@only.example");
    ck_assert(is_slowed());
}
END_TEST

START_TEST(a_recipient_is_held_and_nobody_else)
{
    static const struct reply_action hold = {
        .kind = REPLY_HOLD, .for_ms = 3600000, .after = 1, .reason = "busy", .rule = "", .source = ""};
    int64_t until, now = atomic_load(&simulation->now);

    hear(&hold);
    ck_assert(slow_down_holds(&slow_down, "USER@example.com", &until));
    ck_assert_int_le(until, now + HOUR);
    ck_assert(!slow_down_holds(&slow_down, "other@example.com", &until));
    atomic_store(&simulation->now, now + HOUR);
    ck_assert(!slow_down_holds(&slow_down, "user@example.com", &until));
    ck_assert(!is_slowed());
}
END_TEST

START_TEST(connections_are_limited_for_a_time)
{
    static const struct reply_action three = {.kind = REPLY_CONNECTIONS,
                                              .number = 3,
                                              .for_ms = 3600000,
                                              .after = 1,
                                              .reason = "connections",
                                              .rule = "",
                                              .source = ""};

    ck_assert_uint_eq(slow_down_connections(&slow_down), 0);
    hear(&three);
    ck_assert_uint_eq(slow_down_connections(&slow_down), 3);
    pass(HOUR);
    ck_assert_uint_eq(slow_down_connections(&slow_down), 0);
}
END_TEST

START_TEST(statistics_speak_at_their_share_of_enough_attempts)
{
    send_and_be_told(SLOW_DOWN_ACCEPTED, 34, SECOND);
    send_and_be_told(SLOW_DOWN_DEFERRED, 15, SECOND); /* 15 of 49 */
    ck_assert(!is_slowed());
    send_and_be_told(SLOW_DOWN_DEFERRED, 1, SECOND); /* 16 of 50 */
    ck_assert(is_slowed());
    ck_assert_str_eq(look().said, "statistics: 16 of 50 deferred");
    unsigned limit = look().rate.limit;
    send_and_be_told(SLOW_DOWN_DEFERRED, 40, 2 * MINUTE); /* fewer than fifty since the step */
    ck_assert_uint_eq(look().rate.limit, limit);
}
END_TEST

START_TEST(statistics_below_their_share_or_older_than_their_window_say_nothing)
{
    for (int i = 0; i < 100; i++) {
        send_and_be_told(SLOW_DOWN_ACCEPTED, 10, SECOND);
        send_and_be_told(SLOW_DOWN_DEFERRED, 4, SECOND);
    }
    ck_assert(!is_slowed());
    slow_down_reset(table, "primary");
    for (int i = 0; i < 20; i++) {
        send_and_be_told(SLOW_DOWN_BOUNCED, 20, SECOND);
        pass(11 * MINUTE);
    }
    ck_assert(!is_slowed());
}
END_TEST

START_TEST(bounces_are_counted_as_well_as_deferrals)
{
    send_and_be_told(SLOW_DOWN_ACCEPTED, 90, SECOND);
    for (int i = 0; i < 9; i++)
        slow_down_note(&slow_down, SLOW_DOWN_BOUNCED, false, NULL);
    ck_assert(is_slowed());
}
END_TEST

START_TEST(switched_off_it_does_nothing)
{
    int64_t next;

    hear(&at_once);
    config.slow_down.enabled = false;
    simulation_set(simulation, &set, PROVIDER_GMAIL, 10);
    ck_assert_uint_eq(decide_all(&next), 1000);
    ck_assert(!is_slowed());
}
END_TEST

START_TEST(a_reset_forgets_it_all)
{
    hear(&at_once);
    slow_down_reset(table, "primary");
    ck_assert(!is_slowed());
}
END_TEST

/* --- many processes ------------------------------------------------------------------------------------ */

#define FLOOR_GAP (60 * SECOND)

/* Is refused at random, hears, decides, and records what passed. */
static void work(struct simulation *shared, int64_t end, int64_t step)
{
    int64_t next;

    use_table(simulation_table(shared));
    srandom((unsigned)getpid());
    simulation_set(shared, &set, PROVIDER_GMAIL, 10);
    while (atomic_load(&shared->now) < end) {
        if (decide(&next) == RATE_GRANTED) {
            bool refused = random() % 4 == 0;
            slow_down_note(&slow_down, refused ? SLOW_DOWN_DEFERRED : SLOW_DOWN_ACCEPTED, true,
                           "a@example.com");
            if (refused)
                hear(&at_once);
        }
        atomic_fetch_add(&shared->now, simulation_random(step));
    }
    rate_table_close(table);
    _exit(0);
}

START_TEST(sixty_four_processes_share_one_limit)
{
    simulation->tpsp.global_rate = (struct config_rate){3600, 3600000};
    hear(&at_once);
    for (int i = 0; i < 40; i++) { /* refused again and again: down to the floor */
        slow_down_note(&slow_down, SLOW_DOWN_ACCEPTED, true, NULL);
        pass(5 * MINUTE);
        hear(&at_once);
    }
    ck_assert_uint_eq(look().rate.limit, 60);
    int64_t end = atomic_load(&simulation->now) + 9 * MINUTE; /* no step up before that */
    config.slow_down.recovery_ms = 3600000;
    for (int i = 0; i < 64; i++)
        simulation_start(simulation, work, end, SECOND / 64);
    simulation_expect_all_well(64);
    ck_assert_uint_eq(simulation_most_in_a_window(simulation, FLOOR_GAP), 1);
    ck_assert_uint_ge(atomic_load(&simulation->count), 2); /* how many depends on who is refused when */
}
END_TEST

START_TEST(a_kill_at_any_moment_leaves_a_state_that_works)
{
    for (int round = 0; round < 60; round++) {
        pid_t children[4];
        for (int i = 0; i < 4; i++)
            children[i] = simulation_start(simulation, work, INT64_MAX, 10 * SECOND);
        usleep((useconds_t)(random() % 3000));
        for (int i = 0; i < 4; i++)
            kill(children[i], SIGKILL);
        for (int i = 0; i < 4; i++)
            waitpid(children[i], NULL, 0);
        struct slow_down_view view = look();
        if (view.slowed) {
            ck_assert_uint_ge(view.rate.limit, 60);
            ck_assert_int_le(view.next_ns, atomic_load(&simulation->now) + DAY);
        }
        atomic_store(&simulation->count, 0);
    }
    int64_t next;
    simulation_set(simulation, &set, PROVIDER_GMAIL, 10);
    for (int i = 0; i < 10; i++)
        if (decide(&next) != RATE_GRANTED)
            atomic_store(&simulation->now, next);
    ck_assert_uint_ge(atomic_load(&simulation->count), 4);
}
END_TEST

START_TEST(a_clock_that_goes_back_blocks_nothing)
{
    int64_t next;

    simulation->tpsp.global_rate = (struct config_rate){3600, 3600000};
    simulation_set(simulation, &set, PROVIDER_GMAIL, 10);
    atomic_store(&simulation->now, 30 * DAY);
    hear(&at_once);
    decide(&next);
    atomic_store(&simulation->now, HOUR);
    ck_assert_int_eq(decide(&next), RATE_REFUSED);
    ck_assert_int_le(next, HOUR + 3 * SECOND); /* no lane is taken for longer than its pace */
    atomic_store(&simulation->now, next);
    ck_assert_int_eq(decide(&next), RATE_GRANTED);
    ck_assert_int_le(look().next_ns, HOUR + 11 * MINUTE);
}
END_TEST

UNIT_SUITE(slow_down_suite)
{
    Suite *suite = suite_create("slow_down");
    TCase *tcase = tcase_create("slow_down");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, nothing_is_slowed_down_that_was_not_asked_for);
    tcase_add_test(tcase, a_rule_that_counts_begins_at_its_number_within_its_time);
    tcase_add_test(tcase, once_it_is_slowed_down_every_refusal_counts);
    tcase_add_test(tcase, without_a_limit_it_begins_at_half_the_rate_of_the_last_window);
    tcase_add_test(tcase, in_a_cluster_it_begins_at_half_of_what_all_hosts_send);
    tcase_add_test(tcase, with_a_limit_it_begins_there_and_holds_beside_it);
    tcase_add_test(tcase, a_provider_is_slowed_down_alone);
    tcase_add_test(tcase, it_grows_with_the_decisions_until_it_is_whole);
    tcase_add_test(tcase, it_outlives_processes_and_reboots);
    tcase_add_loop_test(tcase, it_outlives_a_boot_id_that_changes_while_the_clock_goes_on, 0, 2);
    tcase_add_test(tcase, it_recovers_after_a_reboot_also_where_nothing_more_is_said);
    tcase_add_test(tcase, a_pause_ends_when_it_said_also_after_a_reboot);
    tcase_add_test(tcase, a_correspondent_alone_slows_nobody_down);
    tcase_add_test(tcase, where_nobody_else_is_accepted_it_is_the_tpsp_that_speaks);
    tcase_add_test(tcase, a_recipient_is_held_and_nobody_else);
    tcase_add_test(tcase, connections_are_limited_for_a_time);
    tcase_add_test(tcase, statistics_speak_at_their_share_of_enough_attempts);
    tcase_add_test(tcase, statistics_below_their_share_or_older_than_their_window_say_nothing);
    tcase_add_test(tcase, bounces_are_counted_as_well_as_deferrals);
    tcase_add_test(tcase, switched_off_it_does_nothing);
    tcase_add_test(tcase, a_reset_forgets_it_all);
    tcase_add_test(tcase, sixty_four_processes_share_one_limit);
    tcase_add_test(tcase, a_kill_at_any_moment_leaves_a_state_that_works);
    tcase_add_test(tcase, a_clock_that_goes_back_blocks_nothing);
    suite_add_tcase(suite, tcase);
    return suite;
}
