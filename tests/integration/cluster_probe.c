/*
 * cluster_probe: slots of one TPSP, asked for as deliveries ask for them, by several processes at once, for a
 * while, or with --while for as long as a file is there. The integration tests and tests/bench/cluster drive
 * it.
 *
 *     cluster_probe [--processes N] [--seconds S | --while FILE] [--pause-us N] [--give-back] CONFIG TPSP
 *
 * Prints a line for each admission, "granted BEFORE AFTER": when the call began and ended (microseconds of
 * CLOCK_MONOTONIC, the same for all hosts that are simulated on one machine), and at its end one JSON line:
 * how many were granted, refused and away, and how long a decision took.
 */
#include <err.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "policy/admission.h"

#define TIMES_MAX 2000000

struct tally {
    uint64_t granted, refused, away, trouble;
    int64_t longest_us;
    uint64_t times; /* in us[] */
};

struct probe {
    const struct config *config;
    const struct config_tpsp *tpsp;
    int processes, seconds, pause_us;
    const char *while_file;
    bool give_back, quiet;
};

static int64_t monotonic_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void ask(const struct probe *probe, const struct admission_gate *gate, struct tally *tally,
                uint32_t *times)
{
    struct admission admission;
    struct outcome why;
    struct rate_set set;
    int64_t next;

    if (!rate_set_init(&set, probe->tpsp, PROVIDER_DEFAULT, probe->config->rate_burst, &why))
        errx(75, "%s", why.text);
    int64_t begin = clock_monotonic_us(), before = monotonic_us();
    enum rate_answer answer = admission_take(gate, &set, &admission, &next, &why);
    int64_t took = clock_monotonic_us() - begin;
    if (tally->times < TIMES_MAX)
        times[tally->times++] = (uint32_t)took;
    if (took > tally->longest_us)
        tally->longest_us = took;
    if (answer == RATE_GRANTED) {
        tally->granted++;
        if (probe->give_back) {
            admission_give_back(gate, &admission);
        } else if (!probe->quiet) {
            printf("granted %" PRId64 " %" PRId64 "\n", before, monotonic_us());
            fflush(stdout);
        }
    } else if (answer == RATE_TROUBLE) {
        tally->trouble++;
    } else if (next == ADMISSION_NEVER) {
        tally->away++;
    } else {
        tally->refused++;
    }
}

static bool goes_on(const struct probe *probe, int64_t end_ms)
{
    return probe->while_file != NULL ? access(probe->while_file, F_OK) == 0 : clock_monotonic_ms() < end_ms;
}

static void run(const struct probe *probe, struct tally *tally, uint32_t *times)
{
    struct admission_gate gate = {.config = probe->config};
    struct outcome error;

    if (!rate_table_open(&gate.table, probe->config->state_dir, &rate_clock_system, &error))
        errx(75, "%s", error.text);
    struct dns_resolver *resolver = dns_open(NULL, 0, 5000);
    if (probe->config->cluster.server_count > 0) {
        gate.cluster = cluster_open(&probe->config->cluster, resolver,
                                    tls_contexts_new(probe->config->state_dir), &error);
        if (gate.cluster == NULL)
            errx(75, "%s", error.text);
    }
    int64_t end_ms = clock_monotonic_ms() + (int64_t)probe->seconds * 1000;
    while (goes_on(probe, end_ms)) {
        ask(probe, &gate, tally, times);
        if (probe->pause_us > 0)
            usleep((useconds_t)probe->pause_us);
    }
    _exit(0);
}

static int compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

static void print_sum(const struct probe *probe, const struct tally *tallies, uint32_t *times)
{
    struct tally sum = {0};
    uint32_t *all = xcalloc((size_t)probe->processes * TIMES_MAX, sizeof *all);

    for (int i = 0; i < probe->processes; i++) {
        sum.granted += tallies[i].granted;
        sum.refused += tallies[i].refused;
        sum.away += tallies[i].away;
        sum.trouble += tallies[i].trouble;
        if (tallies[i].longest_us > sum.longest_us)
            sum.longest_us = tallies[i].longest_us;
        memcpy(all + sum.times, times + (size_t)i * TIMES_MAX, tallies[i].times * sizeof *all);
        sum.times += tallies[i].times;
    }
    qsort(all, sum.times, sizeof *all, compare);
    printf("{\"granted\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"away\":%" PRIu64 ",\"trouble\":%" PRIu64
           ",\"decisions\":%" PRIu64 ",\"p50_us\":%" PRIu32 ",\"p99_us\":%" PRIu32 ",\"longest_us\":%" PRId64
           "}\n",
           sum.granted, sum.refused, sum.away, sum.trouble, sum.times, all[sum.times / 2],
           all[sum.times - 1 - sum.times / 100], sum.longest_us);
    free(all);
}

static void *share(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        err(71, "mmap");
    return memory;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"processes", required_argument, NULL, 'p'},
        {"seconds", required_argument, NULL, 's'},
        {"pause-us", required_argument, NULL, 'w'},
        {"give-back", no_argument, NULL, 'g'},
        {"quiet", no_argument, NULL, 'q'},
        {"while", required_argument, NULL, 'f'},
        {NULL, 0, NULL, 0},
    };
    struct probe probe = {.processes = 1, .seconds = 1};
    struct outcome error;
    int option, failed = 0;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case 'p':
            probe.processes = atoi(optarg);
            break;
        case 's':
            probe.seconds = atoi(optarg);
            break;
        case 'w':
            probe.pause_us = atoi(optarg);
            break;
        case 'f':
            probe.while_file = optarg;
            break;
        case 'g':
            probe.give_back = true;
            break;
        case 'q':
            probe.quiet = true;
            break;
        default:
            return 64;
        }
    if (argc - optind != 2 || probe.processes < 1)
        errx(64, "usage: cluster_probe [--processes N] [--seconds S | --while FILE] CONFIG TPSP");
    log_open("cluster_probe", true);
    probe.config = config_load(argv[optind], &error);
    if (probe.config == NULL)
        errx(75, "%s", error.text);
    probe.tpsp = config_tpsp_by_name(probe.config, argv[optind + 1]);
    if (probe.tpsp == NULL)
        errx(64, "there is no TPSP %s", argv[optind + 1]);

    struct tally *tallies = share((size_t)probe.processes * sizeof *tallies);
    uint32_t *times = share((size_t)probe.processes * TIMES_MAX * sizeof *times);
    for (int i = 0; i < probe.processes; i++)
        if (fork() == 0)
            run(&probe, &tallies[i], times + (size_t)i * TIMES_MAX);
    for (int i = 0, status; i < probe.processes; i++)
        failed |= wait(&status) < 0 || status != 0;
    print_sum(&probe, tallies, times);
    return failed ? 75 : 0;
}
