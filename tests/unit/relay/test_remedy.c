#include "relay/remedy.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "suites.h"

static const struct {
    enum relay_stage stage;
    uint16_t port;
    enum config_security security;
    const char *text, *keys, *remedy;
} failures[] = {
    {RELAY_RESOLVE, 587, SECURITY_STARTTLS, "cannot resolve x: NXDOMAIN; check host in the configuration",
     "host", "sendpostctl setup --name first, and correct host"},
    {RELAY_RESOLVE, 587, SECURITY_STARTTLS, "cannot resolve x: timeout after 5 s", "host",
     "/etc/resolv.conf"},
    {RELAY_CONNECT, 25, SECURITY_NONE, "Connection refused by x", "host, port", "correct host and port"},
    {RELAY_GREETING, 465, SECURITY_STARTTLS, "lost connection", "host, port, security",
     "--security tls --port 465"},
    {RELAY_GREETING, 2465, SECURITY_NONE, "Timeout at greeting with x", "host, port, security",
     "--security tls --port 2465"},
    {RELAY_GREETING, 587, SECURITY_STARTTLS, "Timeout at greeting with x", "host, port, security",
     "--security tls --port 465"},
    {RELAY_GREETING, 465, SECURITY_TLS, "Timeout at greeting with x", "host, port, security",
     "correct host and port"},
    {RELAY_GREETING, 587, SECURITY_STARTTLS, "Service refused by x: 421 too many connections",
     "max-connections", "fewer max-connections of first"},
    {RELAY_TLS, 587, SECURITY_TLS, "the server does not speak TLS here", "port, security, tls-ca-path",
     "--security starttls --port 587"},
    {RELAY_TLS, 465, SECURITY_TLS, "the server does not speak TLS here", "port, security, tls-ca-path",
     "--security starttls --port 587"},
    {RELAY_STARTTLS, 465, SECURITY_STARTTLS, "x does not offer STARTTLS", "security, tls-ca-path",
     "--security tls --port 465"},
    {RELAY_STARTTLS, 587, SECURITY_STARTTLS, "certificate has expired", "security, tls-ca-path",
     "sendpostctl test first --no-send -v shows the handshake"},
    {RELAY_AUTH, 587, SECURITY_STARTTLS, "Auth rejected by x", NULL, "the right username and password"},
    {RELAY_MAIL, 587, SECURITY_STARTTLS, "530 authentication required", "username, auth",
     "shows the dialogue"},
};

START_TEST(each_failure_has_its_place_and_its_command)
{
    char name[] = "first";
    const struct config_tpsp tpsp = {
        .name = name, .port = failures[_i].port, .security = failures[_i].security};
    const char *keys = relay_remedy_keys(failures[_i].stage, failures[_i].text);
    AUTO_FREE char *remedy = relay_remedy(&tpsp, failures[_i].stage, failures[_i].text);

    ck_assert_pstr_eq(keys, failures[_i].keys);
    ck_assert_msg(strstr(remedy, failures[_i].remedy) != NULL, "%s", remedy);
}
END_TEST

START_TEST(a_login_with_tokens_is_made_anew)
{
    char name[] = "first", endpoint[] = "https://login.example/token";
    const struct config_tpsp tpsp = {.name = name, .oauth.token_endpoint = endpoint};
    AUTO_FREE char *remedy = relay_remedy(&tpsp, RELAY_AUTH, "Auth rejected by x");

    ck_assert_str_eq(remedy, "sendpostctl setup --oauth first");
}
END_TEST

UNIT_SUITE(remedy_suite)
{
    Suite *suite = suite_create("remedy");
    TCase *tcase = tcase_create("remedy");

    tcase_add_loop_test(tcase, each_failure_has_its_place_and_its_command, 0,
                        sizeof failures / sizeof *failures);
    tcase_add_test(tcase, a_login_with_tokens_is_made_anew);
    suite_add_tcase(suite, tcase);
    return suite;
}
