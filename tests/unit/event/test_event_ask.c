#include "event/event_ask.h"

#include "base/clock.h"
#include "event/small_api.h"
#include "stored_events.h"
#include "suites.h"

static struct config_tpsp tpsps[] = {{.name = (char *)"own", .api_key = (char *)"key-of-own"},
                                     {.name = (char *)"none"}};
static struct config config;
static struct event_asker asker;
static struct small_api api;

static void open_asker(void)
{
    temporary_store_open();
    config = (struct config){.api_key = (char *)"key-of-all",
                             .state_dir = temporary_directory,
                             .tpsps = tpsps,
                             .tpsp_count = 2,
                             .endpoint = (char *)"http://127.0.0.1:9/",
                             .dns = {.timeout_ms = 5000},
                             .report = {.timeout_ms = 20000, .dropped_as = DROPPED_AS_AUTO}};
    asker = (struct event_asker){.config = &config, .store = store, .fingerprint = "0a0b0c0d"};
}

static void close_asker(void)
{
    http_client_close(asker.client);
    temporary_store_close();
}

static void ask_of(const int *statuses)
{
    small_api_start(&api, statuses);
    config.endpoint = api.url;
}

static void end_api(void)
{
    http_client_close(asker.client);
    asker.client = NULL;
    small_api_stop(&api);
}

static int64_t soon(void)
{
    return clock_monotonic_ms() + 20000;
}

static const struct {
    int status;
    enum event_answer answer;
} table[] = {
    {0, EVENT_ANSWER_BUSY},
    {200, EVENT_ANSWER_ACCEPTED},
    {202, EVENT_ANSWER_ACCEPTED},
    {299, EVENT_ANSWER_ACCEPTED},
    {301, EVENT_ANSWER_MISCONFIGURED},
    {307, EVENT_ANSWER_MISCONFIGURED},
    {400, EVENT_ANSWER_REFUSED},
    {401, EVENT_ANSWER_KEY_REFUSED},
    {402, EVENT_ANSWER_MISCONFIGURED},
    {403, EVENT_ANSWER_KEY_REFUSED},
    {404, EVENT_ANSWER_MISCONFIGURED},
    {405, EVENT_ANSWER_MISCONFIGURED},
    {406, EVENT_ANSWER_REFUSED},
    {408, EVENT_ANSWER_BUSY},
    {413, EVENT_ANSWER_REFUSED},
    {418, EVENT_ANSWER_MISCONFIGURED},
    {422, EVENT_ANSWER_REFUSED},
    {429, EVENT_ANSWER_BUSY},
    {500, EVENT_ANSWER_FAILING},
    {502, EVENT_ANSWER_FAILING},
    {503, EVENT_ANSWER_BUSY},
    {504, EVENT_ANSWER_FAILING},
    {599, EVENT_ANSWER_FAILING},
    {600, EVENT_ANSWER_FAILING},
};

START_TEST(a_status_means_what_the_contract_says)
{
    ck_assert_int_eq(event_answer_of(table[_i].status), table[_i].answer);
}
END_TEST

START_TEST(a_key_of_the_tpsp_goes_before_that_of_the_account)
{
    ck_assert_str_eq(event_ask_key(&asker, "own"), "key-of-own");
    ck_assert_str_eq(event_ask_key(&asker, "none"), "key-of-all");
    ck_assert_str_eq(event_ask_key(&asker, ""), "key-of-all");
    config.api_key = NULL;
    ck_assert_ptr_null(event_ask_key(&asker, "none"));
}
END_TEST

START_TEST(a_request_carries_the_key_and_the_events)
{
    struct event events[] = {make(1, CS_DELIVERED, "own"), make(2, CS_DROPPED, "own")};

    ask_of((const int[]){202, 0});
    ck_assert_int_eq(event_ask(&asker, events, 2, "the-key", soon()), EVENT_ANSWER_ACCEPTED);
    ck_assert_str_eq(asker.last_error, "");
    end_api();
    ck_assert_ptr_nonnull(strstr(api.last_request, "POST /events HTTP/1.1\r\n"));
    ck_assert_ptr_nonnull(strstr(api.last_request, "\r\nX-SP-Event-ApiKey: the-key\r\n"));
    ck_assert_ptr_nonnull(strstr(api.last_request, "\r\n\r\n{\"events\":[{"));
    ck_assert_ptr_nonnull(strstr(api.last_request, "\"event_type\":\"dropped\""));
}
END_TEST

