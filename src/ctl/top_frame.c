#include "ctl/top_frame.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "ctl/ctl.h"
#include "ctl/people.h"

#define HEADERS 9 /* lines that are there whatever comes: above, heads of lists, empty ones */
#define NUMBER_SIZE 16

/* --- lines -------------------------------------------------------------------------------------------- */

static void print_cut(const struct top_frame *frame, enum ctl_colour colour, const char *text)
{
    AUTO_FREE char *clean = ctl_text(text);
    size_t characters = 0;
    char *at = clean;

    for (; *at != '\0'; at++)
        if (((unsigned char)*at & 0xc0) != 0x80 && characters++ == frame->width && frame->width > 0)
            break;
    fprintf(frame->out, "%s%.*s%s%s", colour == CTL_PLAIN ? "" : ctl_colour(colour), (int)(at - clean), clean,
            colour == CTL_PLAIN ? "" : ctl_colour(CTL_PLAIN), frame->line_end);
}

__attribute__((format(printf, 3, 4))) static void line(const struct top_frame *frame, enum ctl_colour colour,
                                                       const char *format, ...)
{
    va_list arguments;
    char *text = NULL;

    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length >= 0)
        print_cut(frame, colour, text);
    free(text);
}

/* At most five characters: 9999, 123k, 45M. */
static const char *number(uint64_t value, char buffer[NUMBER_SIZE])
{
    static const char units[] = " kMGTPE";
    size_t unit = 0;

    while (value > 9999 && unit + 2 < sizeof units) {
        value /= 1000;
        unit++;
    }
    snprintf(buffer, NUMBER_SIZE, unit == 0 ? "%" PRIu64 : "%" PRIu64 "%c", value, units[unit]);
    return buffer;
}

/* "12.3", "4567"; "-" where it is not known; nothing where nothing goes. */
static const char *rate(bool known, double per_minute, char buffer[NUMBER_SIZE])
{
    if (!known)
        snprintf(buffer, NUMBER_SIZE, "-");
    else if (per_minute <= 0)
        buffer[0] = '\0';
    else if (per_minute < 100)
        snprintf(buffer, NUMBER_SIZE, "%.1f", per_minute);
    else
        number((uint64_t)per_minute, buffer);
    return buffer;
}

/* --- the parts ---------------------------------------------------------------------------------------- */

static const char *wait_words(enum backlog_wait wait)
{
    static const char *const words[BACKLOG_WAITS] = {
        [BACKLOG_RATE] = "over a rate",
        [BACKLOG_SUSPENDED] = "suspended",
        [BACKLOG_ALONE] = "TPSP left alone",
        [BACKLOG_ATTEMPT] = "not due yet",
        [BACKLOG_HELD] = "held",
        [BACKLOG_OTHER] = "deferred",
    };

    return words[wait];
}

static void draw_queue(const struct top_frame *frame, const struct top_facts *facts)
{
    const struct backlog *queue = &facts->queue;
    const uint64_t *recipients = queue->recipients;
    char count[NUMBER_SIZE], moving[NUMBER_SIZE], age[PEOPLE_SPAN_SIZE], waits[256] = "";
    size_t length = 0;
    uint64_t all = 0;

    if (!facts->queue_known) {
        line(frame, CTL_YELLOW, "Queue: not known, Postfix does not tell (postqueue -j)");
        return;
    }
    for (enum backlog_wait wait = 0; wait < BACKLOG_WAITS; wait++) {
        if (recipients[wait] == 0 || wait_words(wait) == NULL)
            continue;
        all += recipients[wait];
        length +=
            (size_t)snprintf(waits + length, sizeof waits - length, "%s%s %s", length == 0 ? ": " : ", ",
                             number(recipients[wait], count), wait_words(wait));
    }
    uint64_t trouble = recipients[BACKLOG_SUSPENDED] + recipients[BACKLOG_ALONE] + recipients[BACKLOG_HELD];
    line(frame, trouble > 0 ? CTL_YELLOW : CTL_PLAIN, "Queue: %s moving, %s%s wait%s",
         number(recipients[BACKLOG_MOVING], moving), queue->complete ? "" : "more than ", number(all, count),
         waits);
    line(frame, CTL_PLAIN, "       %s on hold%s%s", number(recipients[BACKLOG_STOPPED], count),
         queue->oldest_ms > 0 ? ", the oldest came before " : "",
         queue->oldest_ms > 0 ? people_span(facts->now_ms - queue->oldest_ms, age) : "");
}

