#include "policy/standing.h"

#include <string.h>

#include "policy/retry.h"
#include "suites.h"
#include "temporary_store.h"

#define START 1800000000000ll

static char host[] = "smtp.example.net", name[] = "primary";
static struct config_tpsp tpsps[] = {
    {.name = name, .host = host, .port = 587, .security = SECURITY_STARTTLS}};
static struct config config = {.tpsps = tpsps, .tpsp_count = 1};

static void set_up(void)
{
    temporary_store_open();
    tpsps[0].port = 587;
    tpsps[0].security = SECURITY_STARTTLS;
}

static enum outcome_cause note(enum outcome_cause cause, bool greeted, int64_t now_ms)
{
    struct outcome outcome;

    outcome_set(&outcome, cause == CAUSE_NONE ? OUTCOME_DELIVERED : OUTCOME_DEFERRED, cause, 0, NULL,
                "words of cause %d", (int)cause);
    ck_assert_msg(standing_note(store, &tpsps[0], greeted, "/etc/config.yaml", now_ms, &outcome, &error),
                  "%s", error.text);
    return outcome.cause;
}

static struct standing standing(void)
{
    struct standing found;

    ck_assert(standing_read(store, &tpsps[0], &found, &error));
    return found;
}

START_TEST(silence_of_a_tpsp_that_has_never_answered_is_ours)
{
    ck_assert_int_eq(note(CAUSE_UNREACHABLE, false, START), CAUSE_OURS);
    ck_assert_int_eq(standing().held_ms, START);
    ck_assert_int_eq(note(CAUSE_UNREACHABLE, true, START + 1), CAUSE_UNREACHABLE);
    ck_assert_int_eq(note(CAUSE_UNREACHABLE, false, START + 2), CAUSE_UNREACHABLE);
}
END_TEST

START_TEST(a_tpsp_at_another_place_has_to_answer_first)
{
    ck_assert_int_eq(note(CAUSE_NONE, true, START), CAUSE_NONE);
    tpsps[0].port = 2525;
    ck_assert_int_eq(note(CAUSE_UNREACHABLE, false, START), CAUSE_OURS);
    tpsps[0].port = 587;
    tpsps[0].security = SECURITY_TLS;
    ck_assert_int_eq(note(CAUSE_UNREACHABLE, false, START), CAUSE_OURS);
}
END_TEST

START_TEST(mail_is_held_from_the_first_trouble_to_the_first_verdict)
{
    static const enum outcome_cause causes[] = {CAUSE_OURS, CAUSE_ACCOUNT, CAUSE_HOST, CAUSE_SESSION};

    for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++) {
        note(causes[i], true, START + 10);
        note(causes[i], true, START + 20);
        ck_assert_int_eq(standing().held_ms, START + 10);
        ck_assert_int_eq(standing().cause, causes[i]);
        ck_assert_str_eq(standing().mend, "/etc/config.yaml");
        note(CAUSE_IN_DOUBT, true, START + 30); /* says nothing of the trouble */
        ck_assert_int_eq(standing().held_ms, START + 10);
        note(i % 2 ? CAUSE_NONE : CAUSE_MESSAGE, true, START + 40);
        ck_assert_int_eq(standing().held_ms, 0);
        ck_assert_str_eq(standing().text, "");
    }
}
END_TEST

static void see(void *context, const struct config_tpsp *tpsp, const struct standing *held, int64_t messages)
{
    ck_assert_str_eq(tpsp->name, "primary");
    ck_assert_int_eq(held->held_ms, START);
    *(int64_t *)context += messages;
}

START_TEST(those_that_wait_are_counted)
{
    struct outcome trouble;
    int64_t messages = 0;
    char queue_id[] = "4bXy0";

    ck_assert(standing_each_held(store, &config, see, &messages, &error));
    note(CAUSE_OURS, false, START);
    outcome_local(&trouble, "4.7.0", "Auth rejected");
    for (char digit = '0'; digit < '5'; digit++) {
        struct retry_key key = {queue_id, "user@example.com", "11111111-1111-4111-8111-111111111111"};
        struct retry_past past;
        queue_id[4] = digit;
        ck_assert(retry_due(store, &config, &key, START, &past, &error));
        ck_assert(retry_held(store, &key, &past, "", "primary", START, &trouble, &error));
    }
    ck_assert(standing_each_held(store, &config, see, &messages, &error));
    ck_assert_int_eq(messages, 5);
}
END_TEST

UNIT_SUITE(standing_suite)
{
    Suite *suite = suite_create("standing");
    TCase *tcase = tcase_create("standing");

    tcase_add_checked_fixture(tcase, set_up, temporary_store_close);
    tcase_add_test(tcase, silence_of_a_tpsp_that_has_never_answered_is_ours);
    tcase_add_test(tcase, a_tpsp_at_another_place_has_to_answer_first);
    tcase_add_test(tcase, mail_is_held_from_the_first_trouble_to_the_first_verdict);
    tcase_add_test(tcase, those_that_wait_are_counted);
    suite_add_tcase(suite, tcase);
    return suite;
}
