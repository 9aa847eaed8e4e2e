#include "ctl/setup_edit.h"

#include <stdlib.h>

#include "base/xalloc.h"
#include "suites.h"

#define WRITTEN                                                                                   \
    "# ours\naccount-id: 117 # of the company\nretry: {schedule: [1h]}\ntpsps:\n"                 \
    "  # the first\n  - name: \"primary\"\n    host: smtp.example.net\n    port: 587  # was 25\n" \
    "\n  - name: backup\n    port: 25\n\n# the end\n"

/* tpsp: NULL for a key of the top. after: NULL where nothing may be changed. */
static const struct {
    const char *before, *tpsp, *key, *value, *after;
} edits[] = {
    {"a: 1\nb: 2\n", NULL, "b", "3", "a: 1\nb: 3\n"},
    {"a: 1\nb: 2", NULL, "b", "3", "a: 1\nb: 3"},
    {"a: 1", NULL, "b", "2", "a: 1\nb: 2\n"},
    {"", NULL, "b", "2", "b: 2\n"},
    {"a: 1\nb: 2\n", NULL, "a", NULL, "b: 2\n"},
    {"a: 1\n", NULL, "b", NULL, "a: 1\n"},
    {"ab: 1\na: 2\n", NULL, "a", "3", "ab: 1\na: 3\n"},
    {"x: {a: 1}\n", NULL, "a", "3", "x: {a: 1}\na: 3\n"},
    {"x:\n  a: 1\n", NULL, "a", "3", "x:\n  a: 1\na: 3\n"},
    {"# a: 1\n", NULL, "a", "3", "a: 3\n# a: 1\n"},
    {"a: 1   # why\n", NULL, "a", "3", "a: 3   # why\n"},
    {"a: \"x # y\" # why\n", NULL, "a", "3", "a: 3 # why\n"},
    {"a: \"x \\\" # y\"\n", NULL, "a", "3", "a: 3\n"},
    {"a: 'x # y'\n", NULL, "a", "3", "a: 3\n"},
    {"a: x#y\n", NULL, "a", "3", "a: 3\n"},
    {"a: 1\r\nb: 2\r\n", NULL, "a", "3", "a: 3\r\nb: 2\r\n"},
    {"a:\n  long: 1\n", NULL, "a", "3", NULL},
    {"a: >\n  folded\n", NULL, "a", NULL, NULL},
    {"{\"a\": 1}\n", NULL, "a", "3", NULL},
    {WRITTEN, "primary", "port", "465",
     "# ours\naccount-id: 117 # of the company\nretry: {schedule: [1h]}\ntpsps:\n"
     "  # the first\n  - name: \"primary\"\n    host: smtp.example.net\n    port: 465  # was 25\n"
     "\n  - name: backup\n    port: 25\n\n# the end\n"},
    {"tpsps:\n  - name: a\n    port: 1\n  - name: b\n    port: 2\n", "b", "port", "3",
     "tpsps:\n  - name: a\n    port: 1\n  - name: b\n    port: 3\n"},
    {"tpsps:\n- name: a\n  port: 1\n- name: b\n  port: 2\nx: 1\n", "a", "id", "3",
     "tpsps:\n- name: a\n  port: 1\n  id: 3\n- name: b\n  port: 2\nx: 1\n"},
    {"tpsps:\n  - id: 1\n    name: a\n", "a", "id", "2", "tpsps:\n  - id: 2\n    name: a\n"},
    {"tpsps:\n  - id: 1\n    name: a\n", "a", "id", NULL, NULL},
    {"tpsps:\n  - name: 'a'\n    oauth:\n      name: x\n", "a", "port", "2",
     "tpsps:\n  - name: 'a'\n    oauth:\n      name: x\n    port: 2\n"},
    {"tpsps:\n  - name: ab\n", "a", "port", "2", NULL},
    {"tpsps: [{name: a}]\n", "a", "port", "2", NULL},
    {"tpsps:\n  -\n    name: a\n", "a", "port", "2", NULL},
    {"pools:\n  - name: a\n", "a", "port", "2", NULL},
    {"tpsps:\n", "a", "port", "2", NULL},
};

START_TEST(one_value_changes_and_nothing_else)
{
    char *text = xstrdup(edits[_i].before);
    bool done = edits[_i].tpsp == NULL
                    ? setup_edit_top(&text, edits[_i].key, edits[_i].value)
                    : setup_edit_tpsp(&text, edits[_i].tpsp, edits[_i].key, edits[_i].value);

    ck_assert_int_eq(done, edits[_i].after != NULL);
    ck_assert_str_eq(text, done ? edits[_i].after : edits[_i].before);
    free(text);
}
END_TEST

static const struct {
    const char *before, *after;
} additions[] = {
    {"tpsps:\n  - name: a\n", "tpsps:\n  - name: a\n  - name: n\n    port: 1\n"},
    {"tpsps:\n  - name: a", "tpsps:\n  - name: a\n  - name: n\n    port: 1\n"},
    {"tpsps:\n- name: a\n\n# of pools\npools: []\n",
     "tpsps:\n- name: a\n- name: n\n  port: 1\n\n# of pools\npools: []\n"},
    {"tpsps: [{name: a}]\n", NULL},
    {"a: 1\n", NULL},
};

START_TEST(a_tpsp_is_added_behind_the_last_one)
{
    char *text = xstrdup(additions[_i].before);
    bool done = setup_edit_add_tpsp(&text, "name: n\nport: 1\n");

    ck_assert_int_eq(done, additions[_i].after != NULL);
    ck_assert_str_eq(text, done ? additions[_i].after : additions[_i].before);
    free(text);
}
END_TEST

UNIT_SUITE(setup_edit_suite)
{
    Suite *suite = suite_create("setup_edit");
    TCase *tcase = tcase_create("setup_edit");

    tcase_add_loop_test(tcase, one_value_changes_and_nothing_else, 0, sizeof edits / sizeof *edits);
    tcase_add_loop_test(tcase, a_tpsp_is_added_behind_the_last_one, 0, sizeof additions / sizeof *additions);
    suite_add_tcase(suite, tcase);
    return suite;
}