static void draw_store(const struct top_frame *frame, const struct top_facts *facts)
{
    char waiting[NUMBER_SIZE], held[NUMBER_SIZE], pending[NUMBER_SIZE], rejected[NUMBER_SIZE],
        span[PEOPLE_SPAN_SIZE];

    if (!facts->store_known) {
        line(frame, CTL_YELLOW, "Retries, events: the store cannot be read now");
        return;
    }
    line(frame, facts->held > 0 || facts->rejected > 0 ? CTL_RED : CTL_PLAIN,
         "Retries: %s wait%s%s, %s held.  Events: %s pending, %s rejected",
         number((uint64_t)facts->waiting, waiting), facts->next_ms > 0 ? ", next in " : "",
         facts->next_ms > 0 ? people_span(facts->next_ms - facts->now_ms, span) : "",
         number((uint64_t)facts->held, held), number((uint64_t)facts->pending, pending),
         number((uint64_t)facts->rejected, rejected));
}

static void draw_tpsps(const struct top_frame *frame, const struct top_facts *facts, size_t rows)
{
    char rates[NUMBER_SIZE], numbers[3][NUMBER_SIZE];

    line(frame, CTL_BOLD, "%-18s %-17s %8s | 24H %9s %8s %8s", "TPSP", "STATE", "SENT/MIN", "DELIVERED",
         "DEFERRED", "DROPPED");
    for (size_t i = 0; i < rows; i++) {
        const struct top_tpsp *one = &facts->tpsps[i];
        line(frame, one->trouble ? CTL_YELLOW : CTL_PLAIN, "%-18.18s %-17.17s %8s |     %9s %8s %8s",
             one->name, one->state, rate(facts->store_known, one->per_minute, rates),
             number(one->day[TOP_DELIVERED], numbers[0]), number(one->day[TOP_DEFERRED], numbers[1]),
             number(one->day[TOP_DROPPED], numbers[2]));
    }
}

/* Of each outcome the number, and how many come in a minute. */
static void draw_provider(const struct top_frame *frame, const struct top_facts *facts,
                          const struct top_line *one)
{
    char numbers[TOP_OUTCOMES][NUMBER_SIZE], rates[TOP_OUTCOMES][NUMBER_SIZE];

    for (size_t k = 0; k < TOP_OUTCOMES; k++) {
        number(one->counts[k], numbers[k]);
        rate(facts->rates_known, one->per_minute[k], rates[k]);
    }
    line(frame, one->per_minute[TOP_OVER_RATE] > 0 ? CTL_YELLOW : CTL_PLAIN,
         "%-27.27s %7s %5s %6s %5s %7s %5s %6s %5s", one->name, numbers[TOP_DELIVERED], rates[TOP_DELIVERED],
         numbers[TOP_DEFERRED], rates[TOP_DEFERRED], numbers[TOP_OVER_RATE], rates[TOP_OVER_RATE],
         numbers[TOP_DROPPED], rates[TOP_DROPPED]);
}

static int compare_names(const void *one, const void *other)
{
    return strcmp((*(const struct top_line *const *)one)->name,
                  (*(const struct top_line *const *)other)->name);
}

/* The first so many, in the order that is wanted; the caller frees. */
static const struct top_line **choose(const struct top_frame *frame, const struct top_lines *lines,
                                      size_t rows)
{
    const struct top_line **chosen = xcalloc(rows + 1, sizeof(const struct top_line *));

    for (size_t i = 0; i < rows; i++)
        chosen[i] = &lines->lines[i];
    if (frame->by_name)
        qsort(chosen, rows, sizeof *chosen, compare_names);
    return chosen;
}

