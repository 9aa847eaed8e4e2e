#include "policy/suppression.h"

#include <string.h>

#include "suites.h"
#include "temporary_store.h"

#define SINCE 1800000000000ll

static void suppress(const char *text, enum suppression_reason reason)
{
    struct suppression entry = {.reason = reason, .since_ms = SINCE};
    const char *why;

    ck_assert_msg(suppression_normalise(text, 0, entry.address, &why), "%s: %s", text, why);
    ck_assert_msg(suppression_add(store, &entry, &error), "%s", error.text);
}

/* The entry that stops the recipient, "" when none does. */
static const char *stopped_by(const char *recipient, bool sub_address)
{
    static struct suppression found;

    ck_assert_int_ge(
        suppression_find(store, recipient, sub_address ? SUPPRESSION_SUB_ADDRESS : 0, &found, &error), 0);
    return found.address;
}

static const struct {
    const char *text, *address; /* NULL: refused */
} forms[] = {
    {"user@example.com", "user@example.com"},
    {"User@EXAMPLE.com", "User@example.com"},
    {"user@example.com.", "user@example.com"},
    {"example.com", "@example.com"},
    {"@Example.Com.", "@example.com"},
    {"\"a b\"@example.com", "\"a b\"@example.com"},
    {"user@M\xc3\x9cNCHEN.de", "user@m\xc3\xbcnchen.de"},
    {"user@mu\xcc\x88nchen.de", "user@m\xc3\xbcnchen.de"}, /* composed */
    {"M\xc3\x9cNCHEN.de.", "@m\xc3\xbcnchen.de"},
    {"user@XN--MNCHEN-3YA.de", "user@xn--mnchen-3ya.de"},
    {"user@-\xc3\xbc.de", "user@-\xc3\xbc.de"},                       /* no domain, and kept as it is */
    {"user@\xc3\xbc\xe2\x80\x82.de", "user@\xc3\xbc\xe2\x80\x82.de"}, /* UTS 46 makes a space of it */
    {"user@\xef\xbc\xa5.de", "user@e.de"},                            /* a wide letter */
    {"user", NULL},
    {"user.", NULL},
    {"@", NULL},
    {"", NULL},
    {"user@", NULL},
    {"a b@example.com", NULL},
    {"user@exam ple.com", NULL},
    {"user@example.com\n", NULL},
};

START_TEST(an_entry_has_one_normal_form)
{
    char address[ADDRESS_SIZE];
    const char *why = NULL;
    bool valid = suppression_normalise(forms[_i].text, SUPPRESSION_CASE_SENSITIVE, address, &why);

    ck_assert_msg(valid == (forms[_i].address != NULL), "%s", forms[_i].text);
    if (valid)
        ck_assert_str_eq(address, forms[_i].address);
    else
        ck_assert_ptr_nonnull(why);
}
END_TEST

START_TEST(an_address_is_found_whatever_its_case)
{
    suppress("User@Example.com", SUPPRESSION_UNSUBSCRIBE);
    ck_assert_str_eq(stopped_by("User@EXAMPLE.COM", false), "user@example.com");
    ck_assert_str_eq(stopped_by("User@example.com.", false), "user@example.com");
    ck_assert_str_eq(stopped_by("user@example.com", false), "user@example.com");
    ck_assert_str_eq(stopped_by("USER+Tag@example.com", true), "user@example.com");
    ck_assert_str_eq(stopped_by("User@example.org", false), "");
    ck_assert_str_eq(stopped_by("User", false), "");
}
END_TEST

/* "münchen.de", in each way to write it. */
static const char *const munich[] = {"m\xc3\xbcnchen.de", "M\xc3\x9cNCHEN.de", "mu\xcc\x88nchen.de",
                                     "xn--mnchen-3ya.de", "XN--Mnchen-3ya.DE."};
#define WAYS (sizeof munich / sizeof munich[0])

START_TEST(an_internationalised_domain_is_found_however_it_is_written)
{
    char listed[100], asked[100];

    snprintf(listed, sizeof listed, "user@%s", munich[_i]);
    suppress(listed, SUPPRESSION_MANUAL);
    for (size_t i = 0; i < WAYS; i++) {
        snprintf(asked, sizeof asked, "User+tag@%s", munich[i]);
        ck_assert_msg(*stopped_by(asked, true) != '\0', "%s by %s", asked, listed);
        ck_assert_msg(*stopped_by(asked, false) == '\0', "%s by %s", asked, listed);
    }
    suppress(munich[_i], SUPPRESSION_MANUAL);
    for (size_t i = 0; i < WAYS; i++) {
        snprintf(asked, sizeof asked, "other@%s", munich[i]);
        ck_assert_msg(*stopped_by(asked, false) == '@', "%s by %s", asked, munich[_i]);
    }
    ck_assert_str_eq(stopped_by("user@munchen.de", false), "");
    ck_assert_str_eq(stopped_by("user@xn--mnchen-3y.de", false), ""); /* malformed */
}
END_TEST

