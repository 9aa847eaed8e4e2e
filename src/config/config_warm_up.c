/* The plan by which a TPSP, or a mailbox provider at it, gets more from day to day. */
#include <stdio.h>
#include <string.h>

#include "base/xalloc.h"
#include "config/config_schema.h"

#define DAY_MS (86400 * INT64_C(1000))
#define DAYS_MAX 366

/* Days since 1970-01-01 of a date of the Gregorian calendar. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = year / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* "2026-12-01" */
static CONFIG_READER(read_start)
{
    const char *text = config_yaml_text(reader, place, node);
    int year, month, day, end = 0;

    (void)key;
    if (text == NULL)
        return false;
    if (strlen(text) != 10 || sscanf(text, "%4d-%2d-%2d%n", &year, &month, &day, &end) != 3 || end != 10 ||
        year < 2000 || month < 1 || month > 12 || day < 1 || day > 31)
        return config_fail(reader, place, node, "\"%.40s\" is no date; write 2026-12-01", text);
    *(int64_t *)field = days_of(year, month, day) * DAY_MS;
    return true;
}

static CONFIG_READER(read_plan)
{
    const struct config_key number = {.name = key->name, .min = 1, .max = 100000000};
    struct config_plan *plan = field;
    size_t count;

    if (!config_yaml_list(reader, place, node, &count))
        return false;
    if (count == 0 || count > DAYS_MAX)
        return config_fail(reader, place, node, "is to have a number for each of 1 to %d days", DAYS_MAX);
    plan->days = xcalloc(count, sizeof plan->days[0]);
    plan->count = count;
    return config_yaml_each(reader, place, node, config_read_count, &number, plan->days,
                            sizeof plan->days[0]);
}

static CONFIG_READER(read_providers)
{
    struct config_key keys[PROVIDER_COUNT + 1];

    (void)key;
    memset(keys, 0, sizeof keys);
    for (size_t i = 0; i < PROVIDER_COUNT; i++) {
        keys[i].name = provider_category_name((enum provider_category)i);
        keys[i].read = read_plan;
        keys[i].offset = i * sizeof(struct config_plan);
    }
    return config_yaml_mapping(reader, place, node, keys, field);
}

CONFIG_READER(config_read_warm_up)
{
    static const struct config_key keys[] = {
        {"start", .read = read_start, .offset = offsetof(struct config_warm_up, start_ms),
         .needed = "the date of the first day: 2026-12-01"},
        {"plan", .read = read_plan, .offset = offsetof(struct config_warm_up, plan)},
        {"providers", .read = read_providers, .offset = offsetof(struct config_warm_up, providers)},
        {.name = NULL},
    };

    (void)key;
    ((struct config_warm_up *)field)->given = true;
    return config_yaml_mapping(reader, place, node, keys, field);
}
