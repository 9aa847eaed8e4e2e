/*
 * The transactions of a delivery on a disk whose power is cut at each write and each sync, or that fails
 * there: what was committed with STORE_DURABLE is there afterwards, with all that was committed before, and
 * no transaction is there by half.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "cut_disk.h"
#include "delivery/intent.h"
#include "event/event_outbox.h"
#include "policy/retry.h"
#include "stored_events.h"
#include "suites.h"

#define COMMITS 512
#define IMAGES_AT_ONCE 64

/* What the tables held after each commit, as a number: one that returned, or the one that is under way. */
static struct {
    uint64_t after[COMMITS];
    int commits, durable; /* the last one that has to be there for good */
    char images[IMAGES_AT_ONCE][96];
    int image_durable[IMAGES_AT_ONCE], image_count, verified;
    int events, every; /* of the disk; every how many of them the power is cut */
    int fails_at;      /* 0: none */
    bool failed;
} cut;

static char image_directory[64];

/* --- what a store holds ----------------------------------------------------------------------------------
 */

static void mix(uint64_t *hash, const void *data, size_t size)
{
    for (const unsigned char *at = data; size > 0; at++, size--)
        *hash = (*hash ^ *at) * 0x100000001b3;
}

static void mix_rows(uint64_t *hash, sqlite3 *database, const char *table)
{
    AUTO_FREE char *sql = xasprintf("SELECT * FROM \"%s\" ORDER BY 1, 2", table);
    sqlite3_stmt *rows;

    ck_assert_msg(sqlite3_prepare_v2(database, sql, -1, &rows, NULL) == SQLITE_OK, "%s",
                  sqlite3_errmsg(database));
    while (sqlite3_step(rows) == SQLITE_ROW)
        for (int i = 0; i < sqlite3_column_count(rows); i++) {
            const void *value = sqlite3_column_blob(rows, i);
            mix(hash, value != NULL ? value : "", (size_t)sqlite3_column_bytes(rows, i));
            mix(hash, "|", 1);
        }
    sqlite3_finalize(rows);
}

static uint64_t contents(struct store *of)
{
    sqlite3 *database = store_handle(of);
    uint64_t hash = 0xcbf29ce484222325;
    static const char *const tables[] = {"meta", "events", "deliveries", "intents"};

    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        mix_rows(&hash, database, tables[i]);
    return hash;
}

/* --- after a power cut ------------------------------------------------------------------------------------
 */

static void verify_image(const char *directory, int durable)
{
    struct store *found;
    sqlite3_stmt *check;
    struct store_leftovers leftovers;

    ck_assert_msg(store_open(&found, directory, &error), "%s", error.text);
    ck_assert_int_eq(sqlite3_prepare_v2(store_handle(found), "PRAGMA integrity_check(1)", -1, &check, NULL),
                     SQLITE_OK);
    ck_assert_int_eq(sqlite3_step(check), SQLITE_ROW);
    ck_assert_str_eq((const char *)sqlite3_column_text(check, 0), "ok");
    sqlite3_finalize(check);
    leftovers = store_leftovers(directory);
    ck_assert_msg(leftovers.count == 0, "a power cut is no corruption: %s", leftovers.latest);
    uint64_t hash = contents(found);
    int as_after = cut.commits;
    while (as_after > durable && cut.after[as_after] != hash)
        as_after--;
    ck_assert_msg(cut.after[as_after] == hash, "of %d commits, %d of them durable, something else is left",
                  cut.commits, durable);
    store_close(found);
    cut.verified++;
}

static void verify_images(void)
{
    cut_disk_step_aside(true);
    for (int i = 0; i < cut.image_count; i++)
        verify_image(cut.images[i], cut.image_durable[i]);
    cut_disk_step_aside(false);
    cut.image_count = 0;
}

static void take_image(enum cut_disk_fate fate)
{
    int at = cut.image_count;

    if (at == IMAGES_AT_ONCE)
        return;
    snprintf(cut.images[at], sizeof cut.images[at], "%s/%d", image_directory, at);
    mkdir(cut.images[at], 0700);
    cut_disk_cut(cut.images[at], fate);
    cut.image_durable[at] = cut.durable;
    cut.image_count++;
}

static bool before(void *context, enum cut_disk_event event)
{
    (void)context;
    cut.events++;
    if (cut.every > 0 && (event == CUT_DISK_SYNC || cut.events % cut.every == 0)) {
        take_image(CUT_DISK_NOTHING);
        take_image(CUT_DISK_SOME);
        take_image(CUT_DISK_SOME);
        take_image(CUT_DISK_ALL);
    }
    if (cut.events != cut.fails_at)
        return true;
    cut.failed = true;
    return false;
}

/* --- what a delivery does --------------------------------------------------------------------------------
 */

/* A step is through: it has returned that it is, or that nothing of it is there. */
static bool through(bool done, bool durable)
{
    uint64_t hash = contents(store);

    if (done) {
        ck_assert_int_lt(++cut.commits, COMMITS);
        cut.after[cut.commits] = hash;
        if (durable)
            cut.durable = cut.commits;
    } else {
        ck_assert_msg(cut.failed, "%s", error.text);
        ck_assert_msg(hash == cut.after[cut.commits], "a step that failed has left something");
    }
    verify_images();
    return done;
}

static bool intend(int number)
{
    const struct intent intent = {
        .key = number, .queue_id = "Q", .recipient = "user@example.com", .uuid = "u", .content = "c"};

    return through(intent_write(store, &intent, 1, 1000, &error), false);
}

