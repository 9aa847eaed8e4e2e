/* The parts of the status page that are words and tables, see page_html.h. */
#include <inttypes.h>
#include <string.h>

#include "agent/page_html.h"
#include "base/clock.h"
#include "base/xalloc.h"

void page_write_headline(const struct html *html)
{
    size_t grave = 0;

    for (size_t i = 0; i < html->facts->finding_count; i++)
        grave += html->facts->findings[i].grave;
    fprintf(html->out, "<p id=\"state\" class=\"%s\" role=\"status\">", grave > 0 ? "trouble" : "ok");
    if (grave > 0)
        fprintf(html->out, "%zu %s to be mended", grave, grave == 1 ? "thing has" : "things have");
    else
        fputs("All is well", html->out);
    fputs("</p>", html->out);
}

void page_write_findings(const struct html *html)
{
    const struct page_facts *facts = html->facts;

    if (facts->finding_count == 0) {
        fputs("<p>Nothing is wrong.</p>", html->out);
        return;
    }
    fputs("<ul class=\"findings\">", html->out);
    for (size_t i = 0; i < facts->finding_count; i++) {
        const struct page_finding *finding = &facts->findings[i];
        fprintf(html->out, "<li class=\"%s\"><strong>%s</strong> ", finding->grave ? "grave" : "note",
                finding->grave ? "Wrong:" : "Note:");
        html_foreign(html, finding->text);
        if (finding->command[0] != '\0') {
            fputs("<br>", html->out);
            html_command(html, finding->command);
        }
        fputs("</li>", html->out);
    }
    fputs("</ul>", html->out);
}

/* --- TPSPs ------------------------------------------------------------------------------------------ */

static void write_state(const struct html *html, const struct page_tpsp *tpsp)
{
    switch (tpsp->breaker.state) {
    case BREAKER_CLOSED:
        fputs("<span class=\"ok\">in use</span>", html->out);
        break;
    case BREAKER_TRY:
        fprintf(html->out, "<span class=\"trouble\">to be tried</span>%s", breaker_whose(&tpsp->breaker));
        break;
    case BREAKER_OPEN:
        fprintf(html->out, "<span class=\"trouble\">left alone</span>%s for ", breaker_whose(&tpsp->breaker));
        html_span(html, tpsp->breaker.until_ns / 1000000 + 999);
    }
}

static void write_limit(const struct html *html, const struct page_limit *limit)
{
    fputs("<li>", html->out);
    if (limit->provider != NULL) {
        html_text(html, limit->provider);
        fputs(": ", html->out);
    }
    html_text(html, limit->text);
    fputs("</li>", html->out);
}

static void write_slow_down(const struct html *html, const struct slow_down_view *view, const char *provider)
{
    fputs("<li><span class=\"trouble\">", html->out);
    if (view->paused) {
        fputs("paused</span> for ", html->out);
        html_span(html, view->until_ns / 1000000 + 999);
    } else if (view->slowed) {
        fprintf(html->out, "slowed down</span> to %.0f %%", 100 * view->factor);
    } else {
        fprintf(html->out, "%u connections</span> at a time", view->connections);
    }
    if (provider != NULL)
        fprintf(html->out, " for %s", provider);
    if (view->said[0] != '\0') {
        fputs("<br><small>", html->out);
        html_foreign(html, view->said);
        fputs("</small>", html->out);
    }
    fputs("</li>", html->out);
}

static void write_hour(const struct html *html, size_t index)
{
    uint32_t limit = html->facts->config->tpsps[index].global_rate.limit;
    int64_t used = html->facts->tpsps[index].last_hour;

    if (used < 0) {
        fputs("unknown", html->out);
        return;
    }
    html_number(html, used);
    if (limit > 0) {
        AUTO_FREE char *label = xasprintf("%" PRId64 " of %u in the last hour", used, limit);
        fputs(" of ", html->out);
        html_number(html, limit);
        html_bar(html, (double)used / limit, label);
    }
}

