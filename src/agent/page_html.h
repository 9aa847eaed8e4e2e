/*
 * page_html: the facts as a document in HTML. src/agent/page/page.html has {{NAME}} where a part of it is
 * filled in.
 *
 * Every text that comes from elsewhere goes through html_text(), and nothing else writes one: what it writes
 * is text, wherever it stands, also between quotes. Without leave to name addresses it goes through
 * base/redact.h first.
 */
#ifndef SENDPOST_AGENT_PAGE_HTML_H
#define SENDPOST_AGENT_PAGE_HTML_H

#include <stdio.h>

#include "agent/page_facts.h"

/* What a part is written with. */
struct html {
    FILE *out;
    const struct page_facts *facts;
    bool addresses; /* may be named */
};

/* --- page_words.c: pieces ------------------------------------------------------------------------------ */

/* Escaped; control characters and what is no UTF-8 replaced. */
void html_text(const struct html *html, const char *text) __attribute__((nonnull));
/* Words of a remote end: addresses in it only with leave. */
void html_foreign(const struct html *html, const char *text) __attribute__((nonnull));
/* <time>: in the reader's own time where there is a script, else UTC. 0: never. */
void html_time(const struct html *html, int64_t time_ms) __attribute__((nonnull));
/* "5 min" */
void html_span(const struct html *html, int64_t ms) __attribute__((nonnull));
/* 12,345 */
void html_number(const struct html *html, int64_t number) __attribute__((nonnull));
/* A command to copy. */
void html_command(const struct html *html, const char *command) __attribute__((nonnull));
/* part of whole as a bar; label says it in words. */
void html_bar(const struct html *html, double part, const char *label) __attribute__((nonnull));

/* --- page_parts.c, page_charts.c -------------------------------------------------------------------------
 */

void page_write_headline(const struct html *html) __attribute__((nonnull));
void page_write_findings(const struct html *html) __attribute__((nonnull));
void page_write_tpsps(const struct html *html) __attribute__((nonnull));
void page_write_hours(const struct html *html) __attribute__((nonnull));
void page_write_providers(const struct html *html) __attribute__((nonnull));
void page_write_reasons(const struct html *html) __attribute__((nonnull));
void page_write_backlog(const struct html *html) __attribute__((nonnull));
void page_write_expiry(const struct html *html) __attribute__((nonnull));
void page_write_foot(const struct html *html) __attribute__((nonnull));

/* --- the document ----------------------------------------------------------------------------------------
 */

/* What was searched for comes where this stands. The caller frees; NULL without memory. */
#define PAGE_FOUND_MARK "<!--found-->"
char *page_document(const struct page_facts *facts, bool addresses) __attribute__((nonnull));

#endif
