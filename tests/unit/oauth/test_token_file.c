#include "oauth/token_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "suites.h"
#include "temporary_store.h"

static struct config_tpsp tpsp;
static struct token_state state;

static void begin(void)
{
    temporary_store_open();
    tpsp = (struct config_tpsp){.name = (char *)"primary",
                                .oauth = {.token_endpoint = (char *)"https://h/token",
                                          .client_id = (char *)"client",
                                          .refresh_token = (char *)"seed"}};
    state = (struct token_state){.failures = 0};
}

static void keep(void)
{
    struct token_state kept = {.access_token = (char *)"access",
                               .refresh_token = (char *)"rotated",
                               .received_ms = 1,
                               .expires_ms = 2,
                               .refresh_expires_ms = 3,
                               .failures = 4,
                               .next_try_ms = 5,
                               .error = "invalid_grant (gone)"};
    struct token_place *place = token_place_take(temporary_directory, &tpsp, &error);

    ck_assert_msg(place != NULL, "%s", error.text);
    ck_assert_msg(token_place_commit(place, &kept, &error), "%s", error.text);
}

static void read_it(void)
{
    token_state_clear(&state);
    token_file_read(temporary_directory, &tpsp, &state);
}

START_TEST(what_was_kept_is_read_again)
{
    struct stat status;
    char path[128];

    read_it();
    ck_assert_ptr_null(state.access_token);
    keep();
    read_it();
    ck_assert_str_eq(state.access_token, "access");
    ck_assert_str_eq(state.refresh_token, "rotated");
    ck_assert_int_eq(state.received_ms, 1);
    ck_assert_int_eq(state.expires_ms, 2);
    ck_assert_int_eq(state.refresh_expires_ms, 3);
    ck_assert_int_eq(state.failures, 4);
    ck_assert_int_eq(state.next_try_ms, 5);
    ck_assert_str_eq(state.error, "invalid_grant (gone)");
    snprintf(path, sizeof path, "%s/oauth/primary", temporary_directory);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_int_eq(status.st_mode & 07777, 0600);
}
END_TEST

enum { OTHER_SEED, OTHER_CLIENT, OTHER_ENDPOINT, OTHER_SCOPE, OTHER_SECRET, NO_SEED, OTHERS };

static void become(int other)
{
    if (other == OTHER_SEED || other == NO_SEED)
        tpsp.oauth.refresh_token = other == NO_SEED ? NULL : (char *)"another seed";
    if (other == OTHER_CLIENT)
        tpsp.oauth.client_id = (char *)"another client";
    if (other == OTHER_ENDPOINT)
        tpsp.oauth.token_endpoint = (char *)"https://h/another";
    if (other == OTHER_SCOPE)
        tpsp.oauth.scope = (char *)"more";
    if (other == OTHER_SECRET || other == NO_SEED)
        tpsp.oauth.client_secret = (char *)"secret";
}

static void note_failure(void)
{
    struct token_state failed = {.failures = 1, .next_try_ms = 9, .error = "HTTP 404"};
    struct token_place *place = token_place_take(temporary_directory, &tpsp, &error);

    ck_assert_msg(place != NULL, "%s", error.text);
    ck_assert_msg(token_place_note_failure(place, &failed, &error), "%s", error.text);
}

START_TEST(another_configuration_has_no_token_and_no_failure_and_goes_on_with_its_own_login_alone)
{
    keep();
    become(_i);
    read_it();
    ck_assert_ptr_null(state.access_token);
    ck_assert_int_eq(state.expires_ms, 0);
    ck_assert_int_eq(state.failures, 0);
    ck_assert_str_eq(state.error, "");
    if (_i == OTHER_SCOPE || _i == OTHER_SECRET) {
        ck_assert_str_eq(state.refresh_token, "rotated");
        ck_assert_int_eq(state.refresh_expires_ms, 3);
    } else { /* not this one's, never to be sent by it */
        ck_assert_ptr_null(state.refresh_token);
        ck_assert_int_eq(state.refresh_expires_ms, 0);
    }
}
END_TEST