/* In a cluster: those of all hosts, as the agent has heard it last. */
static void write_connections(const struct html *html, const struct config_tpsp *tpsp)
{
    const struct board_cluster *cluster = &html->facts->board.cluster;

    for (size_t i = 0; i < cluster->connection_count && cluster->away_since_ms == 0; i++)
        if (strcmp(cluster->connections[i].tpsp, tpsp->name) == 0)
            fprintf(html->out, "<br><small>%u of %u connections, of all hosts</small>",
                    cluster->connections[i].in_use, tpsp->max_connections);
}

void page_write_tpsps(const struct html *html)
{
    const struct page_facts *facts = html->facts;

    for (size_t i = 0; i < facts->config->tpsp_count; i++) {
        const struct page_tpsp *tpsp = &facts->tpsps[i];
        struct page_counts counts = page_tally_of(facts->tally, PAGE_HOURS, -1, (int)i);
        fputs("<tr><th scope=\"row\">", html->out);
        html_text(html, facts->config->tpsps[i].name);
        fputs("</th><td>", html->out);
        write_state(html, tpsp);
        write_connections(html, &facts->config->tpsps[i]);
        fputs("</td><td>", html->out);
        write_hour(html, i);
        fputs("</td><td>", html->out);
        if (tpsp->limit_count + tpsp->slow_count > 0) {
            fputs("<ul>", html->out);
            for (size_t j = 0; j < tpsp->slow_count; j++)
                write_slow_down(html, &tpsp->slow_downs[j], tpsp->slow_providers[j]);
            for (size_t j = 0; j < tpsp->limit_count; j++)
                write_limit(html, &tpsp->limits[j]);
            fputs("</ul>", html->out);
        } else {
            fputs("none", html->out);
        }
        fputs("</td>", html->out);
        for (int fate = 0; fate <= PAGE_DROPPED; fate++) {
            fputs("<td class=\"number\">", html->out);
            html_number(html, counts.of[fate]);
            fputs("</td>", html->out);
        }
        fputs("</tr>", html->out);
    }
}

/* --- backlog ---------------------------------------------------------------------------------------- */

static void write_term(const struct html *html, const char *term)
{
    fprintf(html->out, "</dd><dt>%s</dt><dd>", term);
}

static void write_queue(const struct html *html)
{
    const struct page_queue *queue = &html->facts->queue;

    fputs("<dt>Postfix&#39;s queue</dt><dd>", html->out);
    if (!queue->known) {
        fputs("unknown: ", html->out);
        html_text(html, queue->why);
        return;
    }
    for (int i = 0; i < PAGE_QUEUES; i++) {
        fputs(i > 0 ? ", " : "", html->out);
        html_number(html, (int64_t)queue->messages[i]);
        fprintf(html->out, " %s", page_queue_name_text((enum page_queue_name)i));
    }
    if (!queue->whole)
        fputs(", and more that were not counted", html->out);
    if (queue->oldest_ms > 0) {
        write_term(html, "Oldest message");
        fputs("waits for ", html->out);
        html_span(html, html->facts->now_ms - queue->oldest_ms);
    }
}

/* By the retry ladder, and by our own words that Postfix has kept. */
static void write_waits(const struct html *html)
{
    const struct backlog *backlog = &html->facts->backlog;

    if (!html->facts->backlog_known || backlog->messages == 0)
        return;
    write_term(html, "What it waits for");
    fputs("<ul>", html->out);
    for (int i = 0; i < BACKLOG_WAITS; i++) {
        uint64_t count = backlog->recipients[i];
        if (count == 0)
            continue;
        fputs("<li>", html->out);
        html_number(html, (int64_t)count);
        fprintf(html->out, " %s</li>", backlog_wait_text((enum backlog_wait)i, count));
    }
    if (!backlog->complete)
        fputs("<li>and more that were not looked at</li>", html->out);
    fputs("</ul>", html->out);
}

