#include "policy/route.h"

#include "suites.h"

static struct config_route by_provider[] = {{"gmail", 0}, {"office365", 1}, {"default", 2}};
static struct config_route by_domain[] = {
    {"example.com", 0}, {"news.example.com", 1}, {"default", 2}, {"example.org", 3}};

static const struct {
    enum config_strategy strategy;
    size_t routes;
    struct route_facts facts;
    const char *key; /* NULL: none */
} cases[] = {
    {STRATEGY_BY_PROVIDER, 3, {PROVIDER_GMAIL, "example.com"}, "gmail"},
    {STRATEGY_BY_PROVIDER, 3, {PROVIDER_OFFICE365, ""}, "office365"},
    {STRATEGY_BY_PROVIDER, 3, {PROVIDER_YAHOO, ""}, "default"},
    {STRATEGY_BY_PROVIDER, 3, {PROVIDER_DEFAULT, ""}, "default"},
    {STRATEGY_BY_PROVIDER, 2, {PROVIDER_YAHOO, ""}, NULL},
    {STRATEGY_BY_PROVIDER, 2, {PROVIDER_DEFAULT, ""}, NULL},
    {STRATEGY_BY_SENDER_DOMAIN, 4, {PROVIDER_GMAIL, "example.com"}, "example.com"},
    {STRATEGY_BY_SENDER_DOMAIN, 4, {PROVIDER_GMAIL, "mail.example.com"}, "example.com"},
    {STRATEGY_BY_SENDER_DOMAIN, 4, {PROVIDER_GMAIL, "news.example.com"}, "news.example.com"},
    {STRATEGY_BY_SENDER_DOMAIN, 4, {PROVIDER_GMAIL, "a.news.example.com"}, "news.example.com"},
    {STRATEGY_BY_SENDER_DOMAIN, 4, {PROVIDER_GMAIL, "notexample.com"}, "default"},
    {STRATEGY_BY_SENDER_DOMAIN, 4, {PROVIDER_GMAIL, "com"}, "default"},
    {STRATEGY_BY_SENDER_DOMAIN, 4, {PROVIDER_GMAIL, "example.org"}, "example.org"},
    {STRATEGY_BY_SENDER_DOMAIN, 4, {PROVIDER_GMAIL, ""}, "default"},
    {STRATEGY_BY_SENDER_DOMAIN, 4, {PROVIDER_GMAIL, "[192.0.2.1]"}, "default"},
    {STRATEGY_BY_SENDER_DOMAIN, 2, {PROVIDER_GMAIL, "example.net"}, NULL},
    {STRATEGY_FAILOVER, 0, {PROVIDER_GMAIL, "example.com"}, NULL},
};

START_TEST(the_nearest_route_holds)
{
    bool domain = cases[_i].strategy == STRATEGY_BY_SENDER_DOMAIN;
    struct config_pool pool = {.strategy = cases[_i].strategy,
                               .routes = domain ? by_domain : by_provider,
                               .route_count = cases[_i].routes};
    const struct config_route *route = route_find(&pool, &cases[_i].facts);

    if (cases[_i].key == NULL)
        ck_assert_ptr_null(route);
    else
        ck_assert_str_eq(route->key, cases[_i].key);
}
END_TEST

UNIT_SUITE(route_suite)
{
    Suite *suite = suite_create("route");
    TCase *tcase = tcase_create("route");

    tcase_add_loop_test(tcase, the_nearest_route_holds, 0, sizeof cases / sizeof cases[0]);
    suite_add_tcase(suite, tcase);
    return suite;
}
