#include "config/config_values.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/xalloc.h"
#include "config/config.h"

#define NAME_MAX_LENGTH 64

/* Values in messages are cut: a file that is not what it should be does not flood the log. */
#define SHOWN "\"%.60s\""

/* Decimal digits without sign or leading zero, at most limit. Returns how many characters they take, 0 when
 * there is no such number. */
static size_t parse_number(const char *text, int64_t limit, int64_t *value_r)
{
    size_t length = 0;
    int64_t value = 0;

    for (; isdigit((unsigned char)text[length]); length++) {
        if (__builtin_mul_overflow(value, (int64_t)10, &value) ||
            __builtin_add_overflow(value, (int64_t)(text[length] - '0'), &value) || value > limit)
            return 0;
    }
    if (length > 1 && text[0] == '0')
        return 0; /* octal to YAML 1.1, decimal to people */
    *value_r = value;
    return length;
}

CONFIG_READER(config_read_bool)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"true", true},   {"yes", true}, {"on", true},
                 {"false", false}, {"no", false}, {"off", false}};
    const char *text = config_yaml_text(reader, place, node);

    (void)key;
    if (text == NULL)
        return false;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(text, words[i].word) == 0) {
            *(bool *)field = words[i].value;
            return true;
        }
    return config_fail(reader, place, node, SHOWN " is neither true nor false", text);
}

static bool number(struct config_reader *reader, const struct config_place *place, const yaml_node_t *node,
                   int64_t min, int64_t max, int64_t *value_r)
{
    const char *text = config_yaml_text(reader, place, node);

    if (text == NULL)
        return false;
    size_t length = parse_number(text, max, value_r);
    if (length > 0 && text[length] == '\0' && *value_r >= min)
        return true;
    if (max == INT64_MAX)
        return config_fail(reader, place, node, SHOWN " is no whole number of at least %lld", text,
                           (long long)min);
    return config_fail(reader, place, node, SHOWN " is no whole number from %lld to %lld", text,
                       (long long)min, (long long)max);
}

CONFIG_READER(config_read_number)
{
    return number(reader, place, node, key->min, key->max, field);
}

CONFIG_READER(config_read_count)
{
    int64_t value;

    if (!number(reader, place, node, key->min, key->max, &value))
        return false;
    *(uint32_t *)field = (uint32_t)value;
    return true;
}

CONFIG_READER(config_read_port)
{
    int64_t value;

    (void)key;
    if (!number(reader, place, node, 1, 65535, &value))
        return false;
    *(uint16_t *)field = (uint16_t)value;
    return true;
}

/* A number and one letter of units, whose factors stand at the same place; '\0' among the letters is "no
 * letter". */
static bool scaled(const char *text, const char *units, size_t unit_count, const int64_t *factors,
                   int64_t *value_r)
{
    size_t length = parse_number(text, INT64_MAX, value_r);

    if (length == 0 || (text[length] != '\0' && text[length + 1] != '\0'))
        return false;
    const char *unit = memchr(units, text[length], unit_count);
    return unit != NULL && !__builtin_mul_overflow(*value_r, factors[unit - units], value_r);
}

CONFIG_READER(config_read_size)
{
    static const int64_t factors[] = {1, 1, 1 << 10, 1 << 20, 1 << 30};
    const char *text = config_yaml_text(reader, place, node);
    int64_t value;

    if (text == NULL)
        return false;
    if (!scaled(text, "\0BKMG", 5, factors, &value))
        return config_fail(reader, place, node, SHOWN " is no size; write 50M, 500K or a number of bytes",
                           text);
    if (value < key->min || value > key->max)
        return config_fail(reader, place, node, SHOWN " is out of range: %lld to %lld bytes", text,
                           (long long)key->min, (long long)key->max);
    *(int64_t *)field = value;
    return true;
}

CONFIG_READER(config_read_share)
{
    const char *text = config_yaml_text(reader, place, node);
    char *end;

    (void)key;
    if (text == NULL)
        return false;
    double value = strtod(text, &end);
    if (*end == '%') {
        value /= 100;
        end++;
    }
    if (end == text || *end != '\0' || !(value > 0 && value <= 1))
        return config_fail(reader, place, node,
                           SHOWN " is no share; write 0.5 or 50%%, above 0 and at most 1", text);
    *(uint32_t *)field = (uint32_t)(value * 1000000 + 0.5);
    return true;
}

