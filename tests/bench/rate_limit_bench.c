/*
 * rate_limit_bench: decisions a second of the rate limiter, alone and with processes that contend for one
 * limit, next to the same decision made in an flock'd file and in an SQLite transaction; and by how much it
 * is dearer to ask what is slowed down. Usage: rate_limit_bench [SECONDS for each row]
 */
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "policy/slow_down.h"

#define MANY 4000000000u /* a second: a slot each nanosecond, granted always */

static char dir[] = "/tmp/sendpost-bench-XXXXXX";
static int64_t row_ns = 1000000000;

static struct shared {
    _Atomic int ready, go;
    _Atomic uint64_t decisions;
} * shared;

static int64_t now_ns(void)
{
    return rate_clock_system.now_ns(NULL);
}

static void die(const char *what)
{
    fprintf(stderr, "rate_limit_bench: %s\n", what);
    _exit(1);
}

/* --- the ways to decide ------------------------------------------------------------------------ */

static const struct config config = {
    .slow_down = {.enabled = true, .floor = {1, 60000}, .recovery_ms = 600000}};

static void by_limits(struct config_rate rate, bool provider_too, bool slow_down)
{
    struct config_tpsp tpsp = {.name = (char *)"primary", .global_rate = rate};
    const struct rate_limit *refused;
    struct rate_table *table;
    struct rate_grant grant;
    struct rate_set set;
    struct outcome error;
    int64_t next, end;
    uint64_t count = 0;

    if (provider_too)
        tpsp.provider_rates[PROVIDER_GMAIL] = rate;
    if (!rate_table_open(&table, dir, &rate_clock_system, &error) ||
        !rate_set_init(&set, &tpsp, PROVIDER_GMAIL, 10, &error))
        die(error.text);
    atomic_fetch_add(&shared->ready, 1);
    while (!atomic_load(&shared->go))
        ;
    for (end = now_ns() + row_ns; now_ns() < end;)
        for (int i = 0; i < 1000; i++, count++)
            if ((slow_down && !slow_down_apply(&config, table, &set, &next, &error)) ||
                rate_limit_take(table, &set, &grant, &refused, &next, &error) == RATE_TROUBLE)
                die(error.text);
    atomic_fetch_add(&shared->decisions, count);
    rate_table_close(table);
}

static void by_one_limit(void)
{
    by_limits((struct config_rate){MANY, 1000}, false, false);
}

static void by_one_limit_asked(void)
{
    by_limits((struct config_rate){MANY, 1000}, false, true);
}

static void by_two_limits(void)
{
    by_limits((struct config_rate){MANY, 1000}, true, false);
}

static void by_refusal(void)
{
    by_limits((struct config_rate){100, 3600000}, false, false);
}

static void by_flock(void)
{
    char path[64];
    uint64_t count = 0;
    int64_t word = 0, end;

    snprintf(path, sizeof path, "%s/flock", dir);
    int descriptor = open(path, O_RDWR | O_CREAT, 0600);
    if (descriptor < 0)
        die(path);
    atomic_fetch_add(&shared->ready, 1);
    while (!atomic_load(&shared->go))
        ;
    for (end = now_ns() + row_ns; now_ns() < end; count++) {
        if (flock(descriptor, LOCK_EX) != 0 || pread(descriptor, &word, sizeof word, 0) < 0)
            die("flock");
        int64_t now = now_ns();
        if (word <= now) {
            word = now + 1;
            if (pwrite(descriptor, &word, sizeof word, 0) != sizeof word)
                die("pwrite");
        }
        flock(descriptor, LOCK_UN);
    }
    atomic_fetch_add(&shared->decisions, count);
    close(descriptor);
}

static void run_sql(sqlite3 *database, const char *sql)
{
    if (sqlite3_exec(database, sql, NULL, NULL, NULL) != SQLITE_OK)
        die(sqlite3_errmsg(database));
}

static void begin_sqlite(void)
{
    sqlite3 *database;
    char path[64];

    snprintf(path, sizeof path, "%s/sqlite", dir);
    if (sqlite3_open(path, &database) != SQLITE_OK)
        die(path);
    run_sql(database, "PRAGMA journal_mode=WAL;"
                      "CREATE TABLE rate (name TEXT PRIMARY KEY, word INTEGER) WITHOUT ROWID;"
                      "INSERT INTO rate VALUES ('primary', 0)");
    sqlite3_close(database);
}

static void by_sqlite(void)
{
    sqlite3_stmt *statement;
    sqlite3 *database;
    char path[64];
    uint64_t count = 0;
    int64_t end;

    snprintf(path, sizeof path, "%s/sqlite", dir);
    if (sqlite3_open(path, &database) != SQLITE_OK)
        die(path);
    sqlite3_busy_timeout(database, 60000);
    run_sql(database, "PRAGMA synchronous=NORMAL");
    if (sqlite3_prepare_v2(database, "UPDATE rate SET word = ?1 + 1 WHERE name = 'primary' AND word <= ?1",
                           -1, &statement, NULL) != SQLITE_OK)
        die(sqlite3_errmsg(database));
    atomic_fetch_add(&shared->ready, 1);
    while (!atomic_load(&shared->go))
        ;
    for (end = now_ns() + row_ns; now_ns() < end; count++) {
        run_sql(database, "BEGIN IMMEDIATE");
        sqlite3_bind_int64(statement, 1, now_ns());
        if (sqlite3_step(statement) != SQLITE_DONE)
            die(sqlite3_errmsg(database));
        sqlite3_reset(statement);
        run_sql(database, "COMMIT");
    }
    atomic_fetch_add(&shared->decisions, count);
    sqlite3_finalize(statement);
    sqlite3_close(database);
}

