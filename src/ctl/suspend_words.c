#include "ctl/suspend_words.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "ctl/people.h"

struct teller {
    struct json_object *list;
    const char *tpsp; /* NULL: any */
    void (*tell)(void *context, const struct suspension_scope *scope, const char *line);
    void *context;
};

static struct json_object *string_or_null(const char *text)
{
    AUTO_FREE char *clean = text != NULL && *text != '\0' ? ctl_text(text) : NULL;

    return clean != NULL ? json_object_new_string(clean) : NULL;
}

static void add_object(void *context, const struct suspension_scope *scope,
                       const struct suspension *suspension)
{
    const struct teller *teller = context;
    char since[CLOCK_RFC3339_SIZE], until[CLOCK_RFC3339_SIZE] = "";

    if (teller->tpsp != NULL && (scope->tpsp == NULL || strcmp(scope->tpsp, teller->tpsp) != 0))
        return;
    if (suspension->until_ms != SUSPENSION_OPEN)
        clock_rfc3339(suspension->until_ms, until);
    struct json_object *object = json_object_new_object();
    json_object_object_add(object, "tpsp", string_or_null(scope->tpsp));
    json_object_object_add(object, "provider", string_or_null(scope->provider));
    json_object_object_add(object, "pool", string_or_null(scope->pool));
    json_object_object_add(object, "since", string_or_null(clock_rfc3339(suspension->began_ms, since)));
    json_object_object_add(object, "until", string_or_null(until));
    json_object_object_add(object, "reason", string_or_null(suspension->reason));
    json_object_array_add(teller->list, object);
}

struct json_object *suspend_words_json(const struct config *config, struct rate_table *table,
                                       const char *tpsp)
{
    struct teller teller = {.list = json_object_new_array(), .tpsp = tpsp};

    suspension_each(config, table, clock_realtime_ms(), add_object, &teller);
    return teller.list;
}

static void tell_line(void *context, const struct suspension_scope *scope,
                      const struct suspension *suspension)
{
    char name[SUSPENSION_NAME_SIZE], text[SUSPENSION_TEXT_SIZE], since[PEOPLE_TIME_SIZE];
    const struct teller *teller = context;
    AUTO_FREE char *clean = ctl_text(suspension_text(suspension, text));
    AUTO_FREE char *line = xasprintf("%s is suspended %s, since %s", suspension_name(scope, name), clean,
                                     people_when(suspension->began_ms, since));

    teller->tell(teller->context, scope, line);
}

void suspend_words_each(const struct config *config, struct rate_table *table,
                        void (*tell)(void *context, const struct suspension_scope *scope, const char *line),
                        void *context)
{
    struct teller teller = {.tell = tell, .context = context};

    suspension_each(config, table, clock_realtime_ms(), tell_line, &teller);
}

char *suspend_words_operand(const struct suspension_scope *scope)
{
    return scope->pool != NULL ? xasprintf("--pool %s", scope->pool)
                               : xasprintf("%s%s%s", scope->tpsp, scope->provider != NULL ? "/" : "",
                                           scope->provider != NULL ? scope->provider : "");
}
