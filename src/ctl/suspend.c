/* sendpostctl suspend and resume: nothing goes to a TPSP, to a provider at it, or through a pool, for a time.
 * See policy/suspension.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/nearest.h"
#include "base/xalloc.h"
#include "ctl/ctl.h"
#include "ctl/people.h"
#include "ctl/postfix_tell.h"
#include "ctl/suspend_words.h"
#include "policy/limit_words.h"
#include "policy/suspension.h"

#define DAY_MS INT64_C(86400000)

/* --- what is meant ------------------------------------------------------------------------------------ */

static const char *tpsp_name(const void *context, size_t index)
{
    return ((const struct config *)context)->tpsps[index].name;
}

static const char *pool_name(const void *context, size_t index)
{
    return ((const struct config *)context)->pools[index].name;
}

static const char *provider_name(const void *context, size_t index)
{
    (void)context;
    return provider_category_name((enum provider_category)index);
}

static enum ctl_status no_such(const struct ctl *ctl, const char *what, const char *written,
                               const char *nearest)
{
    return ctl_usage(ctl, "there is no %s \"%s\"%s%s%s", what, written,
                     nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "",
                     nearest != NULL ? "?" : "");
}

static enum ctl_status find_pool(const struct ctl *ctl, const char *name, struct suspension_scope *scope_r)
{
    const struct config *config = ctl->config;

    for (size_t i = 0; i < config->pool_count && scope_r->pool == NULL; i++)
        if (strcmp(config->pools[i].name, name) == 0)
            scope_r->pool = config->pools[i].name;
    return scope_r->pool != NULL
               ? CTL_OK
               : no_such(ctl, "pool", name, nearest_name(name, pool_name, config, config->pool_count));
}

/* "TPSP" or "TPSP/PROVIDER" */
static enum ctl_status find_tpsp(const struct ctl *ctl, const char *text, struct suspension_scope *scope_r)
{
    const struct config *config = ctl->config;
    size_t length = strcspn(text, "/");
    AUTO_FREE char *name = xasprintf("%.*s", (int)length, text);
    const struct config_tpsp *tpsp = config_tpsp_by_name(config, name);
    enum provider_category provider;

    if (tpsp == NULL)
        return no_such(ctl, "tpsp", name, nearest_name(name, tpsp_name, config, config->tpsp_count));
    scope_r->tpsp = tpsp->name;
    if (text[length] == '\0')
        return CTL_OK;
    if (!provider_category_by_name(text + length + 1, &provider))
        return no_such(ctl, "mailbox provider", text + length + 1,
                       nearest_name(text + length + 1, provider_name, NULL, PROVIDER_COUNT));
    scope_r->provider = provider_category_name(provider);
    return CTL_OK;
}

/* Loads the configuration. */
static enum ctl_status find_scope(struct ctl *ctl, struct suspension_scope *scope_r)
{
    const char *pool = ctl_option(ctl, "pool");

    *scope_r = (struct suspension_scope){0};
    if (ctl->operand_count != (pool != NULL ? 0 : 1))
        return ctl_usage(ctl, "one thing is wanted: TPSP, TPSP/PROVIDER, or --pool NAME");
    if (ctl_config(ctl) == NULL)
        return CTL_TROUBLE;
    return pool != NULL ? find_pool(ctl, pool, scope_r) : find_tpsp(ctl, ctl->operands[0], scope_r);
}

/* rate_table_close() it; NULL, said already: it cannot be opened. */
static struct rate_table *open_table(struct ctl *ctl)
{
    struct rate_table *table = NULL;
    struct outcome error;

    if (ctl_config(ctl) != NULL &&
        !rate_table_open(&table, ctl->config->state_dir, &rate_clock_system, &error))
        ctl_fail(ctl, "%s", error.text);
    return table;
}

/* --- suspend ------------------------------------------------------------------------------------------ */

/* Of --for and --until; without them until it is resumed. */
static enum ctl_status find_end(const struct ctl *ctl, int64_t now_ms, int64_t *until_r)
{
    const char *duration = ctl_option(ctl, "for"), *moment = ctl_option(ctl, "until");

    *until_r = SUSPENSION_OPEN;
    if (duration != NULL && moment != NULL)
        return ctl_usage(ctl, "--for and --until both say when it ends: one of them is wanted");
    if (duration != NULL) {
        int64_t for_ms = people_duration_ms(duration);
        if (for_ms <= 0)
            return ctl_usage(ctl, "\"%s\" is no duration: write it like 90s, 5m, 2h or 7d", duration);
        *until_r = now_ms + for_ms;
    }
    if (moment != NULL) {
        *until_r = people_moment_ms(moment, now_ms);
        if (*until_r < 0)
            return ctl_usage(
                ctl, "\"%s\" is no time: write it like 18:00, 2026-12-01 or \"2026-12-01 18:00\"", moment);
        if (*until_r <= now_ms)
            return ctl_usage(ctl, "\"%s\" is over already", moment);
    }
    return CTL_OK;
}

