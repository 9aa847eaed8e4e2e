#include "agent/correlation.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/correlation_private.h"
#include "base/xalloc.h"

#define GRACE_S 60
#define SILENCE_S (10u * 24 * 3600)
#define GRAVES 16384 /* removed entries that are kept for their minute */
#define HUGE_FROM (4u * 1024 * 1024)
#define SWEEP 16 /* entries that one call looks at for silence */

static uint64_t mix(uint64_t value)
{
    value ^= value >> 32;
    value *= UINT64_C(0xd6e8feb86659fd93);
    value ^= value >> 32;
    value *= UINT64_C(0xd6e8feb86659fd93);
    return value ^ (value >> 32);
}

static uint64_t hash_of(struct log_slice text)
{
    uint64_t hash = text.length;

    for (size_t at = 0; at < text.length; at += 8) {
        uint64_t part = 0;
        memcpy(&part, text.at + at, text.length - at < 8 ? text.length - at : 8);
        hash = mix(hash ^ part);
    }
    return hash != 0 ? hash : 1;
}

uint16_t correlation_instance(struct log_slice host, struct log_slice name)
{
    const char *slash = name.length > 0 ? memchr(name.at, '/', name.length) : NULL;

    if (slash != NULL)
        name.length = (size_t)(slash - name.at);
    return (uint16_t)((hash_of(host) & 0xff) << 8 | (hash_of(name) & 0xff));
}

/* --- the index: open addressing with linear probing; a free place is 0, else slot + 1 in the low
 * SLOT_BITS and some of the hash above them, so that few entries are looked at in vain: each is far
 * away in memory --- */

#define SLOT_BITS 21
#define SLOT_MASK ((UINT32_C(1) << SLOT_BITS) - 1)
_Static_assert(CORRELATION_LIMIT < SLOT_MASK, "a slot and one fit");

static uint32_t tag_of(uint64_t queue)
{
    return (uint32_t)(queue >> 32) & ~SLOT_MASK;
}

static void index_put(struct correlation *table, uint32_t slot)
{
    uint64_t queue = table->entries[slot].queue;
    uint32_t at = (uint32_t)queue & table->index_mask;

    while (table->index[at] != 0)
        at = (at + 1) & table->index_mask;
    table->index[at] = tag_of(queue) | (slot + 1);
}

/* Accesses are random: with large pages the processor finds them without walking the page table each time. */
static void advise(void *memory, size_t size)
{
    const uintptr_t page = 4096;
    uintptr_t begin = ((uintptr_t)memory + page - 1) & ~(page - 1),
              end = ((uintptr_t)memory + size) & ~(page - 1);

    if (size >= HUGE_FROM)
        madvise((void *)begin, end - begin, MADV_HUGEPAGE);
}

void correlation_index(struct correlation *table)
{
    uint32_t size = 2 * table->capacity;

    free(table->index);
    table->index = xcalloc(size, sizeof *table->index);
    advise(table->index, size * sizeof *table->index);
    table->index_mask = size - 1;
    for (uint32_t slot = 0; slot < table->used; slot++)
        if (table->entries[slot].queue != 0)
            index_put(table, slot);
}

/* Knuth, TAOCP volume 3, section 6.4, algorithm R: close the gap so that no probe ends at it too early. */
static void index_take(struct correlation *table, uint32_t slot)
{
    uint32_t mask = table->index_mask, gap = (uint32_t)table->entries[slot].queue & mask;

    while ((table->index[gap] & SLOT_MASK) != slot + 1)
        gap = (gap + 1) & mask;
    for (uint32_t at = (gap + 1) & mask; table->index[at] != 0; at = (at + 1) & mask) {
        uint32_t home = (uint32_t)table->entries[(table->index[at] & SLOT_MASK) - 1].queue & mask;
        if (((at - home) & mask) >= ((at - gap) & mask)) {
            table->index[gap] = table->index[at];
            gap = at;
        }
    }
    table->index[gap] = 0;
}

uint32_t correlation_find(const struct correlation *table, struct log_slice queue_id, uint16_t instance,
                          bool exact)
{
    uint64_t queue = hash_of(queue_id);
    uint32_t other = CORRELATION_NONE;

    for (uint32_t at = (uint32_t)queue & table->index_mask; table->index[at] != 0;
         at = (at + 1) & table->index_mask) {
        if ((table->index[at] & ~SLOT_MASK) != tag_of(queue))
            continue;
        uint32_t slot = (table->index[at] & SLOT_MASK) - 1;
        const struct correlation_entry *entry = &table->entries[slot];
        if (entry->queue != queue)
            continue;
        if (entry->instance == instance)
            return slot;
        if (!exact && (entry->instance ^ instance) < 0x100)
            other = slot;
    }
    return other;
}

/* --- entries ------------------------------------------------------------------------------------ */

struct correlation *correlation_open(uint32_t limit)
{
    struct correlation *table = xcalloc(1, sizeof *table);

    table->limit = limit;
    table->capacity = CORRELATION_BLOCK;
    table->entries = xcalloc(table->capacity, sizeof *table->entries);
    table->touched = xcalloc(table->capacity / CORRELATION_BLOCK, 1);
    table->free_slot = CORRELATION_NONE;
    table->graves = xcalloc(GRAVES, sizeof *table->graves);
    correlation_index(table);
    return table;
}

