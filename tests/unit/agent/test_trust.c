#include "agent/trust.h"

#include <stdlib.h>
#include <string.h>

#include "suites.h"

static struct config config;
static struct mta mta;
static const struct trust trust = {.config = &config, .mta = &mta};

static void begin(void)
{
    memset(&config, 0, sizeof config);
    config.uuid_keys = (struct uuid_keys){.keys = {"a key"}, .count = 1};
    mta = (struct mta){.known = true};
    networks_read(&mta.networks, &mta.tables,
                  "127.0.0.0/8, !192.0.2.66 192.0.2.0/24 [::1]/128 [2001:db8::]/32");
}

static void end(void)
{
    networks_clear(&config.trusted_senders);
    networks_clear(&mta.networks);
    free(mta.tables);
}

static struct log_slice slice(const char *text)
{
    return (struct log_slice){text, strlen(text)};
}

static enum trust_origin origin(const char *client, bool sasl)
{
    return trust_client(&trust, slice(client), sasl);
}

START_TEST(clients_of_mynetworks_are_senders)
{
    ck_assert_int_eq(origin("app[192.0.2.7]", false), TRUST_SENDER);
    ck_assert_int_eq(origin("app[192.0.2.7]:4711", false), TRUST_SENDER);
    ck_assert_int_eq(origin("app[192.0.2.66]", false), TRUST_STRANGER);
    ck_assert_int_eq(origin("unknown[2001:db8::7]", false), TRUST_SENDER);
    ck_assert_int_eq(origin("unknown[IPv6:2001:db8::7]", false), TRUST_SENDER);
    ck_assert_int_eq(origin("mx.example.net[203.0.113.9]", false), TRUST_STRANGER);
    ck_assert_int_eq(origin("mx.example.net[203.0.113.9]", true), TRUST_SENDER);
    ck_assert_int_eq(origin("192.0.2.7[203.0.113.9]", false), TRUST_STRANGER);
    ck_assert_int_eq(origin("unknown[unknown]", false), TRUST_STRANGER);
    ck_assert_int_eq(origin("local", false), TRUST_UNKNOWN);
    ck_assert_int_eq(origin("", false), TRUST_UNKNOWN);
}
END_TEST

START_TEST(trusted_senders_take_the_place_of_mynetworks)
{
    char *tables = NULL;

    networks_read(&config.trusted_senders, &tables, "198.51.100.0/24");
    ck_assert_int_eq(origin("app[198.51.100.1]", false), TRUST_SENDER);
    ck_assert_int_eq(origin("app[192.0.2.7]", false), TRUST_STRANGER);
    ck_assert_int_eq(origin("localhost[127.0.0.1]", false), TRUST_STRANGER);
    free(tables);
}
END_TEST

START_TEST(without_a_postfix_to_ask_this_machine_alone_is_known)
{
    end();
    mta = (struct mta){.known = false};
    networks_read(&mta.networks, &mta.tables, "127.0.0.0/8 [::1]/128");
    ck_assert_int_eq(origin("localhost[127.0.0.1]", false), TRUST_SENDER);
    ck_assert_int_eq(origin("app[192.0.2.7]", false), TRUST_UNKNOWN);
}
END_TEST

START_TEST(tables_in_mynetworks_are_named)
{
    networks_clear(&mta.networks);
    networks_read(&mta.networks, &mta.tables,
                  " hash:/etc/postfix/a,192.0.2.0/24\t/etc/postfix/b 192.0.2.1/24");
    ck_assert_uint_eq(mta.networks.count, 1);
    ck_assert_str_eq(mta.tables, "hash:/etc/postfix/a /etc/postfix/b 192.0.2.1/24");
}
END_TEST