static enum ctl_status find_reason(const struct ctl *ctl, struct suspension *suspension_r)
{
    const char *given = ctl_option(ctl, "reason");
    AUTO_FREE char *reason = ctl_text(given != NULL ? given : "");

    if (strlen(reason) >= sizeof suspension_r->reason)
        return ctl_usage(ctl, "the reason is too long: %zu bytes at most", sizeof suspension_r->reason - 1);
    snprintf(suspension_r->reason, sizeof suspension_r->reason, "%s", reason);
    return CTL_OK;
}

static void say_what_follows(const struct suspension_scope *scope, const struct suspension *suspension,
                             int64_t now_ms)
{
    char name[SUSPENSION_NAME_SIZE], text[SUSPENSION_TEXT_SIZE], until[PEOPLE_TIME_SIZE];
    AUTO_FREE char *operand = suspend_words_operand(scope);

    suspension_name(scope, name);
    if (people_look() && suspension->until_ms != SUSPENSION_OPEN)
        printf("%s is suspended until %s.\n", name, people_time(suspension->until_ms, until));
    else
        printf("%s is suspended %s.\n", name, suspension_text(suspension, text));
    printf("Its mail %s; at once: sendpostctl resume %s\n",
           scope->pool != NULL ? "waits in Postfix's queue until then"
                               : "goes through other members of its pools, or waits in Postfix's queue",
           operand);
    if (suspension->until_ms - now_ms > DAY_MS)
        printf("What waits longer than Postfix's maximal_queue_lifetime goes back to its sender: postconf "
               "maximal_queue_lifetime\n");
}

static enum ctl_status list(struct ctl *ctl)
{
    static const char *const headers[] = {"WHAT", "SINCE", "UNTIL", "REASON"};
    struct rate_table *table = open_table(ctl);

    if (table == NULL)
        return CTL_TROUBLE;
    struct json_object *all = suspend_words_json(ctl->config, table, NULL);
    rate_table_close(table);
    if (ctl->json) {
        ctl_print_json(all);
        return CTL_OK;
    }
    struct ctl_table *rows = ctl_table_new(sizeof headers / sizeof *headers, headers);
    for (size_t i = 0; i < json_object_array_length(all); i++) {
        struct json_object *one = json_object_array_get_idx(all, i);
        const char *cells[6];
        static const char *const keys[] = {"tpsp", "provider", "pool", "since", "until", "reason"};
        char since[PEOPLE_TIME_SIZE], until[PEOPLE_TIME_SIZE];
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            cells[k] = json_object_get_string(json_object_object_get(one, keys[k]));
        AUTO_FREE char *what =
            suspend_words_operand(&(struct suspension_scope){cells[0], cells[1], cells[2]});
        bool people = people_look() && !ctl->verbose;
        ctl_table_row(rows, (const char *[]){what, people ? people_time_of(cells[3], since) : cells[3],
                                             cells[4] == NULL ? "resumed"
                                             : people         ? people_time_of(cells[4], until)
                                                              : cells[4],
                                             cells[5]});
    }
    json_object_put(all);
    ctl_table_print(rows);
    return CTL_OK;
}

static enum ctl_status run_suspend(struct ctl *ctl)
{
    struct suspension suspension = {.began_ms = clock_realtime_ms()};
    struct suspension_scope scope;
    struct outcome error;

    if (ctl->operand_count == 0 && ctl_option(ctl, "pool") == NULL && ctl_option(ctl, "for") == NULL &&
        ctl_option(ctl, "until") == NULL && ctl_option(ctl, "reason") == NULL)
        return list(ctl);
    enum ctl_status status = find_end(ctl, suspension.began_ms, &suspension.until_ms);
    if (status == CTL_OK)
        status = find_reason(ctl, &suspension);
    if (status == CTL_OK)
        status = find_scope(ctl, &scope);
    struct rate_table *table = status == CTL_OK ? open_table(ctl) : NULL;
    if (table == NULL)
        return status == CTL_OK ? CTL_TROUBLE : status;
    if (!suspension_begin(table, &scope, &suspension, &error))
        status = ctl_fail(ctl, "%s", error.text);
    else if (ctl->json)
        ctl_print_json(suspend_words_json(ctl->config, table, NULL));
    else
        say_what_follows(&scope, &suspension, suspension.began_ms);
    rate_table_close(table);
    return status;
}

/* --- resume ------------------------------------------------------------------------------------------- */

struct ended {
    struct suspension_scope scopes[256];
    size_t count;
    const struct suspension_scope *wanted; /* NULL: all */
};

/* With a TPSP go the providers at it. */
static bool is_wanted(const struct suspension_scope *wanted, const struct suspension_scope *scope)
{
    if (wanted == NULL)
        return true;
    if (wanted->pool != NULL || scope->pool != NULL)
        return wanted->pool != NULL && scope->pool != NULL && strcmp(wanted->pool, scope->pool) == 0;
    return strcmp(wanted->tpsp, scope->tpsp) == 0 &&
           (wanted->provider == NULL ||
            (scope->provider != NULL && strcmp(wanted->provider, scope->provider) == 0));
}

