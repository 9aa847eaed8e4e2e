#include "agent/http_connectivity.h"

#include <json-c/json.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/xalloc.h"
#include "net/dns.h"
#include "relay/connectivity.h"

bool http_connectivity_key_matches(const struct config *config, const char *key)
{
    unsigned char given[SHA256_DIGEST_LENGTH], wanted[SHA256_DIGEST_LENGTH];

    if (config->api_key == NULL || key == NULL)
        return false;
    SHA256((const unsigned char *)key, strlen(key), given);
    SHA256((const unsigned char *)config->api_key, strlen(config->api_key), wanted);
    return CRYPTO_memcmp(given, wanted, sizeof given) == 0;
}

/* --- the request ---------------------------------------------------------------------------------- */

struct request {
    struct config_tpsp tpsp; /* strings belong to the JSON object or the configuration */
    const char *from, *to;
    char why[160]; /* what is wrong with it */
};

static bool fail(struct request *request, const char *why)
{
    snprintf(request->why, sizeof request->why, "%s", why);
    return false;
}

/* A string without NUL inside, or NULL when the key is not there. False: something else is there. */
static bool read_string(struct json_object *object, const char *key, const char **text_r)
{
    struct json_object *value;

    *text_r = NULL;
    if (!json_object_object_get_ex(object, key, &value) || value == NULL)
        return true;
    if (!json_object_is_type(value, json_type_string))
        return false;
    *text_r = json_object_get_string(value);
    return strlen(*text_r) == (size_t)json_object_get_string_len(value);
}

static bool read_flag(struct json_object *object, const char *key, bool otherwise)
{
    struct json_object *value;

    return json_object_object_get_ex(object, key, &value) && json_object_is_type(value, json_type_boolean)
               ? json_object_get_boolean(value)
               : otherwise;
}

static bool read_security(struct request *request, struct json_object *object)
{
    static const char *const words[] = {"none", "starttls", "tls"};
    const char *word;

    request->tpsp.security = SECURITY_STARTTLS;
    if (!read_string(object, "security", &word))
        return fail(request, "security is none of none, starttls, tls");
    if (word == NULL)
        return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(word, words[i]) == 0) {
            request->tpsp.security = (enum config_security)i;
            return true;
        }
    return fail(request, "security is none of none, starttls, tls");
}

static bool read_port(struct request *request, struct json_object *object)
{
    struct json_object *value;
    int64_t port = request->tpsp.security == SECURITY_TLS ? 465 : 587;

    if (json_object_object_get_ex(object, "port", &value) && value != NULL)
        port = json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : 0;
    if (port < 1 || port > 65535)
        return fail(request, "port is no number from 1 to 65535");
    request->tpsp.port = (uint16_t)port;
    return true;
}

static bool read_addresses(struct request *request, struct json_object *object)
{
    const char *why;

    if (!read_string(object, "from", &request->from) || request->from == NULL ||
        !address_valid(request->from, &why))
        return fail(request, "from is no address");
    if (!read_string(object, "to", &request->to))
        return fail(request, "to is no address");
    if (request->to == NULL)
        request->to = request->from;
    return address_valid(request->to, &why) ? true : fail(request, "to is no address");
}

static bool is_host(const char *host)
{
    return host != NULL && *host != '\0' && strlen(host) < 256 &&
           strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:") == strlen(host);
}

static const struct config_tls *tls_for(const struct config *config, const char *host)
{
    for (size_t i = 0; i < config->tpsp_count; i++)
        if (strcasecmp(config->tpsps[i].host, host) == 0)
            return &config->tpsps[i].tls;
    return config->tpsp_count > 0 ? &config->tpsps[0].tls : &config->report.tls;
}

static bool read_request(struct request *request, struct json_object *object, const struct config *config)
{
    static char name[] = "test";
    const char *host, *username, *password;
    struct config_tpsp *tpsp = &request->tpsp;

    if (!json_object_is_type(object, json_type_object))
        return fail(request, "the body is no JSON object");
    if (!read_string(object, "host", &host) || !is_host(host))
        return fail(request, "host is no host name and no address");
    if (!read_string(object, "username", &username) || !read_string(object, "password", &password))
        return fail(request, "username or password is no string");
    if (!read_security(request, object) || !read_port(request, object) || !read_addresses(request, object))
        return false;
    /* config_tpsp's strings are not const because config_free() frees them; nothing here writes to them */
    tpsp->name = name;
    tpsp->host = (char *)(uintptr_t)host;
    tpsp->username = username != NULL && *username != '\0' ? (char *)(uintptr_t)username : NULL;
    tpsp->password = tpsp->username != NULL ? (char *)(uintptr_t)password : NULL;
    tpsp->auth = AUTH_AUTO;
    tpsp->auth_without_tls = read_flag(object, "auth-without-tls", false);
    tpsp->engine = ENGINE_AUTO;
    tpsp->tls = *tls_for(config, host);
    tpsp->tls.verify = read_flag(object, "tls-verify", true);
    tpsp->connect_timeout_ms = tpsp->command_timeout_ms = HTTP_CONNECTIVITY_DEADLINE_MS;
    return true;
}

/* --- the test ------------------------------------------------------------------------------------- */

static char *text_of(struct json_object *object)
{
    char *text = xasprintf("%s\n", json_object_to_json_string_ext(
                                       object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));

    json_object_put(object);
    return text;
}

static char *run(const struct config *config, const struct request *request)
{
    struct dns_resolver *resolver = dns_open((const char *const *)config->dns.servers.items,
                                             config->dns.servers.count, (int)config->dns.timeout_ms);
    /* no ticket cache: the whole handshake is tested */
    struct relay_session *session = relay_open(NULL, NULL, resolver);
    struct connectivity test;

    connectivity_test(&test, &(struct connectivity_request){.session = session,
                                                            .tpsp = &request->tpsp,
                                                            .sender = request->from,
                                                            .recipient = request->to,
                                                            .deadline_ms = clock_monotonic_ms() +
                                                                           HTTP_CONNECTIVITY_DEADLINE_MS});
    char *text = text_of(connectivity_json(&test));
    connectivity_free(&test);
    relay_close(session);
    dns_close(resolver);
    return text;
}

char *http_connectivity_run(const struct config *config, const char *body, size_t length, unsigned *status_r)
{
    struct json_tokener *tokener = json_tokener_new_ex(4);
    struct json_object *object = json_tokener_parse_ex(tokener, body, (int)length);
    struct request request = {.why = "the body is no JSON object"};
    char *text;

    if (object != NULL && read_request(&request, object, config)) {
        text = run(config, &request);
        *status_r = 200;
    } else {
        struct json_object *error = json_object_new_object();
        json_object_object_add(error, "error", json_object_new_string(request.why));
        text = text_of(error);
        *status_r = 400;
    }
    json_object_put(object);
    json_tokener_free(tokener);
    return text;
}
