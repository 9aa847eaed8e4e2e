#include "base/json.h"

#include "suites.h"

static const struct {
    double value;
    const char *text;
} decimals[] = {
    {0.137, "{\"x\":0.137}"}, {0, "{\"x\":0}"},           {3600, "{\"x\":3600}"},
    {0.5, "{\"x\":0.5}"},     {1.0 / 3, "{\"x\":0.333}"}, {86400000, "{\"x\":86400000}"},
};

static void check_text(struct json_object *object, const char *expected)
{
    ck_assert_str_eq(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN), expected);
    json_object_put(object);
}

START_TEST(a_number_has_no_digit_that_says_nothing)
{
    struct json_object *object = json_object_new_object();

    json_add_decimal(object, "x", decimals[_i].value);
    check_text(object, decimals[_i].text);
}
END_TEST

START_TEST(what_never_was_is_null)
{
    struct json_object *object = json_object_new_object();

    json_add_time(object, "never", 0);
    json_add_time(object, "once", 1795674542001);
    json_add_text(object, "nothing", "");
    json_add_text(object, "unknown", NULL);
    json_add_text(object, "known", "so");
    check_text(object, "{\"never\":null,\"once\":\"2026-11-26T06:29:02.001Z\",\"nothing\":null,"
                       "\"unknown\":null,\"known\":\"so\"}");
}
END_TEST

UNIT_SUITE(json_suite)
{
    Suite *suite = suite_create("json");
    TCase *all = tcase_create("all");

    tcase_add_loop_test(all, a_number_has_no_digit_that_says_nothing, 0, sizeof decimals / sizeof *decimals);
    tcase_add_test(all, what_never_was_is_null);
    suite_add_tcase(suite, all);
    return suite;
}