static void note_wanted(void *context, const struct suspension_scope *scope,
                        const struct suspension *suspension)
{
    struct ended *ended = context;

    (void)suspension;
    if (is_wanted(ended->wanted, scope) && ended->count < sizeof ended->scopes / sizeof *ended->scopes)
        ended->scopes[ended->count++] = *scope;
}

static void say_what_ended(const struct ctl *ctl, const struct ended *ended, bool told)
{
    char name[SUSPENSION_NAME_SIZE];

    if (ctl->json) {
        struct json_object *object = json_object_new_object(), *names = json_object_new_array();
        for (size_t i = 0; i < ended->count; i++) {
            AUTO_FREE char *operand = suspend_words_operand(&ended->scopes[i]);
            json_object_array_add(names, json_object_new_string(operand));
        }
        json_object_object_add(object, "resumed", names);
        json_object_object_add(object, "postfix_told", json_object_new_boolean(told));
        ctl_print_json(object);
        return;
    }
    for (size_t i = 0; i < ended->count; i++)
        printf("%s is resumed.\n", suspension_name(&ended->scopes[i], name));
    printf("%s\n", told ? "Postfix is told to come with what waited."
                        : "Postfix could not be told: what waited comes when its own time is up.");
}

/* Of a provider whose TPSP is suspended as a whole, and the like. */
static void warn_of_others(void *context, const struct suspension_scope *scope, const char *line)
{
    (void)context;
    (void)scope;
    fprintf(stderr, "still: %s\n", line);
}

static enum ctl_status resume(struct ctl *ctl, const struct suspension_scope *wanted,
                              struct postfix_tell *tell, struct ended *ended)
{
    struct rate_table *table = open_table(ctl);
    char name[SUSPENSION_NAME_SIZE];

    if (table == NULL)
        return CTL_TROUBLE;
    ended->wanted = wanted;
    suspension_each(ctl->config, table, clock_realtime_ms(), note_wanted, ended);
    for (size_t i = 0; i < ended->count; i++)
        suspension_end(table, &ended->scopes[i]);
    suspend_words_each(ctl->config, table, warn_of_others, NULL);
    rate_table_close(table);
    if (ended->count == 0 && wanted == NULL)
        return ctl_fail(ctl, "nothing is suspended");
    if (ended->count == 0)
        return ctl_fail(ctl, "%s is not suspended; \"sendpostctl suspend\" lists what is",
                        suspension_name(wanted, name));
    postfix_tell_waiting(tell, LIMIT_WORDS_SUSPENDED);
    return CTL_OK;
}

static enum ctl_status run_resume(struct ctl *ctl)
{
    bool all = ctl_option(ctl, "all") != NULL;
    struct ended ended = {.count = 0};
    struct suspension_scope scope;
    struct postfix_tell tell;

    if (all && (ctl->operand_count > 0 || ctl_option(ctl, "pool") != NULL))
        return ctl_usage(ctl, "--all is everything: name nothing besides");
    if (!postfix_tell_begin(&tell))
        return ctl_fail(ctl, "cannot start a process: %s", strerror(errno));
    enum ctl_status status = all ? CTL_OK : find_scope(ctl, &scope);
    if (status == CTL_OK)
        status = resume(ctl, all ? NULL : &scope, &tell, &ended);
    bool told = postfix_tell_end(&tell);
    if (status == CTL_OK)
        say_what_ended(ctl, &ended, told);
    return status;
}

/* ------------------------------------------------------------------------------------------------------ */

static const struct ctl_option suspend_options[] = {
    {"pool", 'p', "NAME", "the mail of this pool"},
    {"for", 0, "DURATION", "90s, 5m, 2h, 7d; without an end: until it is resumed"},
    {"until", 0, "TIME", "18:00, 2026-12-01, \"2026-12-01 18:00\""},
    {"reason", 0, "TEXT", "for whoever wonders why"},
    {.name = NULL},
};

const struct ctl_command ctl_suspend = {
    .name = "suspend",
    .synopsis = "[TPSP[/PROVIDER] | --pool NAME] [--for DURATION | --until TIME] [--reason TEXT]",
    .summary =
        "Let nothing go to a TPSP, to a provider at it or through a pool, for a time; list what is suspended",
    .examples = "  sendpostctl suspend primary --for 2h --reason maintenance\n"
                "  sendpostctl suspend primary/gmail --until 18:00\n"
                "  sendpostctl suspend --pool default\n"
                "  sendpostctl suspend              # what is suspended\n",
    .options = suspend_options,
    .run = run_suspend,
};

static const struct ctl_option resume_options[] = {
    {"pool", 'p', "NAME", "the mail of this pool"},
    {"all", 'a', NULL, "everything that is suspended"},
    {.name = NULL},
};

const struct ctl_command ctl_resume = {
    .name = "resume",
    .synopsis = "TPSP[/PROVIDER] | --pool NAME | --all",
    .summary = "End a suspension now, and tell Postfix to come with what waited for it",
    .examples = "  sendpostctl resume primary       # with the providers at it\n"
                "  sendpostctl resume --all\n",
    .options = resume_options,
    .run = run_resume,
};
