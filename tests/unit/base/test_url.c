#include "base/url.h"

#include <stdio.h>
#include <string.h>

#include "suites.h"

static const struct {
    const char *text;
    enum url_result result;
    bool tls;
    const char *host;
    uint16_t port;
    const char *path;
} cases[] = {
    {"https://api.example.com/a/b?c=d", URL_OK, true, "api.example.com", 443, "/a/b?c=d"},
    {"HTTPS://API.Example.COM.", URL_OK, true, "api.example.com", 443, "/"},
    {"http://127.0.0.1:8080/x", URL_OK, false, "127.0.0.1", 8080, "/x"},
    {"http://localhost?q", URL_OK, false, "localhost", 80, "/?q"},
    {"https://[2001:DB8::1]:65535/", URL_OK, true, "2001:db8::1", 65535, "/"},
    {"https://[::1]", URL_OK, true, "::1", 443, "/"},
    {"ftp://example.com/", URL_SCHEME, false, "", 0, ""},
    {"example.com", URL_SCHEME, false, "", 0, ""},
    {"https:/example.com", URL_SCHEME, false, "", 0, ""},
    {"https://user@example.com/", URL_USER, true, "", 0, ""},
    {"https://user:word@example.com/", URL_USER, true, "", 0, ""},
    {"https://example.com/a@b", URL_OK, true, "example.com", 443, "/a@b"},
    {"https://example.com/#part", URL_CHARACTERS, true, "", 0, ""},
    {"https://example.com/a b", URL_CHARACTERS, true, "", 0, ""},
    {"https://example.com/\r\nX: y", URL_CHARACTERS, true, "", 0, ""},
    {"https://ex\xc3\xa4mple.com/", URL_CHARACTERS, true, "", 0, ""},
    {"https:///path", URL_PLACE, true, "", 0, ""},
    {"https://", URL_PLACE, true, "", 0, ""},
    {"https://:443/", URL_PLACE, true, "", 0, ""},
    {"https://example.com:/", URL_PLACE, true, "", 0, ""},
    {"https://example.com:0/", URL_PLACE, true, "", 0, ""},
    {"https://example.com:65536/", URL_PLACE, true, "", 0, ""},
    {"https://example.com:4x3/", URL_PLACE, true, "", 0, ""},
    {"https://[::1/", URL_PLACE, true, "", 0, ""},
    {"https://[]/", URL_PLACE, true, "", 0, ""},
    {"https://[::1]x/", URL_PLACE, true, "", 0, ""},
};

START_TEST(a_url_is_taken_apart_or_refused_for_a_reason)
{
    struct url url;

    ck_assert_msg(url_parse(cases[_i].text, &url) == cases[_i].result, "%s", cases[_i].text);
    if (cases[_i].result != URL_OK)
        return;
    ck_assert(url.tls == cases[_i].tls);
    ck_assert_str_eq(url.host, cases[_i].host);
    ck_assert_uint_eq(url.port, cases[_i].port);
    ck_assert_str_eq(url.path, cases[_i].path);
}
END_TEST

START_TEST(what_is_too_long_is_refused)
{
    struct url url;
    char text[URL_PATH_SIZE + 64];

    snprintf(text, sizeof text, "https://%0255d/", 7);
    ck_assert(url_parse(text, &url) == URL_OK);
    snprintf(text, sizeof text, "https://%0256d/", 7);
    ck_assert(url_parse(text, &url) == URL_PLACE);
    snprintf(text, sizeof text, "https://h/%0*d", URL_PATH_SIZE - 3, 7);
    ck_assert(url_parse(text, &url) == URL_OK && strlen(url.path) == URL_PATH_SIZE - 2);
    snprintf(text, sizeof text, "https://h/%0*d", URL_PATH_SIZE - 2, 7);
    ck_assert(url_parse(text, &url) == URL_PLACE);
}
END_TEST

UNIT_SUITE(url_suite)
{
    Suite *suite = suite_create("url");
    TCase *tcase = tcase_create("url");

    tcase_add_loop_test(tcase, a_url_is_taken_apart_or_refused_for_a_reason, 0,
                        sizeof cases / sizeof cases[0]);
    tcase_add_test(tcase, what_is_too_long_is_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}
