/* What became of mail by hour, by provider, and for which reasons, see page_html.h: as plots, with the same
 * numbers in tables for who does not look. Nothing in them is coloured or sized by an attribute that a
 * Content-Security-Policy would have to allow: classes and SVG's own geometry. */
#include <inttypes.h>
#include <string.h>

#include "agent/page_html.h"
#include "base/xalloc.h"

#define WIDTH 720
#define HEIGHT 160
#define LEFT 44 /* room for the numbers of the axis */
#define FOOT 18
#define TOP 18 /* room for the uppermost number on a phone */
#define BAR_WIDTH ((WIDTH - LEFT) / PAGE_HOURS)
#define REASONS 12

static const char *const classes[PAGE_FATES] = {"delivered", "deferred", "dropped", "bounced", "soft"};

static uint32_t sum_of(const struct page_counts *counts)
{
    uint32_t sum = 0;

    for (int fate = 0; fate < PAGE_FATES; fate++)
        sum += counts->of[fate];
    return sum;
}

/* The next of 1, 2, 5, 10, 20 … that is no less. */
static uint32_t round_up(uint32_t number)
{
    static const uint32_t steps[] = {1, 2, 5};
    uint64_t unit = 1;

    for (;;) {
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
            if (steps[i] * unit >= number)
                return (uint32_t)(steps[i] * unit);
        unit *= 10;
    }
}

static void write_axis(const struct html *html, uint32_t top)
{
    for (int i = 0; i <= 2; i++) {
        int y = TOP + (HEIGHT - TOP) * i / 2;
        fprintf(html->out, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>", LEFT, WIDTH, y,
                y);
        if (i == 1 && top < 2)
            continue;
        fprintf(html->out, "<text class=\"axis\" x=\"%d\" y=\"%d\" text-anchor=\"end\">", LEFT - 6, y + 4);
        html_number(html, (int64_t)top * (2 - i) / 2);
        fputs("</text>", html->out);
    }
}

static void write_column(const struct html *html, size_t hour, int64_t begin_ms, uint32_t top)
{
    struct page_counts counts = page_tally_of(html->facts->tally, hour, -1, -1);
    double y = HEIGHT;
    int x = LEFT + (int)hour * BAR_WIDTH;
    int hour_of_day = (int)(begin_ms / PAGE_HOUR_MS % 24);

    fputs("<g>", html->out);
    for (int fate = 0; fate < PAGE_FATES; fate++) {
        double height = (double)counts.of[fate] / top * (HEIGHT - TOP);
        if (counts.of[fate] == 0)
            continue;
        height = height < 1 ? 1 : height; /* few are seen, too */
        y -= height;
        fprintf(html->out, "<rect class=\"%s\" x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"%.1f\"/>",
                classes[fate], x + 2, y, BAR_WIDTH - 4, height);
    }
    fprintf(html->out, "<title>%02d:00 UTC: ", hour_of_day);
    for (int fate = 0; fate < PAGE_FATES; fate++)
        fprintf(html->out, "%s%" PRIu32 " %s", fate > 0 ? ", " : "", counts.of[fate],
                page_fate_name((enum page_fate)fate));
    fputs("</title></g>", html->out);
    if (hour_of_day % 3 == 0)
        fprintf(html->out, "<text class=\"axis\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">%02d</text>",
                x + BAR_WIDTH / 2, HEIGHT + FOOT - 3, hour_of_day);
}

static void write_legend(const struct html *html)
{
    fputs("<ul class=\"legend\">", html->out);
    for (int fate = 0; fate < PAGE_FATES; fate++)
        fprintf(html->out,
                "<li><svg viewBox=\"0 0 10 10\" aria-hidden=\"true\"><rect class=\"%s\" width=\"10\" "
                "height=\"10\"/></svg> %s</li>",
                classes[fate], page_fate_name((enum page_fate)fate));
    fputs("</ul>", html->out);
}

