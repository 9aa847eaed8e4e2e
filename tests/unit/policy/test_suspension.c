#include "policy/suspension.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "policy/pool.h"
#include "policy/slow_down.h"
#include "simulation.h"
#include "suites.h"

#define HOUR_MS INT64_C(3600000)
#define START INT64_C(1764165600000) /* 2025-11-26T14:00:00Z */

static struct simulation *simulation;
static struct rate_table *table;
static const struct suspension_scope primary = {.tpsp = "primary"},
                                     to_gmail = {.tpsp = "primary", .provider = "gmail"},
                                     bulk = {.pool = "bulk"};
static struct outcome outcome;
static int64_t until_ns;

static void setup(void)
{
    simulation = simulation_begin();
    table = simulation_table(simulation);
}

static void teardown(void)
{
    rate_table_close(table);
    simulation_end(simulation);
}

static void begin(const struct suspension_scope *scope, int64_t until_ms, const char *reason)
{
    struct suspension suspension = {.began_ms = START, .until_ms = until_ms};

    snprintf(suspension.reason, sizeof suspension.reason, "%s", reason);
    ck_assert_msg(suspension_begin(table, scope, &suspension, &outcome), "%s", outcome.text);
}

static bool is_barred(const struct suspension_scope *scope, int64_t now_ms)
{
    return suspension_bars(table, scope, now_ms, &until_ns, &outcome);
}

START_TEST(mail_waits_until_the_time_is_over)
{
    ck_assert(!is_barred(&primary, START));
    begin(&primary, START + HOUR_MS, "maintenance");
    ck_assert(is_barred(&primary, START));
    ck_assert_int_eq(until_ns, atomic_load(&simulation->now) + HOUR);
    ck_assert_int_eq(outcome.class, OUTCOME_DEFERRED);
    ck_assert_int_eq(outcome.cause, CAUSE_RATE);
    ck_assert_str_eq(outcome.text, "TPSP primary is suspended until 2025-11-26T15:00:00Z (maintenance)");
    ck_assert(slow_down_is_our_own(outcome.text));
    ck_assert(is_barred(&primary, START + HOUR_MS - 1));
    ck_assert(!is_barred(&primary, START + HOUR_MS));
    ck_assert_msg(!is_barred(&primary, START), "it began again when the clock went back");
}
END_TEST

START_TEST(it_may_last_until_it_is_resumed)
{
    begin(&bulk, SUSPENSION_OPEN, "");
    ck_assert(is_barred(&bulk, START + 100000 * HOUR_MS));
    ck_assert_int_eq(until_ns, INT64_MAX);
    ck_assert_str_eq(outcome.text, "pool bulk is suspended until it is resumed");
    ck_assert(suspension_end(table, &bulk));
    ck_assert(!suspension_end(table, &bulk));
    ck_assert(!is_barred(&bulk, START));
}
END_TEST

START_TEST(a_provider_alone_can_be_suspended)
{
    begin(&to_gmail, SUSPENSION_OPEN, "they complain");
    ck_assert(is_barred(&to_gmail, START));
    ck_assert_str_eq(outcome.text,
                     "TPSP primary (provider gmail) is suspended until it is resumed (they complain)");
    ck_assert(!is_barred(&primary, START));
    ck_assert(!is_barred(&(struct suspension_scope){.tpsp = "backup", .provider = "gmail"}, START));
    ck_assert(!is_barred(&(struct suspension_scope){.pool = "primary"}, START));
    ck_assert_msg(!is_barred(&(struct suspension_scope){.tpsp = "bulk"}, START), "no pool of that name");
}
END_TEST

