#include "ctl/agent_health.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

#define ANSWER_MAX 65536
#define TIMEOUT_MS 3000L

struct answer {
    char text[ANSWER_MAX];
    size_t length;
};

static size_t keep(char *data, size_t size, size_t count, void *context)
{
    struct answer *answer = context;

    if (size * count > sizeof answer->text - 1 - answer->length)
        return 0;
    memcpy(answer->text + answer->length, data, size * count);
    answer->length += size * count;
    return size * count;
}

static bool get(const char *url, struct answer *answer, char error[CURL_ERROR_SIZE])
{
    CURL *curl = curl_easy_init();

    error[0] = '\0';
    if (curl == NULL)
        return false;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    bool ok = curl_easy_perform(curl) == CURLE_OK;
    curl_easy_cleanup(curl);
    return ok;
}

struct json_object *agent_health(const char *listen, char **why_r)
{
    AUTO_FREE char *url = xasprintf("http://%s/health", listen);
    AUTO_FREE struct answer *answer = xcalloc(1, sizeof *answer);
    char error[CURL_ERROR_SIZE];

    *why_r = NULL;
    if (!get(url, answer, error)) {
        *why_r = xstrdup(error);
        return NULL;
    }
    struct json_object *health = json_tokener_parse(answer->text);
    if (json_object_is_type(health, json_type_object))
        return health;
    json_object_put(health);
    *why_r = xstrdup("what answers there is not the agent");
    return NULL;
}

const char *agent_health_text(struct json_object *health, const char *key)
{
    struct json_object *value = NULL;

    json_object_object_get_ex(health, key, &value);
    return value != NULL ? json_object_get_string(value) : "";
}
