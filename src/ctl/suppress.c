/* sendpostctl suppress: the list of addresses and domains that get no mail. See policy/suppression.h. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/xalloc.h"
#include "ctl/people.h"
#include "ctl/suppress.h"
#include "policy/suppression_file.h"

#define LISTED 1000 /* addresses */

/* --- add, rm, check -------------------------------------------------------------------------------- */

static struct json_object *entry_to_json(const struct suppression *entry)
{
    struct json_object *object = json_object_new_object();

    json_object_object_add(object, "address", json_object_new_string(entry->address));
    json_object_object_add(object, "reason", json_object_new_string(suppression_reason_name(entry->reason)));
    json_add_time(object, "since", entry->since_ms);
    return object;
}

/* The operands in normal form, before anything is done with the first. */
static enum ctl_status normalise_all(struct ctl *ctl, struct suppression *entries, size_t count)
{
    const struct config *config = ctl_config(ctl);
    const char *why;

    if (config == NULL)
        return CTL_TROUBLE;
    for (size_t i = 0; i < count; i++)
        if (!suppression_normalise(ctl->operands[i + 1], suppression_match(config), entries[i].address, &why))
            return ctl_usage(ctl, "\"%s\" is no address or domain: %s", ctl->operands[i + 1], why);
    return CTL_OK;
}

bool suppress_reason(const struct ctl *ctl, enum suppression_reason *reason_r)
{
    const char *reason = ctl_option(ctl, "reason");

    if (reason == NULL || suppression_reason_by_name(reason, reason_r))
        return true;
    ctl_usage(ctl, "--reason is one of manual, unsubscribe, hard-bounce, spam-complaint");
    return false;
}

static enum ctl_status end(struct ctl *ctl, struct json_object *answers, enum ctl_status status)
{
    if (ctl->json)
        ctl_print_json(answers);
    else
        json_object_put(answers);
    return status;
}

/* What was gathered is no answer. */
static enum ctl_status fail(struct ctl *ctl, struct json_object *answers, const struct outcome *error)
{
    json_object_put(answers);
    return ctl_fail(ctl, "%s", error->text);
}

static enum ctl_status add(struct ctl *ctl, struct store *store, struct suppression *entries, size_t count)
{
    enum suppression_reason reason = SUPPRESSION_MANUAL;
    struct outcome error;

    if (!suppress_reason(ctl, &reason))
        return CTL_USAGE;
    struct json_object *added = json_object_new_array();
    for (size_t i = 0; i < count; i++) {
        entries[i].reason = reason;
        entries[i].since_ms = clock_realtime_ms();
        if (!suppression_add(store, &entries[i], &error))
            return fail(ctl, added, &error);
        json_object_array_add(added, entry_to_json(&entries[i]));
        if (!ctl->json)
            printf("%s suppressed (%s)\n", entries[i].address, suppression_reason_name(reason));
    }
    return end(ctl, added, CTL_OK);
}

static struct json_object *answer_to_json(const struct suppression *asked, const struct suppression *found)
{
    struct json_object *answer = json_object_new_object();

    json_object_object_add(answer, "address", json_object_new_string(asked->address));
    json_object_object_add(answer, "suppressed", json_object_new_boolean(found != NULL));
    if (found != NULL)
        json_object_object_add(answer, "by", entry_to_json(found));
    return answer;
}

/* In both forms of an internationalised domain: either would go on to stop both. */
static int remove_entry(struct ctl *ctl, struct store *store, const char *address, struct outcome *error_r)
{
    unsigned match = suppression_match(ctl_config(ctl));
    char other[ADDRESS_SIZE];
    int removed = suppression_remove(store, address, match, error_r), more = 0;

    if (removed >= 0 && suppression_other_form(address, other))
        more = suppression_remove(store, other, match, error_r);
    return removed < 0 || more < 0 ? -1 : removed | more;
}

static enum ctl_status del(struct ctl *ctl, struct store *store, struct suppression *entries, size_t count)
{
    struct json_object *removed = json_object_new_array();
    enum ctl_status status = CTL_OK;
    struct outcome error;

    for (size_t i = 0; i < count; i++) {
        int result = remove_entry(ctl, store, entries[i].address, &error);
        if (result < 0)
            return fail(ctl, removed, &error);
        if (result == 0) {
            status = ctl_fail(ctl, "%s is not on the list", entries[i].address);
            continue;
        }
        json_object_array_add(removed, answer_to_json(&entries[i], NULL));
        if (!ctl->json)
            printf("%s no longer suppressed\n", entries[i].address);
    }
    return end(ctl, removed, status);
}

