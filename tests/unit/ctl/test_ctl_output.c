#include "ctl/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "suites.h"

static const struct {
    const char *text, *shown;
} texts[] = {
    {"", ""},
    {"550 5.1.1 no such user", "550 5.1.1 no such user"},
    {"M\xc3\xbcller \xe2\x82\xac \xf0\x9f\x93\xa7", "M\xc3\xbcller \xe2\x82\xac \xf0\x9f\x93\xa7"},
    {"a\nb\tc\x7f", "a?b?c?"},
    {"\x1b[2Jcleared", "?[2Jcleared"},
    {"\xc2\x9b"
     "2J",
     "??2J"}, /* C1: the same in one character */
    {"caf\xe9", "caf?"},
    {"\xc3", "?"},
    {"\xe2\x82", "??"},
    {"\xc0\x80", "??"},
    {"\xed\xa0\x80", "???"},
    {"\xf4\x90\x80\x80", "????"},
};

START_TEST(what_a_terminal_would_obey_is_not_shown)
{
    AUTO_FREE char *shown = ctl_text(texts[_i].text);

    ck_assert_str_eq(shown, texts[_i].shown);
}
END_TEST

/* What print() writes to standard output; the caller frees. */
static char *printed(struct ctl_table *table)
{
    int file = memfd_create("printed", MFD_CLOEXEC), before = dup(STDOUT_FILENO);
    char *text = xcalloc(1, 4096);

    fflush(stdout);
    ck_assert_int_ge(dup2(file, STDOUT_FILENO), 0);
    ctl_table_print(table);
    fflush(stdout);
    ck_assert_int_ge(dup2(before, STDOUT_FILENO), 0);
    close(before);
    ck_assert_int_ge(pread(file, text, 4095, 0), 0);
    close(file);
    return text;
}

START_TEST(columns_are_as_wide_as_their_widest_cell_in_characters)
{
    struct ctl_table *table = ctl_table_new(3, (const char *const[]){"TPSP", ">FREE", "WORDS"});

    ctl_table_row(table, (const char *const[]){"m\xc3\xbcller", "7", "fine"});
    ctl_table_row(table, (const char *const[]){"a", "1000", NULL});
    ck_assert_uint_eq(ctl_table_rows(table), 2);
    AUTO_FREE char *text = printed(table);
    ck_assert_str_eq(text, "TPSP    FREE  WORDS\n"
                           "m\xc3\xbcller     7  fine\n"
                           "a       1000  \n");
}
END_TEST

START_TEST(a_cell_of_a_stranger_is_made_safe)
{
    struct ctl_table *table = ctl_table_new(1, (const char *const[]){"TEXT"});

    ctl_table_row(table, (const char *const[]){"two\nlines"});
    AUTO_FREE char *text = printed(table);
    ck_assert_str_eq(text, "TEXT\ntwo?lines\n");
}
END_TEST

UNIT_SUITE(ctl_output_suite)
{
    Suite *suite = suite_create("ctl_output");
    TCase *tcase = tcase_create("ctl_output");

    tcase_add_loop_test(tcase, what_a_terminal_would_obey_is_not_shown, 0, sizeof texts / sizeof *texts);
    tcase_add_test(tcase, columns_are_as_wide_as_their_widest_cell_in_characters);
    tcase_add_test(tcase, a_cell_of_a_stranger_is_made_safe);
    suite_add_tcase(suite, tcase);
    return suite;
}
