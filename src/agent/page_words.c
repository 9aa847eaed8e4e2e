/* The pieces that the status page is made of, see page_html.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/page_html.h"
#include "base/clock.h"
#include "base/redact.h"
#include "base/utf8.h"
#include "base/xalloc.h"

static void put_escaped(FILE *out, const char *text)
{
    for (; *text != '\0'; text++)
        switch (*text) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        case '\'':
            fputs("&#39;", out);
            break;
        default:
            fputc(*text, out);
        }
}

void html_text(const struct html *html, const char *text)
{
    size_t length = strlen(text), size = 3 * length + 1;
    AUTO_FREE char *clean = xmalloc(size);

    utf8_clean(clean, size, text, length);
    put_escaped(html->out, clean);
}

void html_foreign(const struct html *html, const char *text)
{
    AUTO_FREE char *redacted = html->addresses ? NULL : redact_text(text, strlen(text));

    html_text(html, redacted != NULL ? redacted : text);
}

void html_time(const struct html *html, int64_t time_ms)
{
    char text[CLOCK_RFC3339_SIZE];

    if (time_ms <= 0) {
        fputs("never", html->out);
        return;
    }
    clock_rfc3339(time_ms, text);
    /* "2026-11-23T05:01:32.123Z" */
    fprintf(html->out, "<time datetime=\"%s\">%.10s %.5s UTC</time>", text, text, text + 11);
}

void html_span(const struct html *html, int64_t ms)
{
    static const struct {
        int64_t from_s, unit_s;
        const char *unit;
    } steps[] = {{172800, 86400, "days"}, {7200, 3600, "h"}, {120, 60, "min"}, {0, 1, "s"}};
    int64_t seconds = ms > 0 ? ms / 1000 : 0;
    size_t i = 0;

    while (seconds < steps[i].from_s)
        i++;
    fprintf(html->out, "%" PRId64 " %s", seconds / steps[i].unit_s, steps[i].unit);
}

void html_number(const struct html *html, int64_t number)
{
    char digits[32];
    int length = snprintf(digits, sizeof digits, "%" PRId64, number);

    for (int i = 0; i < length; i++)
        fprintf(html->out, "%c%s", digits[i],
                i < length - 1 && (length - 1 - i) % 3 == 0 && digits[i] != '-' ? "," : "");
}

void html_command(const struct html *html, const char *command)
{
    fputs("<code class=\"command\">", html->out);
    html_text(html, command);
    fputs("</code>", html->out);
}

void html_bar(const struct html *html, double part, const char *label)
{
    double width = part < 0 ? 0 : part > 1 ? 100 : 100 * part;

    fputs("<svg class=\"bar\" role=\"img\" viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-label=\"",
          html->out);
    html_text(html, label);
    fprintf(html->out,
            "\"><rect class=\"rail\" width=\"100\" height=\"8\"/><rect class=\"%s\" width=\"%.1f\" "
            "height=\"8\"/></svg>",
            part >= 0.9 ? "full" : "used", width);
}