START_TEST(another_one_takes_its_place)
{
    char reason[300];

    begin(&primary, START + HOUR_MS, "a reason that is longer than the other one");
    memset(reason, 'x', sizeof reason - 1);
    reason[sizeof reason - 1] = '\0';
    begin(&primary, START + 2 * HOUR_MS, reason);
    struct suspension seen;
    ck_assert(suspension_look(table, &primary, START, &seen));
    ck_assert_int_eq(seen.until_ms, START + 2 * HOUR_MS);
    ck_assert_uint_eq(strspn(seen.reason, "x"), SUSPENSION_REASON_SIZE - 1);
    ck_assert_uint_eq(strlen(seen.reason), SUSPENSION_REASON_SIZE - 1);
    begin(&primary, START + 2 * HOUR_MS, "short");
    ck_assert(suspension_look(table, &primary, START, &seen));
    ck_assert_str_eq(seen.reason, "short");
}
END_TEST

START_TEST(it_outlives_processes_reboots_and_a_reset_of_the_limits)
{
    begin(&primary, START + HOUR_MS, "maintenance");
    rate_table_close(table);
    snprintf(simulation->boot_id, sizeof simulation->boot_id, "boot-2");
    atomic_store(&simulation->now, SECOND);
    table = simulation_table(simulation);
    slow_down_reset(table, "primary");
    ck_assert(is_barred(&primary, START + HOUR_MS / 2));
    ck_assert_int_eq(until_ns, SECOND + HOUR / 2); /* by the clock on the wall: the time of the boot counts */
    ck_assert_str_eq(outcome.text, "TPSP primary is suspended until 2025-11-26T15:00:00Z (maintenance)");
    ck_assert(!is_barred(&primary, START + HOUR_MS));
}
END_TEST

START_TEST(with_the_file_it_is_lost_and_nothing_else_happens)
{
    char path[128];

    begin(&primary, SUSPENSION_OPEN, "maintenance");
    simulation_path(simulation, path);
    ck_assert_int_eq(unlink(path), 0);
    atomic_fetch_add(&simulation->now, SECOND);
    ck_assert(!is_barred(&primary, START));
    begin(&primary, SUSPENSION_OPEN, "again");
    ck_assert(is_barred(&primary, START));
}
END_TEST

/* One long and one short reason in turn, as fast as it goes. */
__attribute__((noreturn)) static void suspend_again_and_again(_Atomic int *rounds)
{
    struct rate_table *own = simulation_table(simulation);
    struct suspension suspension = {.began_ms = START};

    for (;; atomic_fetch_add(rounds, 1)) {
        bool odd = atomic_load(rounds) % 2 != 0;
        suspension.until_ms = START + (odd ? 1 : 2) * HOUR_MS;
        snprintf(suspension.reason, sizeof suspension.reason, "%s", odd ? "1" : "22222222222222222222222222");
        if (!suspension_begin(own, &primary, &suspension, &outcome))
            _exit(1);
    }
}

