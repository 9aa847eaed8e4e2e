#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "store/schema.h"
#include "store/store.h"
#include "suites.h"

/* several batches, and few where each takes its time */
#define EVENTS (unit_tests_under_valgrind() ? 3000 : 60000)
#define ROUNDS (unit_tests_under_valgrind() ? 5 : 40)

static char directory[64];
static struct outcome error;

static char *path_of(const char *name)
{
    return xasprintf("%s/%s", directory, name);
}

static bool exists(const char *name)
{
    AUTO_FREE char *path = path_of(name);

    return access(path, F_OK) == 0;
}

static void run(const char *command)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        if (chdir(directory) == 0)
            execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(status == 0, "%s", command);
}

static void make_directory(void)
{
    snprintf(directory, sizeof directory, "/tmp/sendpost-store.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void remove_directory(void)
{
    run("rm -rf \"$PWD\"");
}

static struct store *open_store(void)
{
    struct store *store;

    ck_assert_msg(store_open(&store, directory, &error), "%s", error.text);
    return store;
}

static int64_t number(struct store *store, const char *sql)
{
    sqlite3_stmt *query = store_statement(store, sql, &error);

    ck_assert_msg(query != NULL, "%s", error.text);
    ck_assert_int_eq(store_step(store, query, &error), 1);
    int64_t value = sqlite3_column_int64(query, 0);
    sqlite3_reset(query);
    return value;
}

static void execute(struct store *store, const char *sql)
{
    ck_assert_msg(sqlite3_exec(store_handle(store), sql, NULL, NULL, NULL) == SQLITE_OK, "%s: %s", sql,
                  sqlite3_errmsg(store_handle(store)));
}

static void fill(struct store *store, int count)
{
    AUTO_FREE char *sql = xasprintf(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
        "INSERT INTO events (identity, state, event_id, message_id, cs, source, timestamp_ms, recipient) "
        "SELECT i, 0, printf('event-%%d', i), printf('message-%%d', i), 60, 0, 0, 'user@example.com' FROM n;"
        "INSERT INTO suppression VALUES ('gone@example.com', 0, 0);",
        count);
    execute(store, sql);
}

/* Damage that SQLite's check finds, in a table that needs no salvage. */
static void corrupt(struct store *store)
{
    execute(store, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) "
                   "INSERT INTO dns_cache SELECT i, hex(randomblob(100)), hex(randomblob(100)), 1 FROM n");
    int64_t root = number(store, "SELECT rootpage FROM sqlite_schema WHERE name = 'dns_cache'");
    AUTO_FREE char *path = path_of("state.db");
    char garbage[4096];

    sqlite3_wal_checkpoint_v2(store_handle(store), NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    store_close(store);
    memset(garbage, 0xfe, sizeof garbage);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(pwrite(file, garbage, sizeof garbage, (root - 1) * 4096), sizeof garbage);
    close(file);
}

/* Somebody meets the damage: from then on it is moved and salvaged. */
static bool meet(void)
{
    struct store *store;

    if (!store_open(&store, directory, &error))
        return false;
    bool ok = sqlite3_exec(store_handle(store), "SELECT * FROM dns_cache", NULL, NULL, NULL) == SQLITE_OK;
    if (!ok)
        store_error(store, "read", &error);
    ok = store_begin(store, STORE_NORMAL, &error) && store_commit(store, &error);
    store_close(store);
    return ok;
}

static void expect_all(int events)
{
    struct store *store = open_store();

    ck_assert_int_eq(number(store, "SELECT count(*) FROM events WHERE state = 0"), events);
    ck_assert_int_eq(number(store, "SELECT count(DISTINCT event_id) FROM events"), events);
    ck_assert_int_eq(number(store, "SELECT count(*) FROM suppression"), 1);
    ck_assert_int_eq(number(store, "SELECT count(*) FROM sqlite_schema WHERE name = 'salvaged'"), 0);
    ck_assert_int_eq(number(store, "PRAGMA synchronous"), 1);
    ck_assert_int_eq(
        number(store, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
    store_close(store);
    ck_assert(!exists("state.db.salvage"));
}

START_TEST(a_salvage_that_is_killed_at_any_instant_is_gone_on_with)
{
    struct store *store = open_store();
    int killed = 0;

    fill(store, EVENTS);
    corrupt(store);
    for (int round = 0; round < ROUNDS; round++) {
        pid_t child = fork();
        int status;
        if (child == 0)
            _exit(meet() ? 0 : 1);
        usleep((useconds_t)(1000 + round * 7000));
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        killed += WIFSIGNALED(status);
    }
    ck_assert_int_gt(killed, 0);
    ck_assert(meet());
    expect_all(EVENTS);
    struct store_leftovers leftovers = store_leftovers(directory);
    ck_assert_uint_eq(leftovers.count, 1);
    ck_assert(!leftovers.unfinished);
    ck_assert_int_eq(strncmp(leftovers.latest, "state.db.corrupt-", 17), 0);
}
END_TEST

static void expect_text(struct store *store, const char *sql, const char *expected)
{
    sqlite3_stmt *query = store_statement(store, sql, &error);

    ck_assert_msg(query != NULL, "%s", error.text);
    ck_assert_int_eq(store_step(store, query, &error), 1);
    ck_assert_str_eq((const char *)sqlite3_column_text(query, 0), expected);
    sqlite3_reset(query);
}

#define CHANGES                                                                                     \
    "SELECT group_concat(sequence || ' ' || address || ' ' || removed || ' ' || changed_ms || ' ' " \
    "|| origin || ' ' || heard, ';') FROM (SELECT * FROM suppression_change ORDER BY sequence)"

/* Who shares the list goes on where he was: nothing is dated anew, forgotten, or numbered below what he has
 * seen. */
START_TEST(the_journal_of_the_suppression_list_comes_over_as_it_was)
{
    struct store *store = open_store();

    execute(
        store,
        "INSERT INTO suppression VALUES ('a@a.example', 0, 1), ('b@a.example', 0, 1), ('c@a.example', 0, 1);"
        "DELETE FROM suppression WHERE address = 'b@a.example';"
        "UPDATE suppression_change SET changed_ms = sequence * 1000;"
        "UPDATE suppression_change SET origin = 'h', heard = 1 WHERE address = 'a@a.example';");
    static const char expected[] = "1 a@a.example 0 1000 h 1;3 c@a.example 0 3000  0;4 b@a.example 1 4000  0";
    expect_text(store, CHANGES, expected);
    corrupt(store);
    ck_assert(meet());
    store = open_store();
    expect_text(store, CHANGES, expected);
    ck_assert_int_eq(number(store, "SELECT count(*) FROM suppression"), 2);
    store_close(store);
}
END_TEST

/* What the journal has lost is told again, behind what was told already. */
START_TEST(an_entry_whose_change_is_lost_is_a_new_change)
{
    struct store *store = open_store();

    execute(store, "INSERT INTO suppression VALUES ('a@a.example', 0, 1), ('b@a.example', 0, 1);"
                   "DELETE FROM suppression_change WHERE address = 'b@a.example'");
    corrupt(store);
    ck_assert(meet());
    store = open_store();
    expect_text(store, "SELECT address FROM suppression_change WHERE sequence > 2", "b@a.example");
    store_close(store);
}
END_TEST

START_TEST(the_tally_keeps_what_it_knows_of_events_that_are_not_brought_over)
{
    struct store *store = open_store();

    fill(store, 3);
    execute(store, "UPDATE events SET state = 1 WHERE id < 3"); /* reported long ago */
    corrupt(store);
    ck_assert(meet());
    store = open_store();
    ck_assert_int_eq(number(store, "SELECT count(*) FROM events"), 1);
    ck_assert_int_eq(number(store, "SELECT sum(count) FROM tally"), 3);
    store_close(store);
}
END_TEST

/* A delivery that fails for it ends: the next process must find a store that works. */
START_TEST(who_met_corruption_and_closes_has_begun_a_new_file)
{
    struct store *store = open_store();

    fill(store, EVENTS);
    corrupt(store);
    store = open_store();
    ck_assert_int_ne(sqlite3_exec(store_handle(store), "SELECT * FROM dns_cache", NULL, NULL, NULL),
                     SQLITE_OK);
    store_error(store, "read", &error);
    store_close(store);
    ck_assert_uint_eq(store_leftovers(directory).count, 1);
    expect_all(EVENTS);
}
END_TEST

static const char note[] = "printf '.corrupt-20260101T000000Z\\n' >state.db.salvage && ";

/* What is committed is in the -wal alone, and whoever moved the file died at one of the renames. */
static const char *const deaths[] = {
    "true",
    "mv state.db state.db.corrupt-20260101T000000Z",
    "mv state.db-wal state.db.corrupt-20260101T000000Z-wal", /* a power cut kept the later one only */
    "mv state.db state.db.corrupt-20260101T000000Z && mv state.db-wal state.db.corrupt-20260101T000000Z-wal",
};

static void commit_and_die(void)
{
    struct store *store = open_store();

    execute(store, "PRAGMA wal_checkpoint(TRUNCATE)");
    fill(store, 100);
    execute(store, "INSERT INTO meta VALUES ('k', 'v')");
    _exit(0);
}

START_TEST(what_is_in_the_wal_is_not_lost_when_its_mover_dies_between_two_renames)
{
    AUTO_FREE char *command = xasprintf("%s%s", note, deaths[_i]);

    if (fork() == 0)
        commit_and_die();
    wait(NULL);
    run(command);
    expect_all(100);
    struct store *store = open_store();
    AUTO_FREE char *value = store_get(store, "k");
    ck_assert_str_eq(value, "v");
    store_close(store);
}
END_TEST

START_TEST(a_note_whose_writer_died_moves_nothing)
{
    struct store *store = open_store();

    fill(store, 10);
    store_close(store);
    run(_i == 0   ? ": >state.db.salvage"
        : _i == 1 ? "printf '.corrupt-2026' >state.db.salvage"
                  : "printf '/../../etc/passwd\\n' >state.db.salvage");
    expect_all(10);
    ck_assert_uint_eq(store_leftovers(directory).count, 0);
}
END_TEST

START_TEST(a_salvage_that_finds_its_file_gone_ends)
{
    AUTO_FREE char *command = xasprintf("%smv state.db state.db.corrupt-20260101T000000Z", note);
    AUTO_FREE char *gone = xasprintf("%srm -f state.db.corrupt*", note);
    struct store *store = open_store();

    store_close(store);
    run(command);
    store_close(open_store());
    run(gone);
    store_close(open_store());
    ck_assert(!exists("state.db.salvage"));
}
END_TEST

START_TEST(a_disk_that_is_full_keeps_the_salvage_for_later)
{
    struct store *store = open_store();
    pid_t child;
    int status;

    fill(store, EVENTS);
    corrupt(store);
    child = fork();
    if (child == 0) {
        /* the size of a file, in place of that of the disk */
        struct rlimit limit = {1 << 20, 1 << 20};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        _exit(!meet() && error.class == OUTCOME_DEFERRED && strcmp(error.enhanced, "4.3.0") == 0 ? 0 : 1);
    }
    waitpid(child, &status, 0);
    ck_assert_int_eq(status, 0);
    ck_assert(store_leftovers(directory).unfinished);
    ck_assert(meet());
    expect_all(EVENTS);
}
END_TEST

static const int versions[] = {-5, 7, 9999};

START_TEST(a_file_of_an_unknown_version_is_never_salvaged)
{
    struct store *store = open_store();
    AUTO_FREE char *mark = xasprintf("PRAGMA user_version=%d", versions[_i]);
    AUTO_FREE char *words = xasprintf("schema version %d", versions[_i]);

    fill(store, 10);
    /* nor one that this SQLite takes for corrupt, as one takes a schema of a later SQLite */
    execute(store, "PRAGMA writable_schema=ON; INSERT INTO sqlite_schema VALUES "
                   "('table', 'later', 'later', 0, 'CREATE TABLE later (a) OF A KIND TO COME');");
    execute(store, mark);
    store_close(store);
    for (int i = 0; i < 2; i++) {
        ck_assert(!store_open(&store, directory, &error));
        ck_assert_msg(strstr(error.text, words) != NULL, "%s", error.text);
        ck_assert_ptr_nonnull(strstr(error.text, "install the postfix-sendpost that wrote it"));
        ck_assert_str_eq(error.enhanced, "4.3.0");
    }
    ck_assert_uint_eq(store_leftovers(directory).count, 0);
    ck_assert(exists("state.db"));
}
END_TEST

UNIT_SUITE(store_salvage_suite)
{
    Suite *suite = suite_create("store_salvage");
    TCase *tcase = tcase_create("salvage");

    tcase_add_checked_fixture(tcase, make_directory, remove_directory);
    tcase_add_test(tcase, a_salvage_that_is_killed_at_any_instant_is_gone_on_with);
    tcase_add_test(tcase, the_journal_of_the_suppression_list_comes_over_as_it_was);
    tcase_add_test(tcase, an_entry_whose_change_is_lost_is_a_new_change);
    tcase_add_test(tcase, the_tally_keeps_what_it_knows_of_events_that_are_not_brought_over);
    tcase_add_test(tcase, who_met_corruption_and_closes_has_begun_a_new_file);
    tcase_add_loop_test(tcase, what_is_in_the_wal_is_not_lost_when_its_mover_dies_between_two_renames, 0, 4);
    tcase_add_loop_test(tcase, a_note_whose_writer_died_moves_nothing, 0, 3);
    tcase_add_test(tcase, a_salvage_that_finds_its_file_gone_ends);
    if (!unit_tests_under_valgrind())
        tcase_add_test(tcase, a_disk_that_is_full_keeps_the_salvage_for_later);
    tcase_add_loop_test(tcase, a_file_of_an_unknown_version_is_never_salvaged, 0, 3);
    suite_add_tcase(suite, tcase);
    return suite;
}