START_TEST(a_failure_of_another_configuration_takes_nothing_away)
{
    const struct config_oauth before = tpsp.oauth;

    keep();
    become(_i);
    note_failure();
    read_it();
    ck_assert_int_eq(state.failures, 1);
    ck_assert_int_eq(state.next_try_ms, 9);
    ck_assert_str_eq(state.error, "HTTP 404");
    tpsp.oauth = before;
    read_it();
    ck_assert_str_eq(state.access_token, "access");
    ck_assert_int_eq(state.expires_ms, 2);
    ck_assert_str_eq(state.refresh_token, "rotated");
    ck_assert_int_eq(state.refresh_expires_ms, 3);
    ck_assert_str_eq(state.error, ""); /* of the other one */
}
END_TEST

START_TEST(client_credentials_leave_a_login_where_it_is)
{
    const struct config_oauth before = tpsp.oauth;
    struct token_state gained = {.access_token = (char *)"another", .received_ms = 7, .expires_ms = 8};

    keep();
    become(NO_SEED);
    ck_assert(!token_by_login(&tpsp.oauth));
    ck_assert(token_place_commit(token_place_take(temporary_directory, &tpsp, &error), &gained, &error));
    read_it();
    ck_assert_str_eq(state.access_token, "another");
    ck_assert_ptr_null(state.refresh_token);
    tpsp.oauth = before;
    read_it();
    ck_assert_ptr_null(state.access_token);
    ck_assert_str_eq(state.refresh_token, "rotated");
}
END_TEST

/* --- what versions before wrote: one hash for all ------------------------------------------------------ */

/* SHA-256 of token-endpoint, client-id, scope, client secret and seed, each with a zero byte behind it. */
#define HASH_BEFORE "e26e65eb651d0b5f915fbf7f5c6b21619db08aca2f7a7b9aacffb64d01654290"

static void write_before(void)
{
    char path[128];

    keep(); /* for the directory */
    snprintf(path, sizeof path, "%s/oauth/primary", temporary_directory);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs("sendpost-oauth 1\nfor " HASH_BEFORE "\naccess of-before\nrefresh rotated-before\nreceived 11\n"
          "expires 12\nrefresh-expires 13\nfailures 14\nnext-try 15\nerror HTTP 503\nend\n",
          file);
    ck_assert_int_eq(fclose(file), 0);
}

static void check_before(void)
{
    read_it();
    ck_assert_str_eq(state.access_token, "of-before");
    ck_assert_int_eq(state.received_ms, 11);
    ck_assert_int_eq(state.expires_ms, 12);
    ck_assert_str_eq(state.refresh_token, "rotated-before");
    ck_assert_int_eq(state.refresh_expires_ms, 13);
}

START_TEST(what_a_version_before_has_kept_goes_on)
{
    write_before();
    check_before();
    ck_assert_int_eq(state.failures, 14);
    ck_assert_int_eq(state.next_try_ms, 15);
    ck_assert_str_eq(state.error, "HTTP 503");
}
END_TEST

START_TEST(what_a_version_before_has_kept_outlives_the_failure_of_another_configuration)
{
    const struct config_oauth before = tpsp.oauth;

    write_before();
    become(_i);
    read_it();
    ck_assert_ptr_null(state.access_token);
    ck_assert_ptr_null(state.refresh_token);
    note_failure();
    tpsp.oauth = before;
    check_before();
    ck_assert_str_eq(state.error, "");
}
END_TEST

START_TEST(what_a_version_before_has_kept_is_good_for_another_scope_once_it_was_written_again)
{
    write_before();
    read_it();
    struct token_place *place = token_place_take(temporary_directory, &tpsp, &error);
    ck_assert((_i == 0 ? token_place_commit : token_place_note_failure)(place, &state, &error));
    become(OTHER_SCOPE);
    read_it();
    ck_assert_ptr_null(state.access_token);
    ck_assert_str_eq(state.refresh_token, "rotated-before");
}
END_TEST

/* --- what is tried -------------------------------------------------------------------------------------- */

static void keep_tried(const char *access)
{
    struct token_state gained = {.access_token = (char *)access,
                                 .refresh_token = (char *)"of-trial",
                                 .received_ms = 7,
                                 .expires_ms = 8};

    tpsp.oauth.tried = true;
    ck_assert(token_place_commit(token_place_take(temporary_directory, &tpsp, &error), &gained, &error));
    tpsp.oauth.tried = false;
}

static void expect_tokens(const char *access, const char *refresh)
{
    read_it();
    ck_assert_pstr_eq(state.access_token, access);
    ck_assert_pstr_eq(state.refresh_token, refresh);
}

