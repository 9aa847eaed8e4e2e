#include "policy/connections.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suites.h"

static char directory[64], path[96];
static struct config_tpsp tpsps[2];
static struct config config;
static struct outcome error;
static int ended; /* sessions */

static void set_up(void)
{
    snprintf(directory, sizeof directory, "/tmp/lease-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/connections", directory);
    tpsps[0] = (struct config_tpsp){.name = (char *)"one", .max_connections = 3};
    tpsps[1] = (struct config_tpsp){.name = (char *)"two", .max_connections = 0};
    config = (struct config){.state_dir = directory, .tpsps = tpsps, .tpsp_count = 2};
}

static void tear_down(void)
{
    unlink(path);
    rmdir(directory);
}

START_TEST(no_more_than_the_limit_are_given)
{
    struct connections_desk *desks[4];

    for (int i = 0; i < 4; i++) {
        desks[i] = connections_open(&config);
        ck_assert_int_eq(connections_take(desks[i], &tpsps[0], tpsps[0].max_connections, &error),
                         i < 3 ? CONNECTIONS_TAKEN : CONNECTIONS_NONE_FREE);
        /* without a limit */
        ck_assert_int_eq(connections_take(desks[i], &tpsps[1], tpsps[1].max_connections, &error),
                         CONNECTIONS_HELD);
    }
    ck_assert_int_eq(connections_take(desks[0], &tpsps[0], tpsps[0].max_connections, &error),
                     CONNECTIONS_HELD);
    ck_assert_uint_eq(connections_count(desks[0], &tpsps[0]), 3);
    ck_assert_uint_eq(connections_count(desks[3], &tpsps[0]), 3);
    connections_let_go(desks[1], &tpsps[0]);
    ck_assert(!connections_is_held(desks[1], &tpsps[0]));
    ck_assert_uint_eq(connections_count(desks[1], &tpsps[0]), 2);
    ck_assert_int_eq(connections_take(desks[3], &tpsps[0], tpsps[0].max_connections, &error),
                     CONNECTIONS_TAKEN);
    ck_assert_int_eq(connections_take(desks[1], &tpsps[0], tpsps[0].max_connections, &error),
                     CONNECTIONS_NONE_FREE);
    for (int i = 0; i < 4; i++)
        connections_close(desks[i]);
}
END_TEST

START_TEST(who_waits_is_heard_by_who_holds)
{
    struct connections_desk *holder = connections_open(&config), *waiter = connections_open(&config);

    tpsps[0].max_connections = 1;
    connections_take(holder, &tpsps[0], tpsps[0].max_connections, &error);
    ck_assert(!connections_wanted(holder, &tpsps[0]));
    ck_assert_int_eq(connections_take(waiter, &tpsps[0], tpsps[0].max_connections, &error),
                     CONNECTIONS_NONE_FREE);
    ck_assert(connections_wanted(holder, &tpsps[0]));
    connections_stop_waiting(waiter);
    ck_assert(!connections_wanted(holder, &tpsps[0]));
    connections_take(waiter, &tpsps[0], tpsps[0].max_connections, &error);
    connections_let_go(holder, &tpsps[0]);
    ck_assert_int_eq(connections_take(waiter, &tpsps[0], tpsps[0].max_connections, &error),
                     CONNECTIONS_TAKEN);
    ck_assert(!connections_wanted(holder, &tpsps[0]));
    connections_close(holder);
    connections_close(waiter);
}
END_TEST

START_TEST(a_smaller_limit_counts_those_above_it)
{
    struct connections_desk *desks[5];

    tpsps[0].max_connections = 4;
    for (int i = 0; i < 4; i++) {
        desks[i] = connections_open(&config);
        ck_assert_int_eq(connections_take(desks[i], &tpsps[0], tpsps[0].max_connections, &error),
                         CONNECTIONS_TAKEN);
    }
    tpsps[0].max_connections = 2;
    desks[4] = connections_open(&config);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(connections_take(desks[4], &tpsps[0], tpsps[0].max_connections, &error),
                         i < 3 ? CONNECTIONS_NONE_FREE : CONNECTIONS_TAKEN);
        connections_let_go(desks[i], &tpsps[0]);
    }
    for (int i = 0; i < 5; i++)
        connections_close(desks[i]);
}
END_TEST

START_TEST(a_file_that_was_deleted_is_made_anew_and_a_foreign_one_refused)
{
    struct connections_desk *desk = connections_open(&config), *other = connections_open(&config);

    ck_assert_int_eq(connections_take(desk, &tpsps[0], tpsps[0].max_connections, &error), CONNECTIONS_TAKEN);
    unlink(path);
    ck_assert_int_eq(connections_take(other, &tpsps[0], tpsps[0].max_connections, &error), CONNECTIONS_TAKEN);
    ck_assert_int_eq(connections_take(desk, &tpsps[0], tpsps[0].max_connections, &error), CONNECTIONS_TAKEN);
    ck_assert_uint_eq(connections_count(other, &tpsps[0]), 2);
    connections_close(desk);
    unlink(path);
    ck_assert_int_eq(symlink("/etc/passwd", path), 0);
    ck_assert_int_eq(connections_take(other, &tpsps[0], tpsps[0].max_connections, &error),
                     CONNECTIONS_TROUBLE);
    ck_assert_str_eq(error.enhanced, "4.3.0");
    connections_close(other);
}
END_TEST

