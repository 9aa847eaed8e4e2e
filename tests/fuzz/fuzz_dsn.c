/*
 * A message that came to a bounce address: whatever it holds, the report keeps its promises: bounded, valid
 * addresses, texts that end, a verdict that a delay is never hard; and what the judge says of it is what the
 * recorder takes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bounce/dsn.h"
#include "bounce/judgement.h"
#include "bounce/notice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A rule of the postmaster's is of any length. */
#define TIMES_10(text) text text text text text text text text text text
static const char own_rules[] = "[ours] hard\nuser" TIMES_10(TIMES_10("   ")) "unknown\n";

static struct dsn_reader *open_reader(void)
{
    struct outcome error;
    struct classify_rules *rules = classify_parse("classify", own_rules, sizeof own_rules - 1, &error);
    struct dsn_reader *reader = rules != NULL ? dsn_open(rules, &error) : NULL;

    if (reader == NULL)
        abort();
    return reader;
}

static void check(const struct dsn_recipient *recipient)
{
    const char *why;

    if (*recipient->address != '\0' && !address_valid(recipient->address, &why))
        abort();
    if (memchr(recipient->text, '\0', sizeof recipient->text) == NULL)
        abort();
    if ((recipient->delayed && recipient->hard) || recipient->reason == NULL || recipient->rule == NULL)
        abort();
    if (*recipient->status != '\0' &&
        outcome_enhanced_length(recipient->status, strlen(recipient->status)) != strlen(recipient->status))
        abort();
}

/* What is refused would be deferred until it expired. */
static void check_judgement(const struct dsn *report)
{
    struct judgement judgement;
    struct outcome error;
    char *line = judgement_encode(report);

    if (!judgement_decode(line, strlen(line), &judgement, &error) ||
        judgement.report.count != report->count || judgement.report.complaint != report->complaint)
        abort();
    for (size_t i = 0; i < report->count; i++)
        if (judgement.report.recipients[i].hard != report->recipients[i].hard)
            abort();
    judgement_clear(&judgement);
    free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dsn_reader *reader;
    struct dsn report;

    if (reader == NULL)
        reader = open_reader();
    dsn_read(reader, (const char *)data, size, "", "bounces@sp-bounce.example.com", &report);
    if (report.count > NOTICE_RECIPIENTS_MAX || (report.count == 0) != (report.why_none != NULL))
        abort();
    if (report.complaint && (report.count == 0 || report.recipients[0].hard))
        abort();
    for (size_t i = 0; i < report.count; i++)
        check(&report.recipients[i]);
    if (*report.message_id != '\0' && !uuid_valid(report.message_id, strlen(report.message_id)))
        abort();
    check_judgement(&report);
    dsn_clear(&report);
    return 0;
}