void page_write_hours(const struct html *html)
{
    struct page_counts all = page_tally_of(html->facts->tally, PAGE_HOURS, -1, -1);
    int64_t counted_ms, begin_ms;
    uint32_t top = 0;
    bool complete;

    begin_ms = page_tally_since(html->facts->tally, &complete, &counted_ms);
    for (size_t hour = 0; hour < PAGE_HOURS; hour++) {
        struct page_counts counts = page_tally_of(html->facts->tally, hour, -1, -1);
        top = sum_of(&counts) > top ? sum_of(&counts) : top;
    }
    top = round_up(top > 0 ? top : 1);
    fprintf(html->out,
            "<svg class=\"hours\" role=\"img\" viewBox=\"0 0 %d %d\" aria-label=\"Events by hour: ", WIDTH,
            HEIGHT + FOOT);
    for (int fate = 0; fate < PAGE_FATES; fate++)
        fprintf(html->out, "%s%" PRIu32 " %s", fate > 0 ? ", " : "", all.of[fate],
                page_fate_name((enum page_fate)fate));
    fputs("; the table below has them by provider\">", html->out);
    write_axis(html, top);
    for (size_t hour = 0; hour < PAGE_HOURS; hour++)
        write_column(html, hour, begin_ms + (int64_t)hour * PAGE_HOUR_MS, top);
    fputs("</svg>", html->out);
    write_legend(html);
    fputs("<p class=\"since\">By hour (UTC), since ", html->out);
    html_time(html, complete ? begin_ms : counted_ms);
    fputs(complete ? ".</p>" : "; earlier ones are being counted.</p>", html->out);
}

void page_write_providers(const struct html *html)
{
    for (int provider = -1; provider < PROVIDER_COUNT; provider++) {
        struct page_counts counts = page_tally_of(html->facts->tally, PAGE_HOURS, provider, -1);
        const char *name = provider < 0 ? "all" : provider_category_name((enum provider_category)provider);
        if (provider >= 0 && sum_of(&counts) == 0)
            continue;
        fprintf(html->out, "<tr data-provider=\"%s\"><th scope=\"row\">%s</th>", name, name);
        for (int fate = 0; fate < PAGE_FATES; fate++) {
            fputs("<td class=\"number\">", html->out);
            html_number(html, counts.of[fate]);
            fputs("</td>", html->out);
        }
        fputs("</tr>", html->out);
    }
}

static void write_example(const struct html *html, const struct event *event)
{
    fputs("<small>latest ", html->out);
    html_time(html, event->timestamp_ms);
    if (event->tpsp[0] != '\0') {
        fputs(", ", html->out);
        html_text(html, event->tpsp);
    }
    if (html->addresses) {
        fputs(": to ", html->out);
        html_text(html, event->recipient);
        if (event->queue_id[0] != '\0') {
            fputs(", queue id ", html->out);
            html_text(html, event->queue_id);
        }
    }
    fputs("</small>", html->out);
}

void page_write_reasons(const struct html *html)
{
    const struct page_reason *reasons[REASONS];
    uint32_t counts[REASONS];
    size_t count = page_tally_reasons(html->facts->tally, reasons, counts, REASONS);

    if (count == 0)
        fputs("<tr><td colspan=\"3\">Everything was delivered.</td></tr>", html->out);
    for (size_t i = 0; i < count; i++) {
        const struct event *event = &reasons[i]->example;
        AUTO_FREE char *label = xasprintf("%" PRIu32 " events", counts[i]);
        fputs("<tr><td class=\"number\">", html->out);
        html_number(html, counts[i]);
        html_bar(html, (double)counts[i] / counts[0] * 0.89, label);
        fprintf(html->out, "</td><td>%s</td><td>", event_type(event));
        if (event->smtp_code > 0)
            fprintf(html->out, "%d ", event->smtp_code);
        html_foreign(html, event->smtp_description);
        fputs("<br>", html->out);
        write_example(html, event);
        fputs("</td></tr>", html->out);
    }
}
