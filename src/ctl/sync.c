/* sendpostctl sync: suppression list and sender domains, the same here and at SendPost, now. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/xalloc.h"
#include "ctl/ctl.h"
#include "sendpost/sync.h"

#define TURN_MS 60000      /* to wait for the agent to be done with what it is at */
#define TRIES 3            /* of a step that fails */
#define WAIT_MAX_MS 120000 /* what is more, a person need not sit through */
#define BAR 30

static void draw(const struct sync_counts *counts)
{
    unsigned filled = counts->all > 0 ? BAR * counts->done / counts->all : 0;

    if (!isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\r[");
    for (unsigned i = 0; i < BAR; i++)
        fputc(i < filled ? '#' : '.', stderr);
    fprintf(stderr, "] %" PRIu64 " read, %" PRIu64 " taken, %" PRIu64 " sent ", counts->seen, counts->taken,
            counts->sent);
}

/* Waits as the API asks. False: longer than a person does. */
static bool wait_for_api(int64_t wait_ms)
{
    struct timespec pause = {.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000};

    if (wait_ms > WAIT_MAX_MS)
        return false;
    nanosleep(&pause, NULL);
    return true;
}

static bool work(struct sync *sync, struct outcome *error_r)
{
    struct sync_counts before = *sync_counts(sync);
    int failures = 0;

    for (;;) {
        if (memcmp(&before, sync_counts(sync), sizeof before) != 0)
            failures = 0; /* it gets on */
        before = *sync_counts(sync);
        switch (sync_step(sync, error_r)) {
        case SYNC_DONE:
            return true;
        case SYNC_MORE:
            break;
        case SYNC_TROUBLE:
            if (++failures == TRIES || !wait_for_api(sync_wait_ms(sync) > 0 ? sync_wait_ms(sync) : 500))
                return false;
        }
        draw(sync_counts(sync));
    }
}

/* error: what kept it from its end; "": nothing. */
static void print(struct ctl *ctl, const struct sync_counts *counts, const char *error)
{
    if (!ctl->json) {
        printf("%" PRIu64 " read there, %" PRIu64 " taken, %" PRIu64 " removed here, %" PRIu64 " sent\n",
               counts->seen, counts->taken, counts->removed, counts->sent);
        return;
    }
    struct json_object *object = json_object_new_object();
    json_object_object_add(object, "seen", json_object_new_int64((int64_t)counts->seen));
    json_object_object_add(object, "taken", json_object_new_int64((int64_t)counts->taken));
    json_object_object_add(object, "removed", json_object_new_int64((int64_t)counts->removed));
    json_object_object_add(object, "sent", json_object_new_int64((int64_t)counts->sent));
    json_object_object_add(object, "refused", json_object_new_int64((int64_t)counts->refused));
    json_object_object_add(object, "waiting_for_confirmation", json_object_new_int64((int64_t)counts->gone));
    json_add_text(object, "error", error);
    ctl_print_json(object);
}

static enum ctl_status run(struct ctl *ctl)
{
    const struct config *config = ctl_config(ctl);
    struct store *store = config != NULL ? ctl_store(ctl) : NULL;
    struct outcome error;

    if (ctl->operand_count > 0)
        return ctl_usage(ctl, "takes no operands: \"%s\"", ctl->operands[0]);
    if (store == NULL)
        return CTL_TROUBLE;
    if (config->sendpost.endpoint == NULL)
        return ctl_fail(ctl, "there is no sendpost-api in %s: nothing is shared", ctl->config_path);
    AUTO_CLOSE int turn = store_lock(config->state_dir, "sync", clock_monotonic_ms() + TURN_MS, &error);
    if (turn < 0)
        return ctl_fail(ctl, "%s", error.text);
    struct sync *sync = sync_open(config, store, ctl->verbose ? stderr : NULL);
    bool began = sync_begin(sync, ctl_option(ctl, "confirm") != NULL, &error);
    bool ok = began && work(sync, &error);
    struct sync_counts counts = *sync_counts(sync);
    sync_close(sync);
    if (isatty(STDERR_FILENO))
        fputc('\n', stderr);
    if (!ok)
        ctl_fail(ctl, "%s%s", error.text, began ? "; what was done stays done, run this again later" : "");
    print(ctl, &counts, ok ? "" : error.text);
    if (ok && counts.gone > 0)
        return ctl_fail(
            ctl,
            "%" PRIu64
            " entries are gone at SendPost, more than one in a hundred: sendpostctl sync --confirm "
            "removes them here",
            counts.gone);
    return ok ? CTL_OK : CTL_TROUBLE;
}

static const struct ctl_option options[] = {
    {"confirm", 0, NULL, "remove here what is gone at SendPost, however much it is"},
    {.name = NULL},
};

const struct ctl_command ctl_sync = {
    .name = "sync",
    .synopsis = "[--confirm]",
    .summary = "Make suppression list and sender domains the same here and at SendPost",
    .examples = "  sendpostctl sync\n",
    .options = options,
    .run = run,
};
