#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "ctl/top_frame.h"
#include "suites.h"

/* --- the screen --------------------------------------------------------------------------------------- */

#define MANY 60

static struct top_tpsp tpsps[MANY];
static struct top_line providers[MANY], reasons[MANY];
static struct top_facts facts;

static void setup(void)
{
    memset(tpsps, 0, sizeof tpsps);
    memset(providers, 0, sizeof providers);
    memset(reasons, 0, sizeof reasons);
    for (size_t i = 0; i < MANY; i++) {
        tpsps[i].name = "m\xc3\xbcller\x1b[2J-with-a-name-that-is-long";
        snprintf(tpsps[i].state, sizeof tpsps[i].state, "in use");
        tpsps[i].day[TOP_DELIVERED] = UINT64_MAX;
        snprintf(providers[i].name, sizeof providers[i].name, "tpsp/provider-%02zu", MANY - i);
        providers[i].counts[TOP_OVER_RATE] = 12345678;
        providers[i].per_minute[TOP_OVER_RATE] = 1234567;
        snprintf(reasons[i].name, sizeof reasons[i].name, "tpsp: %0100d", 7);
    }
    facts = (struct top_facts){.now_ms = 1764165600000,
                               .tpsps = tpsps,
                               .store_known = true,
                               .counted = true,
                               .rates_known = true,
                               .waiting = INT64_MAX,
                               .queue_known = true,
                               .queue = {.complete = true, .recipients = {7, 7, 7, 7, 7, 7, 7, 7}}};
}

static void fill(size_t tpsp_count, size_t provider_count, size_t reason_count)
{
    facts.tpsp_count = tpsp_count;
    facts.providers = (struct top_lines){providers, provider_count};
    facts.reasons = (struct top_lines){reasons, reason_count};
}

/* The caller frees. */
static char *draw(size_t width, size_t height, bool by_name)
{
    size_t length;
    char *text = NULL;
    FILE *out = open_memstream(&text, &length);

    ck_assert_ptr_nonnull(out);
    top_frame_draw(&(struct top_frame){.out = out,
                                       .width = width,
                                       .height = height,
                                       .by_name = by_name,
                                       .line_end = "\n",
                                       .note = "q quit"},
                   &facts);
    fclose(out);
    return text;
}

/* Lines, and the characters of the longest. */
static size_t measure(const char *text, size_t *longest_r)
{
    size_t lines = 0, characters = 0;

    *longest_r = 0;
    for (; *text != '\0'; text++) {
        ck_assert_msg(*text != '\x1b' && *text != '\r', "what a terminal would obey");
        if (*text == '\n') {
            lines++;
            characters = 0;
        } else if (((unsigned char)*text & 0xc0) != 0x80 && ++characters > *longest_r) {
            *longest_r = characters;
        }
    }
    return lines;
}

static const struct {
    size_t width, height, tpsps, providers, reasons;
} screens[] = {
    {80, 24, 1, 1, 1},          {80, 24, MANY, MANY, MANY}, {80, 24, 0, 0, 0},
    {80, 24, MANY, 0, 0},       {80, 24, 0, 0, MANY},       {80, 24, 2, MANY, 2},
    {20, 10, MANY, MANY, MANY}, {10, 3, 1, 1, 1},           {200, 60, MANY, MANY, MANY},
};

START_TEST(it_fits_the_screen)
{
    size_t longest;

    fill(screens[_i].tpsps, screens[_i].providers, screens[_i].reasons);
    AUTO_FREE char *text = draw(screens[_i].width, screens[_i].height, false);
    size_t lines = measure(text, &longest),
           rows = screens[_i].tpsps + screens[_i].providers + screens[_i].reasons;
    ck_assert_uint_le(longest, screens[_i].width);
    ck_assert_uint_le(lines, screens[_i].height);
    if (rows > screens[_i].height)
        ck_assert_msg(lines == screens[_i].height, "%zu lines are used:\n%s", lines, text);
    ck_assert(screens[_i].height < 20 || strstr(text, "q quit") != NULL);
}
END_TEST

START_TEST(without_a_terminal_all_is_shown)
{
    size_t longest;

    fill(MANY, MANY, MANY);
    AUTO_FREE char *text = draw(0, 0, false);
    ck_assert_uint_gt(measure(text, &longest), 3 * MANY);
    ck_assert_uint_gt(longest, 100);
    ck_assert(
        strstr(text, "7 over a rate, 7 suspended, 7 TPSP left alone, 7 not due yet, 7 held, 7 deferred") !=
        NULL);
}
END_TEST

START_TEST(lines_can_be_sorted_by_name)
{
    fill(0, MANY, 0);
    AUTO_FREE char *busiest = draw(0, 0, false), *named = draw(0, 0, true);
    ck_assert(strstr(busiest, "provider-60") < strstr(busiest, "provider-01"));
    ck_assert(strstr(named, "provider-60") > strstr(named, "provider-01"));
}
END_TEST

START_TEST(what_is_not_known_is_said)
{
    fill(1, 0, 0);
    facts.queue_known = facts.store_known = facts.counted = false;
    AUTO_FREE char *text = draw(0, 0, false);
    ck_assert(strstr(text, "Queue: not known") != NULL);
    ck_assert(strstr(text, "the store cannot be read now") != NULL);
    ck_assert(strstr(text, "the file counters") != NULL);
}
END_TEST

UNIT_SUITE(top_suite)
{
    Suite *suite = suite_create("top");
    TCase *tcase = tcase_create("top");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_loop_test(tcase, it_fits_the_screen, 0, sizeof screens / sizeof screens[0]);
    tcase_add_test(tcase, without_a_terminal_all_is_shown);
    tcase_add_test(tcase, lines_can_be_sorted_by_name);
    tcase_add_test(tcase, what_is_not_known_is_said);
    suite_add_tcase(suite, tcase);
    return suite;
}
