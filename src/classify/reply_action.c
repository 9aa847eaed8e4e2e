#include "classify/reply_action.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_MS INT64_C(1000)
#define DAY_MS (86400 * SECOND_MS)

static const char *const names[] = {[REPLY_SLOWER] = "slower",
                                    [REPLY_PAUSE] = "pause",
                                    [REPLY_CONNECTIONS] = "connections",
                                    [REPLY_CLOSE] = "close",
                                    [REPLY_HOLD] = "hold"};

static const struct {
    char letter;
    int64_t ms;
} units[] = {{'d', DAY_MS}, {'h', 3600 * SECOND_MS}, {'m', 60 * SECOND_MS}, {'s', SECOND_MS}};

/* --- reading ------------------------------------------------------------------------------------------- */

/* The next word of *at, in place; its length, 0 at the end. */
static size_t next_word(const char **at)
{
    *at += strspn(*at, " \t");
    return strcspn(*at, " \t");
}

static bool is_word(const char *at, size_t length, const char *word)
{
    return length == strlen(word) && memcmp(at, word, length) == 0;
}

/* A number from 1 to most, and what stands behind it. */
static bool read_number(const char *at, size_t length, unsigned most, unsigned *number_r, size_t *used_r)
{
    unsigned number = 0;
    size_t used = 0;

    while (used < length && at[used] >= '0' && at[used] <= '9' && number <= most)
        number = number * 10 + (unsigned)(at[used++] - '0');
    *number_r = number;
    *used_r = used;
    return used > 0 && number > 0 && number <= most;
}

static bool read_span(const char *at, size_t length, int64_t *ms_r)
{
    unsigned number;
    size_t used;

    if (!read_number(at, length, 100000, &number, &used) || used + 1 != length)
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (units[i].letter == at[used]) {
            *ms_r = (int64_t)number * units[i].ms;
            return *ms_r <= DAY_MS;
        }
    return false;
}

static enum reply_action_kind kind_of(const char *at, size_t length)
{
    for (size_t i = REPLY_SLOWER; i < sizeof names / sizeof names[0]; i++)
        if (is_word(at, length, names[i]))
            return (enum reply_action_kind)i;
    return REPLY_NO_ACTION;
}

bool reply_action_named(const char *text)
{
    size_t length = next_word(&text);

    return kind_of(text, length) != REPLY_NO_ACTION;
}

/* What may stand right behind the name: "50%" or a number. */
static const char *read_measure(const char *at, size_t length, struct reply_action *action)
{
    unsigned number;
    size_t used;

    if (!read_number(at, length, 10000, &number, &used))
        return "a number from 1 to 10000 is meant";
    if (action->kind == REPLY_SLOWER) {
        if (used + 1 != length || at[used] != '%' || number > 95)
            return "slower takes a factor from 1% to 95%";
        action->factor_ppm = number * 10000;
    } else if (used != length || (action->kind != REPLY_CONNECTIONS && action->kind != REPLY_CLOSE)) {
        return "a number belongs to connections and close alone";
    } else {
        action->number = number;
    }
    return NULL;
}

/* "3 in 10m" */
static const char *read_after(const char **at, struct reply_action *action)
{
    size_t length = next_word(at), used;

    if (!read_number(*at, length, REPLY_ACTION_AFTER_MAX, &action->after, &used) || used != length)
        return "after takes a number from 1 to 24, as in: after 3 in 10m";
    *at += length;
    length = next_word(at);
    if (!is_word(*at, length, "in"))
        return "after N needs: in TIME";
    *at += length;
    length = next_word(at);
    if (!read_span(*at, length, &action->within_ms))
        return "the time behind in is none of 30s, 10m, 2h, 1d, at most a day";
    *at += length;
    return NULL;
}

static const char *read_rest(const char *at, struct reply_action *action)
{
    const char *wrong = NULL;
    size_t length;

    while (wrong == NULL && (length = next_word(&at)) > 0) {
        const char *word = at;
        at += length;
        if (is_word(word, length, "source")) {
            at += strspn(at, " \t");
            action->source = at;
            return *at != '\0' ? NULL : "source needs an address";
        }
        if (is_word(word, length, "after")) {
            wrong = read_after(&at, action);
        } else if (is_word(word, length, "of")) {
            length = next_word(&at);
            action->of_provider = is_word(at, length, "provider");
            if (!action->of_provider && !is_word(at, length, "tpsp"))
                wrong = "of takes tpsp or provider";
            at += length;
        } else if (is_word(word, length, "for")) {
            length = next_word(&at);
            if (!read_span(at, length, &action->for_ms))
                wrong = "the time behind for is none of 30s, 10m, 2h, 1d, at most a day";
            at += length;
        } else {
            wrong = "behind an action stand: of provider, after N in TIME, for TIME, source ADDRESS";
        }
    }
    return wrong;
}

const char *reply_action_read(const char *text, struct reply_action *action_r)
{
    size_t length = next_word(&text);
    const char *wrong;

    *action_r = (struct reply_action){.kind = kind_of(text, length), .after = 1, .source = ""};
    text += length;
    length = next_word(&text);
    if (length > 0 && text[0] >= '0' && text[0] <= '9') {
        if ((wrong = read_measure(text, length, action_r)) != NULL)
            return wrong;
        text += length;
    }
    if ((wrong = read_rest(text, action_r)) != NULL)
        return wrong;
    bool lasts =
        action_r->kind == REPLY_PAUSE || action_r->kind == REPLY_CONNECTIONS || action_r->kind == REPLY_HOLD;
    if (lasts != (action_r->for_ms > 0))
        return lasts ? "pause, connections and hold need: for TIME"
                     : "for TIME belongs to pause, connections and hold";
    if (action_r->kind == REPLY_CONNECTIONS && action_r->number == 0)
        return "connections needs a number";
    return NULL;
}

/* --- writing ------------------------------------------------------------------------------------------- */

static const char *span(int64_t ms, char text[24])
{
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (ms % units[i].ms == 0) {
            snprintf(text, 24, "%" PRId64 "%c", ms / units[i].ms, units[i].letter);
            break;
        }
    return text;
}

char *reply_action_text(const struct reply_action *action, char buffer[REPLY_ACTION_TEXT_SIZE])
{
    char measure[16] = "", lasts[40] = "", after[56] = "", time[24];

    if (action->kind == REPLY_NO_ACTION) {
        snprintf(buffer, REPLY_ACTION_TEXT_SIZE, "none");
        return buffer;
    }
    if (action->factor_ppm > 0)
        snprintf(measure, sizeof measure, " %" PRIu32 "%%", action->factor_ppm / 10000);
    else if (action->number > 0)
        snprintf(measure, sizeof measure, " %u", action->number);
    if (action->for_ms > 0)
        snprintf(lasts, sizeof lasts, " for %s", span(action->for_ms, time));
    if (action->after > 1)
        snprintf(after, sizeof after, " after %u in %s", action->after, span(action->within_ms, time));
    snprintf(buffer, REPLY_ACTION_TEXT_SIZE, "%s%s%s%s%s", names[action->kind], measure,
             action->of_provider ? " of provider" : "", lasts, after);
    return buffer;
}
