#include "policy/provider.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "policy/provider_rules.h"
#include "suites.h"

static const char *const nowhere[] = {"127.0.0.1:9"}; /* discard: nothing answers there */

static struct provider find(const char *config_path, enum config_provider_lookup lookup,
                            const char *recipient)
{
    struct dns_resolver *resolver = dns_open(nowhere, 1, 100);
    struct config config = {.path = (char *)config_path, .provider_lookup = lookup};
    struct provider provider;

    provider_find(&config, NULL, resolver, recipient, clock_monotonic_ms() + 100, &provider);
    dns_close(resolver);
    return provider;
}

static const struct {
    const char *recipient;
    enum provider_category category;
} recipients[] = {
    {"user@gmail.com", PROVIDER_GMAIL},
    {"user@GoogleMail.Com", PROVIDER_GMAIL},
    {"user@gmail.com.", PROVIDER_GMAIL},
    {"user@yahoo.co.uk", PROVIDER_YAHOO},
    {"user@ymail.com", PROVIDER_YAHOO},
    {"user@aol.com", PROVIDER_AOL},
    {"user@hotmail.fr", PROVIDER_MICROSOFT},
    {"user@outlook.com", PROVIDER_MICROSOFT},
    {"user@comcast.net", PROVIDER_COMCAST},
    {"user@yandex.ru", PROVIDER_YANDEX},
    {"user@gmx.de", PROVIDER_GMX},
    {"user@bk.ru", PROVIDER_MAILRU},
    {"user@me.com", PROVIDER_ICLOUD},
    {"user@zohomail.eu", PROVIDER_ZOHO},
    {"user@qq.com", PROVIDER_QQ},
    {"user@vip.qq.com", PROVIDER_QQ},
    {"user@a.b.qq.com", PROVIDER_QQ},
    {"user@sbcglobal.net", PROVIDER_ATT},
    {"user@notgmail.com", PROVIDER_DEFAULT},
    {"user@mail.gmail.com", PROVIDER_DEFAULT},
    {"user@com", PROVIDER_DEFAULT},
    {"user@.qq.com", PROVIDER_DEFAULT},
    {"user@[192.0.2.1]", PROVIDER_DEFAULT},
    {"user", PROVIDER_DEFAULT},
    {"a@b@gmail.com", PROVIDER_GMAIL},
};

START_TEST(a_recipient_domain_names_its_provider)
{
    struct provider provider = find("/nowhere/config.yaml", PROVIDER_LOOKUP_DOMAIN, recipients[_i].recipient);

    ck_assert_msg(provider.category == recipients[_i].category, "%s: %s", recipients[_i].recipient,
                  provider_category_name(provider.category));
    ck_assert((provider.how == PROVIDER_BY_NOTHING) == (provider.category == PROVIDER_DEFAULT));
}
END_TEST

START_TEST(without_an_answer_from_dns_the_category_is_default)
{
    struct provider provider = find("/nowhere/config.yaml", PROVIDER_LOOKUP_MX, "user@example.com");

    ck_assert_int_eq(provider.category, PROVIDER_DEFAULT);
    ck_assert_int_eq(provider.how, PROVIDER_BY_NOTHING);
    ck_assert_ptr_nonnull(strstr(provider.note, "no answer"));
}
END_TEST

static const struct {
    enum provider_kind kind;
    const char *name;
    enum provider_category category; /* PROVIDER_COUNT: none */
    bool exact;
} hosts[] = {
    {PROVIDER_MX, "aspmx.l.google.com", PROVIDER_GOOGLEWORKSPACE, true},
    {PROVIDER_MX, "example-com.mail.protection.outlook.com", PROVIDER_OFFICE365, false},
    {PROVIDER_MX, "example-com.olc.protection.outlook.com", PROVIDER_COUNT, false},
    {PROVIDER_MX, "mx1.emailsrvr.com", PROVIDER_RACKSPACE, true},
    {PROVIDER_MX, "mx0a-001.pphosted.com", PROVIDER_PROOFPOINT, false},
    {PROVIDER_MX, "eu-smtp-inbound-1.mimecast.com", PROVIDER_MIMECAST, false},
    {PROVIDER_MX, "d1.ess.uk.barracudanetworks.com", PROVIDER_BARRACUDA, false},
    {PROVIDER_MX, "mx1.hc1-2.iphmx.com", PROVIDER_CISCOIRONPORT, false},
    {PROVIDER_MX, "mx.zoho.eu", PROVIDER_ZOHOBUSINESS, false},
    {PROVIDER_MX, "inbound-smtp.eu-west-1.amazonaws.com", PROVIDER_AMAZONWORKMAIL, true},
    {PROVIDER_MX, "cluster1.eu.messagelabs.com", PROVIDER_SYMANTEC, false},
    {PROVIDER_MX, "x.fortimailcloud.com", PROVIDER_FORTINET, false},
    {PROVIDER_MX, "mx-01-eu-west-1.prod.hydra.sophos.com", PROVIDER_SOPHOS, false},
    {PROVIDER_MX, "x.in.tmes.trendmicro.eu", PROVIDER_TRENDMICRO, false},
    {PROVIDER_MX, "x.checkpointcloudsec.com", PROVIDER_CHECKPOINT, false},
    {PROVIDER_MX, "gmail.com", PROVIDER_COUNT, false},
    {PROVIDER_DOMAIN, "mimecast.com", PROVIDER_COUNT, false},
    {PROVIDER_DOMAIN, "a.mimecast.com", PROVIDER_COUNT, false},
};

