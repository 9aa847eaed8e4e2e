#include "base/json.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"

/* --- json-c where memory lacks ------------------------------------------------------------------------- */

#define NEVER_NULL(type, name, parameters, arguments) \
    type *__real_##name parameters;                   \
    type *__wrap_##name parameters;                   \
    type *__wrap_##name parameters                    \
    {                                                 \
        type *made = __real_##name arguments;         \
        if (made == NULL)                             \
            xalloc_fail();                            \
        return made;                                  \
    }

NEVER_NULL(struct json_object, json_object_new_object, (void), ())
NEVER_NULL(struct json_object, json_object_new_array, (void), ())
NEVER_NULL(struct json_object, json_object_new_string, (const char *text), (text))
NEVER_NULL(struct json_object, json_object_new_string_len, (const char *text, int length), (text, length))
NEVER_NULL(struct json_object, json_object_new_int, (int32_t number), (number))
NEVER_NULL(struct json_object, json_object_new_int64, (int64_t number), (number))
NEVER_NULL(struct json_object, json_object_new_boolean, (json_bool flag), (flag))
NEVER_NULL(struct json_object, json_object_new_double_s, (double number, const char *text), (number, text))
NEVER_NULL(struct json_tokener, json_tokener_new, (void), ())

#define ALWAYS_ADDS(name, parameters, arguments) \
    int __real_##name parameters;                \
    int __wrap_##name parameters;                \
    int __wrap_##name parameters                 \
    {                                            \
        if (__real_##name arguments < 0)         \
            xalloc_fail();                       \
        return 0;                                \
    }

ALWAYS_ADDS(json_object_object_add, (struct json_object * to, const char *key, struct json_object *value),
            (to, key, value))
ALWAYS_ADDS(json_object_array_add, (struct json_object * to, struct json_object *value), (to, value))

/* --- values as ours are -------------------------------------------------------------------------------- */

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
