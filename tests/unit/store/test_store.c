#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "store/schema.h"
#include "store/store_connection.h"
#include "store/store_release.h"
#include "suites.h"

static char directory[64];
static struct outcome error;

static void make_directory(void)
{
    snprintf(directory, sizeof directory, "/tmp/sendpost-store.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void remove_directory(void)
{
    AUTO_FREE char *command = xasprintf("%s", directory);
    pid_t child = fork();

    if (child == 0) {
        execlp("rm", "rm", "-rf", command, (char *)NULL);
        _exit(1);
    }
    waitpid(child, NULL, 0);
}

static struct store *open_store(void)
{
    struct store *store;

    ck_assert_msg(store_open(&store, directory, &error), "%s", error.text);
    return store;
}

static char *path_of(const char *name)
{
    return xasprintf("%s/%s", directory, name);
}

static void overwrite(const char *name, long offset, const char *text)
{
    AUTO_FREE char *path = path_of(name);
    FILE *file = fopen(path, offset > 0 ? "r+" : "w");

    ck_assert_ptr_nonnull(file);
    fseek(file, offset, SEEK_SET);
    for (int i = 0; i < 1000; i++)
        fputs(text, file);
    fclose(file);
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

/* Runs work(argument) in count children at the same time; returns how many ended with status 0. */
static int in_children(int count, void (*work)(int), int argument)
{
    int gate[2], ok = 0;

    ck_assert_int_eq(pipe(gate), 0);
    for (int i = 0; i < count; i++) {
        if (fork() == 0) {
            char go;
            close(gate[1]);
            if (read(gate[0], &go, 1) >= 0) /* all wait for the gate to close */
                work(argument);
            _exit(0);
        }
    }
    close(gate[0]);
    close(gate[1]);
    for (int i = 0; i < count; i++) {
        int status;
        if (wait(&status) > 0 && status == 0)
            ok++;
    }
    return ok;
}

static void child_check(bool ok)
{
    if (!ok) {
        fprintf(stderr, "child: %s\n", error.text);
        _exit(1);
    }
}

START_TEST(a_missing_file_is_created_for_the_owner_alone)
{
    mode_t before = umask(0);
    struct store *store = open_store();
    struct stat status;

    umask(before);
    ck_assert(store_put(store, "k", "v", &error));
    for (size_t i = 0; i < 3; i++) {
        AUTO_FREE char *path = path_of((const char *[]){"state.db", "state.db-wal", "state.db-shm"}[i]);
        ck_assert_int_eq(stat(path, &status), 0);
        ck_assert_uint_eq(status.st_mode & 0777, 0600);
    }
    ck_assert_int_eq(number(store, "PRAGMA user_version"), SCHEMA_VERSION);
    store_close(store);
}
END_TEST

START_TEST(what_was_put_is_there_after_reopening)
{
    struct store *store = open_store();

    ck_assert(store_put(store, "k", "one", &error));
    ck_assert(store_put(store, "k", "two", &error));
    store_close(store);
    store = open_store();
    AUTO_FREE char *value = store_get(store, "k");
    ck_assert_str_eq(value, "two");
    ck_assert(store_put(store, "k", NULL, &error));
    ck_assert_ptr_null(store_get(store, "k"));
    store_close(store);
}
END_TEST

START_TEST(a_rolled_back_transaction_leaves_nothing)
{
    struct store *store = open_store();

    ck_assert(store_begin(store, STORE_DURABLE, &error));
    ck_assert(store_put(store, "k", "v", &error));
    ck_assert(store_in_transaction(store));
    store_rollback(store);
    store_rollback(store);
    ck_assert(!store_in_transaction(store));
    ck_assert_ptr_null(store_get(store, "k"));
    ck_assert_int_eq(number(store, "PRAGMA synchronous"), 1);
    store_close(store);
}
END_TEST

START_TEST(a_durable_transaction_runs_with_full_synchronisation_and_only_it)
{
    struct store *store = open_store();

    ck_assert(store_begin(store, STORE_DURABLE, &error));
    ck_assert_int_eq(number(store, "PRAGMA synchronous"), 2);
    ck_assert(store_commit(store, &error));
    ck_assert_int_eq(number(store, "PRAGMA synchronous"), 1);
    ck_assert(store_begin(store, STORE_NORMAL, &error));
    ck_assert_int_eq(number(store, "PRAGMA synchronous"), 1);
    ck_assert(store_commit(store, &error));
    store_close(store);
}
END_TEST

START_TEST(a_newer_file_is_refused_and_left_alone)
{
    struct store *store = open_store();

    ck_assert_int_eq(sqlite3_exec(store_handle(store), "PRAGMA user_version=9999", NULL, NULL, NULL),
                     SQLITE_OK);
    store_close(store);
    ck_assert(!store_open(&store, directory, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "9999"));
    ck_assert_str_eq(error.enhanced, "4.3.0");
    ck_assert_int_eq(error.cause, CAUSE_OURS);
    ck_assert(!store_open(&store, directory, &error));
}
END_TEST

START_TEST(garbage_is_moved_aside_and_a_new_file_begun)
{
    overwrite("state.db", 0, "this is no database");
    struct store *store = open_store();
    ck_assert(store_put(store, "k", "v", &error));
    store_close(store);

    AUTO_FREE char *aside = xasprintf("ls %s | grep -c 'state.db.corrupt-[0-9TZ]*$' | grep -qx 1", directory);
    pid_t child = fork();
    int status;
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", aside, (char *)NULL);
        _exit(2);
    }
    waitpid(child, &status, 0);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(corruption_met_later_moves_the_file_aside_at_the_next_transaction)
{
    struct store *store = open_store();

    ck_assert(store_begin(store, STORE_NORMAL, &error));
    for (int i = 0; i < 2000; i++) {
        AUTO_FREE char *key = xasprintf("key %d with a text to fill some pages of the file", i);
        ck_assert(store_put(store, key, key, &error));
    }
    ck_assert(store_commit(store, &error));
    sqlite3_wal_checkpoint_v2(store_handle(store), NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    store_close(store);
    /* behind the first pages of all tables: only these keys are there */
    overwrite("state.db", 73 * 4096, "\xff\xfe garbage in the middle of the file");

    store = open_store();
    bool failed = false;
    for (int i = 0; i < 2000 && !failed; i++) {
        AUTO_FREE char *key = xasprintf("key %d with a text to fill some pages of the file", i);
        failed = !store_put(store, key, "new", &error);
    }
    ck_assert(failed);
    ck_assert_str_eq(error.enhanced, "4.3.0");
    ck_assert(store_begin(store, STORE_NORMAL, &error));
    ck_assert(store_put(store, "k", "v", &error));
    ck_assert(store_commit(store, &error));
    /* what could be read behind the damage has been taken over */
    ck_assert_int_gt(number(store, "SELECT count(*) FROM meta"), 100);
    ck_assert_int_eq(number(store, "SELECT count(*) FROM meta WHERE key LIKE 'key 999 %'"), 1);
    ck_assert_int_eq(
        number(store, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
    store_close(store);
}
END_TEST

static void expect(struct store *store, const char *key, const char *value)
{
    AUTO_FREE char *found = store_get(store, key);

    ck_assert_str_eq(found != NULL ? found : "", value);
}

START_TEST(what_is_read_together_is_of_one_moment_until_something_is_written)
{
    struct store *store = open_store(), *other = open_store();

    ck_assert(store_put(other, "k", "old", &error));
    store_read_begin(store);
    expect(store, "k", "old");
    ck_assert(!store_in_transaction(store));
    ck_assert(store_put(other, "k", "new", &error));
    expect(store, "k", "old");
    store_read_end(store);
    expect(store, "k", "new");

    store_read_begin(store);
    expect(store, "k", "new");
    ck_assert(store_put(other, "k", "newer", &error));
    /* of an old snapshot it would fail */
    ck_assert_msg(store_put(store, "mine", "v", &error), "%s", error.text);
    expect(store, "k", "newer");

    store_read_begin(store);
    expect(store, "k", "newer");
    ck_assert(store_put(other, "k", "newest", &error));
    ck_assert_msg(store_begin(store, STORE_NORMAL, &error), "%s", error.text);
    expect(store, "k", "newest");
    ck_assert(store_commit(store, &error));

    store_read_begin(store);
    store_read_begin(store); /* the same one */
    expect(store, "k", "newest");
    store_read_end(store);
    ck_assert(store_put(other, "k", "last", &error));
    expect(store, "k", "last");
    store_read_begin(store);
    store_close(store);
    store_close(other);
}
END_TEST

START_TEST(what_is_waited_for_others_is_known)
{
    struct store *store = open_store(), *other = open_store();

    ck_assert(store_put(store, "k", "v", &error));
    ck_assert_int_eq(store_take_wait_us(store), 0);
    ck_assert(store_begin(other, STORE_NORMAL, &error));
    store->busy_wait_ms = 20;
    ck_assert(!store_begin(store, STORE_NORMAL, &error));
    /* the last pause may end behind the time, none is begun there */
    ck_assert_int_gt(store_take_wait_us(store), 0);
    ck_assert_int_eq(store_take_wait_us(store), 0);
    ck_assert(store_commit(other, &error));
    ck_assert(store_begin(store, STORE_NORMAL, &error));
    ck_assert_int_eq(store_take_wait_us(store), 0);
    ck_assert(store_commit(store, &error));
    store_close(store);
    store_close(other);
}
END_TEST

START_TEST(several_values_come_at_once)
{
    struct store *store = open_store();
    char *values[STORE_GET_MAX];

    ck_assert(store_put(store, "b", "2", &error) && store_put(store, "c", "3", &error));
    store_get_each(store, (const char *[]){"c", "a", "b"}, values);
    ck_assert_str_eq(values[0], "3");
    ck_assert_ptr_null(values[1]);
    ck_assert_str_eq(values[2], "2");
    free(values[0]);
    free(values[2]);
    store_close(store);
}
END_TEST

START_TEST(a_file_deleted_under_a_running_process_is_begun_anew)
{
    struct store *store = open_store(), *other;
    AUTO_FREE char *path = path_of("state.db");

    ck_assert(store_put(store, "old", "v", &error));
    ck_assert_int_eq(unlink(path), 0); /* its -wal and -shm stay behind */
    other = open_store();
    ck_assert_ptr_null(store_get(other, "old"));
    ck_assert(store_begin(store, STORE_NORMAL, &error));
    ck_assert(store_put(store, "new", "v", &error));
    ck_assert(store_commit(store, &error));
    AUTO_FREE char *value = store_get(other, "new");
    ck_assert_str_eq(value, "v");
    store_close(store);
    store_close(other);
}
END_TEST

START_TEST(a_missing_directory_is_an_error_with_a_remedy)
{
    struct store *store;

    ck_assert(!store_open(&store, "/nonexistent/sendpost", &error));
    ck_assert_int_eq(error.class, OUTCOME_DEFERRED);
    ck_assert_str_eq(error.enhanced, "4.3.0");
    ck_assert_ptr_nonnull(strstr(error.text, "/nonexistent/sendpost"));
    ck_assert_ptr_nonnull(strstr(error.text, "install -d"));
    ck_assert_ptr_null(store);
}
END_TEST

static void open_as_nobody(int unused)
{
    struct store *store;

    (void)unused;
    if (setgid(65534) != 0 || setuid(65534) != 0)
        _exit(1);
    _exit(!store_open(&store, directory, &error) && error.class == OUTCOME_DEFERRED &&
                  strcmp(error.enhanced, "4.3.0") == 0 &&
                  (strstr(error.text, "user id 65534") != NULL ||
                   strstr(error.text, "belongs to user root") != NULL)
              ? 0
              : 1);
}

START_TEST(a_file_that_can_only_be_read_is_an_error)
{
    AUTO_FREE char *path = path_of("state.db");

    if (geteuid() != 0)
        return; /* only root can become somebody else */
    store_close(open_store());
    ck_assert_int_eq(in_children(1, open_as_nobody, 0), 1); /* directory closed to others */
    ck_assert_int_eq(chmod(directory, 0777), 0);
    ck_assert_int_eq(chmod(path, 0644), 0);
    ck_assert_int_eq(in_children(1, open_as_nobody, 0), 1); /* file read-only */
}
END_TEST

/* On a busy disk all the others may take longer than one waits. He comes back, as a delivery does. */
static bool others_are_at_it(void)
{
    return strstr(error.text, "is locked (SQLite") != NULL;
}

static void open_and_count(int commits)
{
    struct store *store;

    while (!store_open(&store, directory, &error))
        child_check(others_are_at_it());
    for (int i = 0; i < commits; i++) {
        AUTO_FREE char *next = NULL;
        while (!store_begin(store, i % 2 ? STORE_DURABLE : STORE_NORMAL, &error))
            child_check(others_are_at_it());
        AUTO_FREE char *now = store_get(store, "counter");
        next = xasprintf("%d", (now ? atoi(now) : 0) + 1);
        child_check(store_put(store, "counter", next, &error));
        child_check(store_commit(store, &error));
    }
    store_close(store);
}

START_TEST(a_hundred_first_processes_agree_on_one_file_and_lose_no_commit)
{
    ck_assert_int_eq(in_children(100, open_and_count, 4), 100);
    struct store *store = open_store();
    AUTO_FREE char *counter = store_get(store, "counter");
    ck_assert_str_eq(counter, "400");
    ck_assert_int_eq(
        number(store, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
    store_close(store);
}
END_TEST

START_TEST(many_processes_move_a_corrupt_file_aside_once_and_lose_no_commit)
{
    overwrite("state.db", 0, "this is no database");
    ck_assert_int_eq(in_children(50, open_and_count, 4), 50);
    struct store *store = open_store();
    AUTO_FREE char *counter = store_get(store, "counter");
    ck_assert_str_eq(counter, "200");
    store_close(store);
}
END_TEST

/* As where memory or room lacks: SQLite rolls back, and the statement that failed did not matter. */
START_TEST(nothing_is_written_behind_an_error_that_undid_the_transaction)
{
    static const char conflict[] = "INSERT OR ROLLBACK INTO meta VALUES ('taken', 'again')";
    struct store *store = open_store();
    struct outcome ignored;

    ck_assert(store_put(store, "taken", "once", &error));
    ck_assert(store_begin(store, STORE_DURABLE, &error));
    ck_assert(store_put(store, "before", "event", &error));
    ck_assert(!store_run(store, store_statement(store, conflict, &error), &ignored));
    ck_assert(store_in_transaction(store));
    ck_assert(!store_put(store, "behind", "position", &error));
    ck_assert_str_eq(error.text, ignored.text);
    ck_assert(!store_begin(store, STORE_NORMAL, &error));
    ck_assert(!store_commit(store, &error));
    ck_assert_str_eq(error.text, ignored.text);
    ck_assert(!store_in_transaction(store));
    ck_assert_ptr_null(store_get(store, "before"));
    ck_assert_ptr_null(store_get(store, "behind"));
    ck_assert(store_begin(store, STORE_NORMAL, &error));
    ck_assert(store_put(store, "behind", "position", &error));
    ck_assert(store_commit(store, &error));
    store_close(store);
}
END_TEST

static int releases, failing_release;

static int failing_fcntl(int descriptor, int command, ...)
{
    va_list arguments;

    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (command == F_SETLK && ((struct flock *)argument)->l_type == F_UNLCK &&
        ++releases == failing_release) {
        errno = ENOLCK;
        return -1;
    }
    return fcntl(descriptor, command, argument);
}

/* SQLite does not look whether a lock was let go, and then waits for itself. */
START_TEST(a_lock_that_is_not_let_go_at_once_holds_up_nobody)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find("unix");

    vfs->xSetSystemCall(vfs, "fcntl", (sqlite3_syscall_ptr)failing_fcntl);
    store_release_insist();
    for (failing_release = 1; releases == 0 || releases >= failing_release - 1; failing_release++) {
        releases = 0;
        struct store *store = open_store();
        for (int i = 0; i < 3; i++) {
            ck_assert_msg(store_begin(store, STORE_NORMAL, &error), "release %d: %s", failing_release,
                          error.text);
            ck_assert_msg(store_put(store, "key", "value", &error), "%s", error.text);
            ck_assert_msg(store_commit(store, &error), "%s", error.text);
        }
        store_close(store);
    }
    ck_assert_int_gt(failing_release, 10);
    vfs->xSetSystemCall(vfs, "fcntl", NULL);
    store_release_insist();
}
END_TEST

START_TEST(the_wal_stays_bounded)
{
    AUTO_FREE char *path = path_of("state.db-wal"), *text = xcalloc(1, 3001);
    struct stat status;

    memset(text, 'x', 3000);
    for (int round = 0; round < 300; round++) {
        struct store *store = open_store();
        for (int i = 0; i < 20; i++) {
            AUTO_FREE char *key = xasprintf("%d", i);
            ck_assert(store_put(store, key, text, &error));
        }
        store_close(store);
    }
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_int_lt(status.st_size, 3000 * 4096); /* some 6,000 pages were written */
}
END_TEST

/* Children count up in transactions that keep two values equal, while they are killed at random. What a child
 * reports through the pipe as committed must be there. */
static void count_until_killed(int report)
{
    struct store *store;
    uint32_t done = 0;

    child_check(store_open(&store, directory, &error));
    for (;;) {
        child_check(store_begin(store, STORE_NORMAL, &error));
        AUTO_FREE char *now = store_get(store, "a");
        AUTO_FREE char *next = xasprintf("%d", (now ? atoi(now) : 0) + 1);
        child_check(store_put(store, "a", next, &error) && store_put(store, "b", next, &error) &&
                    store_commit(store, &error));
        done++;
        if (write(report, &done, sizeof done) != sizeof done)
            _exit(1);
        if (done % 7 == 0) {
            store_close(store);
            child_check(store_open(&store, directory, &error));
        }
    }
}

START_TEST(kill_at_any_instant_neither_tears_nor_loses_a_transaction)
{
    long committed = 0;

    srand(1);
    for (int round = 0; round < (unit_tests_under_valgrind() ? 4 : 30); round++) {
        enum { CHILDREN = 6 };
        pid_t children[CHILDREN];
        int reports[2];
        uint32_t record;

        ck_assert_int_eq(pipe(reports), 0);
        for (int i = 0; i < CHILDREN; i++)
            if ((children[i] = fork()) == 0) {
                close(reports[0]);
                count_until_killed(reports[1]);
            }
        close(reports[1]);
        /* the instant varies with what the others have done so far, and with the scheduler */
        for (int i = 0; i < CHILDREN; i++) {
            for (int wanted = rand() % 12; wanted > 0 && read(reports[0], &record, sizeof record) > 0;
                 wanted--)
                committed++;
            kill(children[i], SIGKILL);
        }
        while (read(reports[0], &record, sizeof record) == sizeof record)
            committed++;
        close(reports[0]);
        for (int i = 0; i < CHILDREN; i++)
            waitpid(children[i], NULL, 0);
    }
    struct store *store = open_store();
    AUTO_FREE char *a = store_get(store, "a"), *b = store_get(store, "b");
    ck_assert_int_gt(committed, 0);
    ck_assert_str_eq(a, b);
    ck_assert_int_ge(atol(a), committed);
    store_close(store);
}
END_TEST

UNIT_SUITE(store_suite)
{
    Suite *suite = suite_create("store");
    TCase *tcase = tcase_create("store");

    tcase_add_checked_fixture(tcase, make_directory, remove_directory);
    tcase_add_test(tcase, what_is_read_together_is_of_one_moment_until_something_is_written);
    tcase_add_test(tcase, what_is_waited_for_others_is_known);
    tcase_add_test(tcase, several_values_come_at_once);
    tcase_add_test(tcase, a_missing_file_is_created_for_the_owner_alone);
    tcase_add_test(tcase, what_was_put_is_there_after_reopening);
    tcase_add_test(tcase, a_rolled_back_transaction_leaves_nothing);
    tcase_add_test(tcase, a_durable_transaction_runs_with_full_synchronisation_and_only_it);
    tcase_add_test(tcase, a_newer_file_is_refused_and_left_alone);
    tcase_add_test(tcase, garbage_is_moved_aside_and_a_new_file_begun);
    tcase_add_test(tcase, corruption_met_later_moves_the_file_aside_at_the_next_transaction);
    tcase_add_test(tcase, a_file_deleted_under_a_running_process_is_begun_anew);
    tcase_add_test(tcase, a_missing_directory_is_an_error_with_a_remedy);
    tcase_add_test(tcase, a_file_that_can_only_be_read_is_an_error);
    tcase_add_test(tcase, a_hundred_first_processes_agree_on_one_file_and_lose_no_commit);
    tcase_add_test(tcase, many_processes_move_a_corrupt_file_aside_once_and_lose_no_commit);
    tcase_add_test(tcase, nothing_is_written_behind_an_error_that_undid_the_transaction);
    tcase_add_test(tcase, a_lock_that_is_not_let_go_at_once_holds_up_nobody);
    tcase_add_test(tcase, the_wal_stays_bounded);
    tcase_add_test(tcase, kill_at_any_instant_neither_tears_nor_loses_a_transaction);
    suite_add_tcase(suite, tcase);
    return suite;
}
