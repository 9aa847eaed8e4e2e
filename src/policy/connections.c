#include "policy/connections.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/state_dir.h"
#include "base/xalloc.h"

#define NAME "connections"
#define ROOM 0x10000     /* bytes of one TPSP */
#define SLOTS (ROOM - 1) /* the byte behind the slots says that one is wanted */
#define CONFIRMED 0x8000 /* the byte of a slot that is confirmed, from that of the slot on */
#define NO_LEASE (-1)

_Static_assert(CONNECTIONS_MAX < CONFIRMED && CONFIRMED + CONNECTIONS_MAX < SLOTS,
               "each byte has one meaning");

struct connections_desk {
    const struct config *config;
    int file;        /* -1: not opened yet */
    int *slots;      /* by TPSP: the slot that is held */
    bool *confirmed; /* by TPSP: the one that is held is */
    unsigned *of;    /* by TPSP: the limit when one was asked for last */
    bool *waiting;   /* by TPSP: it is said that one is wanted */
    void (*end_session)(void *context, const struct config_tpsp *tpsp);
    void *context;
};

struct connections_desk *connections_open(const struct config *config)
{
    struct connections_desk *desk = xcalloc(1, sizeof *desk);

    desk->config = config;
    desk->file = -1;
    desk->slots = xcalloc(config->tpsp_count, sizeof *desk->slots);
    desk->confirmed = xcalloc(config->tpsp_count, sizeof *desk->confirmed);
    desk->of = xcalloc(config->tpsp_count, sizeof *desk->of);
    desk->waiting = xcalloc(config->tpsp_count, sizeof *desk->waiting);
    for (size_t i = 0; i < config->tpsp_count; i++)
        desk->slots[i] = NO_LEASE;
    return desk;
}

void connections_close(struct connections_desk *desk)
{
    if (desk == NULL)
        return;
    if (desk->file >= 0)
        close(desk->file);
    free(desk->slots);
    free(desk->confirmed);
    free(desk->of);
    free(desk->waiting);
    free(desk);
}

/* --- the file --------------------------------------------------------------------------------- */

static bool is_there(const struct connections_desk *desk)
{
    struct stat status;

    return desk->file >= 0 && fstat(desk->file, &status) == 0 && status.st_nlink > 0;
}

/* The file that others find under that name, too. */
static bool ready(struct connections_desk *desk, struct outcome *error_r)
{
    if (is_there(desk))
        return true;
    if (desk->file >= 0)
        close(desk->file);
    desk->file = -1;
    for (size_t i = 0; i < desk->config->tpsp_count; i++) {
        desk->slots[i] = NO_LEASE;
        desk->confirmed[i] = false;
        desk->waiting[i] = false;
    }
    AUTO_FREE char *path = xasprintf("%s/%s", desk->config->state_dir, NAME);
    desk->file = state_dir_open(path, O_RDWR | O_CREAT, error_r);
    return desk->file >= 0;
}

/* Where the bytes of a TPSP begin. FNV-1a: two share them by chance only, and then their limits. */
static off_t room_of(const struct config_tpsp *tpsp)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (const char *at = tpsp->name; *at != '\0'; at++)
        hash = (hash ^ (unsigned char)*at) * UINT64_C(0x100000001b3);
    return (off_t)((hash & UINT64_C(0x3fffffffffff)) * ROOM);
}

/* False with errno set. */
static bool lock(const struct connections_desk *desk, short type, off_t at)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};

    return fcntl(desk->file, F_OFD_SETLK, &lock) == 0;
}

