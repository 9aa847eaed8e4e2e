#include "simulation.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int64_t now(void *context)
{
    return atomic_load(&((struct simulation *)context)->now);
}

static void sleep_until(void *context, int64_t time_ns)
{
    struct simulation *simulation = context;
    int64_t before = atomic_load(&simulation->now);

    while (before < time_ns && !atomic_compare_exchange_weak(&simulation->now, &before, time_ns))
        ;
}

struct simulation *simulation_begin(void)
{
    struct simulation *simulation =
        mmap(NULL, sizeof *simulation, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(simulation, MAP_FAILED);
    snprintf(simulation->dir, sizeof simulation->dir, "/tmp/sendpost-rates-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(simulation->dir));
    snprintf(simulation->boot_id, sizeof simulation->boot_id, "boot-1");
    atomic_store(&simulation->now, HOUR);
    simulation->clock = (struct rate_clock){
        .now_ns = now, .sleep_until = sleep_until, .context = simulation, .boot_id = simulation->boot_id};
    simulation->tpsp = (struct config_tpsp){.name = (char *)"primary", .global_rate = {100, 3600000}};
    return simulation;
}

void simulation_end(struct simulation *simulation)
{
    char path[128];

    simulation_path(simulation, path);
    unlink(path);
    snprintf(path, sizeof path, "%s/rates.lock", simulation->dir);
    unlink(path);
    ck_assert_msg(rmdir(simulation->dir) == 0, "something was left in %s", simulation->dir);
    munmap(simulation, sizeof *simulation);
}

struct rate_table *simulation_table(struct simulation *simulation)
{
    struct rate_table *table;
    struct outcome error;

    if (!rate_table_open(&table, simulation->dir, &simulation->clock, &error)) {
        fprintf(stderr, "%s\n", error.text);
        _exit(1);
    }
    return table;
}

void simulation_path(const struct simulation *simulation, char path_r[128])
{
    snprintf(path_r, 128, "%s/rates", simulation->dir);
}

void simulation_record(struct simulation *simulation, int64_t time)
{
    size_t at = atomic_fetch_add(&simulation->count, 1);

    if (at >= SIMULATION_RECORDS)
        _exit(99);
    simulation->records[at] = time;
}

int64_t simulation_random(int64_t below)
{
    return (int64_t)((uint64_t)random() << 31 | (uint64_t)random()) % below;
}

static int compare(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

    return (left > right) - (left < right);
}

size_t simulation_most_in_a_window(struct simulation *simulation, int64_t window)
{
    size_t most = 0, end = 0, count = atomic_load(&simulation->count);

    qsort(simulation->records, count, sizeof simulation->records[0], compare);
    for (size_t begin = 0; begin < count; begin++) {
        while (end < count && simulation->records[end] - simulation->records[begin] < window)
            end++;
        if (end - begin > most)
            most = end - begin;
    }
    return most;
}
bool simulation_take(struct rate_table *table, struct rate_set *set, struct rate_grant *grant_r)
{
    const struct rate_limit *limit;
    struct outcome error;
    int64_t next;
    enum rate_answer answer = rate_limit_take(table, set, grant_r, &limit, &next, &error);

    if (answer == RATE_TROUBLE) {
        fprintf(stderr, "child: %s\n", error.text);
        _exit(2);
    }
    return answer == RATE_GRANTED;
}

void simulation_set(struct simulation *simulation, struct rate_set *set_r, enum provider_category provider,
                    uint32_t burst)
{
    struct outcome error;

    if (!rate_set_init(set_r, &simulation->tpsp, provider, burst, &error))
        _exit(3);
}

void simulation_hammer(struct simulation *simulation, int64_t end, int64_t step)
{
    struct rate_table *table = simulation_table(simulation);
    struct rate_grant grant;
    struct rate_set set;
    unsigned random = (unsigned)getpid();

    simulation_set(simulation, &set, PROVIDER_DEFAULT, 10);
    while (atomic_load(&simulation->now) < end) {
        random = random * 1103515245 + 12345;
        if (simulation_take(table, &set, &grant))
            simulation_record(simulation, grant.time_ns);
        atomic_fetch_add(&simulation->now, step * (random >> 16 & 0xff) / 0xff);
    }
    rate_table_close(table);
    _exit(0);
}

int simulation_haste(void)
{
    const char *haste = getenv("SIMULATION_HASTE");

    return haste != NULL && atoi(haste) > 0 ? atoi(haste) : 1;
}

pid_t simulation_start(struct simulation *simulation, void (*run)(struct simulation *, int64_t, int64_t),
                       int64_t end, int64_t step)
{
    pid_t child = fork();

    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* time stands still when whoever drives it is gone */
        run(simulation, end, step);
    }
    ck_assert_int_gt(child, 0);
    return child;
}

void simulation_expect_all_well(int children)
{
    for (int i = 0; i < children; i++) {
        int status;
        ck_assert_int_gt(wait(&status), 0);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child ended with %#x",
                      (unsigned)status);
    }
}
