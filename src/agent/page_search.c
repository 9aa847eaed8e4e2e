#include "agent/page_search.h"

#include <stdlib.h>
#include <string.h>

#include "agent/page_html.h"
#include "agent/page_queue.h"
#include "base/clock.h"
#include "base/xalloc.h"
#include "trace/trace.h"

#define MESSAGES 20
#define QUEUE_MS 700

static struct json_object *member(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;

    json_object_object_get_ex(object, key, &value);
    return value;
}

static const char *text_of(struct json_object *object, const char *key)
{
    struct json_object *value = member(object, key);

    return value != NULL ? json_object_get_string(value) : "";
}

/* RFC 3339 in, <time> out. */
static void write_time(const struct html *html, const char *time)
{
    if (*time == '\0')
        return;
    fputs("<time datetime=\"", html->out);
    html_text(html, time);
    fputs("\">", html->out);
    html_text(html, time);
    fputs("</time> ", html->out);
}

static void write_fact(const struct html *html, const char *name, const char *text)
{
    if (*text == '\0')
        return;
    fprintf(html->out, "<dt>%s</dt><dd>", name);
    html_text(html, text);
    fputs("</dd>", html->out);
}

static void write_message(const struct html *html, struct json_object *message)
{
    struct json_object *story = member(message, "story"), *next = member(message, "next");

    fputs("<article><h3>", html->out);
    html_text(html, text_of(message, "recipient"));
    fputs(" <span class=\"state\">", html->out);
    html_text(html, text_of(message, "state"));
    fputs("</span></h3><dl>", html->out);
    write_fact(html, "Subject", text_of(message, "subject"));
    write_fact(html, "From", text_of(message, "sender"));
    write_fact(html, "Queue id", text_of(message, "queue_id"));
    write_fact(html, "Message UUID", text_of(message, "message_id"));
    write_fact(html, "Message-ID", text_of(message, "header_message_id"));
    fputs("</dl><ol>", html->out);
    for (size_t i = 0; story != NULL && i < json_object_array_length(story); i++) {
        struct json_object *entry = json_object_array_get_idx(story, i);
        fputs("<li>", html->out);
        write_time(html, text_of(entry, "at"));
        fputs("<strong>", html->out);
        html_text(html, text_of(entry, "what"));
        fputs("</strong> ", html->out);
        html_text(html, text_of(entry, "text"));
        fputs("</li>", html->out);
    }
    fputs("</ol><p>Next: ", html->out);
    html_text(html, text_of(next, "text"));
    fputc(' ', html->out);
    write_time(html, text_of(next, "at"));
    if (*text_of(next, "command") != '\0')
        html_command(html, text_of(next, "command"));
    fputs("</p></article>", html->out);
}

/* What could not be looked at, so that nobody takes silence for an answer. */
static void write_gaps(const struct html *html, struct json_object *story)
{
    static const char *const sources[] = {"log", "queue"};

    for (size_t i = 0; i < 2; i++) {
        struct json_object *source = member(story, sources[i]);
        if (json_object_get_boolean(member(source, "read")))
            continue;
        fprintf(html->out, "<p>Without Postfix&#39;s %s: ", sources[i]);
        html_text(html, text_of(source, "why"));
        fputs("</p>", html->out);
    }
    if (!json_object_get_boolean(member(story, "complete")))
        fputs("<p>Not all could be searched in the time that the page has: <code "
              "class=\"command\">sendpostctl trace"
              "</code> takes longer.</p>",
              html->out);
}

static void write_story(const struct html *html, struct json_object *story)
{
    struct json_object *messages = member(story, "messages");
    size_t count = json_object_array_length(messages);

    if (count == 0)
        fputs("<p>Neither store nor log nor queue has it.</p>", html->out);
    for (size_t i = 0; i < count; i++)
        write_message(html, json_object_array_get_idx(messages, i));
    write_gaps(html, story);
}

static struct json_object *look(const struct config *config, const char *what, struct outcome *error_r)
{
    int64_t until_ms = clock_monotonic_ms() + PAGE_SEARCH_MS;
    AUTO_FREE char *why_no_log = NULL, *text = NULL;
    struct json_object *story = NULL;
    struct page_queue queue;
    struct trace_log log;
    struct store *store;

    if (!store_open_to_read(&store, config->state_dir, until_ms, error_r))
        return NULL;
    bool read = trace_log_open(&log, config->log_path, &why_no_log);
    page_queue_read(&queue, QUEUE_MS, &text);
    const struct trace_request request = {.config = config,
                                          .store = store,
                                          .log = read ? &log : NULL,
                                          .why_no_log = why_no_log,
                                          .queue = queue.known ? text : NULL,
                                          .why_no_queue = queue.why,
                                          .what = what,
                                          .limit = MESSAGES,
                                          .until_ms = until_ms};
    story = trace_story(&request, error_r);
    if (read)
        trace_log_close(&log);
    store_close(store);
    return story;
}

char *page_search(const struct config *config, const char *what)
{
    char *text = NULL;
    size_t size;
    struct html html = {.out = open_memstream(&text, &size), .addresses = true};
    struct outcome error;
    const char *why = "";

    if (html.out == NULL)
        return xstrdup("");
    fputs("<section id=\"found\" aria-labelledby=\"found-h\"><h2 id=\"found-h\">Found for ", html.out);
    html_text(&html, what);
    fputs("</h2>", html.out);
    bool understood = trace_understands(what, &why);
    struct json_object *story = understood ? look(config, what, &error) : NULL;
    if (story != NULL) {
        write_story(&html, story);
    } else {
        fputs("<p>", html.out);
        html_text(&html, understood ? error.text : why);
        fputs("</p>", html.out);
    }
    json_object_put(story);
    fputs("</section>", html.out);
    fclose(html.out);
    return text;
}