/* Whether another holds any byte of these. */
static bool locked(const struct connections_desk *desk, off_t at, off_t length)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = length};

    return fcntl(desk->file, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static unsigned count_locked(const struct connections_desk *desk, off_t from, unsigned slots)
{
    unsigned count = 0;

    if (!locked(desk, from, slots))
        return 0;
    for (unsigned i = 0; i < slots; i++)
        count += locked(desk, from + i, 1);
    return count;
}

/* --- leases ----------------------------------------------------------------------------------- */

static size_t index_of(const struct connections_desk *desk, const struct config_tpsp *tpsp)
{
    return (size_t)(tpsp - desk->config->tpsps);
}

static void want(struct connections_desk *desk, const struct config_tpsp *tpsp, bool wanted)
{
    bool *waiting = &desk->waiting[index_of(desk, tpsp)];

    if (*waiting != wanted && lock(desk, wanted ? F_RDLCK : F_UNLCK, room_of(tpsp) + SLOTS))
        *waiting = wanted;
}

enum connections_answer connections_take(struct connections_desk *desk, const struct config_tpsp *tpsp,
                                         unsigned limit, struct outcome *error_r)
{
    int *held = &desk->slots[index_of(desk, tpsp)];
    off_t room = room_of(tpsp);

    if (limit > CONNECTIONS_MAX)
        limit = CONNECTIONS_MAX;
    desk->of[index_of(desk, tpsp)] = limit;
    if (limit == 0)
        return CONNECTIONS_HELD;
    if (!ready(desk, error_r))
        return CONNECTIONS_TROUBLE;
    if (*held != NO_LEASE)
        return CONNECTIONS_HELD;
    bool above = locked(desk, room + limit, CONNECTIONS_MAX - limit + 1);
    for (unsigned i = 0, first = (unsigned)getpid(); i < limit; i++) {
        unsigned slot = (first + i) % limit;
        if (lock(desk, F_WRLCK, room + slot)) {
            if (above && count_locked(desk, room, CONNECTIONS_MAX) >= limit) {
                lock(desk, F_UNLCK, room + slot); /* of two who do this at once both may come back later */
                break;
            }
            *held = (int)slot;
            want(desk, tpsp, false);
            return CONNECTIONS_TAKEN;
        }
        if (errno != EAGAIN && errno != EACCES) {
            outcome_local(error_r, "4.3.0", "cannot lock %s/%s: %s", desk->config->state_dir, NAME,
                          strerror(errno));
            return CONNECTIONS_TROUBLE;
        }
    }
    want(desk, tpsp, true);
    return CONNECTIONS_NONE_FREE;
}

bool connections_is_within(const struct connections_desk *desk, const struct config_tpsp *tpsp,
                           unsigned limit)
{
    return connections_is_held(desk, tpsp) && count_locked(desk, room_of(tpsp), CONNECTIONS_MAX) < limit;
}

void connections_on_let_go(struct connections_desk *desk,
                           void (*end_session)(void *context, const struct config_tpsp *tpsp), void *context)
{
    desk->end_session = end_session;
    desk->context = context;
}

void connections_let_go(struct connections_desk *desk, const struct config_tpsp *tpsp)
{
    int *held = &desk->slots[index_of(desk, tpsp)];
    bool *confirmed = &desk->confirmed[index_of(desk, tpsp)];

    if (*held != NO_LEASE && desk->end_session != NULL)
        desk->end_session(desk->context, tpsp);
    if (*held != NO_LEASE && *confirmed)
        lock(desk, F_UNLCK, room_of(tpsp) + CONFIRMED + *held);
    if (*held != NO_LEASE)
        lock(desk, F_UNLCK, room_of(tpsp) + *held);
    *held = NO_LEASE;
    *confirmed = false;
}

bool connections_confirm(struct connections_desk *desk, const struct config_tpsp *tpsp)
{
    int held = desk->slots[index_of(desk, tpsp)];
    bool *confirmed = &desk->confirmed[index_of(desk, tpsp)];

    *confirmed = *confirmed || (held != NO_LEASE && lock(desk, F_WRLCK, room_of(tpsp) + CONFIRMED + held));
    return *confirmed;
}

void connections_stop_waiting(struct connections_desk *desk)
{
    for (size_t i = 0; i < desk->config->tpsp_count; i++)
        want(desk, &desk->config->tpsps[i], false);
}

bool connections_is_held(const struct connections_desk *desk, const struct config_tpsp *tpsp)
{
    return desk->slots[index_of(desk, tpsp)] != NO_LEASE;
}

bool connections_is_lost(const struct connections_desk *desk, const struct config_tpsp *tpsp)
{
    return desk->of[index_of(desk, tpsp)] > 0 && !connections_is_held(desk, tpsp);
}

bool connections_any_held(const struct connections_desk *desk)
{
    for (size_t i = 0; i < desk->config->tpsp_count; i++)
        if (connections_is_held(desk, &desk->config->tpsps[i]))
            return true;
    return false;
}

bool connections_lease(const struct connections_desk *desk, const struct config_tpsp *tpsp,
                       unsigned *number_r, unsigned *limit_r)
{
    size_t index = index_of(desk, tpsp);

    if (desk->slots[index] == NO_LEASE)
        return false;
    *number_r = (unsigned)desk->slots[index];
    *limit_r = desk->of[index];
    return true;
}

size_t connections_confirmed(struct connections_desk *desk, const struct config_tpsp *tpsp,
                             unsigned numbers_r[CONNECTIONS_MAX])
{
    off_t room = room_of(tpsp) + CONFIRMED;
    struct outcome ignored;
    size_t count = 0;

    if (!ready(desk, &ignored))
        return 0;
    bool own = desk->confirmed[index_of(desk, tpsp)], others = locked(desk, room, CONNECTIONS_MAX);
    for (unsigned i = 0; i < CONNECTIONS_MAX && (others || own); i++)
        if ((own && (int)i == desk->slots[index_of(desk, tpsp)]) || (others && locked(desk, room + i, 1)))
            numbers_r[count++] = i;
    return count;
}

bool connections_take_number(struct connections_desk *desk, const struct config_tpsp *tpsp, unsigned number)
{
    int *held = &desk->slots[index_of(desk, tpsp)];
    struct outcome ignored;

    if (*held != NO_LEASE || number >= CONNECTIONS_MAX || !ready(desk, &ignored) ||
        !lock(desk, F_WRLCK, room_of(tpsp) + number))
        return false;
    *held = (int)number;
    return true;
}

bool connections_wanted(struct connections_desk *desk, const struct config_tpsp *tpsp)
{
    return is_there(desk) && locked(desk, room_of(tpsp) + SLOTS, 1);
}

unsigned connections_count(struct connections_desk *desk, const struct config_tpsp *tpsp)
{
    struct outcome ignored;

    if (!ready(desk, &ignored))
        return 0;
    return count_locked(desk, room_of(tpsp), CONNECTIONS_MAX) + connections_is_held(desk, tpsp);
}