START_TEST(killed_at_any_moment_it_stays_suspended)
{
    _Atomic int *rounds =
        mmap(NULL, sizeof *rounds, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct suspension seen;

    begin(&primary, START + HOUR_MS, "1");
    for (int i = 0; i < 100 / simulation_haste(); i++) {
        int before = atomic_load(rounds);
        pid_t child = fork();
        if (child == 0)
            suspend_again_and_again(rounds);
        while (atomic_load(rounds) < before + 1 + i % 5)
            ck_assert_int_eq(waitpid(child, NULL, WNOHANG), 0);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        ck_assert(suspension_look(table, &primary, START, &seen));
        ck_assert(seen.until_ms == START + HOUR_MS || seen.until_ms == START + 2 * HOUR_MS);
        ck_assert_uint_eq(strspn(seen.reason, "12"), strlen(seen.reason));
    }
    ck_assert(suspension_end(table, &primary));
    munmap(rounds, sizeof *rounds);
}
END_TEST

/* --- what a delivery does ------------------------------------------------------------------------------ */

static struct config_tpsp tpsps[] = {{.name = (char *)"primary"}, {.name = (char *)"backup"}};
static struct config_member members[] = {{.tpsp = 0, .weight = 1}, {.tpsp = 1, .weight = 1}};
static struct config_pool pools[] = {
    {.name = (char *)"default", .members = &members[0], .member_count = 1, .overflow = 1},
    {.name = (char *)"bulk", .members = &members[1], .member_count = 1, .overflow = -1}};
static const struct config config = {
    .tpsps = tpsps, .tpsp_count = 2, .pools = pools, .pool_count = 2, .rate_burst = 10};

/* The name of the TPSP that gets a message to this provider; "": nobody, outcome says why. */
static const char *who_gets_it(size_t pool, enum provider_category provider)
{
    const struct route_facts facts = {.provider = provider, .sender_domain = ""};
    const struct config_tpsp *tpsp;
    struct pool_cursor cursor;

    pool_begin(&cursor, &(struct admission_gate){.config = &config, .table = table}, &pools[pool], &facts,
               INT64_MAX / 1000000 - 1);
    bool given = pool_next(&cursor, &tpsp, &outcome);
    pool_end(&cursor);
    return given ? tpsp->name : "";
}

START_TEST(a_member_is_passed_over_and_its_mail_overflows)
{
    ck_assert_str_eq(who_gets_it(0, PROVIDER_GMAIL), "primary");
    begin(&primary, clock_realtime_ms() + HOUR_MS, "");
    ck_assert_str_eq(who_gets_it(0, PROVIDER_GMAIL), "backup");
    suspension_end(table, &primary);
    begin(&to_gmail, SUSPENSION_OPEN, "");
    ck_assert_str_eq(who_gets_it(0, PROVIDER_GMAIL), "backup");
    ck_assert_str_eq(who_gets_it(0, PROVIDER_YAHOO), "primary");
}
END_TEST

START_TEST(mail_of_a_pool_and_what_overflows_to_it_waits)
{
    begin(&bulk, SUSPENSION_OPEN, "");
    ck_assert_str_eq(who_gets_it(1, PROVIDER_GMAIL), "");
    ck_assert_int_eq(outcome.cause, CAUSE_RATE);
    ck_assert_str_eq(outcome.text, "pool bulk is suspended until it is resumed");
    ck_assert_str_eq(who_gets_it(0, PROVIDER_GMAIL), "primary");
    begin(&primary, SUSPENSION_OPEN, "");
    ck_assert_str_eq(who_gets_it(0, PROVIDER_GMAIL), "");
    ck_assert_str_eq(outcome.enhanced, "4.7.1");
}
END_TEST

static void count_one(void *context, const struct suspension_scope *scope,
                      const struct suspension *suspension)
{
    char name[SUSPENSION_NAME_SIZE], *seen = context;

    ck_assert_str_eq(suspension->reason, "why");
    strncat(seen, suspension_name(scope, name), 200);
    strncat(seen, "; ", 3);
}

START_TEST(all_that_there_are_are_seen)
{
    char seen[1000] = "";

    begin(&bulk, SUSPENSION_OPEN, "why");
    begin(&to_gmail, START + HOUR_MS, "why");
    begin(&primary, START + HOUR_MS, "why");
    suspension_each(&config, table, START, count_one, seen);
    ck_assert_str_eq(seen, "TPSP primary; TPSP primary (provider gmail); pool bulk; ");
}
END_TEST

UNIT_SUITE(suspension_suite)
{
    Suite *suite = suite_create("suspension");
    TCase *tcase = tcase_create("suspension");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, mail_waits_until_the_time_is_over);
    tcase_add_test(tcase, it_may_last_until_it_is_resumed);
    tcase_add_test(tcase, a_provider_alone_can_be_suspended);
    tcase_add_test(tcase, another_one_takes_its_place);
    tcase_add_test(tcase, it_outlives_processes_reboots_and_a_reset_of_the_limits);
    tcase_add_test(tcase, with_the_file_it_is_lost_and_nothing_else_happens);
    tcase_add_test(tcase, killed_at_any_moment_it_stays_suspended);
    tcase_add_test(tcase, a_member_is_passed_over_and_its_mail_overflows);
    tcase_add_test(tcase, mail_of_a_pool_and_what_overflows_to_it_waits);
    tcase_add_test(tcase, all_that_there_are_are_seen);
    suite_add_tcase(suite, tcase);
    return suite;
}
