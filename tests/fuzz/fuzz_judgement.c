/* What the judge, who may have been taken over, tells the recorder: whatever is taken has its form and
 * bounds, and reads the same when it is said again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bounce/judgement.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
    if (!condition)
        abort();
}

static void check(const struct dsn_recipient *recipient)
{
    const char *why;

    must(*recipient->address == '\0' || address_valid(recipient->address, &why));
    must(*recipient->final == '\0' || address_valid(recipient->final, &why));
    must(strlen(recipient->text) < sizeof recipient->text && strpbrk(recipient->text, "\r\n") == NULL);
    must(outcome_enhanced_length(recipient->status, strlen(recipient->status)) == strlen(recipient->status));
    must(recipient->smtp_code >= 0 && recipient->smtp_code < 600);
    must(!(recipient->hard && recipient->delayed) && recipient->reason != NULL && recipient->rule != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct judgement judgement, again;
    struct outcome error;

    if (judgement_decode((const char *)data, size, &judgement, &error)) {
        must((judgement.report.count == 0) == (judgement.report.why_none != NULL));
        for (size_t i = 0; i < judgement.report.count; i++)
            check(&judgement.report.recipients[i]);
        char *line = judgement_encode(&judgement.report);
        must(judgement_decode(line, strlen(line), &again, &error));
        must(again.report.count == judgement.report.count &&
             again.report.complaint == judgement.report.complaint);
        judgement_clear(&again);
        free(line);
    }
    judgement_clear(&judgement);
    return 0;
}