START_TEST(words_say_why_it_was_not_accepted)
{
    struct event event = make(1, CS_DELIVERED, "own");

    ask_of((const int[]){401, 0});
    ck_assert_int_eq(event_ask(&asker, &event, 1, "k", soon()), EVENT_ANSWER_KEY_REFUSED);
    ck_assert_str_eq(asker.last_error, "HTTP 401: said: the key is refused");
    end_api();
    ck_assert_int_eq(event_ask(&asker, &event, 1, "k", soon()), EVENT_ANSWER_BUSY); /* nobody is there now */
    ck_assert_msg(strncmp(asker.last_error, "no answer: Connection refused at 127.0.0.1", 42) == 0, "%s",
                  asker.last_error);
    ck_assert_int_eq(event_ask(&asker, &event, 1, "k", clock_monotonic_ms()), EVENT_ANSWER_NOT_ASKED);
    ck_assert_int_eq(event_ask(&asker, &event, 1, "two\nlines", soon()), EVENT_ANSWER_BUSY);
    ck_assert_ptr_nonnull(strstr(asker.last_error, "several lines"));
}
END_TEST

static const struct {
    enum config_dropped_as as;
    int statuses[3];
    enum event_answer answer;
    int requests;
    bool learnt, as_bounced;
} words[] = {
    {DROPPED_AS_AUTO, {202, 0, 0}, EVENT_ANSWER_ACCEPTED, 1, false, false},
    {DROPPED_AS_AUTO, {422, 202, 0}, EVENT_ANSWER_ACCEPTED, 2, true, true},
    {DROPPED_AS_AUTO, {422, 422, 0}, EVENT_ANSWER_REFUSED, 2, false, false},
    {DROPPED_AS_AUTO, {422, 503, 0}, EVENT_ANSWER_BUSY, 2, false, false},
    {DROPPED_AS_AUTO, {503, 0, 0}, EVENT_ANSWER_BUSY, 1, false, false},
    {DROPPED_AS_DROPPED, {422, 0, 0}, EVENT_ANSWER_REFUSED, 1, false, false},
    {DROPPED_AS_BOUNCED, {422, 0, 0}, EVENT_ANSWER_REFUSED, 1, false, true},
};

START_TEST(the_other_word_is_tried_where_the_configuration_leaves_it_open)
{
    struct event event = make(1, CS_DROPPED, "own");
    bool learnt;

    config.report.dropped_as = words[_i].as;
    ask_of(words[_i].statuses);
    ck_assert_int_eq(event_ask_alone(&asker, &event, "k", soon(), &learnt), words[_i].answer);
    end_api();
    ck_assert_int_eq(api.requests, words[_i].requests);
    ck_assert(learnt == words[_i].learnt && event.other_word == words[_i].as_bounced);
}
END_TEST

START_TEST(a_word_that_was_learnt_is_chosen_for_a_week)
{
    struct event event = make(1, CS_DROPPED, "own"), other = make(2, CS_DELIVERED, "own");
    char name[] = "report.dropped-refused.0a0b0c0d", old[32];

    event.other_word = true;
    ck_assert(event_ask_remember_word(&asker, &event, &error));
    event.other_word = false;
    event_ask_choose_word(&asker, &event);
    ck_assert(event.other_word);
    event_ask_choose_word(&asker, &other);
    ck_assert(!other.other_word);
    snprintf(old, sizeof old, "%lld", (long long)clock_realtime_ms() - 7 * 86400000LL - 1);
    ck_assert(store_put(store, name, old, &error));
    event_ask_choose_word(&asker, &event);
    ck_assert(!event.other_word);
    ck_assert(event_ask_remember_word(&asker, &event, &error)); /* the usual word is taken again */
    ck_assert_ptr_null(store_get(store, name));
}
END_TEST

UNIT_SUITE(event_ask_suite)
{
    Suite *suite = suite_create("event_ask");
    TCase *tcase = tcase_create("event_ask");

    tcase_add_checked_fixture(tcase, open_asker, close_asker);
    tcase_add_loop_test(tcase, a_status_means_what_the_contract_says, 0, sizeof table / sizeof table[0]);
    tcase_add_test(tcase, a_key_of_the_tpsp_goes_before_that_of_the_account);
    tcase_add_test(tcase, a_request_carries_the_key_and_the_events);
    tcase_add_test(tcase, words_say_why_it_was_not_accepted);
    tcase_add_loop_test(tcase, the_other_word_is_tried_where_the_configuration_leaves_it_open, 0,
                        sizeof words / sizeof words[0]);
    tcase_add_test(tcase, a_word_that_was_learnt_is_chosen_for_a_week);
    suite_add_tcase(suite, tcase);
    return suite;
}
