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

START_TEST(another_configuration_begins_anew)
{
    const struct config_oauth before = tpsp.oauth;
    struct config_oauth others[] = {before, before, before, before, before};

    keep();
    others[0].refresh_token = (char *)"another seed";
    others[1].client_id = (char *)"another client";
    others[2].token_endpoint = (char *)"https://h/another";
    others[3].scope = (char *)"more";
    others[4].client_secret = (char *)"secret";
    for (size_t i = 0; i < 5; i++) {
        tpsp.oauth = others[i];
        read_it();
        ck_assert_ptr_null(state.access_token);
        ck_assert_ptr_null(state.refresh_token);
    }
    tpsp.oauth = before;
    read_it();
    ck_assert_ptr_nonnull(state.access_token);
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
    tcase_add_test(tcase, another_configuration_begins_anew);
    tcase_add_test(tcase, one_that_others_could_read_or_that_is_cut_counts_for_nothing);
    tcase_add_test(tcase, a_place_that_is_given_up_leaves_what_there_was);
    suite_add_tcase(suite, tcase);
    return suite;
}
