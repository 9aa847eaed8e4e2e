/* The inside of correlation: shared by correlation.c (memory) and correlation_store.c (disk), nobody
 * else's. */
#ifndef SENDPOST_AGENT_CORRELATION_PRIVATE_H
#define SENDPOST_AGENT_CORRELATION_PRIVATE_H

#include "agent/correlation.h"

#define CORRELATION_BLOCK 64 /* entries: 2 KB, of which SQLite puts one on a page without overflow */

struct correlation_grave {
    uint32_t slot, removed_s;
};

struct correlation {
    uint32_t limit;    /* most entries at once */
    uint32_t count;    /* entries in use */
    uint32_t used;     /* slots ever given out; those in use and those free are below */
    uint32_t capacity; /* a power of two times CORRELATION_BLOCK */
    struct correlation_entry *entries;
    unsigned char *touched; /* one a block */
    uint32_t free_slot;     /* the list of free slots, linked by seen_s */
    uint32_t *index, index_mask;
    struct correlation_grave *graves; /* a ring of removed entries, oldest first */
    uint32_t first_grave, grave_count;
    uint32_t hand;
    uint64_t evicted;
};

void correlation_index(struct correlation *table);
void correlation_reserve(struct correlation *table, uint32_t capacity);
void correlation_bury(struct correlation *table, uint32_t slot);

#endif