static void draw_lines(const struct top_frame *frame, const struct top_facts *facts, size_t providers,
                       size_t reasons)
{
    AUTO_FREE const struct top_line **by_provider = choose(frame, &facts->providers, providers);
    AUTO_FREE const struct top_line **by_reason = choose(frame, &facts->reasons, reasons);
    char count[NUMBER_SIZE], per_minute[NUMBER_SIZE];

    line(frame, CTL_BOLD, "%-27s %7s %5s %6s %5s %7s %5s %6s %5s", "TPSP/PROVIDER", "DELIVER", "/MIN",
         "DEFER", "/MIN", "OV.RATE", "/MIN", "DROP", "/MIN");
    for (size_t i = 0; i < providers; i++)
        draw_provider(frame, facts, by_provider[i]);
    if (!facts->counted)
        line(frame, CTL_YELLOW, "not known: there is no room for, or no right to, the file counters");
    line(frame, CTL_PLAIN, "%s", "");
    line(frame, CTL_BOLD, "%7s %6s  %s", "COUNT", "/MIN", "WHY DEFERRED");
    for (size_t i = 0; i < reasons; i++)
        line(frame, CTL_PLAIN, "%7s %6s  %s", number(by_reason[i]->counts[0], count),
             rate(facts->rates_known, by_reason[i]->per_minute[0], per_minute), by_reason[i]->name);
}

/* --- the whole ---------------------------------------------------------------------------------------- */

static size_t least(size_t one, size_t other)
{
    return one < other ? one : other;
}

/* What is short leaves its room to the others. */
static void share(size_t room, const struct top_facts *facts, size_t *tpsps_r, size_t *providers_r,
                  size_t *reasons_r)
{
    size_t third = room / 3;

    *tpsps_r = least(facts->tpsp_count, third);
    *reasons_r = least(facts->reasons.count, third);
    *providers_r = least(facts->providers.count, room - *tpsps_r - *reasons_r);
    *reasons_r = least(facts->reasons.count, room - *tpsps_r - *providers_r);
    *tpsps_r = least(facts->tpsp_count, room - *providers_r - *reasons_r);
}

static size_t room_for_lists(const struct top_frame *frame, const struct top_facts *facts)
{
    size_t fixed = HEADERS;

    if (frame->height == 0)
        return SIZE_MAX / 2;
    fixed += frame->note != NULL ? 1 : 0;
    fixed += facts->queue_known ? 1 : 0;
    fixed += *facts->cluster != '\0' ? 1 : 0;
    fixed += facts->counted ? 0 : 1;
    return frame->height > fixed ? frame->height - fixed : 0;
}

static void draw(const struct top_frame *frame, const struct top_facts *facts)
{
    size_t tpsps, providers, reasons;
    char now[PEOPLE_TIME_SIZE];

    share(room_for_lists(frame, facts), facts, &tpsps, &providers, &reasons);
    line(frame, CTL_BOLD, "sendpostctl top  %s%s", people_time(facts->now_ms, now),
         facts->rates_known || frame->height == 0 ? "" : "  (rates come with the next look)");
    draw_queue(frame, facts);
    draw_store(frame, facts);
    if (*facts->cluster != '\0')
        line(frame, facts->cluster_ok ? CTL_PLAIN : CTL_RED, "Cluster: %s", facts->cluster);
    line(frame, CTL_PLAIN, "%s", "");
    draw_tpsps(frame, facts, tpsps);
    line(frame, CTL_PLAIN, "%s", "");
    draw_lines(frame, facts, providers, reasons);
    if (frame->note != NULL)
        print_cut(frame, CTL_DIM, frame->note);
}

/* Of a screen that is lower than what is always there, the upper part. */
void top_frame_draw(const struct top_frame *frame, const struct top_facts *facts)
{
    struct top_frame whole = *frame;
    AUTO_FREE char *text = NULL;
    size_t length = 0;

    whole.out = open_memstream(&text, &length);
    if (whole.out == NULL)
        return;
    draw(&whole, facts);
    fclose(whole.out);
    const char *end = text;
    for (size_t lines = 0; *end != '\0' && (frame->height == 0 || lines < frame->height); end++)
        lines += *end == '\n' ? 1u : 0u;
    fwrite(text, 1, (size_t)(end - text), frame->out);
}