void correlation_close(struct correlation *table)
{
    if (table == NULL)
        return;
    free(table->entries);
    free(table->touched);
    free(table->index);
    free(table->graves);
    free(table);
}

void correlation_reserve(struct correlation *table, uint32_t capacity)
{
    if (capacity <= table->capacity)
        return;
    uint32_t old = table->capacity;
    while (table->capacity < capacity)
        table->capacity *= 2;
    /* large blocks are moved by mremap(2): neither copied nor held twice */
    table->entries = xrealloc(table->entries, table->capacity * sizeof *table->entries);
    advise(table->entries, table->capacity * sizeof *table->entries);
    table->touched = xrealloc(table->touched, table->capacity / CORRELATION_BLOCK);
    memset(table->touched + old / CORRELATION_BLOCK, 0, (table->capacity - old) / CORRELATION_BLOCK);
    correlation_index(table);
}

static uint32_t take_slot(struct correlation *table)
{
    uint32_t slot = table->free_slot;

    if (slot != CORRELATION_NONE) {
        table->free_slot = table->entries[slot].seen_s;
        return slot;
    }
    correlation_reserve(table, table->used + 1);
    return table->used++;
}

uint32_t correlation_add(struct correlation *table, struct log_slice queue_id, uint16_t instance,
                         uint32_t now_s)
{
    if (table->count >= table->limit)
        return CORRELATION_NONE;
    uint32_t slot = take_slot(table);
    *correlation_entry(table, slot) =
        (struct correlation_entry){.queue = hash_of(queue_id), .instance = instance, .seen_s = now_s};
    index_put(table, slot);
    table->count++;
    return slot;
}

struct correlation_entry *correlation_entry(struct correlation *table, uint32_t slot)
{
    table->touched[slot / CORRELATION_BLOCK] = 1;
    return &table->entries[slot];
}

const struct correlation_entry *correlation_peek(const struct correlation *table, uint32_t slot)
{
    return &table->entries[slot];
}

void correlation_free(struct correlation *table, uint32_t slot)
{
    if (table->entries[slot].queue == 0)
        return;
    index_take(table, slot);
    *correlation_entry(table, slot) = (struct correlation_entry){.seen_s = table->free_slot};
    table->free_slot = slot;
    table->count--;
}

/* --- death -------------------------------------------------------------------------------------- */

void correlation_bury(struct correlation *table, uint32_t slot)
{
    table->graves[(table->first_grave + table->grave_count) % GRAVES] =
        (struct correlation_grave){slot, table->entries[slot].seen_s};
    table->grave_count++;
}

void correlation_remove(struct correlation *table, uint32_t slot, uint32_t now_s)
{
    struct correlation_entry *entry = correlation_entry(table, slot);

    entry->flags |= CORRELATION_REMOVED;
    entry->seen_s = now_s;
    if (table->grave_count < GRAVES) /* else it dies of silence */
        correlation_bury(table, slot);
}

static uint32_t next_removed(struct correlation *table, uint32_t now_s)
{
    while (table->grave_count > 0) {
        struct correlation_grave grave = table->graves[table->first_grave];
        if (grave.removed_s + GRACE_S > now_s && table->grave_count < GRAVES - GRAVES / 8)
            return CORRELATION_NONE;
        table->first_grave = (table->first_grave + 1) % GRAVES;
        table->grave_count--;
        /* the queue id may be in use again by now */
        const struct correlation_entry *entry = &table->entries[grave.slot];
        if (entry->queue != 0 && (entry->flags & CORRELATION_REMOVED) && entry->seen_s == grave.removed_s)
            return grave.slot;
    }
    return CORRELATION_NONE;
}

/* The hand goes round and round; when the table is full, the most silent of those that it passes has to
 * go. */
static uint32_t next_silent(struct correlation *table, uint32_t now_s)
{
    bool full = table->count >= table->limit;
    uint32_t oldest = CORRELATION_NONE;

    for (uint32_t i = 0; i < SWEEP && table->used > 0; i++) {
        uint32_t slot = table->hand++ % table->used;
        const struct correlation_entry *entry = &table->entries[slot];
        if (entry->queue == 0)
            continue;
        if (entry->seen_s + SILENCE_S < now_s)
            return slot;
        if (oldest == CORRELATION_NONE || entry->seen_s < table->entries[oldest].seen_s)
            oldest = slot;
    }
    if (!full || oldest == CORRELATION_NONE)
        return CORRELATION_NONE;
    table->evicted++;
    return oldest;
}

uint32_t correlation_next_dead(struct correlation *table, uint32_t now_s)
{
    uint32_t slot = next_removed(table, now_s);

    return slot != CORRELATION_NONE ? slot : next_silent(table, now_s);
}

uint32_t correlation_latest(const struct correlation *table)
{
    uint32_t latest = 0;

    for (uint32_t slot = 0; slot < table->used; slot++)
        if (table->entries[slot].queue != 0 && table->entries[slot].seen_s > latest)
            latest = table->entries[slot].seen_s;
    return latest;
}

uint32_t correlation_count(const struct correlation *table)
{
    return table->count;
}

uint64_t correlation_evicted(const struct correlation *table)
{
    return table->evicted;
}