START_TEST(a_trial_that_comes_to_nothing_leaves_the_login_that_there_is)
{
    const struct config_oauth before = tpsp.oauth;

    keep();
    become(OTHER_SEED);
    keep_tried("tried");
    keep_tried("tried again");
    expect_tokens("tried again", "of-trial"); /* the trial goes on with what it came to */
    tpsp.oauth = before;
    expect_tokens("access", "rotated");
    token_file_settle(temporary_directory, tpsp.name, &tpsp);
    expect_tokens("access", "rotated");
    become(OTHER_SEED);
    expect_tokens(NULL, NULL); /* and nothing is left of it */
}
END_TEST

/* _i: whether a delivery comes with the new configuration before setup has settled it. */
START_TEST(a_trial_whose_configuration_is_written_is_the_login_from_then_on)
{
    struct token_state newer = {.access_token = (char *)"newer",
                                .refresh_token = (char *)"newer-login",
                                .received_ms = 9,
                                .expires_ms = 10};

    keep();
    become(OTHER_SEED);
    keep_tried("tried");
    expect_tokens("tried", "of-trial");
    if (_i)
        ck_assert(token_place_commit(token_place_take(temporary_directory, &tpsp, &error), &newer, &error));
    token_file_settle(temporary_directory, tpsp.name, &tpsp);
    expect_tokens(_i ? "newer" : "tried", _i ? "newer-login" : "of-trial");
}
END_TEST

START_TEST(a_trial_with_another_secret_goes_on_with_the_login_that_there_is)
{
    const struct config_oauth before = tpsp.oauth;

    keep();
    become(OTHER_SECRET);
    keep_tried("tried");
    tpsp.oauth = before; /* the provider has exchanged its refresh token meanwhile */
    expect_tokens(NULL, "of-trial");
}
END_TEST

START_TEST(one_that_others_could_read_or_that_is_cut_counts_for_nothing)
{
    char path[128];

    keep();
    snprintf(path, sizeof path, "%s/oauth/primary", temporary_directory);
    ck_assert_int_eq(chmod(path, 0640), 0);
    read_it();
    ck_assert_ptr_null(state.access_token);
    ck_assert_int_eq(chmod(path, 0600), 0);
    ck_assert_int_eq(truncate(path, 120), 0);
    read_it();
    ck_assert_ptr_null(state.access_token);
}
END_TEST

START_TEST(a_place_that_is_given_up_leaves_what_there_was)
{
    keep();
    token_place_give_up(token_place_take(temporary_directory, &tpsp, &error));
    token_place_give_up(NULL);
    read_it();
    ck_assert_str_eq(state.access_token, "access");
}
END_TEST

static void end(void)
{
    token_state_clear(&state);
    temporary_store_close();
}

UNIT_SUITE(token_file_suite)
{
    Suite *suite = suite_create("token_file");
    TCase *tcase = tcase_create("token_file");

    tcase_add_checked_fixture(tcase, begin, end);
    tcase_add_test(tcase, what_was_kept_is_read_again);
    tcase_add_loop_test(
        tcase, another_configuration_has_no_token_and_no_failure_and_goes_on_with_its_own_login_alone, 0,
        OTHERS);
    tcase_add_loop_test(tcase, a_failure_of_another_configuration_takes_nothing_away, 0, OTHERS);
    tcase_add_test(tcase, client_credentials_leave_a_login_where_it_is);
    tcase_add_test(tcase, what_a_version_before_has_kept_goes_on);
    tcase_add_loop_test(tcase, what_a_version_before_has_kept_outlives_the_failure_of_another_configuration,
                        0, OTHERS);
    tcase_add_loop_test(
        tcase, what_a_version_before_has_kept_is_good_for_another_scope_once_it_was_written_again, 0, 2);
    tcase_add_test(tcase, one_that_others_could_read_or_that_is_cut_counts_for_nothing);
    tcase_add_test(tcase, a_place_that_is_given_up_leaves_what_there_was);
    tcase_add_test(tcase, a_trial_that_comes_to_nothing_leaves_the_login_that_there_is);
    tcase_add_loop_test(tcase, a_trial_whose_configuration_is_written_is_the_login_from_then_on, 0, 2);
    tcase_add_test(tcase, a_trial_with_another_secret_goes_on_with_the_login_that_there_is);
    suite_add_tcase(suite, tcase);
    return suite;
}
