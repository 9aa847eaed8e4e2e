#include "oauth/oauth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "suites.h"
#include "temporary_store.h"

static struct config *config;
static char config_path[96], seed_path[96], token_path[96];

static void write_private(const char *path, const char *text)
{
    char fresh[128];

    snprintf(fresh, sizeof fresh, "%s.new", path);
    FILE *file = fopen(fresh, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fchmod(fileno(file), 0600), 0);
    fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(rename(fresh, path), 0);
}

/* A provider at a port where nobody listens: who asks it learns at once that it is away. */
static void write_config(const char *scope)
{
    char text[1024];

    snprintf(text, sizeof text,
             "account-id: 117\nsubaccount-id: 4321\nstate-dir: %s\nendpoint: none\ntpsps:\n"
             "  - name: primary\n    id: 12\n    host: 127.0.0.1\n    username: a@example.org\n    oauth:\n"
             "      token-endpoint: https://127.0.0.1:1/token\n      client-id: client\n"
             "      refresh-token-file: %s\n      scope: %s\n",
             temporary_directory, seed_path, scope);
    write_private(config_path, text);
}

static void begin(void)
{
    temporary_store_open();
    snprintf(config_path, sizeof config_path, "%s/config.yaml", temporary_directory);
    snprintf(seed_path, sizeof seed_path, "%s/seed", temporary_directory);
    snprintf(token_path, sizeof token_path, "%s/oauth/primary", temporary_directory);
    write_private(seed_path, "seed\n");
    write_config("mail");
    config = config_load(config_path, &error);
    ck_assert_msg(config != NULL, "%s", error.text);
}

static void end(void)
{
    config_free(config);
    temporary_store_close();
}

/* Whether the provider was asked, as what is kept of it tells; with the words for it. */
static bool asks(void)
{
    struct oauth *oauth = oauth_open(config, NULL);

    ck_assert(!oauth_keep(oauth, &config->tpsps[0], 0, clock_monotonic_ms() + 60000, &error));
    oauth_close(oauth);
    return access(token_path, F_OK) == 0;
}

START_TEST(who_knows_the_configuration_asks)
{
    ck_assert(asks());
    ck_assert_ptr_nonnull(strstr(error.text, "no OAuth token for tpsp primary"));
    ck_assert_ptr_null(strstr(error.text, "changed"));
}
END_TEST

START_TEST(who_has_read_an_older_login_asks_nobody)
{
    write_private(seed_path, "the seed of a new login\n");
    ck_assert(!asks());
    ck_assert_ptr_nonnull(strstr(error.text, "the configuration was changed after this program had read it"));
}
END_TEST

START_TEST(who_has_read_an_older_configuration_asks_nobody)
{
    write_config("mail offline_access");
    ck_assert(!asks());
    ck_assert_ptr_nonnull(strstr(error.text, "the configuration was changed after this program had read it"));
}
END_TEST

UNIT_SUITE(oauth_suite)
{
    Suite *suite = suite_create("oauth");
    TCase *tcase = tcase_create("oauth");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, begin, end);
    tcase_add_test(tcase, who_knows_the_configuration_asks);
    tcase_add_test(tcase, who_has_read_an_older_login_asks_nobody);
    tcase_add_test(tcase, who_has_read_an_older_configuration_asks_nobody);
    suite_add_tcase(suite, tcase);
    return suite;
}