/* --- many processes ------------------------------------------------------------------------------ */

struct shared {
    _Atomic int in_use, most, taken;
};

static void hold_and_let_go(struct shared *shared)
{
    struct connections_desk *desk = connections_open(&config);

    for (int i = 0; i < 40; i++) {
        while (connections_take(desk, &tpsps[0], tpsps[0].max_connections, &error) != CONNECTIONS_TAKEN)
            usleep(200);
        int now = atomic_fetch_add(&shared->in_use, 1) + 1, most = atomic_load(&shared->most);
        while (most < now && !atomic_compare_exchange_weak(&shared->most, &most, now))
            ;
        atomic_fetch_add(&shared->taken, 1);
        usleep(50);
        atomic_fetch_sub(&shared->in_use, 1);
        connections_let_go(desk, &tpsps[0]);
    }
    _exit(0);
}

START_TEST(a_hundred_processes_never_have_more_than_the_limit)
{
    enum { PROCESSES = 100 };
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;

    ck_assert_ptr_ne(shared, MAP_FAILED);
    for (int i = 0; i < PROCESSES; i++)
        if (fork() == 0)
            hold_and_let_go(shared);
    while (wait(&status) > 0)
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ck_assert_int_eq(atomic_load(&shared->taken), PROCESSES * 40);
    ck_assert_int_eq(atomic_load(&shared->most), 3);
    munmap(shared, sizeof *shared);
}
END_TEST

START_TEST(killed_at_any_point_it_leaves_none_behind)
{
    struct connections_desk *desk = connections_open(&config);

    for (int round = 0; round < 200; round++) {
        pid_t child = fork();
        if (child == 0) {
            struct connections_desk *own = connections_open(&config);
            for (;;) {
                connections_take(own, &tpsps[0], tpsps[0].max_connections, &error);
                connections_let_go(own, &tpsps[0]);
            }
        }
        usleep((useconds_t)(round * 7 % 400));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        ck_assert_uint_eq(connections_count(desk, &tpsps[0]), 0);
        ck_assert(!connections_wanted(desk, &tpsps[0]));
    }
    connections_close(desk);
}
END_TEST

static void note_session_ended(void *others, const struct config_tpsp *tpsp)
{
    /* nobody else can have the lease yet */
    ck_assert_int_eq(connections_take(others, tpsp, 1, &error), CONNECTIONS_NONE_FREE);
    connections_stop_waiting(others);
    ended++;
}

/* The server would see two of one otherwise: the session that is kept, and that of who gets the lease. */
START_TEST(a_session_ends_before_its_lease_is_let_go)
{
    struct connections_desk *holder = connections_open(&config), *other = connections_open(&config);

    ended = 0;
    connections_on_let_go(holder, note_session_ended, other);
    connections_let_go(holder, &tpsps[0]);
    ck_assert_int_eq(ended, 0); /* none is held */
    ck_assert_int_eq(connections_take(holder, &tpsps[0], 1, &error), CONNECTIONS_TAKEN);
    connections_let_go(holder, &tpsps[0]);
    ck_assert_int_eq(ended, 1);
    ck_assert_int_eq(connections_take(other, &tpsps[0], 1, &error), CONNECTIONS_TAKEN);
    connections_close(holder);
    connections_close(other);
}
END_TEST

START_TEST(one_that_is_held_counts_with_those_of_all_others)
{
    struct connections_desk *holder = connections_open(&config), *other = connections_open(&config);

    ck_assert(!connections_is_within(holder, &tpsps[0], 3));
    ck_assert_int_eq(connections_take(holder, &tpsps[0], 3, &error), CONNECTIONS_TAKEN);
    ck_assert(connections_is_within(holder, &tpsps[0], 1));
    ck_assert(!connections_is_within(holder, &tpsps[0], 0));
    ck_assert_int_eq(connections_take(other, &tpsps[0], 3, &error), CONNECTIONS_TAKEN);
    ck_assert(!connections_is_within(holder, &tpsps[0], 1));
    ck_assert(connections_is_within(holder, &tpsps[0], 2));
    connections_close(holder);
    connections_close(other);
}
END_TEST

UNIT_SUITE(connections_suite)
{
    Suite *suite = suite_create("connections");
    TCase *tcase = tcase_create("connections");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_session_ends_before_its_lease_is_let_go);
    tcase_add_test(tcase, one_that_is_held_counts_with_those_of_all_others);
    tcase_add_test(tcase, no_more_than_the_limit_are_given);
    tcase_add_test(tcase, who_waits_is_heard_by_who_holds);
    tcase_add_test(tcase, a_smaller_limit_counts_those_above_it);
    tcase_add_test(tcase, a_file_that_was_deleted_is_made_anew_and_a_foreign_one_refused);
    if (!unit_tests_under_valgrind()) { /* a hundred of it are slow */
        tcase_add_test(tcase, a_hundred_processes_never_have_more_than_the_limit);
        tcase_add_test(tcase, killed_at_any_point_it_leaves_none_behind);
    }
    suite_add_tcase(suite, tcase);
    return suite;
}
