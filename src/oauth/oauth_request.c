#include "oauth/oauth_request.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"

#define ANSWER_MAX (3 * TOKEN_MAX)
#define PART_MIN 4 /* of a secret; less tells nothing */

/* --- forms ------------------------------------------------------------------------------------------------
 */

/* All but what RFC 3986 calls unreserved. */
static char *encode(const char *text)
{
    static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    char *encoded = xmalloc(3 * strlen(text) + 1), *at = encoded;

    for (; *text != '\0'; text++) {
        if (strchr(unreserved, *text) != NULL) {
            *at++ = *text;
        } else {
            snprintf(at, 4, "%%%02X", (unsigned char)*text);
            at += 3;
        }
    }
    *at = '\0';
    return encoded;
}

void oauth_form_add(struct oauth_form *form, const char *name, const char *value)
{
    if (value == NULL || *value == '\0')
        return;
    char *encoded = encode(value), *before = form->text;
    form->text =
        xasprintf("%s%s%s=%s", before != NULL ? before : "", before != NULL ? "&" : "", name, encoded);
    secret_free(&encoded);
    secret_free(&before);
}

void oauth_form_add_secret(struct oauth_form *form, const char *name, const char *value)
{
    oauth_form_add(form, name, value);
    form->secret = value;
}

/* --- requests
 * ----------------------------------------------------------------------------------------------- */

static char *basic_line(const struct config_oauth *settings)
{
    char *id = encode(settings->client_id), *secret = encode(settings->client_secret);
    char *pair = xasprintf("%s:%s", id, secret);
    unsigned char *coded = xcalloc(strlen(pair) * 4 / 3 + 8, 1);

    EVP_EncodeBlock(coded, (const unsigned char *)pair, (int)strlen(pair));
    char *line = xasprintf("Authorization: Basic %s", (const char *)coded);
    char *copy = (char *)coded;
    secret_free(&copy);
    secret_free(&id);
    secret_free(&secret);
    secret_free(&pair);
    return line;
}

static const struct http_answer *post(struct http_client *client, const struct config_oauth *settings,
                                      const char *url, const struct oauth_form *form, bool basic,
                                      int64_t timeout_ms)
{
    struct oauth_form whole = {.text = form->text != NULL ? xstrdup(form->text) : NULL};
    char *authorization = basic ? basic_line(settings) : NULL;

    if (!basic) {
        oauth_form_add(&whole, "client_id", settings->client_id);
        oauth_form_add(&whole, "client_secret", settings->client_secret);
    }
    const char *headers[] = {"Accept: application/json", "Content-Type: application/x-www-form-urlencoded",
                             authorization, NULL};
    const char *secrets[] = {authorization != NULL ? authorization + strlen("Authorization: ") : "", NULL};
    const struct http_answer *answer =
        http_client_send(client, &(struct http_request){
                                     .method = "POST",
                                     .url = url,
                                     .headers = headers,
                                     .body = whole.text != NULL ? whole.text : "",
                                     .length = whole.text != NULL ? strlen(whole.text) : 0,
                                     .secrets = secrets,
                                     .secret_answer = true,
                                     .answer_max = ANSWER_MAX,
                                     .timeout_ms = timeout_ms,
                                 });
    secret_free(&whole.text);
    secret_free(&authorization);
    return answer;
}

/* As long as text is without the beginning of a secret that was cut off with its end. */
static size_t length_without_part(const char *text, const char *const *secrets)
{
    size_t length = strlen(text);

    for (size_t at = 0; at + PART_MIN <= length; at++)
        for (const char *const *secret = secrets; *secret != NULL; secret++)
            if (strncmp(*secret, text + at, length - at) == 0)
                return at;
    return length;
}

/* What a server echoes of our secrets is not shown. */
static void describe(const struct config_oauth *settings, const struct oauth_form *form,
                     const struct http_answer *http, const struct token_answer *answer, char *why,
                     size_t size)
{
    const char *secrets[] = {settings->client_secret != NULL ? settings->client_secret : "",
                             settings->refresh_token != NULL ? settings->refresh_token : "",
                             form->secret != NULL ? form->secret : "", NULL};
    size_t length;

    if (http->status == 0) {
        snprintf(why, size, "%.200s", http->text);
    } else if (answer->error[0] != '\0') {
        AUTO_FREE char *masked =
            http_mask(answer->words, length_without_part(answer->words, secrets), secrets, &length);
        snprintf(why, size, "%s%s%.*s%s", answer->error, length > 0 ? " (" : "",
                 (int)(length < 200 ? length : 200), masked, length > 0 ? ")" : "");
    } else if (http->status / 100 == 2) {
        snprintf(why, size, "HTTP %d without a token of type Bearer", http->status);
    } else {
        snprintf(why, size, "HTTP %d", http->status);
    }
}

bool oauth_request(struct http_client *client, const struct config_oauth *settings, const char *url,
                   const struct oauth_form *form, int64_t timeout_ms, struct token_answer *answer_r,
                   char *why, size_t size)
{
    int64_t until_ms = clock_monotonic_ms() + timeout_ms;
    const struct http_answer *http = post(client, settings, url, form, false, timeout_ms);
    bool ok = token_answer_parse(answer_r, http->body, http->length) && http->status / 100 == 2;

    if (!ok && settings->client_secret != NULL && strcmp(answer_r->error, "invalid_client") == 0 &&
        clock_monotonic_ms() < until_ms) {
        token_answer_clear(answer_r);
        http = post(client, settings, url, form, true, until_ms - clock_monotonic_ms());
        ok = token_answer_parse(answer_r, http->body, http->length) && http->status / 100 == 2;
    }
    if (!ok)
        describe(settings, form, http, answer_r, why, size);
    return ok;
}
