/*
 * A message that came to a bounce address: whatever it holds, the report keeps its promises: bounded, valid
 * addresses, texts that end, a verdict that a delay is never hard.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bounce/dsn.h"
#include "bounce/notice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct dsn_reader *open_reader(void)
{
    struct outcome error;
    struct classify_rules *rules = classify_open(NULL, &error);
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
    dsn_clear(&report);
    return 0;
}
