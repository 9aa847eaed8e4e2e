#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "suites.h"
#include "temporary_store.h"

#define LONG_MS 60000

static struct store *reader_until(int64_t until_ms)
{
    struct store *reader;

    ck_assert_msg(store_open_to_read(&reader, temporary_directory, until_ms, &error), "%s", error.text);
    return reader;
}

static int step_once(struct store *reader, const char *sql)
{
    sqlite3_stmt *statement = store_statement(reader, sql, &error);

    ck_assert_msg(statement != NULL, "%s", error.text);
    int result = store_step(reader, statement, &error);
    sqlite3_reset(statement);
    return result;
}

START_TEST(who_only_reads_sees_what_is_there_and_changes_nothing)
{
    ck_assert(store_put(store, "k", "v", &error));
    struct store *reader = reader_until(clock_monotonic_ms() + LONG_MS);
    AUTO_FREE char *value = store_get(reader, "k");

    ck_assert_str_eq(value, "v");
    ck_assert_int_eq(step_once(reader, "DELETE FROM meta"), -1);
    ck_assert_ptr_nonnull(strstr(error.text, "readonly"));
    store_close(reader);
    AUTO_FREE char *still = store_get(store, "k");
    ck_assert_str_eq(still, "v");
}
END_TEST

START_TEST(a_question_ends_when_its_time_is_over)
{
    struct store *reader = reader_until(clock_monotonic_ms() - 1);

    /* without its end it would count for an hour */
    ck_assert_int_eq(step_once(reader, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
                                       " LIMIT 100000000000) SELECT count(*) FROM n"),
                     -1);
    ck_assert_ptr_nonnull(strstr(error.text, "interrupted"));
    store_close(reader);
}
END_TEST

START_TEST(who_only_reads_makes_no_file_and_mends_none)
{
    AUTO_FREE char *path = xasprintf("%s/state.db", temporary_directory);
    AUTO_FREE char *wal = xasprintf("%s-wal", path);
    static const char garbage[4096] = "no database at all";
    struct store *reader;
    struct stat status;

    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(unlink(wal), 0);
    ck_assert(!store_open_to_read(&reader, temporary_directory, clock_monotonic_ms() + LONG_MS, &error));
    ck_assert_ptr_null(reader);
    ck_assert_int_ne(stat(path, &status), 0);

    int file = open(path, O_WRONLY | O_CREAT, 0600);
    ck_assert_int_eq(write(file, garbage, sizeof garbage), sizeof garbage);
    close(file);
    reader = reader_until(clock_monotonic_ms() + LONG_MS);
    ck_assert_ptr_null(store_statement(reader, "SELECT * FROM meta", &error));
    store_close(reader);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_int_eq(status.st_size, sizeof garbage);
}
END_TEST

/* Somebody else's link, in the place of the file: it is not followed. */
START_TEST(who_only_reads_follows_no_link)
{
    AUTO_FREE char *path = xasprintf("%s/state.db", temporary_directory);
    AUTO_FREE char *aside = xasprintf("%s/elsewhere", temporary_directory);
    struct store *reader;

    ck_assert_int_eq(rename(path, aside), 0);
    ck_assert_int_eq(symlink(aside, path), 0);
    ck_assert(!store_open_to_read(&reader, temporary_directory, clock_monotonic_ms() + LONG_MS, &error));
    ck_assert_ptr_nonnull(strstr(error.text, path));
}
END_TEST

UNIT_SUITE(store_read_suite)
{
    Suite *suite = suite_create("store_read");
    TCase *tcase = tcase_create("read");

    tcase_add_checked_fixture(tcase, temporary_store_open, temporary_store_close);
    tcase_add_test(tcase, who_only_reads_sees_what_is_there_and_changes_nothing);
    tcase_add_test(tcase, a_question_ends_when_its_time_is_over);
    tcase_add_test(tcase, who_only_reads_makes_no_file_and_mends_none);
    tcase_add_test(tcase, who_only_reads_follows_no_link);
    suite_add_tcase(suite, tcase);
    return suite;
}
