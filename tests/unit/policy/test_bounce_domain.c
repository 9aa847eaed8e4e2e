#include "policy/bounce_domain.h"

#include <string.h>

#include "suites.h"
#include "temporary_store.h"

#define UUID "31bdc664-f741-5a76-b8dc-9a801744f747"

static bool is_ours(const struct config *config, const char *domain)
{
    struct bounce_address address;
    char text[256];

    snprintf(text, sizeof text, "bounces+" UUID "+7@%s", domain);
    ck_assert(bounce_address_parse(&address, text, strlen(text)));
    return bounce_domain_is_ours(config, store, &address);
}

static struct config config_of(enum config_verify verify)
{
    static char prefix[] = "sp-bounce";

    return (struct config){.subaccount_id = 7, .return_path = {.verify = verify, .bounce_prefix = prefix}};
}

static void account_has(const char *name, const char *host, bool verified)
{
    sqlite3_stmt *statement = store_statement(
        store, "INSERT INTO sendpost_domain (name, host, target, verified, seen) VALUES (?, ?, '', ?, 1)",
        &error);

    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, host, -1, SQLITE_STATIC);
    sqlite3_bind_int(statement, 3, verified);
    ck_assert(store_run(store, statement, &error));
}

START_TEST(with_sendpost_the_account_says_which_domains_are_ours)
{
    struct config config = config_of(VERIFY_SENDPOST);

    account_has("shop.example", "sp-bounces.shop.example", true);
    account_has("old.example", "sp-bounces.old.example.", false);
    account_has("plain.example", "", true);
    ck_assert(is_ours(&config, "sp-bounces.shop.example"));
    ck_assert(is_ours(&config, "SP-Bounces.Shop.Example."));
    ck_assert(is_ours(&config, "sp-bounces.old.example")); /* mail has gone out before */
    ck_assert(is_ours(&config, "sp-bounce.plain.example"));
    ck_assert(!is_ours(&config, "sp-bounce.shop.example"));
    ck_assert(!is_ours(&config, "shop.example"));
    ck_assert(!is_ours(&config, "sp-bounces.evil.example"));
    ck_assert(!is_ours(&config, "sp-bounces.shop.example.evil.example"));
    config.subaccount_id = 8;
    ck_assert(!is_ours(&config, "sp-bounces.shop.example"));
}
END_TEST

START_TEST(until_the_account_was_heard_any_domain_may_be_one)
{
    struct config config = config_of(VERIFY_SENDPOST);

    ck_assert(is_ours(&config, "sp-bounce.any.example"));
    config = config_of(VERIFY_DNS);
    account_has("shop.example", "", true);
    ck_assert(is_ours(&config, "sp-bounce.any.example"));
}
END_TEST

UNIT_SUITE(bounce_domain_suite)
{
    Suite *suite = suite_create("bounce_domain");
    TCase *tcase = tcase_create("bounce_domain");

    tcase_add_checked_fixture(tcase, temporary_store_open, temporary_store_close);
    tcase_add_test(tcase, with_sendpost_the_account_says_which_domains_are_ours);
    tcase_add_test(tcase, until_the_account_was_heard_any_domain_may_be_one);
    suite_add_tcase(suite, tcase);
    return suite;
}
