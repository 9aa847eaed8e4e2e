#include "sendpost/api_answer.h"

#include <stdlib.h>
#include <string.h>

#include "suites.h"

START_TEST(suppressions_are_taken_and_what_is_none_passed_over)
{
    static const char body[] =
        "[{\"id\":1,\"reason\":2,\"email\":\"User@Example.COM\",\"created\":1567512491588025000},"
        "{\"reason\":7,\"email\":\"a@example.com\",\"created\":1},"
        "{\"reason\":0,\"email\":\"no address\",\"created\":1},"
        "{\"reason\":0,\"email\":\"example.org\",\"created\":1},"
        "{\"reason\":0,\"email\":\"a@example.com\",\"created\":0},"
        "{\"reason\":\"0\",\"email\":\"a@example.com\",\"created\":1}, 7, null]";
    struct api_suppressions list;

    ck_assert(api_suppressions_parse(&list, body, strlen(body)));
    ck_assert_uint_eq(list.all, 8);
    ck_assert_uint_eq(list.count, 1);
    ck_assert_str_eq(list.items[0].entry.address, "user@example.com");
    ck_assert_int_eq(list.items[0].entry.reason, SUPPRESSION_HARD_BOUNCE);
    ck_assert_int_eq(list.items[0].entry.since_ms, 1567512491588);
    ck_assert_int_eq(list.items[0].created_ns, 1567512491588025000);
    ck_assert_uint_eq(list.unclear, 7);
    free(list.items);
}
END_TEST

START_TEST(what_is_not_understood_is_there_all_the_same)
{
    static const struct {
        const char *body;
        bool holds;
    } lists[] = {
        {"[{\"reason\":0,\"email\":\"User@example.com\",\"created\":1}]", true},
        {"[{\"reason\":4,\"email\":\"user@Example.com\",\"created\":1}]", true},
        {"[{\"reason\":\"manual\",\"email\":\"user@example.com\"}]", true},
        {"[{\"reason\":0,\"email\":\"user@example.com\",\"created\":\"2026-01-01T00:00:00Z\"}]", true},
        {"[{\"reason\":0,\"address\":\"user@example.com\",\"created\":1}]", true}, /* who knows? */
        {"[[\"user@example.com\"]]", true},
        {"[{\"reason\":0,\"email\":\"other@example.com\",\"created\":1},"
         "{\"reason\":9,\"email\":\"another@example.com\",\"created\":1}]",
         false},
        {"[]", false},
    };

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct api_suppressions list;
        ck_assert(api_suppressions_parse(&list, lists[i].body, strlen(lists[i].body)));
        ck_assert_uint_eq(list.count + list.unclear, list.all);
        ck_assert_msg(api_suppressions_hold(&list, "user@example.com") == lists[i].holds, "%s",
                      lists[i].body);
        free(list.items);
    }
}
END_TEST

START_TEST(domains_are_taken_with_host_and_target)
{
    static const char body[] =
        "[{\"name\":\"Hooli.com.\",\"verified\":true,\"returnPathVerified\":false,"
        "\"returnPath\":{\"host\":\"sp-bounces.hooli.com\",\"textValue\":\"SP.sendpost.email\"}},"
        "{\"name\":\"bad name\",\"returnPathVerified\":true},"
        "{\"name\":\"example.com\",\"returnPathVerified\":true,\"returnPath\":{\"host\":\"x\\r\\ny\"}}]";
    struct api_domains list;

    ck_assert(api_domains_parse(&list, body, strlen(body)));
    ck_assert_uint_eq(list.all, 3);
    ck_assert_uint_eq(list.count, 2);
    ck_assert_str_eq(list.items[0].name, "hooli.com");
    ck_assert_str_eq(list.items[0].host, "sp-bounces.hooli.com");
    ck_assert_str_eq(list.items[0].target, "sp.sendpost.email");
    ck_assert(!list.items[0].verified && list.items[1].verified);
    ck_assert_str_eq(list.items[1].host, "");
    free(list.items);
}
END_TEST

START_TEST(what_is_no_list_is_said)
{
    static const char *const bodies[] = {"", "{}", "<html>", "[", "null", "7"};
    struct api_suppressions suppressions;
    struct api_domains domains;

    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        ck_assert(!api_suppressions_parse(&suppressions, bodies[i], strlen(bodies[i])));
        ck_assert(!api_domains_parse(&domains, bodies[i], strlen(bodies[i])));
    }
    ck_assert(!api_suppressions_parse(&suppressions, NULL, 0));
}
END_TEST

UNIT_SUITE(api_answer_suite)
{
    Suite *suite = suite_create("api_answer");
    TCase *tcase = tcase_create("api_answer");

    tcase_add_test(tcase, suppressions_are_taken_and_what_is_none_passed_over);
    tcase_add_test(tcase, what_is_not_understood_is_there_all_the_same);
    tcase_add_test(tcase, domains_are_taken_with_host_and_target);
    tcase_add_test(tcase, what_is_no_list_is_said);
    suite_add_tcase(suite, tcase);
    return suite;
}
