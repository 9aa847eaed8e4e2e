#include "policy/return_path.h"

#include <string.h>

#include "base/clock.h"
#include "policy/dns_cache.h"
#include "policy/validate.h"
#include "suites.h"
#include "temporary_store.h"

#define UUID "11111111-1111-4111-8111-111111111111"

static const char *const nowhere[] = {"127.0.0.1:9"}; /* discard: nothing answers there */
static char *listed[] = {"example.com", "Other.Example.", "deep.example.com"};

static struct config config_with(enum config_verify verify)
{
    return (struct config){.subaccount_id = 4321,
                           .return_path = {.verify = verify,
                                           .domains = {listed, 3},
                                           .rewrite = true,
                                           .bounce_prefix = "sp-bounce",
                                           .cname_target = "SP.Sendpost.info."}};
}

static struct outcome outcome;

static bool decide(const struct config *config, const char *from, const char *sender,
                   struct return_path *path_r)
{
    struct dns_resolver *resolver = dns_open(nowhere, 1, 100);
    bool pass = return_path_decide(config, store, resolver, from, sender, UUID, clock_monotonic_ms() + 100,
                                   path_r, &outcome);

    dns_close(resolver);
    return pass;
}

static const struct {
    const char *from, *sender, *rewritten; /* NULL: not verified */
} cases[] = {
    {"A <a@example.com>", "b@elsewhere.example", "bounces+" UUID "+4321@sp-bounce.example.com"},
    {"a@EXAMPLE.com", "b@example.com", "bounces+" UUID "+4321@sp-bounce.example.com"},
    {"a@news.example.com", "b@example.com", "bounces+" UUID "+4321@sp-bounce.example.com"},
    {"a@x.deep.example.com", "b@example.com", "bounces+" UUID "+4321@sp-bounce.deep.example.com"},
    {"a@other.example", "b@example.com", "bounces+" UUID "+4321@sp-bounce.other.example"},
    {"a@notexample.com", "b@example.com", NULL},
    {"a@elsewhere.example", "b@example.com", NULL},
    {"a@com", "b@example.com", NULL},
    {"a@[192.0.2.1]", "b@example.com", NULL},
    {NULL, "b@example.com", "bounces+" UUID "+4321@sp-bounce.example.com"},
    {"root", "b@example.com", "bounces+" UUID "+4321@sp-bounce.example.com"},
    {NULL, "b@elsewhere.example", NULL},
    {"a@elsewhere.example", "", ""}, /* the null sender passes */
};

START_TEST(a_listed_domain_vouches_for_itself_and_what_is_below)
{
    struct config config = config_with(VERIFY_STATIC);
    struct return_path path;
    bool pass = decide(&config, cases[_i].from, cases[_i].sender, &path);

    ck_assert_msg(pass == (cases[_i].rewritten != NULL), "%s: %s", cases[_i].from, path.note);
    if (pass) {
        ck_assert_str_eq(path.sender, cases[_i].rewritten);
        return;
    }
    ck_assert_int_eq(outcome.class, OUTCOME_DROPPED);
    ck_assert_int_eq(outcome.cause, CAUSE_POLICY);
    ck_assert_str_eq(outcome.enhanced, "5.7.1");
    ck_assert_str_eq(outcome.text, "No verified return path domain configured for sender domain");
}
END_TEST

START_TEST(without_rewrite_or_verification_the_sender_stays)
{
    struct config config = config_with(VERIFY_STATIC);
    struct return_path path;

    config.return_path.rewrite = false;
    ck_assert(decide(&config, "a@example.com", "b@elsewhere.example", &path));
    ck_assert_str_eq(path.sender, "b@elsewhere.example");
    config = config_with(VERIFY_OFF);
    ck_assert(decide(&config, "a@example.com", "b@elsewhere.example", &path));
    ck_assert_str_eq(path.sender, "b@elsewhere.example");
    ck_assert_str_eq(path.domain, "example.com");
}
END_TEST

static void remember(const char *name, const char *target)
{
    dns_cache_put(store, "cname", name, target, clock_realtime_ms() + 60000);
}

START_TEST(an_alias_that_leads_to_the_target_verifies)
{
    struct config config = config_with(VERIFY_DNS);
    struct return_path path;

    remember("sp-bounce.direct.example", "sp.sendpost.info");
    ck_assert_msg(decide(&config, "a@Direct.example", "b@x.example", &path), "%s", path.note);
    ck_assert_str_eq(path.sender, "bounces+" UUID "+4321@sp-bounce.direct.example");
    remember("sp-bounce.chain.example", "alias.chain.example");
    remember("alias.chain.example", "sp.sendpost.info");
    ck_assert_msg(decide(&config, "a@chain.example", "b@x.example", &path), "%s", path.note);
}
END_TEST

START_TEST(an_alias_that_leads_elsewhere_or_nowhere_does_not)
{
    struct config config = config_with(VERIFY_DNS);
    struct return_path path;

    remember("sp-bounce.none.example", "");
    ck_assert(!decide(&config, "a@none.example", "b@x.example", &path));
    ck_assert_int_eq(outcome.class, OUTCOME_DROPPED);
    remember("sp-bounce.other.example", "evil.example");
    remember("evil.example", "");
    ck_assert(!decide(&config, "a@other.example", "b@x.example", &path));
    ck_assert_int_eq(outcome.class, OUTCOME_DROPPED);
    remember("sp-bounce.loop.example", "loop.example");
    remember("loop.example", "sp-bounce.loop.example");
    ck_assert(!decide(&config, "a@loop.example", "b@x.example", &path));
    ck_assert_int_eq(outcome.class, OUTCOME_DROPPED);
    ck_assert(!decide(&config, "a@[192.0.2.1]", "b@x.example", &path));
    ck_assert_int_eq(outcome.class, OUTCOME_DROPPED);
}
END_TEST

