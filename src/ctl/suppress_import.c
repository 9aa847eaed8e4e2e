/* sendpostctl suppress import: a list of millions, in batches that are sorted first. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "ctl/suppress.h"
#include "policy/suppression_file.h"

#define BATCH_ENTRIES 1000000 /* read and sorted in memory at once: about 100 MB */
#define LOOK 32               /* entries between two looks at the clock */
#define PROGRESS_LINES 20000
#define ERRORS_SHOWN 20
#define BAR_WIDTH 40

struct import {
    struct ctl *ctl;
    struct store *store;
    const char *name;
    FILE *stream;
    int64_t size; /* of the file; 0 when it is none */
    struct suppression_file file;
    uint64_t lines, imported, rejected;
    struct batch_entry {
        char *address;
        uint64_t line;
        int64_t since_ms;
        enum suppression_reason reason;
    } * batch;
    size_t count;
    int64_t turn_ends_ms;
};

static void show_progress(const struct import *import, const char *doing)
{
    int64_t done = import->size > 0 ? ftello(import->stream) : 0;
    int percent = import->size > 0 && done >= 0 ? (int)(done * 100 / import->size) : 0;
    int filled = percent * BAR_WIDTH / 100;

    if (import->size == 0 || !isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\r[%.*s%.*s] %3d %%  %" PRIu64 " lines, %s ", filled,
            "########################################", BAR_WIDTH - filled,
            "........................................", percent, import->lines, doing);
}

static void end_progress(const struct import *import)
{
    if (import->size > 0 && isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

static int by_address_and_line(const void *left, const void *right)
{
    const struct batch_entry *a = left, *b = right;
    int order = strcmp(a->address, b->address);

    return order != 0 ? order : a->line < b->line ? -1 : 1;
}

static bool add(struct import *import, const struct batch_entry *line, struct outcome *error_r)
{
    struct suppression entry = {.reason = line->reason, .since_ms = line->since_ms};

    snprintf(entry.address, sizeof entry.address, "%s", line->address);
    return suppression_add(import->store, &entry, error_r);
}

static bool begin_turn(struct import *import, struct outcome *error_r)
{
    import->turn_ends_ms = clock_monotonic_ms() + STORE_TURN_MS;
    return store_begin(import->store, STORE_NORMAL, error_r);
}

/* Deliveries have theirs in between. */
static bool next_turn(struct import *import, struct outcome *error_r)
{
    if (!store_commit(import->store, error_r))
        return false;
    show_progress(import, "writing");
    store_give_way();
    return begin_turn(import, error_r);
}

/* Sorted, so that the tree of the table grows at one end instead of everywhere; the later line counts. */
static bool write_batch(struct import *import, struct outcome *error_r)
{
    bool ok = import->count == 0 || begin_turn(import, error_r);

    qsort(import->batch, import->count, sizeof *import->batch, by_address_and_line);
    for (size_t i = 0; ok && i < import->count; i++)
        ok = add(import, &import->batch[i], error_r) &&
             (i % LOOK != 0 || clock_monotonic_ms() < import->turn_ends_ms || next_turn(import, error_r));
    if (ok && import->count > 0)
        ok = store_commit(import->store, error_r);
    else
        store_rollback(import->store);
    if (ok)
        import->imported += import->count;
    for (size_t i = 0; i < import->count; i++)
        free(import->batch[i].address);
    import->count = 0;
    return ok;
}

static void reject(struct import *import, const char *why)
{
    if (import->rejected++ == 0)
        end_progress(import);
    if (import->rejected <= ERRORS_SHOWN)
        fprintf(stderr, "%s:%" PRIu64 ": %s\n", import->name, import->lines, why);
    else if (import->rejected == ERRORS_SHOWN + 1)
        fprintf(stderr, "%s: further errors are only counted\n", import->name);
}

static bool read_lines(struct import *import, struct outcome *error_r)
{
    AUTO_FREE char *line = NULL;
    size_t size = 0;
    const char *why;
    struct suppression entry;
    ssize_t length;

    while ((length = getline(&line, &size, import->stream)) >= 0) {
        import->lines++;
        if (strlen(line) != (size_t)length) {
            reject(import, "a NUL byte");
            continue;
        }
        switch (suppression_file_read(&import->file, line, &entry, &why)) {
        case SUPPRESSION_ENTRY:
            import->batch[import->count++] =
                (struct batch_entry){xstrdup(entry.address), import->lines, entry.since_ms, entry.reason};
            break;
        case SUPPRESSION_ERROR:
            reject(import, why);
            break;
        case SUPPRESSION_NOTHING:
            break;
        }
        if (import->lines % PROGRESS_LINES == 0)
            show_progress(import, "reading");
        if (import->count == BATCH_ENTRIES && !write_batch(import, error_r))
            return false;
    }
    if (ferror(import->stream)) {
        outcome_local(error_r, "4.3.0", "%s: %s", import->name, strerror(errno));
        return false;
    }
    return write_batch(import, error_r);
}

static enum ctl_status import_stream(struct ctl *ctl, const char *name, FILE *stream)
{
    if (ctl_config(ctl) == NULL)
        return CTL_TROUBLE;
    struct import import = {.ctl = ctl,
                            .name = name,
                            .stream = stream,
                            .file.match = suppression_match(ctl_config(ctl)),
                            .file.since_ms = clock_realtime_ms()};
    struct stat status;
    struct outcome error;

    if (!suppress_reason(ctl, &import.file.reason))
        return CTL_USAGE;
    import.store = ctl_store(ctl);
    if (import.store == NULL)
        return CTL_TROUBLE;
    if (fstat(fileno(stream), &status) == 0 && S_ISREG(status.st_mode))
        import.size = status.st_size;
    import.batch = xcalloc(BATCH_ENTRIES, sizeof *import.batch);
    bool ok = read_lines(&import, &error);
    end_progress(&import);
    free(import.batch);
    if (ctl->json) {
        struct json_object *counts = json_object_new_object();
        json_object_object_add(counts, "imported", json_object_new_int64((int64_t)import.imported));
        json_object_object_add(counts, "rejected", json_object_new_int64((int64_t)import.rejected));
        ctl_print_json(counts);
    } else {
        printf("%" PRIu64 " imported, %" PRIu64 " rejected\n", import.imported, import.rejected);
    }
    if (!ok)
        return ctl_fail(ctl, "%s", error.text);
    return import.rejected > 0 ? CTL_TROUBLE : CTL_OK;
}

enum ctl_status suppress_import(struct ctl *ctl, const char *name)
{
    if (strcmp(name, "-") == 0)
        return import_stream(ctl, "standard input", stdin);
    AUTO_FCLOSE FILE *stream = fopen(name, "re");
    if (stream == NULL)
        return ctl_fail(ctl, "%s: %s", name, strerror(errno));
    return import_stream(ctl, name, stream);
}
