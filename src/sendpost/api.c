#include "sendpost/api.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/xalloc.h"
#include "net/http_client.h"

#define TIMEOUT_MS 30000
#define ANSWER_MAX (8 << 20) /* a page of the longest entries */
#define DAY_S 86400

struct api {
    const struct config_sendpost *settings;
    struct http_client *client;
    const struct http_answer *answer;
};

struct api *api_open(const struct config *config, FILE *trace)
{
    struct api *api = xcalloc(1, sizeof *api);

    api->settings = &config->sendpost;
    api->client = http_client_open(config, &config->sendpost.tls, trace);
    return api;
}

void api_close(struct api *api)
{
    if (api == NULL)
        return;
    http_client_close(api->client);
    free(api);
}

int api_status(const struct api *api)
{
    return api->answer != NULL ? api->answer->status : 0;
}

int64_t api_wait_ms(const struct api *api)
{
    return api->answer != NULL ? api->answer->retry_after_ms : 0;
}

/* path: behind the endpoint. body: NULL for none. */
static bool ask(struct api *api, const char *method, const char *path, const char *body,
                struct outcome *error_r)
{
    const struct config_sendpost *settings = api->settings;
    size_t length = strlen(settings->endpoint);

    if (settings->key == NULL) {
        outcome_local(error_r, "4.3.5", "the key of SendPost's API is a credential of sendpost-agent");
        return false;
    }
    while (length > 0 && settings->endpoint[length - 1] == '/')
        length--;
    AUTO_FREE char *url = xasprintf("%.*s%s", (int)length, settings->endpoint, path);
    char *key = xasprintf("X-SubAccount-ApiKey: %s", settings->key);
    const char *headers[] = {key, "Accept: application/json",
                             body != NULL ? "Content-Type: application/json" : NULL, NULL};
    api->answer = http_client_send(api->client, &(struct http_request){
                                                    .method = method,
                                                    .url = url,
                                                    .headers = headers,
                                                    .body = body,
                                                    .length = body != NULL ? strlen(body) : 0,
                                                    .secrets = (const char *[]){settings->key, NULL},
                                                    .answer_max = ANSWER_MAX,
                                                    .timeout_ms = TIMEOUT_MS,
                                                });
    secret_free(&key);
    if (api->answer->status / 100 == 2 && api->answer->whole)
        return true;
    outcome_local(
        error_r, "4.3.0", "SendPost's API %s: %s%s", settings->endpoint, api->answer->text,
        api->answer->status == 401 || api->answer->status == 403 ? "; correct subaccount-api-key-file" : "");
    return false;
}

static bool no_list(const struct api *api, struct outcome *error_r)
{
    outcome_local(error_r, "4.3.0", "SendPost's API %s answers with what is no list",
                  api->settings->endpoint);
    return false;
}

/* "2026-11-23" */
static const char *date(int64_t day, char text[16])
{
    time_t time = (time_t)(day * DAY_S);
    struct tm utc;

    gmtime_r(&time, &utc);
    strftime(text, 16, "%Y-%m-%d", &utc);
    return text;
}

static char *encode(const char *text)
{
    static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    char *encoded = xmalloc(3 * strlen(text) + 1), *at = encoded;

    for (; *text != '\0'; text++)
        if (strchr(unreserved, *text) != NULL)
            *at++ = *text;
        else
            at += snprintf(at, 4, "%%%02X", (unsigned char)*text);
    *at = '\0';
    return encoded;
}

bool api_list_suppressions(struct api *api, int64_t from_day, int64_t to_day, const char *search,
                           size_t offset, struct api_suppressions *list_r, struct outcome *error_r)
{
    char from[16], to[16];
    AUTO_FREE char *wanted = search != NULL ? encode(search) : NULL;
    AUTO_FREE char *path = xasprintf("/subaccount/suppression?from=%s&to=%s&limit=%d&offset=%zu%s%s",
                                     date(from_day, from), date(to_day, to), API_PAGE, offset,
                                     wanted != NULL ? "&search=" : "", wanted != NULL ? wanted : "");

    *list_r = (struct api_suppressions){.count = 0};
    return ask(api, "GET", path, NULL, error_r) &&
           (api_suppressions_parse(list_r, api->answer->body, api->answer->length) || no_list(api, error_r));
}

static void add_email(struct json_object *list, const char *address)
{
    struct json_object *item = json_object_new_object();

    json_object_object_add(item, "email", json_object_new_string(address));
    json_object_array_add(list, item);
}

bool api_add_suppressions(struct api *api, const struct suppression *entries, size_t count,
                          struct api_suppressions *list_r, struct outcome *error_r)
{
    static const char *const kinds[SUPPRESSION_REASONS] = {
        [SUPPRESSION_MANUAL] = "manual",
        [SUPPRESSION_UNSUBSCRIBE] = "unsubscribe",
        [SUPPRESSION_HARD_BOUNCE] = "hardBounce",
        [SUPPRESSION_SPAM_COMPLAINT] = "spamComplaint",
    };
    struct json_object *body = json_object_new_object(), *lists[SUPPRESSION_REASONS] = {NULL};

    *list_r = (struct api_suppressions){.count = 0};
    for (size_t i = 0; i < count; i++) {
        struct json_object **list = &lists[entries[i].reason];
        if (*list == NULL) {
            *list = json_object_new_array();
            json_object_object_add(body, kinds[entries[i].reason], *list);
        }
        add_email(*list, entries[i].address);
    }
    bool ok = ask(api, "POST", "/subaccount/suppression",
                  json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN), error_r);
    json_object_put(body);
    return ok &&
           (api_suppressions_parse(list_r, api->answer->body, api->answer->length) || no_list(api, error_r));
}

bool api_remove_suppressions(struct api *api, const struct suppression *entries, size_t count,
                             struct outcome *error_r)
{
    struct json_object *body = json_object_new_object(), *list = json_object_new_array();

    json_object_object_add(body, "suppressions", list);
    for (size_t i = 0; i < count; i++)
        add_email(list, entries[i].address);
    bool ok = ask(api, "DELETE", "/subaccount/suppression",
                  json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN), error_r);
    json_object_put(body);
    return ok;
}

bool api_list_domains(struct api *api, size_t offset, struct api_domains *list_r, struct outcome *error_r)
{
    AUTO_FREE char *path = xasprintf("/subaccount/domain?limit=%d&offset=%zu", API_PAGE, offset);

    *list_r = (struct api_domains){.count = 0};
    return ask(api, "GET", path, NULL, error_r) &&
           (api_domains_parse(list_r, api->answer->body, api->answer->length) || no_list(api, error_r));
}
