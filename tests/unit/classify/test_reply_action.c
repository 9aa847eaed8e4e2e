#include "classify/reply_action.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "classify/replies.h"
#include "suites.h"

/* --- the columns ------------------------------------------------------------------------------------------
 */

static const struct {
    const char *text;
    const char *again; /* NULL: it is wrong */
} forms[] = {
    {"slower", "slower"},
    {"slower 30%", "slower 30%"},
    {"slower  of provider\tafter 3 in 10m source https://a.example/b c", "slower of provider after 3 in 10m"},
    {"pause for 30m", "pause for 30m"},
    {"pause for 90s after 24 in 1d", "pause for 90s after 24 in 1d"},
    {"connections 3 for 1h", "connections 3 for 1h"},
    {"close", "close"},
    {"close 20", "close 20"},
    {"hold for 1h of tpsp", "hold for 1h"},
    {"slower 0%", NULL},
    {"slower 96%", NULL},
    {"slower 3", NULL},
    {"slower for 1h", NULL},
    {"pause", NULL},
    {"pause 3 for 1h", NULL},
    {"pause for 2d", NULL},
    {"pause for 10", NULL},
    {"connections for 1h", NULL},
    {"connections 0 for 1h", NULL},
    {"connections 3", NULL},
    {"close 99999", NULL},
    {"slower after 25 in 1h", NULL},
    {"slower after 3", NULL},
    {"slower of somebody", NULL},
    {"slower often", NULL},
    {"slower source", NULL},
};

START_TEST(an_action_is_read_and_written_the_same)
{
    char text[REPLY_ACTION_TEXT_SIZE];
    struct reply_action action;
    const char *wrong = reply_action_read(forms[_i].text, &action);

    ck_assert(reply_action_named(forms[_i].text));
    ck_assert_msg((wrong == NULL) == (forms[_i].again != NULL), "%s: %s", forms[_i].text, wrong);
    if (wrong == NULL)
        ck_assert_str_eq(reply_action_text(&action, text), forms[_i].again);
}
END_TEST

/* --- the rules
 * ---------------------------------------------------------------------------------------------- */

static bool is(const char *column)
{
    return strcmp(column, "-") != 0;
}

static void look_at_row(const struct replies *replies, char *row, size_t line)
{
    char *column[6], text[REPLY_ACTION_TEXT_SIZE];
    struct reply_facts facts = {
        .status = "", .recipient = "user@example.com", .sender = "news@shop.example", .logged_in = true};
    enum provider_category provider;
    struct reply_verdict verdict;

    for (size_t i = 0; i < 6; i++)
        ck_assert_ptr_nonnull(column[i] = strsep(&row, i < 5 ? "\t" : "\n"));
    ck_assert_msg(reply_stage_by_name(column[0], &facts.stage), "line %zu: %s", line, column[0]);
    facts.service = is(column[1]) ? column[1] : "";
    if (is(column[2])) {
        ck_assert(provider_category_by_name(column[2], &provider));
        facts.provider = &provider;
    }
    replies_judge(replies, &facts, column[5], strlen(column[5]), &verdict);
    verdict.action.of_provider = facts.provider != NULL; /* as slow_down_behind.c does */
    ck_assert_msg(strcmp(verdict.action.reason, is(column[3]) ? column[3] : "") == 0, "line %zu: %s: [%s] %s",
                  line, column[5], verdict.action.reason, verdict.action.rule);
    if (!is(column[3]))
        return;
    ck_assert_msg(strcmp(reply_action_text(&verdict.action, text), column[4]) == 0, "line %zu: %s", line,
                  text);
    ck_assert_msg(strncmp(verdict.action.source, "http", 4) == 0, "line %zu: no source", line);
    ck_assert(verdict.action.by_service == (verdict.action.by_service && is(column[1])));
    /* what is only too much, or too fast, is not dropped for it, whatever the code */
    if (facts.provider == NULL && column[5][0] == '5')
        ck_assert_msg(verdict.whose != REPLY_OF_MESSAGE, "line %zu: %s: dropped by %s", line, column[5],
                      verdict.rule);
}

START_TEST(each_reply_is_answered_by_the_action_of_its_rule)
{
    FILE *table = fopen(TOP_SRCDIR "/tests/data/replies-actions.tsv", "r");
    AUTO_FREE char *row = NULL;
    struct outcome error;
    size_t size = 0, line = 0, looked = 0;
    struct replies *replies = replies_open(NULL, &error);

    ck_assert_ptr_nonnull(table);
    ck_assert_msg(replies != NULL, "%s", error.text);
    while (getline(&row, &size, table) > 0) {
        line++;
        if (row[0] == '#')
            continue;
        looked++;
        look_at_row(replies, row, line);
    }
    ck_assert_uint_ge(looked, 50);
    fclose(table);
    replies_close(replies);
}
END_TEST

START_TEST(rules_of_the_postmaster_come_first_and_switch_ours_off)
{
    static const char own[] = "[mine] pause for 1m source https://intra.example/\n"
                              "{stage=mail} slow down\n"
                              "[rate] off\n";
    struct reply_facts facts = {.stage = REPLY_MAIL, .status = "", .service = ""};
    struct reply_verdict verdict;
    struct outcome error;
    struct replies *replies = replies_parse("own", own, strlen(own), &error);

    ck_assert_msg(replies != NULL, "%s", error.text);
    replies_judge(replies, &facts, "450 slow down", 13, &verdict);
    ck_assert_str_eq(verdict.action.reason, "mine");
    ck_assert_str_eq(verdict.action.file, "own");
    ck_assert_uint_eq(verdict.action.line, 2);
    /* the verdict is the other table's */
    ck_assert_int_eq(verdict.whose, REPLY_OF_ACCOUNT);
    replies_judge(replies, &facts, "450 4.7.1 Error: too much mail from 192.0.2.1", 45, &verdict);
    ck_assert_int_eq(verdict.action.kind, REPLY_NO_ACTION);
    replies_close(replies);
}
END_TEST

START_TEST(a_wrong_action_is_told_with_its_line)
{
    static const char own[] = "\n[mine] pause\nslow down\n";
    struct outcome error;

    ck_assert_ptr_null(replies_parse("own", own, strlen(own), &error));
    ck_assert_msg(strncmp(error.text, "own:2: pause, connections and hold need: for TIME", 49) == 0, "%s",
                  error.text);
}
END_TEST

UNIT_SUITE(reply_action_suite)
{
    Suite *suite = suite_create("reply_action");
    TCase *tcase = tcase_create("reply_action");

    tcase_add_loop_test(tcase, an_action_is_read_and_written_the_same, 0, sizeof forms / sizeof forms[0]);
    tcase_add_test(tcase, each_reply_is_answered_by_the_action_of_its_rule);
    tcase_add_test(tcase, rules_of_the_postmaster_come_first_and_switch_ours_off);
    tcase_add_test(tcase, a_wrong_action_is_told_with_its_line);
    suite_add_tcase(suite, tcase);
    return suite;
}