/* Not well is what is suppressed: no mail goes there. */
static enum ctl_status check(struct ctl *ctl, struct store *store, struct suppression *entries, size_t count)
{
    unsigned match = suppression_match(ctl_config(ctl));
    struct json_object *answers = json_object_new_array();
    enum ctl_status status = CTL_OK;
    char since[CLOCK_RFC3339_SIZE];
    struct outcome error;

    for (size_t i = 0; i < count; i++) {
        struct suppression found;
        int result = suppression_find(store, entries[i].address, match, &found, &error);
        if (result < 0)
            return fail(ctl, answers, &error);
        json_object_array_add(answers, answer_to_json(&entries[i], result > 0 ? &found : NULL));
        status = result > 0 ? CTL_TROUBLE : status;
        if (ctl->json)
            continue;
        if (result > 0)
            printf("%s suppressed by %s (%s since %.10s)\n", entries[i].address, found.address,
                   suppression_reason_name(found.reason), clock_rfc3339(found.since_ms, since));
        else
            printf("%s not suppressed\n", entries[i].address);
    }
    return end(ctl, answers, status);
}

/* --- list ------------------------------------------------------------------------------------------- */

/* A part of the address, or with * and ? what the whole of it looks like. */
static char *make_pattern(const char *text)
{
    return strpbrk(text, "*?") != NULL ? xstrdup(text) : xasprintf("*%s*", text);
}

/* As deliveries compare addresses. */
static sqlite3_stmt *matching(struct ctl *ctl, struct store *store, struct outcome *error_r)
{
    return store_statement(
        store,
        (suppression_match(ctl_config(ctl)) & SUPPRESSION_CASE_SENSITIVE) != 0
            ? "SELECT address, reason, since_ms FROM suppression WHERE address GLOB ? ORDER BY address"
            : "SELECT address, reason, since_ms FROM suppression WHERE lower(address) GLOB lower(?)"
              " ORDER BY address",
        error_r);
}

static enum ctl_status list(struct ctl *ctl)
{
    static const char *const headers[] = {"ADDRESS", "REASON", "SINCE"};
    AUTO_FREE char *pattern = make_pattern(ctl->operand_count > 1 ? ctl->operands[1] : "");
    struct store *store = ctl_store(ctl);
    bool for_people = people_look() && !ctl->verbose;
    struct outcome error;
    int step = -1;
    size_t count = 0;

    if (store == NULL)
        return CTL_TROUBLE;
    struct json_object *found = json_object_new_array();
    struct ctl_table *table = ctl->json ? NULL : ctl_table_new(3, headers);
    sqlite3_stmt *rows = matching(ctl, store, &error);
    if (rows != NULL)
        sqlite3_bind_text(rows, 1, pattern, -1, SQLITE_STATIC);
    while (rows != NULL && (step = store_step(store, rows, &error)) > 0 && count++ < LISTED) {
        struct suppression entry = {.reason = (enum suppression_reason)sqlite3_column_int(rows, 1),
                                    .since_ms = sqlite3_column_int64(rows, 2)};
        char since[CLOCK_RFC3339_SIZE];
        snprintf(entry.address, sizeof entry.address, "%s", (const char *)sqlite3_column_text(rows, 0));
        json_object_array_add(found, entry_to_json(&entry));
        if (table != NULL)
            ctl_table_row(table, (const char *const[]){entry.address, suppression_reason_name(entry.reason),
                                                       for_people ? people_time(entry.since_ms, since)
                                                                  : clock_rfc3339(entry.since_ms, since)});
    }
    if (rows != NULL) {
        sqlite3_reset(rows);
        sqlite3_clear_bindings(rows);
    }
    if (!ctl->json)
        ctl_table_print(table);
    if (step > 0)
        fprintf(stderr, "the first %d; a pattern shows fewer, and export has all\n", LISTED);
    return step >= 0 ? end(ctl, found, CTL_OK) : fail(ctl, found, &error);
}

/* --- export ----------------------------------------------------------------------------------------- */