#define LEAVES "smtp", "to=<a@b.example>, relay=mx[203.0.113.1]:25, delay=1, dsn=2.0.0, status=sent (250 ok)"
#define LOCAL "local", "to=<a@b.example>, relay=local, delay=1, dsn=2.0.0, status=sent (delivered to mailbox)"
#define LMTP "lmtp", "to=<a@b.example>, relay=x[/run/lmtp], delay=1, dsn=2.0.0, status=sent (250 ok)"
#define VIRTUAL \
    "virtual", "to=<a@b.example>, relay=virtual, delay=1, dsn=5.1.1, status=bounced (unknown user)"
#define ERROR "error", "to=<a@b.example>, relay=none, delay=1, dsn=5.0.0, status=bounced (b.example)"
#define SUSPENDED                                                                                       \
    "error", "to=<a@b.example>, relay=none, delay=1, dsn=4.4.1, status=deferred (delivery temporarily " \
             "suspended: connect)"
#define ALIASED                                                                                       \
    "smtp", "to=<c@d.example>, orig_to=<A@B.example>, relay=mx[203.0.113.1]:25, delay=1, dsn=2.0.0, " \
            "status=sent (250 ok)"

static const struct {
    enum trust_origin origin;
    bool proven;
    const char *program, *message;
    bool counts;
} lines[] = {
    {TRUST_SENDER, false, LEAVES, true},     {TRUST_SENDER, false, LOCAL, true},
    {TRUST_SENDER, false, ERROR, true},      {TRUST_UNKNOWN, false, LEAVES, true},
    {TRUST_UNKNOWN, false, SUSPENDED, true}, {TRUST_UNKNOWN, false, LOCAL, false},
    {TRUST_UNKNOWN, false, LMTP, false},     {TRUST_UNKNOWN, false, VIRTUAL, false},
    {TRUST_UNKNOWN, false, ERROR, false},    {TRUST_UNKNOWN, true, LOCAL, true},
    {TRUST_STRANGER, false, LEAVES, false},  {TRUST_STRANGER, false, SUSPENDED, false},
    {TRUST_STRANGER, false, LOCAL, false},   {TRUST_STRANGER, true, LEAVES, true},
    {TRUST_STRANGER, true, ALIASED, true},   {TRUST_STRANGER, true, LOCAL, false},
    {TRUST_STRANGER, true, LMTP, false},     {TRUST_STRANGER, true, VIRTUAL, false},
};

START_TEST(a_uuid_counts_from_a_sender_or_by_its_proof)
{
    char text[512] = "4AAAAA: ", tag[32] = "postfix/", uuid[UUID_SIZE];
    unsigned char bytes[16];
    struct postfix_log_line line;
    static const struct uuid_keys foreign = {.keys = {"another key"}, .count = 1};

    strncat(text, lines[_i].message, sizeof text - strlen(text) - 1);
    strncat(tag, lines[_i].program, sizeof tag - strlen(tag) - 1);
    postfix_log_parse_message(tag, strlen(tag), text, strlen(text), &line);
    ck_assert_int_eq(line.kind, POSTFIX_LOG_DELIVERY);
    uuid_proof_derive(uuid, lines[_i].proven ? &config.uuid_keys : &foreign, 0, (const char *[]){"Q"}, 1,
                      "a@b.example");
    uuid_bytes(bytes, uuid);
    ck_assert_int_eq(trust_uuid(&trust, lines[_i].origin, bytes, &line), lines[_i].counts);
}
END_TEST

UNIT_SUITE(trust_suite)
{
    Suite *suite = suite_create("trust");
    TCase *tcase = tcase_create("trust");

    tcase_add_checked_fixture(tcase, begin, end);
    tcase_add_test(tcase, clients_of_mynetworks_are_senders);
    tcase_add_test(tcase, trusted_senders_take_the_place_of_mynetworks);
    tcase_add_test(tcase, without_a_postfix_to_ask_this_machine_alone_is_known);
    tcase_add_test(tcase, tables_in_mynetworks_are_named);
    tcase_add_loop_test(tcase, a_uuid_counts_from_a_sender_or_by_its_proof, 0,
                        sizeof lines / sizeof lines[0]);
    suite_add_tcase(suite, tcase);
    return suite;
}