START_TEST(case_matters_where_it_is_asked_for)
{
    struct suppression entry = {.reason = SUPPRESSION_MANUAL, .since_ms = SINCE}, found;
    const char *why;

    ck_assert(suppression_normalise("Bob@Example.com", SUPPRESSION_CASE_SENSITIVE, entry.address, &why));
    ck_assert_str_eq(entry.address, "Bob@example.com");
    ck_assert(suppression_add(store, &entry, &error));
    ck_assert_int_eq(suppression_find(store, "Bob@EXAMPLE.com", SUPPRESSION_CASE_SENSITIVE, &found, &error),
                     1);
    ck_assert_int_eq(suppression_find(store, "bob@example.com", SUPPRESSION_CASE_SENSITIVE, &found, &error),
                     0);
    ck_assert_int_eq(suppression_remove(store, "bob@example.com", SUPPRESSION_CASE_SENSITIVE, &error), 0);
    /* what was written then is found when it does not matter any more */
    ck_assert_int_eq(suppression_find(store, "bob@example.com", 0, &found, &error), 1);
    ck_assert_int_eq(suppression_remove(store, "bob@example.com", 0, &error), 1);
}
END_TEST

START_TEST(a_domain_stops_its_addresses_and_no_subdomain)
{
    suppress("example.com", SUPPRESSION_MANUAL);
    ck_assert_str_eq(stopped_by("anyone@Example.com", false), "@example.com");
    ck_assert_str_eq(stopped_by("a@b@example.com", false), "@example.com");
    ck_assert_str_eq(stopped_by("anyone@sub.example.com", false), "");
    ck_assert_str_eq(stopped_by("anyone@notexample.com", false), "");
}
END_TEST

START_TEST(sub_addresses_are_followed_only_when_asked)
{
    suppress("user@example.com", SUPPRESSION_MANUAL);
    ck_assert_str_eq(stopped_by("user+tag@example.com", false), "");
    ck_assert_str_eq(stopped_by("user+tag@example.com", true), "user@example.com");
    ck_assert_str_eq(stopped_by("user+a+b@example.com", true), "user@example.com");
    ck_assert_str_eq(stopped_by("other+user@example.com", true), "");
    ck_assert_str_eq(stopped_by("+user@example.com", true), "");
    suppress("user+one@example.org", SUPPRESSION_MANUAL);
    ck_assert_str_eq(stopped_by("user@example.org", true), "");
    ck_assert_str_eq(stopped_by("user+two@example.org", true), "");
    ck_assert_str_eq(stopped_by("user+one@example.org", true), "user+one@example.org");
}
END_TEST

START_TEST(the_most_specific_entry_speaks)
{
    suppress("example.com", SUPPRESSION_MANUAL);
    suppress("user@example.com", SUPPRESSION_SPAM_COMPLAINT);
    ck_assert_str_eq(stopped_by("user@example.com", false), "user@example.com");
}
END_TEST

START_TEST(an_entry_is_replaced_and_removed)
{
    struct suppression found;

    suppress("user@example.com", SUPPRESSION_MANUAL);
    suppress("user@example.com", SUPPRESSION_HARD_BOUNCE);
    ck_assert_int_eq(suppression_find(store, "user@example.com", 0, &found, &error), 1);
    ck_assert_int_eq(found.reason, SUPPRESSION_HARD_BOUNCE);
    ck_assert_int_eq(suppression_remove(store, "user@example.com", 0, &error), 1);
    ck_assert_int_eq(suppression_remove(store, "user@example.com", 0, &error), 0);
    ck_assert_str_eq(stopped_by("user@example.com", false), "");
}
END_TEST

