#include "policy/suppression_intake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"

#define LOOK 32 /* changes between two looks at the clock */

struct suppression_intake_change {
    char *address;
    int64_t since_ms, changed_ms;
    uint32_t place; /* in which order they came */
    uint8_t reason;
    bool removed;
    char origin[SUPPRESSION_ORIGIN_SIZE];
};

void suppression_intake_put(struct suppression_intake *intake, const struct suppression_change *change)
{
    if (intake->count == intake->room) {
        intake->room = intake->room > 0 ? 2 * intake->room : 64;
        intake->changes = xrealloc(intake->changes, intake->room * sizeof *intake->changes);
    }
    struct suppression_intake_change *kept = &intake->changes[intake->count];
    *kept = (struct suppression_intake_change){.address = xstrdup(change->entry.address),
                                               .since_ms = change->entry.since_ms,
                                               .changed_ms = change->changed_ms,
                                               .place = (uint32_t)intake->count,
                                               .reason = (uint8_t)change->entry.reason,
                                               .removed = change->removed};
    memcpy(kept->origin, change->origin, sizeof kept->origin);
    intake->count++;
    intake->sorted = false;
}

static int by_address(const void *left, const void *right)
{
    const struct suppression_intake_change *a = left, *b = right;
    int order = strcmp(a->address, b->address);

    return order != 0 ? order : a->place < b->place ? -1 : 1;
}

static int apply_one(const struct suppression_intake_change *kept, struct store *store, const char *self,
                     struct outcome *error_r)
{
    struct suppression_change change = {
        .entry = {.reason = (enum suppression_reason)kept->reason, .since_ms = kept->since_ms},
        .removed = kept->removed,
        .changed_ms = kept->changed_ms,
        .heard = true};

    snprintf(change.entry.address, sizeof change.entry.address, "%s", kept->address);
    memcpy(change.origin, kept->origin, sizeof change.origin);
    return suppression_journal_apply(store, &change, self, error_r);
}

/* One transaction. */
static bool apply_some(struct suppression_intake *intake, struct store *store, const char *self,
                       uint64_t *counted, struct outcome *error_r)
{
    size_t next = intake->applied;
    uint64_t count = 0;
    int result = 0;

    if (!store_begin(store, STORE_NORMAL, error_r))
        return false;
    int64_t end_ms = clock_monotonic_ms() + STORE_TURN_MS;
    while (next < intake->count && (next % LOOK != 0 || clock_monotonic_ms() < end_ms)) {
        result = apply_one(&intake->changes[next++], store, self, error_r);
        if (result < 0)
            break;
        count += (unsigned)result;
    }
    if (result < 0 || !store_commit(store, error_r)) {
        store_rollback(store);
        return false;
    }
    intake->applied = next;
    *counted += count;
    return true;
}

bool suppression_intake_apply(struct suppression_intake *intake, struct store *store, const char *self,
                              int64_t deadline_ms, uint64_t *counted, struct outcome *error_r)
{
    if (!intake->sorted && intake->count > 0)
        qsort(intake->changes, intake->count, sizeof *intake->changes, by_address);
    intake->sorted = true;
    while (intake->applied < intake->count) {
        if (!apply_some(intake, store, self, counted, error_r))
            return false;
        if (intake->applied == intake->count)
            break;
        if (clock_monotonic_ms() >= deadline_ms)
            return true;
        store_give_way();
    }
    suppression_intake_clear(intake);
    return true;
}

void suppression_intake_clear(struct suppression_intake *intake)
{
    for (size_t i = 0; i < intake->count; i++)
        free(intake->changes[i].address);
    free(intake->changes);
    *intake = (struct suppression_intake){0};
}
