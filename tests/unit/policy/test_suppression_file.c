#include "policy/suppression_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "suites.h"

#define DEFAULT_SINCE 1800000000000ll /* 2027-01-15T08:00:00Z */

/* What the lines of a text become, one word an entry: "address reason date;", "-;" for nothing, "!;" for an
 * error. */
static void read_text(const char *text, char result_r[2000])
{
    struct suppression_file file = {.reason = SUPPRESSION_MANUAL, .since_ms = DEFAULT_SINCE};
    const char *line_end;

    result_r[0] = '\0';
    for (; *text != '\0'; text = line_end) {
        struct suppression entry;
        const char *why = NULL;
        char since[CLOCK_RFC3339_SIZE], *to = result_r + strlen(result_r);
        line_end = strchr(text, '\n') != NULL ? strchr(text, '\n') + 1 : text + strlen(text);
        AUTO_FREE char *line = xstrndup(text, (size_t)(line_end - text));
        switch (suppression_file_read(&file, line, &entry, &why)) {
        case SUPPRESSION_ENTRY:
            snprintf(to, 2000 - strlen(result_r), "%s %s %s;", entry.address,
                     suppression_reason_name(entry.reason), clock_rfc3339(entry.since_ms, since));
            break;
        case SUPPRESSION_NOTHING:
            strncat(result_r, "-;", 2000 - strlen(result_r) - 1);
            break;
        default:
            ck_assert_ptr_nonnull(why);
            strncat(result_r, "!;", 2000 - strlen(result_r) - 1);
        }
    }
}

#define DEFAULT "manual 2027-01-15T08:00:00.000Z;"

static const struct {
    const char *text, *result;
} cases[] = {
    {"a@example.com\nExample.NET\n\n# note\n  b@example.com  ",
     "a@example.com " DEFAULT "@example.net " DEFAULT "-;-;b@example.com " DEFAULT},
    {"\xef\xbb\xbf"
     "a@example.com\r\nb@example.com\r\n",
     "a@example.com " DEFAULT "b@example.com " DEFAULT},
    {"a@example.com,unsubscribe,2026-11-23\n", "a@example.com unsubscribe 2026-11-23T00:00:00.000Z;"},
    {"a@example.com,,\n", "a@example.com " DEFAULT},
    {"address,reason,date\na@example.com,spam complaint,2026-11-23T05:01:32.123Z\n",
     "-;a@example.com spam complaint 2026-11-23T05:01:32.123Z;"},
    {"Date;Name;E-Mail\n2026-11-23 05:01:32;\"Doe; John\";a@example.com\n",
     "-;a@example.com manual 2026-11-23T05:01:32.000Z;"},
    {"email\ttype\na@example.com\thard_bounce\n", "-;a@example.com hard bounce 2027-01-15T08:00:00.000Z;"},
    {"\"a@example.com\",\"unsubscribe\"\n", "a@example.com unsubscribe 2027-01-15T08:00:00.000Z;"},
    {"\"\"\"a,b\"\"@example.com\",unsubscribe\n",
     "\"a,b\"@example.com unsubscribe 2027-01-15T08:00:00.000Z;"},
    {"\"a b\"@example.com\n", "\"a b\"@example.com " DEFAULT},
    {"a@example.com,manual,2026-11-23T05:01:32+01:00\n", "a@example.com manual 2026-11-23T04:01:32.000Z;"},
    {"a@example.com,manual,2026-11-23T05:01:32.5-0130\n", "a@example.com manual 2026-11-23T06:31:32.500Z;"},
    {"a@example.com,manual,1763874092\n", "a@example.com manual 2025-11-23T05:01:32.000Z;"},
    {"a@example.com\r\r\n", "a@example.com " DEFAULT},
    /* errors */
    {"a@example.com\rb@example.com\r", "!;"},
    {"# note\rb@example.com", "!;"},
    {"email\ra@example.com\rb@example.com", "!;"},
    {"a@example.com\nb@example.com\rc@example.com\nd@example.com",
     "a@example.com " DEFAULT "!;d@example.com " DEFAULT},
    {"no address\n", "!;"},
    {"a@\n", "!;"},
    {"a@example.com,because\n", "!;"},
    {"a@example.com,manual,yesterday\n", "!;"},
    {"a@example.com,manual,0005-11-23\n", "!;"},
    {"a@example.com,manual,12026-11-23\n", "!;"},
    {"a@example.com,manual,1969-12-31T23:59:59Z\n", "!;"},
    {"a@example.com,manual,2026-11-23T25:00:00Z\n", "!;"},
    {"a@example.com,manual,2026-11-23T05:01:32Q\n", "!;"},
    {"a@example.com,manual,2026-11-23T05:01:32+1\n", "a@example.com manual 2026-11-23T04:01:32.000Z;"},
    {"a@example.com,manual,2026-11-23T05:01:32+01:xx\n", "!;"},
    {"a@example.com,manual,2026-11-23T05:01:32+01:30Z\n", "!;"},
    {"a@example.com,manual,2026-11-23!\n", "!;"},
    {"name,email\nJohn\n,\n", "-;!;-;"},
    {"\"a@example.com\n", "a@example.com " DEFAULT},
};

START_TEST(a_list_is_read_as_people_write_it)
{
    char result[2000];

    read_text(cases[_i].text, result);
    ck_assert_msg(strcmp(result, cases[_i].result) == 0, "%s: %s", cases[_i].text, result);
}
END_TEST

START_TEST(what_is_written_reads_back)
{
    static const char *const addresses[] = {"a@example.com", "@example.com", "\"a,b\"@example.com",
                                            "\"a\\\"b\"@example.com", "#a@example.com"};

    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        struct suppression_file file = {.reason = SUPPRESSION_MANUAL};
        struct suppression entry = {.reason = SUPPRESSION_HARD_BOUNCE, .since_ms = 1763874092123ll}, again;
        char header[] = SUPPRESSION_FILE_HEADER;
        const char *why = "";
        snprintf(entry.address, sizeof entry.address, "%s", addresses[i]);
        AUTO_FREE char *line = suppression_file_line(&entry);
        ck_assert_int_eq(suppression_file_read(&file, header, &again, &why), SUPPRESSION_NOTHING);
        ck_assert_msg(suppression_file_read(&file, line, &again, &why) == SUPPRESSION_ENTRY, "%s: %s",
                      addresses[i], why);
        ck_assert_str_eq(again.address, entry.address);
        ck_assert_int_eq(again.reason, entry.reason);
        ck_assert_int_eq(again.since_ms, entry.since_ms);
    }
}
END_TEST

UNIT_SUITE(suppression_file_suite)
{
    Suite *suite = suite_create("suppression_file");
    TCase *tcase = tcase_create("suppression_file");

    tcase_add_loop_test(tcase, a_list_is_read_as_people_write_it, 0, sizeof cases / sizeof cases[0]);
    tcase_add_test(tcase, what_is_written_reads_back);
    suite_add_tcase(suite, tcase);
    return suite;
}