START_TEST(a_hard_bounce_adds_when_asked_to_and_changes_nothing_that_is_there)
{
    struct config config = {0};
    struct suppression found;

    ck_assert_int_eq(suppression_after_hard_bounce(store, &config, "gone@example.com", SINCE, &error), 0);
    ck_assert_str_eq(stopped_by("gone@example.com", false), "");
    config.suppression.on_hard_bounce = true;
    ck_assert_int_eq(suppression_after_hard_bounce(store, &config, "gone@Example.com", SINCE, &error), 1);
    ck_assert_int_eq(suppression_find(store, "gone@example.com", 0, &found, &error), 1);
    ck_assert_int_eq(found.reason, SUPPRESSION_HARD_BOUNCE);
    suppress("left@example.com", SUPPRESSION_UNSUBSCRIBE);
    ck_assert_int_eq(suppression_after_hard_bounce(store, &config, "left@example.com", SINCE + 1, &error), 0);
    ck_assert_int_eq(suppression_find(store, "left@example.com", 0, &found, &error), 1);
    ck_assert_int_eq(found.reason, SUPPRESSION_UNSUBSCRIBE);
    ck_assert_int_eq(found.since_ms, SINCE);
    ck_assert_int_eq(suppression_after_hard_bounce(store, &config, "no address", SINCE, &error), 0);
}
END_TEST

START_TEST(a_suppressed_recipient_is_dropped_with_reason_and_date)
{
    struct config config = {.suppression = {.enabled = true}};
    struct outcome outcome;

    suppress("user@example.com", SUPPRESSION_SPAM_COMPLAINT);
    ck_assert(suppression_pass(store, &config, "other@example.com", &outcome));
    ck_assert(!suppression_pass(store, &config, "user@example.com", &outcome));
    ck_assert_int_eq(outcome.class, OUTCOME_DROPPED);
    ck_assert_int_eq(outcome.cause, CAUSE_POLICY);
    ck_assert_str_eq(outcome.enhanced, "5.7.1");
    ck_assert_str_eq(outcome.text, "recipient is suppressed (spam complaint since 2027-01-15)");
    suppress("example.org", SUPPRESSION_MANUAL);
    ck_assert(!suppression_pass(store, &config, "user@example.org", &outcome));
    ck_assert_str_eq(outcome.text,
                     "recipient is suppressed (manual since 2027-01-15, the whole domain example.org)");
    config.suppression.enabled = false;
    ck_assert(suppression_pass(store, &config, "user@example.com", &outcome));
}
END_TEST

START_TEST(a_list_that_cannot_be_read_defers)
{
    struct config config = {.suppression = {.enabled = true}};
    struct outcome outcome;

    ck_assert_int_eq(sqlite3_exec(store_handle(store), "DROP TABLE suppression", NULL, NULL, NULL),
                     SQLITE_OK);
    ck_assert(!suppression_pass(store, &config, "user@example.com", &outcome));
    ck_assert_int_eq(outcome.class, OUTCOME_DEFERRED);
    ck_assert_int_eq(outcome.cause, CAUSE_OURS);
}
END_TEST

START_TEST(a_reason_is_read_as_people_write_it)
{
    enum suppression_reason reason;

    ck_assert(suppression_reason_by_name("Hard_Bounce", &reason) && reason == SUPPRESSION_HARD_BOUNCE);
    ck_assert(suppression_reason_by_name("spam-complaint", &reason) && reason == SUPPRESSION_SPAM_COMPLAINT);
    ck_assert(!suppression_reason_by_name("spam", &reason));
    ck_assert(!suppression_reason_by_name("manually", &reason));
    ck_assert(!suppression_reason_by_name("", &reason));
}
END_TEST

UNIT_SUITE(suppression_suite)
{
    Suite *suite = suite_create("suppression");
    TCase *tcase = tcase_create("suppression");

    tcase_add_checked_fixture(tcase, temporary_store_open, temporary_store_close);
    tcase_add_loop_test(tcase, an_entry_has_one_normal_form, 0, sizeof forms / sizeof forms[0]);
    tcase_add_test(tcase, an_address_is_found_whatever_its_case);
    tcase_add_loop_test(tcase, an_internationalised_domain_is_found_however_it_is_written, 0, WAYS);
    tcase_add_test(tcase, case_matters_where_it_is_asked_for);
    tcase_add_test(tcase, a_domain_stops_its_addresses_and_no_subdomain);
    tcase_add_test(tcase, sub_addresses_are_followed_only_when_asked);
    tcase_add_test(tcase, the_most_specific_entry_speaks);
    tcase_add_test(tcase, an_entry_is_replaced_and_removed);
    tcase_add_test(tcase, a_hard_bounce_adds_when_asked_to_and_changes_nothing_that_is_there);
    tcase_add_test(tcase, a_suppressed_recipient_is_dropped_with_reason_and_date);
    tcase_add_test(tcase, a_list_that_cannot_be_read_defers);
    tcase_add_test(tcase, a_reason_is_read_as_people_write_it);
    suite_add_tcase(suite, tcase);
    return suite;
}
