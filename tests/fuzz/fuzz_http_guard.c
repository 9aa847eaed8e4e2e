/* What a browser may send along: Host, Origin, cookie, and a line of postqueue. A Host that passes on
 * loopback names loopback, an Origin that passes is the Host, and no cookie is good that was not made here.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/http_guard.h"
#include "agent/page_queue.h"
#include "base/page_login.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct page_login_key key = {"no input has the cookie of this"};
    static const char *const names[] = {"mx.example.com", NULL};
    struct page_queue queue = {.known = true};
    char *text = strndup((const char *)data, size);

    if (text == NULL)
        return 0;
    char *line = strchr(text, '\n');
    const char *origin = line != NULL ? line + 1 : NULL;
    if (line != NULL)
        *line = '\0';
    for (int place = HTTP_ON_LOOPBACK; place <= HTTP_ON_UNIX; place++) {
        struct http_guard_facts facts = {
            .place = (enum http_place)place, .path = "/", .host = text, .origin = origin, .names = names};
        bool passes = http_guard_refuses(&facts) == NULL;
        if (passes && origin != NULL && strcasestr(origin, text) == NULL)
            abort();
        if (passes && place == HTTP_ON_LOOPBACK && strncasecmp(text, "localhost", 9) != 0 &&
            strncmp(text, "127.", 4) != 0 && *text != '[')
            abort();
    }
    if (page_login_valid(&key, 1732338092000, text))
        abort();
    page_queue_count(&queue, text, strlen(text));
    free(text);
    return 0;
}