static void write_ladder(const struct html *html)
{
    const struct page_ladder *ladder = &html->facts->ladder;

    write_term(html, "Retry ladder");
    if (!ladder->known) {
        fputs("unknown", html->out);
        return;
    }
    html_number(html, ladder->waiting);
    fputs(" deliveries wait", html->out);
    if (ladder->held > 0) {
        fputs(", ", html->out);
        html_number(html, ladder->held);
        fputs(" of them for trouble that is not their own", html->out);
    }
    if (ladder->next_ms > html->facts->now_ms) {
        fputs(", the next is due in ", html->out);
        html_span(html, ladder->next_ms - html->facts->now_ms);
    }
    if (ladder->waiting == ladder->held)
        return;
    fputs("<ul>", html->out);
    for (int i = 1; i < PAGE_RUNGS; i++)
        if (ladder->by_attempts[i] > 0) {
            fputs("<li>", html->out);
            html_number(html, ladder->by_attempts[i]);
            fprintf(html->out, " after %d%s %s</li>", i, i == PAGE_RUNGS - 1 ? " or more" : "",
                    i == 1 ? "attempt" : "attempts");
        }
    fputs("</ul>", html->out);
}

void page_write_backlog(const struct html *html)
{
    const struct board_facts *board = &html->facts->board;

    write_queue(html);
    write_waits(html);
    write_ladder(html);
    write_term(html, "Events to be reported");
    html_number(html, board->pending);
    if (html->facts->config->endpoint != NULL) {
        fputs("; the API last took some: ", html->out);
        html_time(html, board->last_report_ms);
    }
    write_term(html, "Mail log");
    if (!board->log_open) {
        fputs("nothing was read yet", html->out);
    } else if (board_unread(board) > 0) {
        html_number(html, board_unread(board));
        fputs(" bytes are still to be read, ", html->out);
        html_span(html, (int64_t)(1000 * board_lag_seconds(board)));
        fputs(" behind", html->out);
    } else {
        fputs("read to its end", html->out);
    }
    if (html->facts->disk_free >= 0) {
        write_term(html, "Disk");
        fprintf(html->out, "%.0f %% is free", 100 * html->facts->disk_free);
    }
    fputs("</dd>", html->out);
}

/* --- what ends -------------------------------------------------------------------------------------- */

static void write_end(const struct html *html, const char *what, const char *tpsp, int64_t end_ms)
{
    fprintf(html->out, "<dt>%s ", what);
    html_text(html, tpsp);
    fputs("</dt><dd>", html->out);
    if (end_ms <= 0) {
        fputs("there is none", html->out);
    } else {
        fputs("good for ", html->out);
        html_span(html, end_ms - html->facts->now_ms);
        fputs(", until ", html->out);
        html_time(html, end_ms);
    }
    fputs("</dd>", html->out);
}

void page_write_expiry(const struct html *html)
{
    const struct page_facts *facts = html->facts;
    size_t count = facts->board.token_count;

    for (size_t i = 0; i < facts->config->tpsp_count; i++)
        if (facts->tpsps[i].certificate_ms > 0) {
            write_end(html, "Certificate of", facts->config->tpsps[i].name, facts->tpsps[i].certificate_ms);
            count++;
        }
    for (size_t i = 0; i < facts->board.token_count; i++) {
        const struct board_token *token = &facts->board.tokens[i];
        write_end(html, "Token for", token->tpsp, token->expires_ms);
        if (token->refresh_expires_ms > 0)
            write_end(html, "Login at", token->tpsp, token->refresh_expires_ms);
    }
    for (size_t i = 0; i < facts->domain_count; i++) {
        const struct domain_fact *domain = &facts->domains[i];
        fputs("<dt>Bounces of ", html->out);
        html_text(html, domain->name);
        fprintf(html->out, "</dt><dd><span class=\"%s\">%s</span>: ", domain->leads ? "ok" : "trouble",
                domain->leads   ? "come back"
                : domain->known ? "go astray"
                                : "unknown");
        html_foreign(html, domain->note);
        fputs("</dd>", html->out);
    }
    if (count == 0)
        fputs("<dt>Certificates and tokens</dt><dd>none was seen yet</dd>", html->out);
}

void page_write_foot(const struct html *html)
{
    fputs("postfix-sendpost " PACKAGE_VERSION ", up for ", html->out);
    html_span(html, html->facts->now_ms - html->facts->board.started_ms);
    fputs(", as of ", html->out);
    html_time(html, html->facts->now_ms);
}
