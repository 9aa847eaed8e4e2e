/*
 * What the suppression list costs a delivery: suppression_find() among a million entries, and as its peer the
 * same look-up in an empty list. Addresses that are there and that are not, in random order.
 *
 * usage: suppression_bench [ENTRIES]
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "policy/suppression.h"

#define LOOKUPS 200000

static double now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void fill(struct store *store, long entries)
{
    struct outcome error;

    store_begin(store, STORE_NORMAL, &error);
    for (long i = 0; i < entries; i++) {
        struct suppression entry = {.since_ms = 1};
        snprintf(entry.address, sizeof entry.address, "user%08ld@example%ld.com", i, i % 1000);
        if (!suppression_add(store, &entry, &error)) {
            fprintf(stderr, "%s\n", error.text);
            exit(1);
        }
    }
    store_commit(store, &error);
}

/* Microseconds a look-up; every other address is beyond the list. */
static double measure(struct store *store, long entries, long expected)
{
    struct outcome error;
    double start;
    long found = 0;

    srandom(1);
    start = now_us();
    for (long i = 0; i < LOOKUPS; i++) {
        struct suppression entry;
        char address[64];
        long user = random() % entries + (i % 2) * entries;
        snprintf(address, sizeof address, "user%08ld@example%ld.com", user, user % 1000);
        found += suppression_find(store, address, SUPPRESSION_SUB_ADDRESS, &entry, &error) > 0;
    }
    if (found != expected) {
        fprintf(stderr, "%ld found, %ld expected\n", found, expected);
        exit(1);
    }
    return (now_us() - start) / LOOKUPS;
}

int main(int argc, char **argv)
{
    long entries = argc > 1 ? atol(argv[1]) : 1000000;
    char directory[] = "/tmp/sendpost-bench.XXXXXX";
    struct outcome error;
    struct store *store;

    if (entries <= 0 || mkdtemp(directory) == NULL)
        return 1;
    if (!store_open(&store, directory, &error)) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    double empty = measure(store, entries, 0);
    double start = now_us();
    fill(store, entries);
    double filled = now_us() - start;
    double full = measure(store, entries, LOOKUPS / 2);
    store_close(store);
    printf("%ld entries: written in %.1f s; a look-up takes %.1f us, %.1f times that in an empty list (%.1f "
           "us)\n",
           entries, filled / 1e6, full, full / empty, empty);
    fflush(stdout);
    execlp("rm", "rm", "-rf", directory, (char *)NULL);
    return 1;
}