/* As delivery/record.c does it. */
static bool accept(int number)
{
    struct event event = make(number, CS_DELIVERED, "primary");
    bool done = store_begin(store, STORE_NORMAL, &error) &&
                event_store_add(store, &event, EVENT_PENDING, 1000, &error) &&
                intent_remove(store, number, &error) && store_commit(store, &error);

    if (!done)
        store_rollback(store);
    return through(done, false);
}

static bool defer(int number)
{
    static int64_t schedule[] = {1000, 1000};
    static const struct config config = {.retry.schedule_ms = schedule, .retry.schedule_count = 2};
    const struct retry_key key = {.queue_id = "Q", .recipient = "user@example.com", .uuid = "u"};
    struct event event = make(number, CS_DEFERRED, "primary");
    struct outcome outcome;

    outcome_set(&outcome, OUTCOME_DEFERRED, CAUSE_UNREACHABLE, 0, "4.4.1", "refused");
    bool done = store_begin(store, STORE_NORMAL, &error) &&
                retry_failed(store, &config, &key, "", "primary", 1000 + number, &outcome, &error) &&
                event_store_add(store, &event, EVENT_PENDING, 1000, &error) &&
                intent_remove(store, number, &error) && store_commit(store, &error);
    if (!done)
        store_rollback(store);
    return through(done, false);
}

static bool settle(int number)
{
    struct event event = make(number, CS_DELIVERED, "primary");

    return through(event_outbox_settle(store, &event, EVENT_REPORTED, &error), false);
}

/* What event_report_one() does before it says that the event is kept. */
static bool keep(int number)
{
    struct event event = make(number, CS_DELIVERED, "primary");
    bool done = store_begin(store, STORE_DURABLE, &error) &&
                event_outbox_keep(store, &event, 1000, 0, &error) && store_commit(store, &error);

    if (!done)
        store_rollback(store);
    return through(done, true);
}

/* Between two deliveries; with so many pages in the log that it is the turn of the checkpoint. */
static void rest(bool long_log)
{
    if (long_log)
        sqlite3_wal_checkpoint_v2(store_handle(store), "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    else
        sqlite3_wal_checkpoint_v2(store_handle(store), "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    through(true, false);
}

static void deliver(int number)
{
    switch (number % 3) {
    case 0:
        (void)(intend(number) && accept(number) && settle(number));
        break;
    case 1:
        (void)(intend(number) && accept(number) && keep(number));
        break;
    default:
        (void)(intend(number) && defer(number));
    }
}

/* Goes on after a failure, as the next deliveries do. */
static void work(int deliveries)
{
    for (int number = 1; number <= deliveries; number++) {
        deliver(number);
        if (number % 7 == 0)
            rest(number % 14 == 0);
    }
}

/* --- the tests ------------------------------------------------------------------------------------------ */

/* How a new store looks, on a disk that does not matter. */
static void learn_beginning(void)
{
    temporary_store_open();
    cut.after[0] = contents(store);
    temporary_store_close();
}

static void set_up(void)
{
    memset(&cut, 0, sizeof cut);
    learn_beginning();
    snprintf(image_directory, sizeof image_directory, "/tmp/sendpost-cut.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(image_directory));
    cut_disk_install(before, NULL);
}

static void tear_down(void)
{
    pid_t child = fork();

    if (child == 0) {
        execlp("rm", "rm", "-rf", image_directory, (char *)NULL);
        _exit(1);
    }
    waitpid(child, NULL, 0);
    cut_disk_remove();
}

START_TEST(what_was_synced_survives_a_power_cut_at_any_moment_and_nothing_is_half)
{
    cut.every = unit_tests_under_valgrind() ? 23 : 3;
    temporary_store_open();
    verify_images();
    work(unit_tests_under_valgrind() ? 7 : 21);
    ck_assert_int_gt(cut.durable, 0);
    ck_assert_int_gt(cut.verified, unit_tests_under_valgrind() ? 30 : 100);
    temporary_store_close();
}
END_TEST

/* The nth write or sync fails: the step says so and leaves nothing, and the next ones work. */
static bool fail_at(int number)
{
    memset(&cut.commits, 0, sizeof cut - offsetof(typeof(cut), commits));
    cut.fails_at = number;
    snprintf(temporary_directory, sizeof temporary_directory, "/tmp/sendpost-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(temporary_directory));
    if (!store_open(&store, temporary_directory, &error))
        ck_assert_msg(cut.failed && store_open(&store, temporary_directory, &error), "%s", error.text);
    work(8);
    take_image(CUT_DISK_NOTHING);
    take_image(CUT_DISK_SOME);
    take_image(CUT_DISK_ALL);
    verify_images();
    temporary_store_close();
    cut_disk_remove();
    cut_disk_install(before, NULL);
    return cut.failed;
}

START_TEST(a_write_or_sync_that_fails_takes_its_step_along_and_nothing_else)
{
    int step = unit_tests_under_valgrind() ? 53 : 1, number = 1;

    while (fail_at(number))
        number += step;
    ck_assert_int_gt(number, 50);
}
END_TEST

UNIT_SUITE(power_cut_suite)
{
    Suite *suite = suite_create("power_cut");
    TCase *tests = tcase_create("power_cut");

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, what_was_synced_survives_a_power_cut_at_any_moment_and_nothing_is_half);
    tcase_add_test(tests, a_write_or_sync_that_fails_takes_its_step_along_and_nothing_else);
    suite_add_tcase(suite, tests);
    return suite;
}
