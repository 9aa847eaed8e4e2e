#include "oauth/token_answer.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "base/xalloc.h"

#define LIFE_UNSAID_S 3600  /* expires_in is only recommended */
#define DEVICE_INTERVAL_S 5 /* RFC 8628 section 3.2 */
#define DEPTH_MAX 16

static const char *text_of(struct json_object *object, const char *key, size_t *length_r)
{
    struct json_object *value = NULL;

    if (!json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, json_type_string))
        return NULL;
    *length_r = (size_t)json_object_get_string_len(value);
    return json_object_get_string(value);
}

/* 1*VSCHAR (RFC 6749 appendix A.12): nothing that could end a line or a field of a login. */
static char *token_of(struct json_object *object, const char *key)
{
    size_t length = 0;
    const char *text = text_of(object, key, &length);

    if (text == NULL || length == 0 || length > TOKEN_MAX)
        return NULL;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] <= ' ' || (unsigned char)text[i] > '~')
            return NULL;
    return xstrndup(text, length);
}

/* Some servers write their numbers as strings. */
static int64_t seconds_of(struct json_object *object, const char *key, int64_t unsaid)
{
    struct json_object *value = NULL;

    if (!json_object_object_get_ex(object, key, &value))
        return unsaid;
    int64_t seconds = json_object_get_int64(value);
    return seconds > 0 ? seconds : unsaid;
}

static void clean_copy(struct json_object *object, const char *key, char *text_r, size_t size)
{
    size_t length = 0;
    const char *text = text_of(object, key, &length);

    if (text != NULL)
        utf8_clean(text_r, size, text, length < 1024 ? length : 1024);
}

bool token_answer_parse(struct token_answer *answer_r, const char *body, size_t length)
{
    struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
    struct json_object *object = NULL;
    size_t type_length = 0;

    *answer_r = (struct token_answer){.interval_s = DEVICE_INTERVAL_S};
    if (tokener != NULL && body != NULL && length <= INT32_MAX)
        object = json_tokener_parse_ex(tokener, body, (int)length);
    json_tokener_free(tokener);
    if (!json_object_is_type(object, json_type_object)) {
        json_object_put(object);
        return false;
    }
    clean_copy(object, "error", answer_r->error, sizeof answer_r->error);
    clean_copy(object, "error_description", answer_r->words, sizeof answer_r->words);
    answer_r->access_token = token_of(object, "access_token");
    answer_r->refresh_token = token_of(object, "refresh_token");
    answer_r->life_s = seconds_of(object, "expires_in", LIFE_UNSAID_S);
    if (answer_r->life_s > TOKEN_LIFE_MAX_S)
        answer_r->life_s = TOKEN_LIFE_MAX_S;
    answer_r->refresh_life_s =
        seconds_of(object, "refresh_token_expires_in", seconds_of(object, "refresh_expires_in", 0));
    answer_r->device_code = token_of(object, "device_code");
    answer_r->user_code = token_of(object, "user_code");
    answer_r->verification_uri = token_of(object, "verification_uri");
    if (answer_r->verification_uri == NULL) /* Google's name for it */
        answer_r->verification_uri = token_of(object, "verification_url");
    answer_r->interval_s = seconds_of(object, "interval", DEVICE_INTERVAL_S);
    const char *type = text_of(object, "token_type", &type_length);
    /* RFC 6749 section 7.1: a token of another type must not be used */
    bool ok = answer_r->error[0] == '\0' &&
              ((answer_r->access_token != NULL && type != NULL && strcasecmp(type, "Bearer") == 0) ||
               (answer_r->device_code != NULL && answer_r->user_code != NULL &&
                answer_r->verification_uri != NULL));
    for (size_t i = 0; i < 2; i++) { /* what was parsed is freed without being wiped by the library */
        const char *secret = text_of(object, i == 0 ? "access_token" : "refresh_token", &type_length);
        if (secret != NULL)
            explicit_bzero((char *)(uintptr_t)secret, type_length);
    }
    json_object_put(object);
    return ok;
}

void token_answer_clear(struct token_answer *answer)
{
    secret_free(&answer->access_token);
    secret_free(&answer->refresh_token);
    secret_free(&answer->device_code);
    free(answer->user_code);
    free(answer->verification_uri);
    *answer = (struct token_answer){.interval_s = 0};
}
