/* What the server says that the hosts of a cluster told each other: nothing of it leaves its bounds, and what
 * this host would tell of it, another understands as it does. The first byte says whether this host is in
 * doubt of what it knows itself. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "policy/breaker_share.h"
#include "policy/slow_down_share.h"
#include "policy/told.h"

#define AHEAD_US INT64_C(1700000000000000)
#define NOW_NS (3600 * INT64_C(1000000000))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char state_dir[2][64];

static int64_t now(void *context)
{
    (void)context;
    return NOW_NS;
}

static void sleep_until(void *context, int64_t time_ns)
{
    (void)context;
    (void)time_ns;
}

static const struct rate_clock stopped = {.now_ns = now, .sleep_until = sleep_until, .boot_id = "boot"};
static struct config_tpsp tpsp = {.name = (char *)(uintptr_t) "primary", .global_rate = {100, 3600000}};
static struct config configs[2];
static struct admission_gate gates[2];

static void must(bool condition)
{
    if (!condition)
        abort();
}

static void clean_up(void)
{
    static const char *const files[] = {"rates", "rates.lock", "told"};
    char path[128];

    for (int host = 0; host < 2; host++) {
        for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
            snprintf(path, sizeof path, "%s/%s", state_dir[host], files[i]);
            unlink(path);
        }
        rmdir(state_dir[host]);
    }
}

static void begin(void)
{
    struct outcome error;

    for (int host = 0; host < 2; host++) {
        snprintf(state_dir[host], sizeof state_dir[host], "/tmp/sendpost-fuzz-XXXXXX");
        must(mkdtemp(state_dir[host]) != NULL);
        configs[host] =
            (struct config){.state_dir = state_dir[host],
                            .rate_burst = 10,
                            .tpsps = &tpsp,
                            .tpsp_count = 1,
                            .slow_down = {.enabled = true, .floor = {1, 60000}, .recovery_ms = 600000},
                            .cluster = {.name = (char *)(uintptr_t) "fuzz"}};
        gates[host].config = &configs[host];
        must(rate_table_open(&gates[host].table, state_dir[host], &stopped, &error));
        atomic_store(&admission_shared(&gates[host], &error)->clock_us, AHEAD_US);
    }
    atexit(clean_up);
}

static void check(int host)
{
    struct breaker breaker = breaker_look(gates[host].table, tpsp.name);
    struct slow_down_view view;

    must(breaker.state != BREAKER_OPEN || breaker.until_ns <= NOW_NS + BREAKER_LONGEST_NS);
    for (int provider = -1; provider < PROVIDER_COUNT; provider++) {
        const struct slow_down about = {&configs[host], gates[host].table, &tpsp,
                                        provider < 0 ? PROVIDER_GMAIL : (enum provider_category)provider};
        slow_down_look(&about, provider >= 0, &view);
        must(!view.paused || view.until_ns <= NOW_NS + SLOW_DOWN_PAUSE_MAX_NS);
        must(view.connections <= 10000 && view.factor > 0 && view.factor <= 1);
        size_t length = strlen(view.said), at = 0, step;
        while (at < length && (step = utf8_sequence(view.said + at, length - at)) > 0) {
            must((unsigned char)view.said[at] >= ' ' && view.said[at] != 0x7f);
            at += step;
        }
        must(at == length);
    }
}

/* What host knows, as it tells it. */
static void write_all(int host, struct cluster_reply *reply_r)
{
    const struct slow_down about = {.config = &configs[host], .table = gates[host].table, .tpsp = &tpsp};
    static struct slow_down_picture picture;
    struct breaker_words words;

    reply_r->text[0] = '\0'; /* nothing is written where nothing is told */
    FILE *out = fmemopen(reply_r->text, sizeof reply_r->text, "w");
    must(out != NULL);
    slow_down_picture(&about, &picture);
    breaker_words(gates[host].table, tpsp.name, &words);
    breaker_write(&words, AHEAD_US, out);
    slow_down_write(&about, &picture, AHEAD_US, out);
    fclose(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cluster_reply reply, first, second;
    struct outcome error;

    if (gates[0].table == NULL)
        begin();
    if (size == 0 || size > sizeof reply.text)
        return 0;
    memset(reply.text, 0, sizeof reply.text);
    memcpy(reply.text, data + 1, size - 1);
    reply.version++;
    if ((data[0] & 1) != 0)
        told_doubt(&gates[0]);
    reply.asked = told_version(&gates[0], &tpsp);
    must(told_hear(&gates[0], &tpsp, &reply, &error));
    must(told_version(&gates[0], &tpsp) == reply.version);
    check(0);

    write_all(0, &first);
    first.version = reply.version;
    must(told_hear(&gates[1], &tpsp, &first, &error));
    check(1);
    write_all(1, &second);
    must(strcmp(first.text, second.text) == 0);
    return 0;
}
