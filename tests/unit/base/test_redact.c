#include "base/redact.h"

#include <stdlib.h>
#include <string.h>

#include "suites.h"

static const struct {
    const char *text, *masked, *numbered;
} texts[] = {
    {"550 5.1.1 <jane@example.com>: User unknown", "550 5.1.1 <…@…>: User unknown",
     "550 5.1.1 <user1@domain1.example>: User unknown"},
    {"a.b+c@x.example said about A.B+C@X.example and d@x.example.", "…@… said about …@… and …@….",
     "user1@domain1.example said about user1@domain1.example and user2@domain1.example."},
    {"\"jane doe\"@example.com, joe@[192.0.2.1]", "…@…, …@…", "user1@domain1.example, user2@domain2.example"},
    {"see https://x.example/?r=jane%40example.com&c=1", "see https:…@…&c=1",
     "see https:user1@domain1.example&c=1"},
    {"jürgen@exämple.de", "…@…", "user1@domain1.example"},
    {"no address @ all, or @home, or 50% off", "no address @ all, or @home, or 50% off",
     "no address @ all, or @home, or 50% off"},
    {"bounces+31bdc664-f741-5a76-b8dc-9a801744f747+1@sp-bounce.example.com", "…@…", "user1@domain1.example"},
    {"@", "@", "@"},
    {"", "", ""},
};

START_TEST(addresses_go_and_words_stay)
{
    char *masked = redact_text(texts[_i].text, strlen(texts[_i].text));
    char *numbered = redact_numbered(texts[_i].text, strlen(texts[_i].text));

    ck_assert_str_eq(masked, texts[_i].masked);
    ck_assert_str_eq(numbered, texts[_i].numbered);
    free(masked);
    free(numbered);
}
END_TEST

START_TEST(users_without_a_domain_go_from_a_log_line)
{
    static const char line[] =
        "4AAAAA: to=<jane>, orig_to=<joe@example.com>, relay=local, status=sent (x), from=<>";
    char *clean = redact_log_line(line, strlen(line));

    ck_assert_str_eq(clean, "4AAAAA: to=<…>, orig_to=<…>, relay=local, status=sent (x), from=<>");
    free(clean);
}
END_TEST

START_TEST(whatever_the_bytes_are_the_result_is_a_text)
{
    char *clean = redact_text("\0a@\xff\x1b[31m@b.example\n", 18);

    ck_assert_ptr_null(strchr(clean, '\x1b'));
    ck_assert_ptr_null(strchr(clean, '\n'));
    free(clean);
}
END_TEST

UNIT_SUITE(redact_suite)
{
    Suite *suite = suite_create("redact");
    TCase *tcase = tcase_create("redact");

    tcase_add_loop_test(tcase, addresses_go_and_words_stay, 0, sizeof texts / sizeof texts[0]);
    tcase_add_test(tcase, users_without_a_domain_go_from_a_log_line);
    tcase_add_test(tcase, whatever_the_bytes_are_the_result_is_a_text);
    suite_add_tcase(suite, tcase);
    return suite;
}
