#include "base/mail_date.h"

#include "suites.h"

static const struct {
    const char *field;
    int64_t expected_ms;
} dates[] = {
    {"from a (b [192.0.2.1]) by c (Postfix) with ESMTP id 4bX for <d@e>; Thu, 26 Nov 2026 06:29:02 +0000 "
     "(UTC)",
     1795674542000},
    {"by c; Thu, 26 Nov 2026 07:29:02 +0100 (CET)", 1795674542000},
    {"by c;\t26 Nov 2026 01:29:02 -0500", 1795674542000},
    {"by c (a; b); Thu,  6 Nov 2026 06:29:02 +0000", 1793946542000},
    {"by c", 0},
    {"by c;", 0},
    {"by c; yesterday", 0},
    {"by c; Thu, 26 Nov 2026 06:29:02", 0},
    {"by c; Thu, 26 Nov 1926 06:29:02 +0000", 0},
    {"by c; Thu, 26 Nov 2026 06:29:02 +0000 and a comment that is longer than any date that was ever written",
     1795674542000},
    {"by c; Thu, 29 Feb 2024 23:59:60 +0000", 1709251200000},
    {"by c; Fri, 1 Mar 2024 00:00:00 +0000", 1709251200000},
    {"by c; Sun, 1 Mar 2099 00:00:00 -0000", 4076006400000},
    {"by c; 1 Jan 1970 00:00:01 GMT", 1000},
    {"by c; 1 Jan 2000 0:00:00 +0530", 946665000000},
    {"by c; 32 Nov 2026 06:29:02 +0000", 0},
    {"by c; 26 Nov 2026 24:29:02 +0000", 0},
    {"by c; 26 Nov 2026 06:29:02 +00", 0},
    {"by c; 26 Nov 2026 06", 0},
    {"by c; 26 Nov", 0},
    {"by c; 26 Xyz 2026 06:29:02 +0000", 0},
};

START_TEST(dates_are_read_or_not)
{
    ck_assert_int_eq(mail_date_received(dates[_i].field), dates[_i].expected_ms);
}
END_TEST

UNIT_SUITE(mail_date_suite)
{
    Suite *suite = suite_create("mail_date");
    TCase *all = tcase_create("all");

    tcase_add_loop_test(all, dates_are_read_or_not, 0, sizeof dates / sizeof *dates);
    suite_add_tcase(suite, all);
    return suite;
}
