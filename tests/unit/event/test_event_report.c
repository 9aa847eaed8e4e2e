#include "event/event_report.h"

#include "base/clock.h"
#include "event/small_api.h"
#include "stored_events.h"
#include "suites.h"

static struct config config;
static struct small_api api;
static struct event_reporter *reporter;
static int observed, observed_status;

static void observe(void *context, int status, int64_t elapsed_ms)
{
    (void)context;
    ck_assert_int_ge(elapsed_ms, 0);
    observed++;
    observed_status = status;
}

static void open_store(void)
{
    temporary_store_open();
    config =
        (struct config){.api_key = (char *)"key",
                        .state_dir = temporary_directory,
                        .batch_size = 3,
                        .endpoint = (char *)"http://127.0.0.1:9/",
                        .dns = {.timeout_ms = 5000},
                        .events_retention_ms = INT64_MAX / 2,
                        .report = {.timeout_ms = 20000, .patience_ms = 20000, .deferred = DEFERRED_AUTO}};
    observed = 0;
}

static void begin(const int *statuses)
{
    small_api_start(&api, statuses);
    config.endpoint = api.url;
    reporter = event_reporter_open(&config, store, &(struct event_reporter_options){.observe = observe});
}

static void end(void)
{
    event_reporter_close(reporter);
    small_api_stop(&api);
}

static enum event_report_result report_all(struct event_report_counts *counts_r)
{
    *counts_r = (struct event_report_counts){0};
    return event_report_pending(reporter, false, clock_monotonic_ms() + 60000, counts_r, &error);
}

static const struct {
    const char *endpoint;
    enum config_accepted_as accepted_as;
    enum config_deferred deferred;
    enum event_cs cs;
    enum event_source source;
    enum event_state state;
} states[] = {
    {"http://h/", ACCEPTED_AS_DELIVERED, DEFERRED_AUTO, CS_DELIVERED, EVENT_SOURCE_PIPE, EVENT_PENDING},
    {NULL, ACCEPTED_AS_DELIVERED, DEFERRED_AUTO, CS_DELIVERED, EVENT_SOURCE_PIPE, EVENT_LOCAL},
    {"http://h/", ACCEPTED_AS_NONE, DEFERRED_AUTO, CS_DELIVERED, EVENT_SOURCE_PIPE, EVENT_LOCAL},
    {"http://h/", ACCEPTED_AS_NONE, DEFERRED_AUTO, CS_SENT, EVENT_SOURCE_PIPE, EVENT_LOCAL},
    {"http://h/", ACCEPTED_AS_NONE, DEFERRED_AUTO, CS_DELIVERED, EVENT_SOURCE_AGENT, EVENT_PENDING},
    {"http://h/", ACCEPTED_AS_NONE, DEFERRED_AUTO, CS_DROPPED, EVENT_SOURCE_PIPE, EVENT_PENDING},
    {"http://h/", ACCEPTED_AS_SENT, DEFERRED_AUTO, CS_DEFERRED, EVENT_SOURCE_PIPE, EVENT_PENDING},
    {"http://h/", ACCEPTED_AS_SENT, DEFERRED_FALSE, CS_DEFERRED, EVENT_SOURCE_AGENT, EVENT_LOCAL},
};

START_TEST(what_is_not_to_be_reported_is_local)
{
    struct event event = make(1, states[_i].cs, "t");

    event.source = states[_i].source;
    config.endpoint = (char *)(uintptr_t)states[_i].endpoint;
    config.report.accepted_as = states[_i].accepted_as;
    config.report.deferred = states[_i].deferred;
    ck_assert_int_eq(event_report_state(&config, &event), states[_i].state);
}
END_TEST

static const struct {
    int statuses[2];
    enum event_report_result result;
    enum event_state state;
} single[] = {
    {{202, 0}, EVENT_REPORT_DONE, EVENT_REPORTED}, {{422, 0}, EVENT_REPORT_DONE, EVENT_REJECTED},
    {{401, 0}, EVENT_REPORT_KEPT, EVENT_PENDING},  {{500, 0}, EVENT_REPORT_KEPT, EVENT_PENDING},
    {{503, 0}, EVENT_REPORT_KEPT, EVENT_PENDING},  {{404, 0}, EVENT_REPORT_KEPT, EVENT_PENDING},
};

