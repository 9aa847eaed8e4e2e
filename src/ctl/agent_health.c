#include "ctl/agent_health.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "net/http_client.h"

#define ANSWER_MAX 65536
#define TIMEOUT_MS 3000

/* http_client asks over the network alone. The agent ends the connection behind its answer (HTTP/1.0). */
static struct json_object *ask_unix(const char *path, char **why_r)
{
    static const char request[] = "GET /health HTTP/1.0\r\n\r\n";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval timeout = {.tv_sec = TIMEOUT_MS / 1000};
    AUTO_CLOSE int stream = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char answer[ANSWER_MAX];
    size_t length = 0;
    ssize_t got;

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    setsockopt(stream, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    if (connect(stream, (const struct sockaddr *)&address, sizeof address) != 0 ||
        write(stream, request, sizeof request - 1) != sizeof request - 1) {
        *why_r = xstrdup(strerror(errno));
        return NULL;
    }
    while (length < sizeof answer - 1 &&
           (got = read(stream, answer + length, sizeof answer - 1 - length)) > 0)
        length += (size_t)got;
    answer[length] = '\0';
    const char *body = strstr(answer, "\r\n\r\n");
    return body != NULL ? json_tokener_parse(body) : NULL;
}

static struct json_object *only_object(struct json_object *health, char **why_r)
{
    if (json_object_is_type(health, json_type_object))
        return health;
    json_object_put(health);
    if (*why_r == NULL)
        *why_r = xstrdup("what answers there is not the agent");
    return NULL;
}

struct json_object *agent_health(const struct config *config, char **why_r)
{
    *why_r = NULL;
    if (strncmp(config->listen, "unix:", 5) == 0)
        return only_object(ask_unix(config->listen + 5, why_r), why_r);
    AUTO_FREE char *url = xasprintf("http://%s/health", config->listen);
    struct http_client *client = http_client_open(config, &config->report.tls, NULL);
    const struct http_answer *answer = http_client_send(
        client, &(struct http_request){
                    .method = "GET", .url = url, .answer_max = ANSWER_MAX, .timeout_ms = TIMEOUT_MS});
    if (answer->status == 0)
        *why_r = xstrdup(answer->text);
    struct json_object *health =
        only_object(answer->length > 0 ? json_tokener_parse(answer->body) : NULL, why_r);
    http_client_close(client);
    return health;
}

const char *agent_health_text(struct json_object *health, const char *key)
{
    struct json_object *value = NULL;

    json_object_object_get_ex(health, key, &value);
    return value != NULL ? json_object_get_string(value) : "";
}
