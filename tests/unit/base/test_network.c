#include "base/network.h"

#include <string.h>

#include "suites.h"

static const struct {
    const char *network, *address;
    bool holds;
} pairs[] = {
    {"192.0.2.0/24", "192.0.2.7", true},
    {"192.0.2.0/24", "192.0.3.7", false},
    {"192.0.2.0/24", "::ffff:192.0.2.7", true},
    {"192.0.2.7", "192.0.2.7", true},
    {"192.0.2.7", "192.0.2.8", false},
    {"10.0.0.0/7", "11.255.0.1", true},
    {"10.0.0.0/7", "12.0.0.1", false},
    {"0.0.0.0/0", "203.0.113.9", true},
    {"0.0.0.0/0", "2001:db8::1", false},
    {"2001:db8::/33", "2001:db8:7fff::1", true},
    {"2001:db8::/33", "2001:db8:8000::1", false},
    {"[2001:db8::]/32", "IPv6:2001:DB8::9", true},
    {"[::1]/128", "::1", true},
    {"::/0", "192.0.2.1", true},
    {"127.0.0.0/8", "127.0.0.1", true},
    {"127.0.0.0/8", "unknown", false},
    {"127.0.0.0/8", "", false},
};

START_TEST(an_address_lies_in_its_network)
{
    struct networks networks = {0};
    struct network network;

    ck_assert(network_parse(&network, pairs[_i].network, strlen(pairs[_i].network)));
    networks_add(&networks, &network);
    ck_assert_msg(networks_hold(&networks, pairs[_i].address, strlen(pairs[_i].address)) == pairs[_i].holds,
                  "%s %s", pairs[_i].network, pairs[_i].address);
    networks_clear(&networks);
}
END_TEST

START_TEST(what_is_no_network_is_refused)
{
    static const char *const texts[] = {
        "",           "/",           "192.0.2.0/",     "192.0.2.0/33",  "192.0.2.1/24",
        "192.0.2/24", "::/129",      "2001:db8::1/32", "[192.0.2.0/24", "hash:/etc/x",
        "/etc/x",     "192.0.2.0/x", "localhost",      "192.0.2.0/0024"};
    struct network network;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ck_assert_msg(!network_parse(&network, texts[i], strlen(texts[i])), "%s", texts[i]);
}
END_TEST

UNIT_SUITE(network_suite)
{
    Suite *suite = suite_create("network");
    TCase *tcase = tcase_create("network");

    tcase_add_loop_test(tcase, an_address_lies_in_its_network, 0, sizeof pairs / sizeof pairs[0]);
    tcase_add_test(tcase, what_is_no_network_is_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}