START_TEST(one_event_ends_in_the_state_that_its_answer_says)
{
    struct event event = make(1, CS_DELIVERED, "t");

    add(1, CS_DELIVERED, EVENT_PENDING, "t", 0);
    begin(single[_i].statuses);
    event_reporter_prepare(reporter, "t");
    ck_assert_int_eq(event_report_one(reporter, &event, clock_monotonic_ms() + 20000, &error),
                     single[_i].result);
    ck_assert_int_eq(count(single[_i].state), 1);
    ck_assert_int_eq(observed, 1);
    ck_assert_int_eq(observed_status, single[_i].statuses[0]);
    if (single[_i].result == EVENT_REPORT_KEPT) { /* and nobody asks again at once */
        ck_assert_int_eq(event_report_one(reporter, &event, clock_monotonic_ms() + 20000, &error),
                         EVENT_REPORT_KEPT);
        ck_assert_ptr_nonnull(strstr(event_reporter_last_error(reporter), "not asked again"));
        ck_assert_int_eq(observed, 1);
    }
    end();
}
END_TEST

START_TEST(a_refused_batch_goes_one_at_a_time)
{
    struct event_report_counts counts;

    for (int i = 1; i <= 5; i++)
        add(i, CS_DELIVERED, EVENT_PENDING, "t", 0);
    begin((const int[]){413, 202, 422, 202, 202, 0});
    ck_assert_int_eq(report_all(&counts), EVENT_REPORT_DONE);
    ck_assert_uint_eq(counts.reported, 4);
    ck_assert_uint_eq(counts.rejected, 1);
    ck_assert_int_eq(count(EVENT_REPORTED), 4);
    ck_assert_int_eq(observed, 5); /* three, one by one, then the other two */
    end();
}
END_TEST

START_TEST(an_endpoint_that_wants_no_deferrals_is_not_asked_again)
{
    struct event event = make(9, CS_DEFERRED, "t");
    struct event_report_counts counts;

    for (int i = 1; i <= 3; i++)
        add(i, i == 2 ? CS_DELIVERED : CS_DEFERRED, EVENT_PENDING, "t", 0);
    /* the batch; the first; the second alone; the third not at all */
    begin((const int[]){400, 400, 202, 0});
    ck_assert_int_eq(report_all(&counts), EVENT_REPORT_DONE);
    ck_assert_uint_eq(counts.reported, 1);
    ck_assert_uint_eq(counts.rejected, 0);
    ck_assert_int_eq(count(EVENT_LOCAL), 2);
    add(9, CS_DEFERRED, EVENT_PENDING, "t", 0);
    ck_assert_int_eq(event_report_one(reporter, &event, clock_monotonic_ms() + 20000, &error),
                     EVENT_REPORT_DONE);
    add(10, CS_DEFERRED, EVENT_PENDING, "t", 0);
    ck_assert_int_eq(report_all(&counts), EVENT_REPORT_DONE);
    ck_assert_int_eq(count(EVENT_LOCAL), 4);
    ck_assert_int_eq(observed, 3);
    end();
}
END_TEST

START_TEST(who_insists_on_deferrals_has_them_rejected)
{
    struct event event = make(1, CS_DEFERRED, "t");

    config.report.deferred = DEFERRED_TRUE;
    add(1, CS_DEFERRED, EVENT_PENDING, "t", 0);
    begin((const int[]){422, 0});
    ck_assert_int_eq(event_report_one(reporter, &event, clock_monotonic_ms() + 20000, &error),
                     EVENT_REPORT_DONE);
    ck_assert_int_eq(count(EVENT_REJECTED), 1);
    end();
}
END_TEST