START_TEST(an_mx_host_names_its_provider_by_name_or_wildcard)
{
    struct outcome error;
    struct provider_rules *rules = provider_rules_open(NULL, &error);
    const struct provider_rule *exact = provider_rules_exact(rules, hosts[_i].kind, hosts[_i].name);
    const struct provider_rule *rule =
        exact != NULL ? exact : provider_rules_wildcard(rules, hosts[_i].kind, hosts[_i].name);

    ck_assert_msg((exact != NULL) == hosts[_i].exact, "%s", hosts[_i].name);
    ck_assert_msg((rule != NULL ? rule->category : PROVIDER_COUNT) == hosts[_i].category, "%s",
                  hosts[_i].name);
    provider_rules_close(rules);
}
END_TEST

START_TEST(every_category_can_be_reached)
{
    bool reached[PROVIDER_COUNT] = {[PROVIDER_DEFAULT] = true};
    for (size_t i = 0; i < sizeof recipients / sizeof recipients[0]; i++)
        reached[recipients[i].category] = true;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
        if (hosts[i].category != PROVIDER_COUNT)
            reached[hosts[i].category] = true;
    for (int i = 0; i < PROVIDER_COUNT; i++)
        ck_assert_msg(reached[i], "%s", provider_category_name((enum provider_category)i));
}
END_TEST

/* --- the postmaster's file -------------------------------------------------------------------------- */

static char *path;
static char directory[64];

static void write_file(const char *text)
{
    FILE *file;

    snprintf(directory, sizeof directory, "/tmp/sendpost-provider.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    path = xasprintf("%s/providers", directory);
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void remove_file(void)
{
    unlink(path);
    rmdir(directory);
    free(path);
}

START_TEST(the_postmasters_file_adds_and_overrides)
{
    write_file(
        "# ours\n\n gmail  domain\tExample.COM other.example.  *.deep.example\r\ndefault domain gmail.com\n"
        "yahoo domain a.deep.example *.b.deep.example");
    char *config_path AUTO_FREE = xasprintf("%s/config.yaml", directory);

    ck_assert_int_eq(find(config_path, PROVIDER_LOOKUP_DOMAIN, "a@example.com").category, PROVIDER_GMAIL);
    ck_assert_int_eq(find(config_path, PROVIDER_LOOKUP_DOMAIN, "a@other.example").category, PROVIDER_GMAIL);
    ck_assert_int_eq(find(config_path, PROVIDER_LOOKUP_DOMAIN, "a@gmail.com").category, PROVIDER_DEFAULT);
    ck_assert_int_eq(find(config_path, PROVIDER_LOOKUP_DOMAIN, "a@googlemail.com").category, PROVIDER_GMAIL);
    ck_assert_int_eq(find(config_path, PROVIDER_LOOKUP_DOMAIN, "a@x.deep.example").category, PROVIDER_GMAIL);
    ck_assert_int_eq(find(config_path, PROVIDER_LOOKUP_DOMAIN, "a@deep.example").category, PROVIDER_DEFAULT);
    ck_assert_int_eq(find(config_path, PROVIDER_LOOKUP_DOMAIN, "a@a.deep.example").category, PROVIDER_YAHOO);
    ck_assert_int_eq(find(config_path, PROVIDER_LOOKUP_DOMAIN, "a@x.b.deep.example").category,
                     PROVIDER_YAHOO);
    remove_file();
}
END_TEST

static const struct {
    const char *text, *complaint;
} broken[] = {
    {"# fine\ngmale domain example.com\n", "providers:2: no such category"},
    {"averyveryverylongwordthatisnocategoryatall domain a.example\n", "no such category"},
    {"gmail host example.com\n", "\"domain\" or \"mx\""},
    {"gmail\n", "\"domain\" or \"mx\""},
    {"gmail domain\n", "no pattern"},
    {"gmail domain exam*ple.com\n", "a pattern is"},
    {"gmail domain *\n", "a pattern is"},
    {"gmail domain b\xc3\xbc.example\n", "in ASCII"},
};

START_TEST(a_broken_file_is_named_with_its_line_and_stops_no_mail)
{
    struct outcome error;

    write_file(broken[_i].text);
    char *config_path AUTO_FREE = xasprintf("%s/config.yaml", directory);
    ck_assert_ptr_null(provider_rules_open(path, &error));
    ck_assert_msg(strstr(error.text, broken[_i].complaint) != NULL, "%s", error.text);
    ck_assert_str_eq(error.enhanced, "4.3.5");
    ck_assert_int_eq(find(config_path, PROVIDER_LOOKUP_DOMAIN, "a@gmail.com").category, PROVIDER_GMAIL);
    remove_file();
}
END_TEST

UNIT_SUITE(provider_suite)
{
    Suite *suite = suite_create("provider");
    TCase *tcase = tcase_create("provider");

    tcase_add_loop_test(tcase, a_recipient_domain_names_its_provider, 0,
                        sizeof recipients / sizeof recipients[0]);
    tcase_add_test(tcase, without_an_answer_from_dns_the_category_is_default);
    tcase_add_loop_test(tcase, an_mx_host_names_its_provider_by_name_or_wildcard, 0,
                        sizeof hosts / sizeof hosts[0]);
    tcase_add_test(tcase, every_category_can_be_reached);
    tcase_add_test(tcase, the_postmasters_file_adds_and_overrides);
    tcase_add_loop_test(tcase, a_broken_file_is_named_with_its_line_and_stops_no_mail, 0,
                        sizeof broken / sizeof broken[0]);
    suite_add_tcase(suite, tcase);
    return suite;
}