static void format_duration(int64_t ms, char buffer[32])
{
    static const struct {
        int64_t ms;
        char unit;
    } units[] = {{86400000, 'd'}, {3600000, 'h'}, {60000, 'm'}, {1000, 's'}};
    size_t i = 0;

    while (i < 3 && (ms < units[i].ms || ms % units[i].ms != 0))
        i++;
    snprintf(buffer, 32, "%lld%c", (long long)(ms / units[i].ms), units[i].unit);
}

CONFIG_READER(config_read_duration)
{
    static const int64_t factors[] = {1000, 60000, 3600000, 86400000};
    const char *text = config_yaml_text(reader, place, node);
    char least[32], most[32];
    int64_t value;

    if (text == NULL)
        return false;
    if (!scaled(text, "smhd", 4, factors, &value))
        return config_fail(reader, place, node, SHOWN " is no duration; write 30s, 5m, 1h or 7d", text);
    format_duration(key->min, least);
    format_duration(key->max, most);
    if (value < key->min || value > key->max)
        return config_fail(reader, place, node, SHOWN " is out of range: %s to %s", text, least, most);
    *(int64_t *)field = value;
    return true;
}

CONFIG_READER(config_read_word)
{
    const char *text = config_yaml_text(reader, place, node), *const *words = key->detail;
    char known[256] = "";

    if (text == NULL)
        return false;
    for (unsigned i = 0; words[i] != NULL; i++) {
        if (strcmp(text, words[i]) == 0) {
            memcpy(field, &i, sizeof i); /* every enum of config.h is as wide as unsigned */
            return true;
        }
        size_t length = strlen(known);
        snprintf(known + length, sizeof known - length, "%s%s", i > 0 ? ", " : "", words[i]);
    }
    return config_fail(reader, place, node, words[1] == NULL ? SHOWN " is not %s" : SHOWN " is none of %s",
                       text, known);
}

CONFIG_READER(config_read_text)
{
    const char *text = config_yaml_text(reader, place, node);

    (void)key;
    if (text == NULL)
        return false;
    if (*text == '\0')
        return config_fail(reader, place, node, "is empty");
    *(char **)field = xstrdup(text);
    return true;
}

CONFIG_READER(config_read_name)
{
    const char *text = config_yaml_text(reader, place, node);
    size_t length = 0;

    (void)key;
    if (text == NULL)
        return false;
    while (isalnum((unsigned char)text[length]) || (text[length] != '\0' && strchr("-_.", text[length])))
        length++;
    if (length == 0 || text[length] != '\0' || length > NAME_MAX_LENGTH)
        return config_fail(reader, place, node,
                           SHOWN " is no name: 1 to %d letters, digits, '-', '_' and '.' make one", text,
                           NAME_MAX_LENGTH);
    *(char **)field = xstrdup(text);
    return true;
}

/* --- paths ----------------------------------------------------------------------------------- */

CONFIG_READER(config_read_absolute_path)
{
    const char *text = config_yaml_text(reader, place, node);

    (void)key;
    if (text == NULL)
        return false;
    if (*text != '/') /* not shown: it may be a secret that belongs elsewhere */
        return config_fail(reader, place, node, "must be an absolute path, one that begins with /");
    *(char **)field = xstrdup(text);
    return true;
}

static bool existing(struct config_reader *reader, const struct config_place *place, const yaml_node_t *node,
                     bool directory, char *path)
{
    struct stat status;

    if (stat(path, &status) != 0)
        return config_fail(reader, place, node, "cannot find " SHOWN ": %s", path, strerror(errno));
    if (directory && !S_ISDIR(status.st_mode))
        return config_fail(reader, place, node, SHOWN " is not a directory; a file goes into tls-ca-file",
                           path);
    if (!directory && !S_ISREG(status.st_mode))
        return config_fail(reader, place, node, SHOWN " is not a file; a directory goes into tls-ca-path",
                           path);
    return true;
}