START_TEST(a_refused_sent_becomes_delivered)
{
    struct event event = make(1, CS_SENT, "t");

    add(1, CS_SENT, EVENT_PENDING, "t", 0);
    begin((const int[]){406, 202, 202, 0});
    ck_assert_int_eq(event_report_one(reporter, &event, clock_monotonic_ms() + 20000, &error),
                     EVENT_REPORT_DONE);
    ck_assert_int_eq(count(EVENT_REPORTED), 1);
    ck_assert_int_eq(observed, 2);
    add(2, CS_SENT, EVENT_PENDING, "t", 0);
    event = make(2, CS_SENT, "t");
    ck_assert_int_eq(event_report_one(reporter, &event, clock_monotonic_ms() + 20000, &error),
                     EVENT_REPORT_DONE);
    end();
    ck_assert_int_eq(observed, 3);
    ck_assert_ptr_nonnull(strstr(api.last_request, "\"event_type\":\"delivered\""));
    ck_assert_ptr_nonnull(strstr(api.last_request, "\"cs_event\":\"CSSent\""));
}
END_TEST

START_TEST(an_api_that_is_away_gets_everything_later)
{
    struct event_report_counts counts;

    add(1, CS_DELIVERED, EVENT_PENDING, "t", 0);
    add(2, CS_DELIVERED, EVENT_PENDING, "t", 0);
    begin((const int[]){503, 202, 0});
    ck_assert_int_eq(report_all(&counts), EVENT_REPORT_KEPT);
    ck_assert_int_eq(report_all(&counts), EVENT_REPORT_KEPT);
    ck_assert_int_eq(api.requests, 1);
    counts = (struct event_report_counts){0};
    /* a person asks */
    ck_assert_int_eq(event_report_pending(reporter, true, clock_monotonic_ms() + 60000, &counts, &error),
                     EVENT_REPORT_DONE);
    ck_assert_int_eq(count(EVENT_REPORTED), 2);
    end();
}
END_TEST

START_TEST(an_endpoint_taken_away_keeps_what_is_pending)
{
    struct event event = make(1, CS_DELIVERED, "t");
    struct event_report_counts counts;

    add(1, CS_DELIVERED, EVENT_PENDING, "t", 0);
    config.endpoint = NULL;
    reporter = event_reporter_open(&config, store, &(struct event_reporter_options){.trace = NULL});
    event_reporter_prepare(reporter, "t");
    ck_assert_int_eq(report_all(&counts), EVENT_REPORT_KEPT);
    ck_assert_int_eq(count(EVENT_PENDING), 1);
    ck_assert_int_eq(event_report_one(reporter, &event, clock_monotonic_ms() + 1000, &error),
                     EVENT_REPORT_DONE);
    ck_assert_int_eq(count(EVENT_LOCAL), 1);
    event_reporter_close(reporter);
}
END_TEST

START_TEST(a_key_is_asked_about_without_an_event)
{
    config.api_key = NULL;
    begin((const int[]){400, 403, 0});
    ck_assert_int_eq(event_reporter_probe(reporter, "right"), EVENT_ANSWER_REFUSED);
    ck_assert_int_eq(event_reporter_probe(reporter, "wrong"), EVENT_ANSWER_KEY_REFUSED);
    end();
    ck_assert_ptr_nonnull(strstr(api.last_request, "\r\n\r\n{\"events\":[]}"));
}
END_TEST

UNIT_SUITE(event_report_suite)
{
    Suite *suite = suite_create("event_report");
    TCase *tcase = tcase_create("event_report");

    tcase_add_checked_fixture(tcase, open_store, temporary_store_close);
    tcase_add_loop_test(tcase, what_is_not_to_be_reported_is_local, 0, sizeof states / sizeof states[0]);
    tcase_add_loop_test(tcase, one_event_ends_in_the_state_that_its_answer_says, 0,
                        sizeof single / sizeof single[0]);
    tcase_add_test(tcase, a_refused_batch_goes_one_at_a_time);
    tcase_add_test(tcase, an_endpoint_that_wants_no_deferrals_is_not_asked_again);
    tcase_add_test(tcase, who_insists_on_deferrals_has_them_rejected);
    tcase_add_test(tcase, a_refused_sent_becomes_delivered);
    tcase_add_test(tcase, an_api_that_is_away_gets_everything_later);
    tcase_add_test(tcase, an_endpoint_taken_away_keeps_what_is_pending);
    tcase_add_test(tcase, a_key_is_asked_about_without_an_event);
    suite_add_tcase(suite, tcase);
    return suite;
}
