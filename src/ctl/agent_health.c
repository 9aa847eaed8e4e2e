#include "ctl/agent_health.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "net/http_client.h"

#define ANSWER_MAX 65536
#define TIMEOUT_MS 3000

struct json_object *agent_health(const struct config *config, char **why_r)
{
    AUTO_FREE char *url = xasprintf("http://%s/health", config->listen);
    struct http_client *client = http_client_open(config, &config->report.tls, NULL);
    const struct http_answer *answer = http_client_send(
        client, &(struct http_request){
                    .method = "GET", .url = url, .answer_max = ANSWER_MAX, .timeout_ms = TIMEOUT_MS});
    struct json_object *health = answer->length > 0 ? json_tokener_parse(answer->body) : NULL;

    *why_r = NULL;
    if (!json_object_is_type(health, json_type_object)) {
        json_object_put(health);
        health = NULL;
        *why_r = xstrdup(answer->status == 0 ? answer->text : "what answers there is not the agent");
    }
    http_client_close(client);
    return health;
}

const char *agent_health_text(struct json_object *health, const char *key)
{
    struct json_object *value = NULL;

    json_object_object_get_ex(health, key, &value);
    return value != NULL ? json_object_get_string(value) : "";
}