/* --- measuring ----------------------------------------------------------------------------------- */

static double measure(void (*decide)(void), int processes)
{
    int status;

    memset(shared, 0, sizeof *shared);
    fflush(stdout);
    for (int i = 0; i < processes; i++)
        if (fork() == 0) {
            decide();
            _exit(0);
        }
    while (atomic_load(&shared->ready) < processes)
        if (waitpid(-1, &status, WNOHANG) > 0)
            die("a process ended early");
    atomic_store(&shared->go, 1);
    while (wait(&status) > 0)
        if (status != 0)
            die("a process failed");
    return (double)atomic_load(&shared->decisions) * 1e9 / (double)row_ns;
}

static void print(const char *what, double one, double four, const double ours[2])
{
    printf("%-36s %12.0f %12.0f", what, one, four);
    if (ours != NULL)
        printf("   ours is %.0f and %.0f times as fast", ours[0] / one, ours[1] / four);
    printf("\n");
}

/* --- what it costs to ask ------------------------------------------------------------------------------ */

/* Processor time of one decision, the least of many short runs: what else runs on the machine makes some of
 * them longer, and none shorter. The two ways take turns, so that neither has the better machine. */
#define ROUNDS 3000
#define DECISIONS 2000

static double decide(struct rate_table *table, struct rate_set *set, bool ask)
{
    const struct rate_limit *refused;
    struct rate_grant grant;
    struct timespec from, to;
    struct outcome error;
    int64_t next;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    for (int i = 0; i < DECISIONS; i++)
        if ((ask && !slow_down_apply(&config, table, set, &next, &error)) ||
            rate_limit_take(table, set, &grant, &refused, &next, &error) == RATE_TROUBLE)
            die(error.text);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    return ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / DECISIONS;
}

/* slowed: another TPSP, a provider of this one, this one itself. */
static void compare(const char *what, const char *slowed, const char *scope)
{
    struct config_tpsp tpsp = {.name = (char *)"primary", .global_rate = {MANY, 1000}};
    double best[2] = {1e9, 1e9}, took;
    struct rate_table *table;
    struct rate_set set;
    struct outcome error;
    struct rate_key key;
    char kind[64];

    if (!rate_table_open(&table, dir, &rate_clock_system, &error))
        die(error.text);
    if (slowed != NULL) {
        snprintf(kind, sizeof kind, "slow-down %s", scope);
        rate_key_set(&key, slowed, kind, RATE_WINDOW_SLOWED);
        if (!rate_table_ready(table, now_ns(), &error) || rate_table_obtain(table, &key, &error) == NULL)
            die(error.text);
    }
    if (!rate_set_init(&set, &tpsp, PROVIDER_GMAIL, 10, &error))
        die(error.text);
    for (int round = 0; round < 2 * ROUNDS; round++)
        if ((took = decide(table, &set, round % 2 != 0)) < best[round % 2])
            best[round % 2] = took;
    rate_table_close(table);
    printf("%-44s %6.1f ns; unasked %6.1f ns: %+5.1f %%\n", what, best[1], best[0],
           100 * (best[1] / best[0] - 1));
}

static void clean_up(void)
{
    static const char *const names[] = {"rates", "flock", "sqlite", "sqlite-wal", "sqlite-shm"};
    char path[64];

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

int main(int argc, char **argv)
{
    double ours[2];

    if (argc > 1)
        row_ns = (int64_t)(atof(argv[1]) * 1e9);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (row_ns <= 0 || shared == MAP_FAILED || mkdtemp(dir) == NULL)
        die("usage: rate_limit_bench [SECONDS]");
    begin_sqlite();
    printf("%-36s %12s %12s\n", "decisions a second", "1 process", "4 processes");
    ours[0] = measure(by_one_limit, 1);
    ours[1] = measure(by_one_limit, 4);
    print("one limit, granted", ours[0], ours[1], NULL);
    print("one limit, asked what is slowed down", measure(by_one_limit_asked, 1),
          measure(by_one_limit_asked, 4), NULL);
    print("two limits, granted", measure(by_two_limits, 1), measure(by_two_limits, 4), NULL);
    print("one limit, refused", measure(by_refusal, 1), measure(by_refusal, 4), NULL);
    print("one bucket in an flock'd file", measure(by_flock, 1), measure(by_flock, 4), ours);
    print("one bucket in an SQLite transaction", measure(by_sqlite, 1), measure(by_sqlite, 4), ours);
    printf("\na decision that asks what is slowed down, in processor time\n");
    compare("nothing was ever slowed down", NULL, NULL);
    compare("another TPSP was", "backup", "all");
    compare("a provider of this TPSP was, and is no more", "primary", "gmail");
    compare("this TPSP was, and is no more", "primary", "all");
    clean_up();
    return 0;
}
