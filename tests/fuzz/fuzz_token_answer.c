/* Answers of OAuth servers: what is taken as a token can stand in a login, what is shown is one clean line.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "oauth/token_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_token(const char *token)
{
    size_t length = token != NULL ? strlen(token) : 1;

    if (length == 0 || length > TOKEN_MAX)
        abort();
    for (; token != NULL && *token != '\0'; token++)
        if (*token <= ' ' || *token > '~')
            abort();
}

static void check_line(const char *text, size_t size)
{
    size_t length = strnlen(text, size);

    if (length == size)
        abort();
    for (size_t at = 0; at < length;) {
        size_t sequence = utf8_sequence(text + at, length - at);
        if (sequence == 0 || (unsigned char)text[at] < ' ' || text[at] == 127)
            abort();
        at += sequence;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct token_answer answer;
    bool ok = token_answer_parse(&answer, (const char *)data, size);

    check_token(answer.access_token);
    check_token(answer.refresh_token);
    check_token(answer.user_code);
    check_token(answer.verification_uri);
    check_line(answer.error, sizeof answer.error);
    check_line(answer.words, sizeof answer.words);
    if (ok && ((answer.access_token == NULL && answer.device_code == NULL) || answer.error[0] != '\0'))
        abort();
    if (ok && (answer.life_s <= 0 || answer.life_s > TOKEN_LIFE_MAX_S || answer.interval_s <= 0))
        abort();
    token_answer_clear(&answer);
    return 0;
}
