/*
 * What sendpost-judge and the agent do with each report and text, in a loop on one core: see
 * tests/bench/bounce.
 *
 *     bounce_bench SECONDS TEXTS REPORT…     TEXTS: a file with one failure text a line
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "bounce/dsn.h"
#include "classify/replies.h"

struct bytes {
    char *text;
    size_t length;
};

static struct bytes read_file(const char *path)
{
    struct bytes bytes = {NULL, 0};
    AUTO_FCLOSE FILE *stream = fopen(path, "re");

    if (stream == NULL) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    bytes.text = xmalloc(64u << 20);
    bytes.length = fread(bytes.text, 1, 64u << 20, stream);
    bytes.text = xrealloc(bytes.text, bytes.length + 1);
    bytes.text[bytes.length] = '\0';
    return bytes;
}

static double per_second(uint64_t count, int64_t begin_ms)
{
    return (double)count * 1000 / (double)(clock_monotonic_ms() - begin_ms);
}

static void bench_texts(const struct classify_rules *rules, struct bytes texts, int64_t milliseconds)
{
    int64_t begin_ms = clock_monotonic_ms();
    uint64_t count = 0, hard = 0;

    while (clock_monotonic_ms() - begin_ms < milliseconds)
        for (char *line = texts.text; line < texts.text + texts.length;) {
            char *end = strchrnul(line, '\n');
            struct classify_result result;

            classify_text(rules, 0, "", line, (size_t)(end - line), &result);
            hard += result.hard;
            count++;
            line = end + 1;
        }
    printf("texts %.0f hard %.3f\n", per_second(count, begin_ms), (double)hard / (double)count);
}

/* As what the same text would be in reply to RCPT and to the content. */
static void bench_replies(struct bytes texts, int64_t milliseconds)
{
    struct outcome error;
    struct replies *replies = NULL;
    int64_t begin_ms = clock_monotonic_ms();
    uint64_t count = 0, ours = 0;

    for (int i = 0; i < 100; i++) {
        replies_close(replies);
        replies = replies_open(NULL, &error);
    }
    printf("reply-rules %.3f\n", (double)(clock_monotonic_ms() - begin_ms) / 100);
    begin_ms = clock_monotonic_ms();
    while (clock_monotonic_ms() - begin_ms < milliseconds)
        for (char *line = texts.text; line < texts.text + texts.length;) {
            char *end = strchrnul(line, '\n');
            struct reply_facts facts = {.stage = count % 2 == 0 ? REPLY_RCPT : REPLY_DOT,
                                        .code = 550,
                                        .status = "",
                                        .recipient = "bob@example.org",
                                        .sender = "news@shop.example",
                                        .service = "",
                                        .logged_in = true};
            struct reply_verdict verdict;

            replies_judge(replies, &facts, line, (size_t)(end - line), &verdict);
            ours += verdict.whose != REPLY_OF_MESSAGE;
            count++;
            line = end + 1;
        }
    printf("replies %.0f ours %.3f\n", per_second(count, begin_ms), (double)ours / (double)count);
    replies_close(replies);
}

static void bench_reports(const struct classify_rules *rules, struct bytes *reports, size_t report_count,
                          int64_t milliseconds)
{
    struct outcome error;
    struct dsn_reader *reader = dsn_open(rules, &error);
    int64_t begin_ms = clock_monotonic_ms();
    uint64_t count = 0, recipients = 0;

    while (reader != NULL && clock_monotonic_ms() - begin_ms < milliseconds)
        for (size_t i = 0; i < report_count; i++) {
            struct dsn report;

            dsn_read(reader, reports[i].text, reports[i].length, "", "", &report);
            recipients += report.count;
            count++;
            dsn_clear(&report);
        }
    printf("reports %.0f recipients %.3f\n", per_second(count, begin_ms), (double)recipients / (double)count);
    dsn_close(reader);
}

int main(int argc, char **argv)
{
    struct outcome error;
    int64_t begin_ms = clock_monotonic_ms();
    struct classify_rules *rules = NULL;

    if (argc < 4)
        return EXIT_FAILURE;
    for (int i = 0; i < 100; i++) {
        classify_close(rules);
        rules = classify_open(NULL, &error);
    }
    printf("rules %.3f\n", (double)(clock_monotonic_ms() - begin_ms) / 100);

    int64_t milliseconds = atoi(argv[1]) * 1000LL;
    struct bytes texts = read_file(argv[2]);
    size_t count = (size_t)argc - 3;
    struct bytes *reports = xcalloc(count, sizeof *reports);
    for (size_t i = 0; i < count; i++)
        reports[i] = read_file(argv[i + 3]);
    bench_texts(rules, texts, milliseconds);
    bench_replies(texts, milliseconds);
    bench_reports(rules, reports, count, milliseconds);
    for (size_t i = 0; i < count; i++)
        free(reports[i].text);
    free(reports);
    free(texts.text);
    classify_close(rules);
    return EXIT_SUCCESS;
}
