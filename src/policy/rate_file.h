/*
 * rate_file: STATE_DIR/rates, the file behind rate_table: its layout, its creation and its replacement.
 *
 * A file is used only if it has our magic number, the exact size and the id of the current boot. Any other is
 * replaced by a new file that is complete before rename(2) puts it in its place, under a lock (flock(2) on
 * the directory, which dies with its holder), so that a hundred processes may start at once:
 *
 *   file of an earlier boot   its rate entries are carried over, see below
 *   truncated, foreign, of another version, missing     a fresh one
 *
 * A fresh file knows nothing: after the loss of the file each limit may be used up once more within the
 * window that was running. Nothing worse follows, whatever bytes a file holds: rate_limit.h shows that no
 * content lets through more than a fresh file does.
 *
 * A file that is replaced is marked first (RATE_MAGIC_RETIRED), and a truncated mapping becomes zeroes
 * (map_guard): whoever still has it mapped sees that it is no longer the file, before and after each use.
 *
 * Reboot. Times are nanoseconds since boot (CLOCK_BOOTTIME), which no step of the wall clock touches. From an
 * earlier boot we know for each word when the file was last seen in use, hence what was left to wait at most
 * then; that is counted again from when the file is first used in the new boot, for less may have passed in
 * between. Not from the boot itself: another boot id does not mean that the clock began anew. A container
 * gets an id of its own at each start and keeps the clock of its host, and a volume moves to a machine that
 * has been up for months. A power cut may also have lost the last changes of the file. Words that wait for
 * RATE_SYNC_NS or longer are therefore flushed to disk before their slot is used; the others are taken to
 * have been used just before: nothing is free before RATE_SYNC_NS after that first use.
 */
#ifndef SENDPOST_POLICY_RATE_FILE_H
#define SENDPOST_POLICY_RATE_FILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/outcome.h"

#define RATE_WORDS 24      /* a round number for 256 bytes an entry; RATE_BURST_MAX is the same */
#define RATE_ENTRIES 4096u /* 28 limits of each of 146 TPSPs */
#define RATE_PROBES 64u    /* places where an entry may be found */
#define RATE_LABEL_SIZE 48
#define RATE_BOOT_ID_SIZE 40
#define RATE_SYNC_NS INT64_C(60000000000)
#define RATE_WINDOW_MAX_NS (400 * 86400 * INT64_C(1000000000))

#define RATE_MAGIC UINT64_C(0x3130534554415253)         /* "SRATES01", the last two are the version */
#define RATE_MAGIC_RETIRED UINT64_C(0x5858534554415253) /* "SRATESXX" */

#define RATE_WINDOW_KEPT INT64_C(-1)    /* instead of a window: words that outlive a reboot */
#define RATE_WINDOW_SCRATCH INT64_C(-2) /* ... that may be lost at any time */
#define RATE_WINDOW_SLOWED INT64_C(-3)  /* as RATE_WINDOW_KEPT, and the first is one of slow_down_law.h */
#define RATE_KEPT_TIMES 16              /* of both that are kept: from this word on they are times */

#define RATE_HASH_EMPTY 0u
#define RATE_HASH_CLAIMED 1u /* its words are being rewritten, or their writer died over it */

struct rate_entry {
    _Atomic uint64_t hash; /* published last; everything but the words is constant while it stands */
    /* > 0: the words are times; 0: the words mean something else, and do not outlive a reboot; or one of
     * RATE_WINDOW_… */
    int64_t window_ns;
    char label[RATE_LABEL_SIZE];
    _Atomic int64_t words[RATE_WORDS];
};

struct rate_file {
    _Atomic uint64_t magic;
    int64_t free_from_ns;    /* carried over from an earlier boot: nothing is free before; else 0 */
    _Atomic int64_t seen_ns; /* a time, at most a second before the last use */
    char boot_id[RATE_BOOT_ID_SIZE];
    _Atomic uint64_t kept;                        /* changes in entries that are kept */
    char reserved[4096 - 32 - RATE_BOOT_ID_SIZE]; /* entries begin on a page */
    struct rate_entry entries[RATE_ENTRIES];
};

static inline bool rate_window_is_kept(int64_t window_ns)
{
    return window_ns == RATE_WINDOW_KEPT || window_ns == RATE_WINDOW_SLOWED;
}

/*
 * Map the file of state_dir, after creating or replacing it where needed. *descriptor_r stays open with it.
 * now: the time since this boot. NULL with *error_r set on failure.
 */
struct rate_file *rate_file_map(const char *state_dir, const char *boot_id, int64_t now, int *descriptor_r,
                                struct outcome *error_r) __attribute__((nonnull));
void rate_file_unmap(struct rate_file *file); /* NULL is fine */

/* The lock under which files are replaced and entries are added: the descriptor of a file that nobody else
 * can open, for a reader of it could hold the lock as well. close() releases it. -1 with *error_r set. */
int rate_file_lock(const char *state_dir, struct outcome *error_r) __attribute__((nonnull));

#endif
