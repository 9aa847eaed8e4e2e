#include "sendpost/api_answer.h"

#include <ctype.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/xalloc.h"

#define DEPTH_MAX 16
#define NS_IN_MS 1000000

static struct json_object *parse_list(const char *body, size_t length)
{
    struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
    struct json_object *list = NULL;

    if (tokener != NULL && body != NULL && length <= INT32_MAX)
        list = json_tokener_parse_ex(tokener, body, (int)length);
    json_tokener_free(tokener);
    if (json_object_is_type(list, json_type_array))
        return list;
    json_object_put(list);
    return NULL;
}

static const char *text_of(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;

    return json_object_object_get_ex(object, key, &value) && json_object_is_type(value, json_type_string)
               ? json_object_get_string(value)
               : "";
}

static int64_t number_of(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;

    return json_object_object_get_ex(object, key, &value) && json_object_is_type(value, json_type_int)
               ? json_object_get_int64(value)
               : -1;
}

static bool flag_of(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;

    return json_object_object_get_ex(object, key, &value) && json_object_is_type(value, json_type_boolean) &&
           json_object_get_boolean(value);
}

static bool read_suppression(struct json_object *object, struct api_suppression *item_r)
{
    bool is_object = json_object_is_type(object, json_type_object);
    const char *email = is_object ? text_of(object, "email") : "", *why;
    int64_t reason = is_object ? number_of(object, "reason") : -1,
            created_ns = is_object ? number_of(object, "created") : -1;

    *item_r = (struct api_suppression){0};
    if (strchr(email, '@') == NULL || !suppression_normalise(email, 0, item_r->entry.address, &why)) {
        item_r->entry.address[0] = '\0';
        return false;
    }
    if (reason < 0 || reason >= SUPPRESSION_REASONS || created_ns <= 0)
        return false;
    item_r->entry.reason = (enum suppression_reason)reason;
    item_r->entry.since_ms = created_ns / NS_IN_MS;
    item_r->created_ns = created_ns;
    return true;
}

bool api_suppressions_parse(struct api_suppressions *list_r, const char *body, size_t length)
{
    struct json_object *list = parse_list(body, length);

    *list_r = (struct api_suppressions){.count = 0};
    if (list == NULL)
        return false;
    list_r->all = json_object_array_length(list);
    list_r->items = xcalloc(list_r->all + 1, sizeof list_r->items[0]);
    for (size_t i = 0; i < list_r->all; i++) {
        struct json_object *object = json_object_array_get_idx(list, i);
        struct api_suppression item;
        if (read_suppression(object, &item))
            list_r->items[list_r->count++] = item;
        else
            list_r->items[list_r->all - ++list_r->unclear] = item;
    }
    json_object_put(list);
    return true;
}

bool api_suppressions_hold(const struct api_suppressions *list, const char *address)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcasecmp(list->items[i].entry.address, address) == 0)
            return true;
    for (size_t i = list->all - list->unclear; i < list->all; i++)
        if (list->items[i].entry.address[0] == '\0' || strcasecmp(list->items[i].entry.address, address) == 0)
            return true;
    return false;
}

/* A host name in lower case, without a final dot; "" for what is none. */
static void copy_host(char text_r[ADDRESS_SIZE], const char *text)
{
    size_t length = strlen(text);

    if (length > 0 && text[length - 1] == '.')
        length--;
    if (length == 0 || length > 253 ||
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") < length)
        length = 0;
    for (size_t i = 0; i < length; i++)
        text_r[i] = (char)tolower((unsigned char)text[i]);
    text_r[length] = '\0';
}

bool api_domains_parse(struct api_domains *list_r, const char *body, size_t length)
{
    struct json_object *list = parse_list(body, length);

    *list_r = (struct api_domains){.count = 0};
    if (list == NULL)
        return false;
    list_r->all = json_object_array_length(list);
    list_r->items = xcalloc(list_r->all + 1, sizeof list_r->items[0]);
    for (size_t i = 0; i < list_r->all; i++) {
        struct json_object *object = json_object_array_get_idx(list, i), *record = NULL;
        struct api_domain *item = &list_r->items[list_r->count];
        if (!json_object_is_type(object, json_type_object))
            continue;
        copy_host(item->name, text_of(object, "name"));
        item->verified = flag_of(object, "returnPathVerified");
        if (json_object_object_get_ex(object, "returnPath", &record) &&
            json_object_is_type(record, json_type_object)) {
            copy_host(item->host, text_of(record, "host"));
            copy_host(item->target, text_of(record, "textValue"));
        }
        list_r->count += item->name[0] != '\0';
    }
    json_object_put(list);
    return true;
}
