#include "net/dns.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "net/dns_message.h"
#include "suites.h"

static const char *const nowhere[] = {"127.0.0.1:9"}; /* discard: nothing answers there */

static enum dns_result look_up(const char *host, char text_r[64], uint16_t *port_r)
{
    struct dns_resolver *resolver = dns_open(nowhere, 1, 200);
    struct dns_address *addresses;
    size_t count;
    enum dns_result result =
        dns_addresses(resolver, host, 2525, clock_monotonic_ms() + 200, &addresses, &count);

    text_r[0] = '\0';
    ck_assert((result == DNS_OK) == (count > 0));
    ck_assert((result == DNS_OK) == (dns_reason(resolver)[0] == '\0'));
    if (count > 0) {
        memcpy(text_r, addresses[0].text, 64);
        *port_r = addresses[0].address.ss_family == AF_INET6
                      ? ntohs(((struct sockaddr_in6 *)&addresses[0].address)->sin6_port)
                      : ntohs(((struct sockaddr_in *)&addresses[0].address)->sin_port);
    }
    dns_addresses_free(addresses);
    dns_close(resolver);
    return result;
}

static const struct {
    const char *host, *text;
} literals[] = {
    {"192.0.2.1", "192.0.2.1"},
    {"2001:db8::1", "2001:db8::1"},
    {"[2001:DB8:0::1]", "2001:db8::1"},
    {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
    {"[192.0.2.1]", "192.0.2.1"},
    {"[2001:db8::1", NULL},
    {"[mail]", NULL},
    {"2001:db8::g", NULL},
    {":", NULL},
};

START_TEST(an_address_literal_needs_no_server)
{
    char text[64];
    uint16_t port = 0;
    enum dns_result result = look_up(literals[_i].host, text, &port);

    if (literals[_i].text == NULL) {
        ck_assert_int_eq(result, DNS_NOT_FOUND);
    } else {
        ck_assert_int_eq(result, DNS_OK);
        ck_assert_str_eq(text, literals[_i].text);
        ck_assert_uint_eq(port, 2525);
    }
}
END_TEST

START_TEST(localhost_is_known_without_dns)
{
    char text[64];
    uint16_t port = 0;

    ck_assert_int_eq(look_up("localhost", text, &port), DNS_OK);
    ck_assert_msg(strcmp(text, "127.0.0.1") == 0 || strcmp(text, "::1") == 0, "%s", text);
    ck_assert_uint_eq(port, 2525);
}
END_TEST

START_TEST(a_server_that_is_not_there_is_trouble)
{
    char text[64];
    uint16_t port;

    ck_assert_int_eq(look_up("mail.example.com", text, &port), DNS_TROUBLE);
}
END_TEST

START_TEST(a_malformed_server_setting_is_trouble_and_named)
{
    static const char *const servers[] = {"no-address"};
    struct dns_resolver *resolver = dns_open(servers, 1, 200);
    char *target;
    uint32_t ttl;

    ck_assert_int_eq(dns_cname(resolver, "a.example", clock_monotonic_ms() + 200, &target, &ttl),
                     DNS_TROUBLE);
    ck_assert_ptr_nonnull(strstr(dns_reason(resolver), "no-address"));
    dns_close(resolver);
}
END_TEST

START_TEST(a_name_that_cannot_exist_is_not_found)
{
    struct dns_resolver *resolver = dns_open(nowhere, 1, 200);
    char name[400];
    char *target;
    uint32_t ttl;

    memset(name, 'a', sizeof name);
    memcpy(name + 390, ".example", 9);
    ck_assert_int_eq(dns_cname(resolver, name, clock_monotonic_ms() + 200, &target, &ttl), DNS_NOT_FOUND);
    ck_assert_ptr_null(target);
    dns_close(resolver);
}
END_TEST

/* --- answers, as bytes ------------------------------------------------------------------------- */

#define AA 0x84, 0x00      /* authoritative */
#define RA 0x81, 0x80      /* from a recursive server */
#define NEITHER 0x80, 0x00 /* a lame one */
#define AA_NX 0x84, 0x03
#define NX 0x80, 0x03
#define NAME 1, 'a', 7, 'E', 'x', 'a', 'm', 'p', 'l', 'e', 0 /* a.Example at offset 12 */
#define QUESTION(type) NAME, 0, type, 0, 1
#define HEAD(flags, answers, authorities, type) \
    0, 1, flags, 0, 1, 0, answers, 0, authorities, 0, 0, QUESTION(type)
#define FROM_A 0xc0, 12 /* pointer to the name asked for */
#define EXAMPLE 0xc0, 14

static const unsigned char cname[] = {
    HEAD(RA, 1, 0, 5), FROM_A, 0, 5, 0, 1, 0, 0, 1, 0, 0, 4, 1, 'B', EXAMPLE};
static const unsigned char chain[] = {
    HEAD(RA, 2, 0, 5), FROM_A, 0, 5, 0, 1, 0, 0, 1, 0, 0, 4, 1,   'b',    EXAMPLE, 1, 'b',
    EXAMPLE,           0,      5, 0, 1, 0, 0, 0, 9, 0, 4, 1, 'c', EXAMPLE};
static const unsigned char strangers[] = {
    HEAD(RA, 1, 0, 5), EXAMPLE, 0, 5, 0, 1, 0, 0, 1, 0, 0, 4, 1, 'b', EXAMPLE};
static const unsigned char mx[] = {HEAD(RA, 3, 0, 15),
                                   FROM_A,
                                   0,
                                   5,
                                   0,
                                   1,
                                   0,
                                   0,
                                   1,
                                   0,
                                   0,
                                   4,
                                   1,
                                   'b',
                                   EXAMPLE,
                                   1,
                                   'b',
                                   EXAMPLE,
                                   0,
                                   15,
                                   0,
                                   1,
                                   0,
                                   0,
                                   2,
                                   0,
                                   0,
                                   6,
                                   0,
                                   20,
                                   1,
                                   'M',
                                   EXAMPLE,
                                   1,
                                   'b',
                                   EXAMPLE,
                                   0,
                                   15,
                                   0,
                                   1,
                                   0,
                                   0,
                                   0,
                                   60,
                                   0,
                                   6,
                                   0,
                                   10,
                                   1,
                                   'n',
                                   EXAMPLE};
static const unsigned char null_mx[] = {HEAD(RA, 1, 0, 15), FROM_A, 0, 15, 0, 1, 0, 0, 1, 0, 0, 3, 0, 0, 0};
static const unsigned char loop[] = {HEAD(RA, 1, 0, 5), FROM_A, 0, 5, 0, 1, 0, 0, 1, 0, 0, 2, 0xc0, 39};
static const unsigned char cut[] = {
    HEAD(RA, 1, 0, 5), FROM_A, 0, 5, 0, 1, 0, 0, 1, 0, 0, 40, 1, 'b', EXAMPLE};
static const unsigned char nothing[] = {HEAD(AA, 0, 0, 5)};
static const unsigned char lame[] = {HEAD(NEITHER, 0, 0, 5)};
static const unsigned char lame_nx[] = {HEAD(NX, 0, 0, 5)};
static const unsigned char referral[] = {HEAD(RA, 0, 1, 5), EXAMPLE, 0, 2, 0, 1, 0, 0, 1, 0, 0, 2, 0xc0, 12};
static const unsigned char nxdomain[] = {HEAD(AA_NX, 0, 1, 5),
                                         EXAMPLE,
                                         0,
                                         6,
                                         0,
                                         1,
                                         0,
                                         0,
                                         1,
                                         0,
                                         0,
                                         22,
                                         0,
                                         0,
                                         0,
                                         0,
                                         0,
                                         1,
                                         0,
                                         0,
                                         0,
                                         1,
                                         0,
                                         0,
                                         0,
                                         1,
                                         0,
                                         0,
                                         0,
                                         1,
                                         0,
                                         0,
                                         0,
                                         30};

static const struct {
    const char *what;
    const unsigned char *packet;
    size_t length;
    int type;
    enum dns_result result;
    const char *hosts; /* "preference host" each, joined */
    uint32_t ttl;
} answers[] = {
    {"CNAME", cname, sizeof cname, ns_t_cname, DNS_OK, "0 b.example ", 256},
    {"CNAME chain: the first only", chain, sizeof chain, ns_t_cname, DNS_OK, "0 b.example ", 256},
    {"record of another name", strangers, sizeof strangers, ns_t_cname, DNS_NOT_FOUND, "", 0},
    {"MX behind a CNAME, sorted", mx, sizeof mx, ns_t_mx, DNS_OK, "10 n.example 20 m.example ", 60},
    {"null MX", null_mx, sizeof null_mx, ns_t_mx, DNS_OK, "0  ", 256},
    {"a name that points to itself", loop, sizeof loop, ns_t_cname, DNS_NOT_FOUND, "", 0},
    {"cut off", cut, sizeof cut, ns_t_cname, DNS_TROUBLE, "", 0},
    {"empty, authoritative", nothing, sizeof nothing, ns_t_cname, DNS_NOT_FOUND, "", 0},
    {"empty, lame", lame, sizeof lame, ns_t_cname, DNS_TROUBLE, "", 0},
    {"NXDOMAIN, lame", lame_nx, sizeof lame_nx, ns_t_cname, DNS_TROUBLE, "", 0},
    {"referral", referral, sizeof referral, ns_t_cname, DNS_TROUBLE, "", 0},
    {"NXDOMAIN with SOA", nxdomain, sizeof nxdomain, ns_t_cname, DNS_NOT_FOUND, "", 30},
    {"no packet", NULL, 0, ns_t_cname, DNS_TROUBLE, "", 0},
};

START_TEST(an_answer_is_read_as_it_is_meant)
{
    struct dns_answer answer;
    char hosts[200] = "";
    enum dns_result result =
        dns_message_parse(answers[_i].packet, answers[_i].length, "A.example.", answers[_i].type, &answer);

    for (size_t i = 0; i < answer.count; i++)
        snprintf(hosts + strlen(hosts), sizeof hosts - strlen(hosts), "%u %s ", answer.records[i].preference,
                 answer.records[i].host);
    ck_assert_msg(result == answers[_i].result, "%s: %d %s", answers[_i].what, result, answer.reason);
    ck_assert_msg(strcmp(hosts, answers[_i].hosts) == 0, "%s: %s", answers[_i].what, hosts);
    ck_assert_msg(answer.ttl == answers[_i].ttl, "%s: ttl %u", answers[_i].what, answer.ttl);
    ck_assert((answer.reason[0] == '\0') == (result == DNS_OK));
    dns_mx_free(answer.records, answer.count);
}
END_TEST

START_TEST(an_answer_cut_anywhere_is_survived)
{
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        for (size_t length = 0; length < answers[i].length; length++) {
            struct dns_answer answer;
            unsigned char *exact = malloc(length + 1); /* so that ASan and valgrind see the end */
            memcpy(exact, answers[i].packet, length);
            unsigned char *fitted = realloc(exact, length ? length : 1);
            ck_assert_int_ne(dns_message_parse(fitted, length, "a.example", answers[i].type, &answer),
                             DNS_OK);
            dns_mx_free(answer.records, answer.count);
            free(fitted);
        }
}
END_TEST

UNIT_SUITE(dns_suite)
{
    Suite *suite = suite_create("dns");
    TCase *tcase = tcase_create("dns");

    tcase_add_loop_test(tcase, an_address_literal_needs_no_server, 0, sizeof literals / sizeof literals[0]);
    tcase_add_test(tcase, localhost_is_known_without_dns);
    tcase_add_test(tcase, a_server_that_is_not_there_is_trouble);
    tcase_add_test(tcase, a_malformed_server_setting_is_trouble_and_named);
    tcase_add_test(tcase, a_name_that_cannot_exist_is_not_found);
    tcase_add_loop_test(tcase, an_answer_is_read_as_it_is_meant, 0, sizeof answers / sizeof answers[0]);
    tcase_add_test(tcase, an_answer_cut_anywhere_is_survived);
    suite_add_tcase(suite, tcase);
    return suite;
}
