/* What happens to limits when their file is damaged, missing, or of an earlier boot. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "simulation.h"
#include "suites.h"

static struct simulation *simulation;

static void setup(void)
{
    simulation = simulation_begin();
}

static void teardown(void)
{
    simulation_end(simulation);
}

/* --- damage ------------------------------------------------------------------------------------ */

static void damage_truncate(const char *path)
{
    ck_assert_int_eq(truncate(path, 0), 0);
}

static void damage_cut(const char *path)
{
    ck_assert_int_eq(truncate(path, 4096 + 512), 0);
}

static void overwrite(const char *path, size_t size, bool random_bytes)
{
    int descriptor = open(path, O_WRONLY);
    char *bytes = calloc(1, size);

    for (size_t i = 0; random_bytes && i < size; i++)
        bytes[i] = (char)random();
    ck_assert_int_eq(write(descriptor, bytes, size), (ssize_t)size);
    close(descriptor);
    free(bytes);
}

static void damage_random(const char *path)
{
    overwrite(path, sizeof(struct rate_file), true);
}

static void damage_zero(const char *path)
{
    overwrite(path, sizeof(struct rate_file), false);
}

static void damage_entries(const char *path)
{
    int descriptor = open(path, O_WRONLY);

    for (size_t i = 0; i < 100000; i++) {
        int64_t word = (int64_t)((uint64_t)random() << 33 ^ (uint64_t)random());
        ck_assert_int_eq(pwrite(descriptor, &word, sizeof word,
                                4096 + random() % (off_t)(sizeof(struct rate_file) - 4096 - sizeof word)),
                         sizeof word);
    }
    close(descriptor);
}

/* Users of the file put a new one in its place at any moment: what is there, or not, is no matter. */
static void damage_unlink(const char *path)
{
    ck_assert(unlink(path) == 0 || errno == ENOENT);
}

static void put_in_place(const char *made, const char *path)
{
    ck_assert_int_eq(rename(made, path), 0);
}

static void damage_symlink(const char *path)
{
    AUTO_FREE char *made = xasprintf("%s.symlink", path);

    ck_assert_int_eq(symlink("/etc/passwd", made), 0);
    put_in_place(made, path);
}

static void damage_fifo(const char *path)
{
    AUTO_FREE char *made = xasprintf("%s.fifo", path);

    ck_assert_int_eq(mkfifo(made, 0640), 0);
    put_in_place(made, path);
}

static void (*const damages[])(const char *path) = {damage_truncate, damage_cut,     damage_random,
                                                    damage_zero,     damage_entries, damage_unlink,
                                                    damage_symlink,  damage_fifo};
#define DAMAGES (int)(sizeof damages / sizeof damages[0])

START_TEST(damage_in_use_costs_no_more_than_a_fresh_file)
{
    int64_t end = atomic_load(&simulation->now) + 12 * HOUR;
    char path[128];
    int rounds = 0;

    simulation_path(simulation, path);
    rate_table_close(simulation_table(simulation));
    for (int i = 0; i < 8; i++)
        simulation_start(simulation, simulation_hammer, end,
                         simulation_haste() * simulation_haste() * 10000000);
    for (int64_t next = 0; next < end - HOUR; next = atomic_load(&simulation->now) + HOUR, rounds++) {
        while (atomic_load(&simulation->now) < next)
            usleep(100);
        damages[_i](path);
    }
    simulation_expect_all_well(8);
    /* before the damage, with the fresh file, and once more where it was noticed by one process a moment
     * before the others */
    ck_assert_uint_le(simulation_most_in_a_window(simulation, HOUR), 300);
    ck_assert_uint_le(atomic_load(&simulation->count), 1200 + (size_t)rounds * 100);
    ck_assert_uint_ge(atomic_load(&simulation->count), 1100);
}
END_TEST

START_TEST(what_is_not_our_file_is_replaced)
{
    struct rate_table *table = simulation_table(simulation);
    struct stat status;
    char path[128];

    simulation_path(simulation, path);
    rate_table_close(table);
    damages[_i](path);
    table = simulation_table(simulation);
    ck_assert_int_eq(lstat(path, &status), 0);
    ck_assert(S_ISREG(status.st_mode));
    ck_assert_int_eq(status.st_size, sizeof(struct rate_file));
    ck_assert_uint_eq(status.st_mode & 0777, 0600);
    rate_table_close(table);
}
END_TEST

