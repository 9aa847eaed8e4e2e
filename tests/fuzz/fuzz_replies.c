/* A reply of a TPSP, recipient and sender that it may echo, and rules: the first line is the recipient, the
 * second the sender, the third rules, the rest the reply. Judged without going wrong, whatever the bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "classify/echo.h"
#include "classify/replies.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct replies *ours;
    struct outcome error;
    char *text = malloc(size + 1), *rest, *line[3], out[512];

    if (ours == NULL)
        ours = replies_open(NULL, &error);
    if (text == NULL || ours == NULL)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    rest = text;
    for (size_t i = 0; i < 3; i++) {
        line[i] = rest;
        char *end = strchr(rest, '\n');
        if (end == NULL)
            break;
        *end = '\0';
        rest = end + 1;
        if (i < 2)
            continue;
        struct echo_addresses addresses = {line[0], line[1]};
        size_t length = size - (size_t)(rest - text);
        struct reply_verdict verdict;
        struct reply_facts facts = {
            .stage = REPLY_RCPT, .status = "", .recipient = line[0], .sender = line[1], .service = ""};

        if (echo_replace(&addresses, rest, length, out, sizeof out) >= sizeof out ||
            strlen(out) >= sizeof out)
            abort();
        replies_judge(ours, &facts, rest, length, &verdict);
        if (verdict.rule == NULL || verdict.reason == NULL || verdict.line == 0)
            abort();
    }
    free(text);
    return 0;
}