CONFIG_READER(config_read_directory)
{
    return config_read_absolute_path(reader, place, node, key, field) &&
           existing(reader, place, node, true, *(char **)field);
}

CONFIG_READER(config_read_file)
{
    return config_read_absolute_path(reader, place, node, key, field) &&
           existing(reader, place, node, false, *(char **)field);
}

CONFIG_READER(config_read_service)
{
    const char *text = config_yaml_text(reader, place, node);

    (void)key;
    if (text == NULL)
        return false;
    if (*text == '\0' || strlen(text) > 40 ||
        text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-")] != '\0')
        return config_fail(
            reader, place, node,
            SHOWN " is no service: auto, none, or a name from data/replies, as ses or office365", text);
    *(char **)field = xstrdup(text);
    return true;
}

CONFIG_READER(config_read_log_path)
{
    const char *text = config_yaml_text(reader, place, node);

    (void)key;
    if (text == NULL)
        return false;
    if (*text != '/' && strcmp(text, "journal") != 0)
        return config_fail(reader, place, node, SHOWN " is neither an absolute path nor the word journal",
                           text);
    *(char **)field = xstrdup(text);
    return true;
}

/* --- rates ----------------------------------------------------------------------------------- */

CONFIG_READER(config_read_rate_per_hour)
{
    const char *text = config_yaml_text(reader, place, node);
    int64_t value;
    size_t length;

    (void)key;
    if (text == NULL)
        return false;
    if ((length = parse_number(text, INT32_MAX, &value)) == 0 || text[length] != '\0')
        return config_fail(reader, place, node,
                           SHOWN " is no whole number (0 is unlimited); other windows go into rates: [10/m]",
                           text);
    *(struct config_rate *)field = (struct config_rate){.limit = (uint32_t)value, .window_ms = 3600000};
    return true;
}

CONFIG_READER(config_read_rate)
{
    static const int64_t windows[] = {1000, 60000, 3600000, 86400000};
    const char *text = config_yaml_text(reader, place, node), *unit = NULL;
    int64_t value;

    if (text == NULL)
        return false;
    size_t length = parse_number(text, INT32_MAX, &value);
    if (length > 0 && text[length] == '\0')
        unit = "h"; /* a bare number is per hour */
    else if (length > 0 && text[length] == '/' && text[length + 1] != '\0' && text[length + 2] == '\0')
        unit = text + length + 1;
    const char *known = unit == NULL ? NULL : memchr("smhd", *unit, 4);
    if (known == NULL)
        return config_fail(reader, place, node, SHOWN " is no rate; write 100/h, 10/m, 2000/d or 5/s", text);
    if (value < key->min)
        return config_fail(reader, place, node, SHOWN " limits nothing; remove it", text);
    const char *units = "smhd";
    *(struct config_rate *)field =
        (struct config_rate){.limit = (uint32_t)value, .window_ms = windows[strchr(units, *unit) - units]};
    return true;
}

static const char *category_name(const void *context, size_t index)
{
    (void)context;
    return provider_category_name((enum provider_category)index);
}

CONFIG_READER(config_read_provider_rates)
{
    struct config_rate *rates = field;
    struct config_key rows[PROVIDER_COUNT + 1] = {{.name = NULL}};

    (void)key;
    for (size_t i = 0; i < PROVIDER_COUNT; i++)
        rows[i] = (struct config_key){.name = category_name(NULL, i),
                                      .read = config_read_rate,
                                      .offset = i * sizeof rates[0],
                                      .default_text = "0/h"};
    if (!config_yaml_mapping(reader, place, node, rows, rates))
        return false;
    for (size_t i = 0; i < PROVIDER_COUNT; i++)
        if (config_yaml_find(reader, node, rows[i].name) == NULL)
            rates[i] = rates[PROVIDER_DEFAULT];
    return true;
}

CONFIG_READER(config_read_mapping)
{
    return config_yaml_mapping(reader, place, node, key->detail, field);
}

CONFIG_READER(config_read_later)
{
    (void)reader, (void)place, (void)node, (void)key, (void)field;
    return true;
}