static bool export_rows(struct ctl *ctl, struct store *store, FILE *stream)
{
    struct ctl_json_rows array = {.stream = stream};
    struct outcome error;
    sqlite3_stmt *rows =
        store_statement(store, "SELECT address, reason, since_ms FROM suppression ORDER BY address", &error);
    int step = -1;

    if (rows != NULL && !ctl->json)
        fputs(SUPPRESSION_FILE_HEADER "\n", stream);
    while (rows != NULL && (step = store_step(store, rows, &error)) > 0) {
        struct suppression entry = {.reason = (enum suppression_reason)sqlite3_column_int(rows, 1),
                                    .since_ms = sqlite3_column_int64(rows, 2)};
        snprintf(entry.address, sizeof entry.address, "%s", (const char *)sqlite3_column_text(rows, 0));
        if (ctl->json) {
            ctl_json_row(&array, entry_to_json(&entry));
        } else {
            AUTO_FREE char *line = suppression_file_line(&entry);
            fprintf(stream, "%s\n", line);
        }
    }
    if (step < 0)
        ctl_fail(ctl, "%s", error.text);
    if (ctl->json)
        ctl_json_rows_end(&array, step == 0);
    return step == 0;
}

static enum ctl_status export_file(struct ctl *ctl, const char *name)
{
    bool to_stdout = strcmp(name, "-") == 0;
    int descriptor = to_stdout ? -1 : open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    FILE *stream = to_stdout ? stdout : descriptor < 0 ? NULL : fdopen(descriptor, "w");

    if (stream == NULL)
        return ctl_fail(ctl, "%s: %s", name, strerror(errno));
    struct store *store = ctl_store(ctl);
    if (store == NULL || (!to_stdout && ftruncate(descriptor, 0) != 0 && errno != EINVAL)) {
        if (store != NULL)
            ctl_fail(ctl, "%s: %s", name, strerror(errno));
        if (!to_stdout)
            fclose(stream);
        return CTL_TROUBLE;
    }
    bool read = export_rows(ctl, store, stream);
    bool written = fflush(stream) == 0 && !ferror(stream);
    int reason = errno;
    if (!to_stdout && fclose(stream) != 0 && written) {
        reason = errno;
        written = false;
    }
    if (!read)
        return CTL_TROUBLE;
    return written ? CTL_OK : ctl_fail(ctl, "%s: %s; the list is not complete", name, strerror(reason));
}

/* --- the command ------------------------------------------------------------------------------------ */

static enum ctl_status run(struct ctl *ctl)
{
    static const struct {
        const char *verb;
        enum ctl_status (*on_entries)(struct ctl *, struct store *, struct suppression *, size_t);
        enum ctl_status (*on_file)(struct ctl *, const char *);
    } verbs[] = {{"add", add, NULL},
                 {"rm", del, NULL},
                 {"del", del, NULL},
                 {"check", check, NULL},
                 {"import", NULL, suppress_import},
                 {"export", NULL, export_file}};

    if (ctl->operand_count > 0 && strcmp(ctl->operands[0], "list") == 0)
        return ctl->operand_count <= 2 ? list(ctl) : ctl_usage(ctl, "list takes one pattern, or none");
    for (size_t i = 0; ctl->operand_count > 0 && i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(ctl->operands[0], verbs[i].verb) != 0)
            continue;
        if (verbs[i].on_file != NULL) {
            bool optional = verbs[i].on_file == export_file && ctl->operand_count == 1;
            return optional || ctl->operand_count == 2
                       ? verbs[i].on_file(ctl, optional ? "-" : ctl->operands[1])
                       : ctl_usage(ctl, "%s takes one file, or - for standard input or output",
                                   verbs[i].verb);
        }
        if (ctl->operand_count < 2)
            return ctl_usage(ctl, "%s takes addresses or domains", verbs[i].verb);
        size_t count = ctl->operand_count - 1;
        AUTO_FREE struct suppression *entries = xcalloc(count, sizeof *entries);
        enum ctl_status status = normalise_all(ctl, entries, count);
        if (status != CTL_OK)
            return status;
        struct store *store = ctl_store(ctl);
        return store != NULL ? verbs[i].on_entries(ctl, store, entries, count) : CTL_TROUBLE;
    }
    return ctl_usage(ctl, "first comes add, rm, check, list, import or export");
}

static const struct ctl_option options[] = {
    {"reason", 'r', "REASON", "manual, unsubscribe, hard-bounce or spam-complaint (manual)"},
    {.name = NULL},
};

const struct ctl_command ctl_suppress = {
    .name = "suppress",
    .synopsis = "add|rm|check ADDRESS… | list [PATTERN] | import FILE | export [FILE] [--reason R]",
    .summary = "Addresses and domains that get no mail",
    .examples = "  sendpostctl suppress add user@example.com example.net --reason unsubscribe\n"
                "  sendpostctl suppress check user@example.com\n"
                "  sendpostctl suppress list @example.com\n"
                "  sendpostctl suppress rm user@example.com\n"
                "  sendpostctl suppress import complaints.csv --reason spam-complaint\n"
                "  sendpostctl suppress export backup.csv\n",
    .options = options,
    .run = run,
};
