/* sendpostctl retry: messages that wait become due now, and Postfix is told to come with them at once. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "ctl/ctl.h"
#include "ctl/postfix_tell.h"

/* --- the store ---------------------------------------------------------------------------------------- */

struct wanted {
    const char *tpsp, *recipient; /* NULL: any */
    char *domain;                 /* "@example.com"; NULL: recipient is an address */
};

#define THESE                                                                           \
    " WHERE (?1 IS NULL OR tpsp = ?1) AND (?2 IS NULL OR recipient = ?2 COLLATE NOCASE" \
    " OR substr(recipient, -length(?3)) = ?3 COLLATE NOCASE)"

static void bind_wanted(sqlite3_stmt *statement, const struct wanted *wanted)
{
    if (wanted->tpsp != NULL)
        sqlite3_bind_text(statement, 1, wanted->tpsp, -1, SQLITE_STATIC);
    if (wanted->recipient != NULL)
        sqlite3_bind_text(statement, 2, wanted->recipient, -1, SQLITE_STATIC);
    if (wanted->domain != NULL)
        sqlite3_bind_text(statement, 3, wanted->domain, -1, SQLITE_STATIC);
}

/* How many; -1 with *error_r set. */
static int64_t make_due(struct store *store, const struct wanted *wanted, struct outcome *error_r)
{
    sqlite3_stmt *update =
        store_statement(store, "UPDATE deliveries SET due_ms = min(due_ms, ?4)" THESE, error_r);

    if (update == NULL)
        return -1;
    bind_wanted(update, wanted);
    sqlite3_bind_int64(update, 4, clock_realtime_ms());
    bool ok = store_run(store, update, error_r);
    int64_t count = sqlite3_changes(store_handle(store));
    sqlite3_clear_bindings(update);
    return ok ? count : -1;
}

static bool tell_ids(struct store *store, const struct wanted *wanted, struct postfix_tell *tell,
                     struct outcome *error_r)
{
    sqlite3_stmt *select = store_statement(store, "SELECT DISTINCT queue_id FROM deliveries" THESE, error_r);
    int row = -1;

    if (select == NULL)
        return false;
    bind_wanted(select, wanted);
    while ((row = store_step(store, select, error_r)) == 1)
        postfix_tell_one(tell, (const char *)sqlite3_column_text(select, 0));
    sqlite3_clear_bindings(select);
    return row == 0;
}

static enum ctl_status retry(struct ctl *ctl, const struct wanted *wanted, bool all,
                             struct postfix_tell *tell, int64_t *count_r)
{
    struct store *store = ctl_store(ctl);
    struct outcome error;

    if (store == NULL)
        return CTL_TROUBLE;
    if (wanted->tpsp != NULL && config_tpsp_by_name(ctl->config, wanted->tpsp) == NULL)
        return ctl_usage(ctl, "there is no tpsp \"%s\" in %s", wanted->tpsp, ctl->config_path);
    *count_r = make_due(store, wanted, &error);
    if (*count_r < 0)
        return ctl_fail(ctl, "%s", error.text);
    if (all || *count_r > POSTFIX_TELL_MAX)
        postfix_tell_all(tell);
    else if (!tell_ids(store, wanted, tell, &error))
        return ctl_fail(ctl, "%s", error.text);
    return CTL_OK;
}

static enum ctl_status run(struct ctl *ctl)
{
    bool all = ctl_option(ctl, "all") != NULL;
    struct wanted wanted = {.tpsp = ctl_option(ctl, "tpsp"), .recipient = ctl_option(ctl, "recipient")};
    struct postfix_tell tell;
    int64_t count = 0;

    if (ctl->operand_count > 0)
        return ctl_usage(ctl, "takes no operands: \"%s\"; deliveries retry takes a queue id",
                         ctl->operands[0]);
    if (all == (wanted.tpsp != NULL || wanted.recipient != NULL))
        return ctl_usage(ctl, "say --all, or which: --tpsp NAME, --recipient ADDRESS or DOMAIN");
    AUTO_FREE char *domain =
        wanted.recipient != NULL && (*wanted.recipient == '@' || strchr(wanted.recipient, '@') == NULL)
            ? xasprintf("@%s", wanted.recipient + (*wanted.recipient == '@'))
            : NULL;
    wanted.domain = domain;
    if (!postfix_tell_begin(&tell))
        return ctl_fail(ctl, "cannot start a process: %s", strerror(errno));
    enum ctl_status status = retry(ctl, &wanted, all, &tell, &count);
    bool told = postfix_tell_end(&tell);
    if (status != CTL_OK)
        return status;
    if (ctl->json) {
        struct json_object *object = json_object_new_object();
        json_object_object_add(object, "due", json_object_new_int64(count));
        json_object_object_add(object, "postfix_told", json_object_new_boolean(told));
        ctl_print_json(object);
    } else {
        printf("%lld due now%s\n", (long long)count,
               told ? ", and Postfix is told"
                    : "; Postfix could not be told, and comes when its own time is up");
    }
    return told ? CTL_OK : CTL_TROUBLE;
}

static const struct ctl_option options[] = {
    {"all", 'a', NULL, "everything that waits, and the rest of Postfix's queue"},
    {"tpsp", 't', "NAME", "what waits for this TPSP"},
    {"recipient", 'r', "ADDRESS", "what waits for this recipient, or domain"},
    {.name = NULL},
};

const struct ctl_command ctl_retry = {
    .name = "retry",
    .synopsis = "--all | [--tpsp NAME] [--recipient ADDRESS|DOMAIN]",
    .summary = "Make waiting messages due now, and tell Postfix to come with them",
    .examples = "  sendpostctl retry --all\n"
                "  sendpostctl retry --tpsp primary       # after the trouble with it is mended\n"
                "  sendpostctl retry --recipient example.com\n",
    .options = options,
    .run = run,
};
