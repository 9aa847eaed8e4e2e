#include "agent/stall.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/journal.h"
#include "suites.h"

#define MINUTE_MS (60 * INT64_C(1000))
#define NOW_MS INT64_C(1767312000000)

static char directory[] = "/tmp/sendpost-stall-XXXXXX", active[64], main_cf[64];
static struct stall stall;

static void begin(void)
{
    snprintf(directory, sizeof directory, "/tmp/sendpost-stall-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(active, sizeof active, "%s/active", directory);
    snprintf(main_cf, sizeof main_cf, "%s/main.cf", directory);
    mkdir(active, 0700);
    FILE *file = fopen(main_cf, "w");
    fprintf(file, "# queue_directory = /elsewhere\nqueue_directory = %s\n", directory);
    fclose(file);
    setenv("MAIL_CONFIG", directory, 1);
    stall_init(&stall, NOW_MS - 60 * MINUTE_MS);
}

static void end(void)
{
    unlink(main_cf);
    rmdir(active);
    rmdir(directory);
    unsetenv("MAIL_CONFIG");
}

static void postfix_worked_at(int64_t time_ms)
{
    struct timespec times[2] = {{.tv_sec = time_ms / 1000}, {.tv_sec = time_ms / 1000}};

    utimensat(AT_FDCWD, active, times, 0);
}

START_TEST(a_log_that_does_not_grow_while_postfix_works_has_stalled)
{
    postfix_worked_at(NOW_MS - MINUTE_MS);
    ck_assert(stall_look(&stall, NOW_MS - 30 * MINUTE_MS, NOW_MS));
    /* and has recovered when it grows */
    ck_assert(!stall_look(&stall, NOW_MS + MINUTE_MS, NOW_MS + 2 * MINUTE_MS));
}
END_TEST

START_TEST(a_quiet_log_of_a_quiet_postfix_is_well)
{
    postfix_worked_at(NOW_MS - 30 * MINUTE_MS);
    ck_assert(!stall_look(&stall, NOW_MS - 30 * MINUTE_MS, NOW_MS));
}
END_TEST

START_TEST(what_was_before_we_looked_does_not_count)
{
    stall_init(&stall, NOW_MS - MINUTE_MS);
    postfix_worked_at(NOW_MS - 2 * MINUTE_MS);
    ck_assert(!stall_look(&stall, NOW_MS - 600 * MINUTE_MS, NOW_MS));
}
END_TEST

START_TEST(a_machine_without_postfix_never_stalls)
{
    setenv("MAIL_CONFIG", "/nonexistent", 1);
    stall_init(&stall, NOW_MS - 60 * MINUTE_MS);
    ck_assert(!stall_look(&stall, 0, NOW_MS));
}
END_TEST

#define SLICE(text)            \
    {                          \
        text, sizeof(text) - 1 \
    }

START_TEST(journald_says_how_much_it_has_thrown_away)
{
    struct journal_entry entry = {.tag = SLICE("systemd-journald"),
                                  .message = SLICE("Suppressed 1234 messages from postfix@-.service")};

    ck_assert_uint_eq(journal_suppressed(&entry), 1234);
    entry.tag = (struct log_slice)SLICE("postfix/smtp");
    ck_assert_uint_eq(journal_suppressed(&entry), 0);
    entry = (struct journal_entry){.tag = SLICE("systemd-journald"), .message = SLICE("Suppressed ")};
    ck_assert_uint_eq(journal_suppressed(&entry), 0);
}
END_TEST

UNIT_SUITE(stall_suite)
{
    Suite *suite = suite_create("stall");
    TCase *tcase = tcase_create("stall");

    tcase_add_checked_fixture(tcase, begin, end);
    tcase_add_test(tcase, a_log_that_does_not_grow_while_postfix_works_has_stalled);
    tcase_add_test(tcase, a_quiet_log_of_a_quiet_postfix_is_well);
    tcase_add_test(tcase, what_was_before_we_looked_does_not_count);
    tcase_add_test(tcase, a_machine_without_postfix_never_stalls);
    tcase_add_test(tcase, journald_says_how_much_it_has_thrown_away);
    suite_add_tcase(suite, tcase);
    return suite;
}
