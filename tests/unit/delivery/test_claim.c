#include "delivery/claim.h"

#include <sys/wait.h>
#include <unistd.h>

#include "suites.h"
#include "temporary_store.h"

static int take(const char *uuid, const char *queue_id, const char *recipient)
{
    return claim_take(temporary_directory, claim_offset(uuid, queue_id, recipient), &error);
}

START_TEST(a_delivery_is_claimed_by_one_at_a_time)
{
    int claim = take("uuid", "4bX", "a@example.com");

    ck_assert_int_ge(claim, 0);
    ck_assert_int_lt(take("uuid", "4bX", "a@example.com"), 0);
    ck_assert_int_eq(error.cause, CAUSE_OURS);
    close(claim);
    claim = take("uuid", "4bX", "a@example.com");
    ck_assert_int_ge(claim, 0);
    close(claim);
}
END_TEST

START_TEST(queue_id_recipient_and_uuid_tell_deliveries_apart)
{
    static const char *const others[][3] = {{"uuid", "4bX", "b@example.com"},
                                            {"uuid", "4bY", "a@example.com"},
                                            {"other", "4bX", "a@example.com"}};
    int claim = take("uuid", "4bX", "a@example.com");

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        int other = take(others[i][0], others[i][1], others[i][2]);
        ck_assert_int_ge(other, 0);
        close(other);
    }
    close(claim);
}
END_TEST

START_TEST(death_lets_go)
{
    int ready[2], status;
    char byte;

    ck_assert_int_eq(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        bool taken = take("uuid", "4bX", "a@example.com") >= 0;
        (void)!write(ready[1], taken ? "y" : "n", 1);
        pause();
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    ck_assert_int_eq(byte, 'y');
    ck_assert_int_lt(take("uuid", "4bX", "a@example.com"), 0);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    int claim = take("uuid", "4bX", "a@example.com");
    ck_assert_int_ge(claim, 0);
    close(claim);
}
END_TEST

START_TEST(a_missing_directory_is_trouble_of_ours)
{
    ck_assert_int_lt(claim_take("/nonexistent", 5, &error), 0);
    ck_assert_str_eq(error.enhanced, "4.3.0");
    ck_assert_int_eq(error.cause, CAUSE_OURS);
}
END_TEST

UNIT_SUITE(claim_suite)
{
    Suite *suite = suite_create("claim");
    TCase *tcase = tcase_create("claim");

    tcase_add_checked_fixture(tcase, temporary_store_open, temporary_store_close);
    tcase_add_test(tcase, a_delivery_is_claimed_by_one_at_a_time);
    tcase_add_test(tcase, queue_id_recipient_and_uuid_tell_deliveries_apart);
    tcase_add_test(tcase, death_lets_go);
    tcase_add_test(tcase, a_missing_directory_is_trouble_of_ours);
    suite_add_tcase(suite, tcase);
    return suite;
}
