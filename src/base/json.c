#include "base/json.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

void json_add_time(struct json_object *object, const char *key, int64_t time_ms)
{
    char text[CLOCK_RFC3339_SIZE];

    json_add_text(object, key, time_ms > 0 ? clock_rfc3339(time_ms, text) : NULL);
}

/* json-c on its own writes all digits that a double has: 0.13700000000000001. */
void json_add_decimal(struct json_object *object, const char *key, double value)
{
    char text[64];
    int length = snprintf(text, sizeof text, "%.3f", value);

    while (length > 0 && text[length - 1] == '0')
        length--;
    if (length > 0 && text[length - 1] == '.')
        length--;
    text[length] = '\0';
    json_object_object_add(object, key, json_object_new_double_s(value, text));
}

void json_add_number(struct json_object *object, const char *key, int64_t number)
{
    json_object_object_add(object, key, json_object_new_int64(number));
}

void json_add_flag(struct json_object *object, const char *key, bool flag)
{
    json_object_object_add(object, key, json_object_new_boolean(flag));
}

void json_add_text(struct json_object *object, const char *key, const char *text)
{
    bool known = text != NULL && *text != '\0';

    json_object_object_add(object, key, known ? json_object_new_string(text) : NULL);
}
