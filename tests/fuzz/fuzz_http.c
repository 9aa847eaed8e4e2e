/* Answers of the event API, in two pieces: the parser must stay within bounds, and the cut must not
 * matter. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum http_progress feed(struct http_answer *answer, const char *data, size_t size, size_t cut)
{
    size_t used = 0;
    enum http_progress progress;

    http_answer_start(answer);
    progress = http_answer_feed(answer, data, cut, &used, NULL, NULL);
    if (progress == HTTP_MORE)
        progress = http_answer_feed(answer, data + cut, size - cut, &used, NULL, NULL);
    return progress == HTTP_MORE ? http_answer_end(answer) : progress;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_answer whole, parts;
    struct http_url url;

    if (size == 0)
        return 0;
    enum http_progress progress = feed(&whole, (const char *)data + 1, size - 1, size - 1);
    if (feed(&parts, (const char *)data + 1, size - 1, data[0] % size) != progress ||
        whole.status != parts.status || whole.body_kept != parts.body_kept ||
        memcmp(whole.body, parts.body, whole.body_kept) != 0)
        abort();
    (void)http_retry_after_ms(whole.retry_after, 1795413600);
    char *text = strndup((const char *)data, size);
    if (text != NULL && http_url_parse(text, &url) && (strlen(url.host) == 0 || url.path[0] != '/'))
        abort();
    free(text);
    return 0;
}
