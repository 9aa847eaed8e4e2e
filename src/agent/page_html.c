#include "agent/page_html.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/page_files.h"

static void write_login(const struct html *html)
{
    if (html->addresses)
        fputs("<form id=\"search\" role=\"search\" action=\"./\"><label for=\"q\">Where is my message? "
              "(address, domain, queue id, UUID)</label> "
              "<input id=\"q\" name=\"q\" type=\"search\" maxlength=\"320\" autocomplete=\"off\" "
              "spellcheck=\"false\"> <button>Search</button></form>" PAGE_FOUND_MARK,
              html->out);
    else
        fputs("<p id=\"login\">Addresses, search, and what happens now are for who has logged in: "
              "<code class=\"command\">sendpostctl ui</code> gives a link.</p>",
              html->out);
}

static void write_live(const struct html *html)
{
    if (html->addresses)
        fputs("<section id=\"live\" aria-labelledby=\"live-h\"><h2 id=\"live-h\">Live</h2>"
              "<p id=\"live-state\" role=\"status\">The live feed needs JavaScript.</p>"
              "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-labelledby=\"live-h\"><table "
              "id=\"feed\"><thead>"
              "<tr><th scope=\"col\">Time</th><th scope=\"col\">What</th><th scope=\"col\">Recipient</th>"
              "<th scope=\"col\">TPSP</th><th "
              "scope=\"col\">Reply</th></tr></thead><tbody></tbody></table></div></section>",
              html->out);
}

static void write_host(const struct html *html)
{
    char name[256] = "";

    if (gethostname(name, sizeof name - 1) == 0)
        html_text(html, name);
}

static const struct {
    const char *name;
    void (*write)(const struct html *html);
} parts[] = {
    {"HOST", write_host},
    {"LOGIN", write_login},
    {"HEADLINE", page_write_headline},
    {"FINDINGS", page_write_findings},
    {"TPSPS", page_write_tpsps},
    {"HOURS", page_write_hours},
    {"PROVIDERS", page_write_providers},
    {"REASONS", page_write_reasons},
    {"BACKLOG", page_write_backlog},
    {"EXPIRY", page_write_expiry},
    {"LIVE", write_live},
    {"FOOT", page_write_foot},
};

char *page_document(const struct page_facts *facts, bool addresses)
{
    char *text = NULL;
    size_t size;
    struct html html = {.out = open_memstream(&text, &size), .facts = facts, .addresses = addresses};
    const char *at = page_file_page, *mark, *end;

    if (html.out == NULL)
        return NULL;
    while ((mark = strstr(at, "{{")) != NULL && (end = strstr(mark, "}}")) != NULL) {
        size_t length = (size_t)(end - mark) - 2;
        fwrite(at, 1, (size_t)(mark - at), html.out);
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
            if (strlen(parts[i].name) == length && strncmp(parts[i].name, mark + 2, length) == 0)
                parts[i].write(&html);
        at = end + 2;
    }
    fputs(at, html.out);
    fclose(html.out);
    return text;
}
