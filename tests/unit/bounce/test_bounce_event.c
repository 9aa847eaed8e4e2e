#include "bounce/bounce_event.h"

#include "suites.h"

#define UUID "6f1c2d3e-4b5a-4c7d-8e9f-0a1b2c3d4e5f"

static struct event compose(const struct dsn_recipient *said)
{
    struct dsn report = {.count = 1};
    struct event event;

    bounce_event_compose(&event, &report, said, "user@example.org", UUID, NULL, 1764000000000);
    return event;
}

/* The values are promises: what an older version has reported must not be reported under a new id. */
START_TEST(a_failure_has_the_id_that_it_always_had)
{
    struct dsn_recipient said = {.smtp_code = 554, .status = "5.7.1"};

    ck_assert_str_eq(compose(&said).event_id, "8d66de89-5cf5-5cbf-8ed5-48529dd35bda");
    said.hard = true;
    ck_assert_str_eq(compose(&said).event_id, "bb77c5c1-4465-594d-b118-9419be9b9148");
}
END_TEST

START_TEST(a_delay_is_not_the_failure_behind_it)
{
    struct dsn_recipient delayed = {.delayed = true, .status = "4.4.1"}, failed = {.status = "5.7.1"};

    ck_assert_int_eq(compose(&delayed).cs, CS_SOFT_BOUNCED);
    ck_assert_str_ne(compose(&delayed).event_id, compose(&failed).event_id);
    ck_assert_str_eq(compose(&delayed).event_id, compose(&delayed).event_id);
}
END_TEST

UNIT_SUITE(bounce_event_suite)
{
    Suite *suite = suite_create("bounce_event");
    TCase *tcase = tcase_create("bounce_event");

    tcase_add_test(tcase, a_failure_has_the_id_that_it_always_had);
    tcase_add_test(tcase, a_delay_is_not_the_failure_behind_it);
    suite_add_tcase(suite, tcase);
    return suite;
}