START_TEST(trouble_with_dns_defers_and_is_not_remembered)
{
    struct config config = config_with(VERIFY_DNS);
    struct return_path path;

    ck_assert(!decide(&config, "a@example.com", "b@x.example", &path));
    ck_assert_int_eq(outcome.class, OUTCOME_DEFERRED);
    ck_assert_int_eq(outcome.cause, CAUSE_OURS);
    ck_assert_str_eq(outcome.enhanced, "4.4.3");
    ck_assert_ptr_null(dns_cache_get(store, "cname", "sp-bounce.example.com", clock_realtime_ms()));
}
END_TEST

START_TEST(the_cache_forgets_what_has_expired_and_what_is_displaced)
{
    const int names = unit_tests_under_valgrind() ? 3000 : 100000; /* of a few some are displaced, too */
    char name[32], *value;
    int kept = 0;

    dns_cache_put(store, "mx", "a.example", "one", 1000);
    ck_assert_ptr_null(dns_cache_get(store, "mx", "a.example", 1000));
    value = dns_cache_get(store, "mx", "a.example", 999);
    ck_assert_str_eq(value, "one");
    free(value);
    ck_assert_ptr_null(dns_cache_get(store, "cname", "a.example", 999));
    ck_assert(store_begin(store, STORE_NORMAL, &error));
    for (int i = 0; i < names; i++) {
        snprintf(name, sizeof name, "n%d.example", i);
        dns_cache_put(store, "mx", name, name, 1000);
    }
    ck_assert(store_commit(store, &error));
    for (int i = 0; i < names; i++) {
        snprintf(name, sizeof name, "n%d.example", i);
        value = dns_cache_get(store, "mx", name, 0);
        ck_assert(value == NULL || strcmp(value, name) == 0);
        kept += value != NULL;
        free(value);
    }
    const int most = names < DNS_CACHE_SLOTS ? names : DNS_CACHE_SLOTS;
    ck_assert_int_lt(kept, names);
    ck_assert_int_le(kept, most);
    ck_assert_int_gt(kept, most / 2); /* the names spread over the slots */
}
END_TEST

START_TEST(a_message_that_cannot_be_sent_is_told_from_one_that_can)
{
    static const struct {
        struct validate_facts facts;
        const char *enhanced; /* NULL: fine */
    } facts[] = {
        {{"a@example.com", "b@example.com", "a@example.com", 1000, false}, NULL},
        {{"", "b@example.com", "a@example.com", 1000, false}, NULL},
        {{"a@example.com", "b@example.com", "a@example.com", 1001, false}, "5.3.4"},
        {{"a@example.com", "b@example.com", "a@example.com", 1000, true}, "5.3.4"},
        {{"a@example.com", "b@example.com", NULL, 1000, false}, "5.6.0"},
        {{"a@example.com", "b@example.com", "", 1000, false}, "5.6.0"},
        {{"a@example.com", "b", "a@example.com", 1000, false}, "5.1.3"},
        {{"a@example.com", "", "a@example.com", 1000, false}, "5.1.3"},
        {{"a", "b@example.com", "a@example.com", 1000, false}, "5.1.7"},
    };
    struct config strict = {.validation = {.max_message_size = 1000, .require_from = true}};
    struct config lax = {0};
    struct validate_facts unusual = {"a@example.com", "b@example.com", NULL, UINT64_MAX, false};

    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) {
        ck_assert(validate(&strict, &facts[i].facts, &outcome) == (facts[i].enhanced == NULL));
        if (facts[i].enhanced == NULL)
            continue;
        ck_assert_int_eq(outcome.class, OUTCOME_DROPPED);
        ck_assert_int_eq(outcome.cause, CAUSE_POLICY);
        ck_assert_str_eq(outcome.enhanced, facts[i].enhanced);
    }
    ck_assert(validate(&lax, &unusual, &outcome));
}
END_TEST

UNIT_SUITE(return_path_suite)
{
    Suite *suite = suite_create("return_path");
    TCase *tcase = tcase_create("return_path");

    tcase_add_checked_fixture(tcase, temporary_store_open, temporary_store_close);
    tcase_add_loop_test(tcase, a_listed_domain_vouches_for_itself_and_what_is_below, 0,
                        sizeof cases / sizeof cases[0]);
    tcase_add_test(tcase, without_rewrite_or_verification_the_sender_stays);
    tcase_add_test(tcase, an_alias_that_leads_to_the_target_verifies);
    tcase_add_test(tcase, an_alias_that_leads_elsewhere_or_nowhere_does_not);
    tcase_add_test(tcase, trouble_with_dns_defers_and_is_not_remembered);
    tcase_add_test(tcase, the_cache_forgets_what_has_expired_and_what_is_displaced);
    tcase_add_test(tcase, a_message_that_cannot_be_sent_is_told_from_one_that_can);
    suite_add_tcase(suite, tcase);
    return suite;
}