START_TEST(a_directory_in_its_place_is_reported)
{
    struct rate_table *table;
    struct outcome error;
    char path[128];

    simulation_path(simulation, path);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert(!rate_table_open(&table, simulation->dir, &simulation->clock, &error));
    ck_assert_int_eq(error.cause, CAUSE_OURS);
    ck_assert_str_eq(error.enhanced, "4.3.0");
    ck_assert_ptr_nonnull(strstr(error.text, path));
    ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

START_TEST(a_missing_state_directory_is_reported)
{
    struct rate_table *table;
    struct outcome error;

    ck_assert(!rate_table_open(&table, "/nonexistent/sendpost", &simulation->clock, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "/nonexistent/sendpost"));
    ck_assert_str_eq(error.enhanced, "4.3.0");
}
END_TEST

START_TEST(a_full_disk_is_reported_and_leaves_nothing)
{
    pid_t child = fork();

    if (child == 0) {
        struct rlimit limit = {.rlim_cur = 100000, .rlim_max = 100000};
        struct rate_table *table;
        struct outcome error;

        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
            _exit(1);
        _exit(rate_table_open(&table, simulation->dir, &simulation->clock, &error)       ? 2
              : error.cause != CAUSE_OURS || strstr(error.text, simulation->dir) == NULL ? 3
                                                                                         : 0);
    }
    simulation_expect_all_well(1); /* and teardown looks that the directory is empty */
}
END_TEST

START_TEST(the_real_clock_and_boot_id_serve)
{
    struct rate_table *table;
    struct outcome error;
    int64_t before;

    ck_assert_msg(rate_table_open(&table, simulation->dir, &rate_clock_system, &error), "%s", error.text);
    before = rate_table_now(table);
    rate_table_sleep_until(table, before + 1000000);
    ck_assert_int_ge(rate_table_now(table), before + 1000000);
    rate_table_close(table);
}
END_TEST

/* --- reboots ----------------------------------------------------------------------------------- */

static char *read_file(const char *path)
{
    char *bytes = malloc(sizeof(struct rate_file));
    int descriptor = open(path, O_RDONLY);

    ck_assert_int_eq(read(descriptor, bytes, sizeof(struct rate_file)), (ssize_t)sizeof(struct rate_file));
    close(descriptor);
    return bytes;
}

static void write_file(const char *path, const char *bytes)
{
    int descriptor = open(path, O_WRONLY);

    ck_assert_int_eq(write(descriptor, bytes, sizeof(struct rate_file)), (ssize_t)sizeof(struct rate_file));
    close(descriptor);
}

static const struct {
    uint32_t limit;
    int64_t window_ms;
} booted[] = {{1, 3600000}, {2, 86400000}, {100, 3600000}, {1000, 60000}, {30, 60000}, {12, 3600000}};

/*
 * True time goes on; the boots of the machine begin at true times of their own. A power cut takes back all
 * changes of the file but those that rate_table_sync() has put on the disk: the file as it was at the last
 * such admission comes back.
 */
START_TEST(no_window_across_reboots_and_power_cuts_has_more_than_the_limit)
{
    int64_t window = booted[_i].window_ms * 1000000, booted_at = 0;
    const int boots = unit_tests_under_valgrind() ? 15 : 60;
    struct rate_table *table = simulation_table(simulation);
    char path[128], *saved = NULL;
    struct rate_grant grant;
    struct rate_set set;

    simulation_path(simulation, path);
    srandom((unsigned)_i);
    simulation->tpsp.global_rate = (struct config_rate){booted[_i].limit, booted[_i].window_ms};
    simulation_set(simulation, &set, PROVIDER_DEFAULT, 10);
    for (int boot = 2; boot < boots; boot++) {
        int64_t up = simulation_random(2 * window + 2 * MINUTE);
        for (int64_t end = atomic_load(&simulation->now) + up; atomic_load(&simulation->now) < end;) {
            while (simulation_take(table, &set, &grant)) {
                simulation_record(simulation, booted_at + grant.time_ns);
                bool synced = grant.taken[0].after - grant.time_ns >= RATE_SYNC_NS;
                if (synced || saved == NULL) {
                    free(saved);
                    saved = read_file(path);
                }
            }
            atomic_fetch_add(&simulation->now, 1 + simulation_random(window / booted[_i].limit / 8 + 1));
        }
        rate_table_close(table);
        booted_at += atomic_load(&simulation->now) + simulation_random(SECOND);
        if (random() % 2 && saved != NULL)
            write_file(path, saved); /* the power was cut */
        free(saved);
        saved = NULL;
        snprintf(simulation->boot_id, sizeof simulation->boot_id, "boot-%d", boot);
        atomic_store(&simulation->now, simulation_random(2 * SECOND));
        table = simulation_table(simulation);
    }
    rate_table_close(table);
    ck_assert_uint_ge(atomic_load(&simulation->count), (unsigned)boots / 3);
    ck_assert_uint_le(simulation_most_in_a_window(simulation, window), booted[_i].limit);
}
END_TEST

/* The power cut takes back the last use of a slot: first with the very entry, then with what was known of
 * it. */
START_TEST(what_the_power_cut_took_back_may_have_been_used_just_before)
{
    struct rate_table *table = simulation_table(simulation);
    struct rate_grant grant;
    struct rate_set set;
    char path[128];

    simulation_path(simulation, path);
    simulation_set(simulation, &set, PROVIDER_DEFAULT, 1);
    if (_i == 1) {
        ck_assert(simulation_take(table, &set, &grant));
        atomic_fetch_add(&simulation->now, 35 * SECOND);
        ck_assert(!simulation_take(table, &set, &grant)); /* nearly free again, as the file knows */
    }
    char *saved = read_file(path);
    atomic_fetch_add(&simulation->now, SECOND);
    ck_assert(simulation_take(table, &set, &grant));
    rate_table_close(table);
    write_file(path, saved);
    free(saved);
    snprintf(simulation->boot_id, sizeof simulation->boot_id, "boot-2");
    atomic_store(&simulation->now, 2 * SECOND);
    table = simulation_table(simulation);
    ck_assert(!simulation_take(table, &set, &grant));
    atomic_fetch_add(&simulation->now, 36 * SECOND);
    ck_assert(simulation_take(table, &set, &grant));
    rate_table_close(table);
}
END_TEST

/* A container has a boot id of its own at each start and the clock of its host; a volume moves to a machine
 * that has been up for months. */
static const struct {
    int64_t up, passed;
} moved[] = {{0, 0}, {0, HOUR}, {100 * DAY, 0}};

START_TEST(another_boot_id_forgets_nothing_where_the_clock_goes_on)
{
    struct rate_table *table = simulation_table(simulation);
    struct rate_grant grant;
    struct rate_set set;

    simulation->tpsp.global_rate = (struct config_rate){3, 86400000};
    simulation_set(simulation, &set, PROVIDER_DEFAULT, 3);
    atomic_store(&simulation->now, 7 * DAY);
    for (int i = 0; i < 3; i++)
        ck_assert(simulation_take(table, &set, &grant));
    ck_assert(!simulation_take(table, &set, &grant));
    rate_table_close(table);
    snprintf(simulation->boot_id, sizeof simulation->boot_id, "boot-2");
    int64_t begins = atomic_fetch_add(&simulation->now, moved[_i].up + moved[_i].passed) + moved[_i].up;
    table = simulation_table(simulation);
    ck_assert(!simulation_take(table, &set, &grant));
    atomic_store(&simulation->now, begins + DAY - SECOND);
    ck_assert(!simulation_take(table, &set, &grant));
    atomic_store(&simulation->now, begins + moved[_i].passed + DAY + SECOND); /* and not for ever */
    for (int i = 0; i < 3; i++)
        ck_assert(simulation_take(table, &set, &grant));
    ck_assert(!simulation_take(table, &set, &grant));
    rate_table_close(table);
}
END_TEST

/* The power cut may have taken back its first use, entry and all. */
START_TEST(what_is_not_in_a_file_from_elsewhere_may_have_been_used_just_before)
{
    struct rate_table *table = simulation_table(simulation);
    struct rate_grant grant;
    struct rate_set set;

    simulation_set(simulation, &set, PROVIDER_DEFAULT, 1);
    rate_table_close(table);
    snprintf(simulation->boot_id, sizeof simulation->boot_id, "boot-2");
    atomic_fetch_add(&simulation->now, 100 * DAY);
    table = simulation_table(simulation);
    ck_assert(!simulation_take(table, &set, &grant));
    atomic_fetch_add(&simulation->now, MINUTE);
    ck_assert(simulation_take(table, &set, &grant));
    rate_table_close(table);
}
END_TEST

/* A clock that, asked once more than usual, has somebody replace the file. */
static int replace_at_question;

static int64_t meddling_now(void *context)
{
    char path[128];

    if (replace_at_question > 0 && --replace_at_question == 0) {
        simulation_path(simulation, path);
        damages[2](path);
    }
    return atomic_load(&((struct simulation *)context)->now);
}

START_TEST(a_slot_of_a_file_that_was_replaced_meanwhile_does_not_count)
{
    struct rate_clock clock = simulation->clock;
    struct rate_table *table, *other;
    struct rate_grant grant;
    struct rate_set set;
    struct outcome error;

    clock.now_ns = meddling_now;
    simulation->tpsp.global_rate = (struct config_rate){2, 3600000};
    simulation_set(simulation, &set, PROVIDER_DEFAULT, 2);
    ck_assert(rate_table_open(&table, simulation->dir, &clock, &error));
    ck_assert(simulation_take(table, &set, &grant));
    /* a lane out of range makes the limiter ask the clock again, between looking and taking the other lane */
    atomic_store(&set.limits[0].entry->words[0], INT64_MAX);
    replace_at_question = 2;
    ck_assert(simulation_take(table, &set, &grant));
    ck_assert_int_eq(replace_at_question, 0);
    other = simulation_table(simulation);
    ck_assert(simulation_take(other, &set, &grant));
    ck_assert(!simulation_take(other, &set, &grant)); /* the slot before was taken in the new file, too */
    rate_table_close(other);
    rate_table_close(table);
}
END_TEST

START_TEST(daily_reboots_do_not_block_a_daily_limit_for_ever)
{
    struct rate_table *table = simulation_table(simulation);
    struct rate_grant grant;
    struct rate_set set;
    int granted = 0;

    simulation->tpsp.global_rate = (struct config_rate){1, 86400000};
    simulation_set(simulation, &set, PROVIDER_DEFAULT, 10);
    for (int day = 0; day < 30; day++) {
        for (int hour = 0; hour < 20; hour++) { /* asked for each hour; switched off at night */
            granted += simulation_take(table, &set, &grant);
            atomic_fetch_add(&simulation->now, HOUR);
        }
        rate_table_close(table);
        snprintf(simulation->boot_id, sizeof simulation->boot_id, "day-%d", day);
        atomic_store(&simulation->now, SECOND);
        table = simulation_table(simulation);
    }
    rate_table_close(table);
    ck_assert_int_ge(granted, 20);
}
END_TEST

UNIT_SUITE(rate_file_suite)
{
    Suite *suite = suite_create("rate_file");
    TCase *tcase = tcase_create("rate_file");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, damage_in_use_costs_no_more_than_a_fresh_file, 0, DAMAGES);
    tcase_add_loop_test(tcase, what_is_not_our_file_is_replaced, 0, DAMAGES);
    tcase_add_test(tcase, a_directory_in_its_place_is_reported);
    tcase_add_test(tcase, a_missing_state_directory_is_reported);
    tcase_add_test(tcase, a_full_disk_is_reported_and_leaves_nothing);
    tcase_add_test(tcase, the_real_clock_and_boot_id_serve);
    tcase_add_loop_test(tcase, no_window_across_reboots_and_power_cuts_has_more_than_the_limit, 0,
                        sizeof booted / sizeof booted[0]);
    tcase_add_loop_test(tcase, what_the_power_cut_took_back_may_have_been_used_just_before, 0, 2);
    tcase_add_loop_test(tcase, another_boot_id_forgets_nothing_where_the_clock_goes_on, 0,
                        sizeof moved / sizeof moved[0]);
    tcase_add_test(tcase, what_is_not_in_a_file_from_elsewhere_may_have_been_used_just_before);
    tcase_add_test(tcase, a_slot_of_a_file_that_was_replaced_meanwhile_does_not_count);
    tcase_add_test(tcase, daily_reboots_do_not_block_a_daily_limit_for_ever);
    suite_add_tcase(suite, tcase);
    return suite;
}
