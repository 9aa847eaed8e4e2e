#include "policy/limit_words.h"

#include <stdlib.h>

#include "suites.h"

static const struct {
    struct config_rate rate;
    unsigned lanes, available;
    int64_t next_s, used;
    const char *words;
} cases[] = {
    {{100, 3600000}, 10, 10, 0, 0, "100/h: 0 used this hour, 10 at once"},
    {{100, 3600000}, 10, 3, 0, 7, "100/h: 7 used this hour, 3 more at once"},
    {{100, 3600000}, 10, 0, 40, 16, "100/h: 16 used this hour, spread, next slot in 40 s"},
    {{100, 3600000}, 10, 0, 40, 100, "100/h: 100 used this hour, reached, next slot in 40 s"},
    {{3, 3600000}, 3, 0, 3120, 2, "3/h: 2 used this hour, reached, next slot in 52 min"},
    {{10, 60000}, 10, 1, 0, 9, "10/m: 9 used this minute, 1 more at once"},
    {{2000, 86400000}, 10, 0, 7300, 411, "2000/d: 411 used in 24 hours, spread, next slot in 2 h"},
    {{5, 90000}, 5, 2, 0, 3, "5 in 90 s: 3 used in 90 s, 2 more at once"},
    {{5, 1000}, 5, 0, 1, -1, "5/s: reached, next slot in 1 s"},
    {{100, 3600000}, 10, 0, -1, -1, "100/h: not known who may send now"},
};

START_TEST(a_limit_says_what_it_does_now)
{
    const struct rate_limit limit = {.rate = cases[_i].rate, .lanes = cases[_i].lanes};
    char *words = limit_words(&(struct limit_now){.limit = &limit,
                                                  .available = cases[_i].available,
                                                  .next_s = cases[_i].next_s,
                                                  .used = cases[_i].used});

    ck_assert_str_eq(words, cases[_i].words);
    free(words);
}
END_TEST

START_TEST(what_a_limit_says_to_postfix_is_known_again)
{
    struct rate_limit limit = {.rate = {100, 3600000}, .lanes = 10, .kind = "global"};
    struct outcome outcome;

    rate_limit_explain("primary", &limit, 0, &outcome);
    ck_assert(limit_words_defer(outcome.text));
    ck_assert(!limit_words_defer("451 4.7.1 rate limit exceeded, all connections are in use"));
    ck_assert(!limit_words_defer(""));
    ck_assert(!limit_words_suspend(outcome.text));
}
END_TEST

UNIT_SUITE(limit_words_suite)
{
    Suite *suite = suite_create("limit_words");
    TCase *all = tcase_create("all");

    tcase_add_loop_test(all, a_limit_says_what_it_does_now, 0, sizeof cases / sizeof *cases);
    tcase_add_test(all, what_a_limit_says_to_postfix_is_known_again);
    suite_add_tcase(suite, all);
    return suite;
}
