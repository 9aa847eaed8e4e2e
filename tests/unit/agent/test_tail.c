#include "agent/tail.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "suites.h"

#define NOBODY 65534

static char directory[64], log_path[128];

static void begin(void)
{
    snprintf(directory, sizeof directory, "/tmp/sendpost-tail-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(log_path, sizeof log_path, "%s/mail.log", directory);
}

static void end(void)
{
    char command_path[256];
    static const char *const names[] = {"",
                                        ".1",
                                        ".2",
                                        ".1.gz",
                                        ".2.gz",
                                        ".3.gz",
                                        "-20261122",
                                        "-20261121.gz",
                                        ".20261122",
                                        ".20261121.gz",
                                        ".20261123-000000",
                                        ".20261122-000000",
                                        ".20261122-000000.gz",
                                        ".20261121-000000.gz"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(command_path, sizeof command_path, "%s%s", log_path, names[i]);
        unlink(command_path);
    }
    ck_assert_int_eq(rmdir(directory), 0);
}

static const char *path_of(const char *suffix)
{
    static char paths[4][256];
    static int next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s%s", log_path, suffix);
    return path;
}

static void append(const char *suffix, const char *text)
{
    FILE *file = fopen(path_of(suffix), "a");

    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void compress_to(const char *suffix, const char *text)
{
    gzFile file = gzopen(path_of(suffix), "w");

    ck_assert_ptr_nonnull(file);
    gzputs(file, text);
    gzclose(file);
}

static void copy_and_truncate(const char *suffix)
{
    static char text[65536];
    FILE *file = fopen(log_path, "r");
    size_t length = fread(text, 1, sizeof text - 1, file);

    fclose(file);
    text[length] = '\0';
    append(suffix, text);
    ck_assert_int_eq(truncate(log_path, 0), 0);
}

/* Everything up to the end, pieces joined; the position as it would be stored. */
static struct position stored;
static char *read_all(struct tail *tail)
{
    static char text[65536];
    const char *piece;
    size_t length, filled = 0;
    struct outcome error;

    while (tail_read(tail, &piece, &length, &error) == TAIL_PIECE) {
        ck_assert_uint_lt(filled + length, sizeof text);
        memcpy(text + filled, piece, length);
        filled += length;
        stored = *tail_position(tail);
        tail_advance(tail);
    }
    stored = *tail_position(tail);
    text[filled] = '\0';
    return text;
}

/* What a new process reads. */
static char *read_anew(void)
{
    struct tail *tail = tail_open(log_path, &stored, false);
    char *text = read_all(tail);

    tail_close(tail);
    return text;
}

static struct tail *open_at_top(void)
{
    return tail_open(log_path, NULL, true);
}

/* The log begins with these lines, and they were read. */
static struct tail *begin_with(const char *lines)
{
    append("", lines);
    struct tail *tail = open_at_top();
    ck_assert_str_eq(read_all(tail), lines);
    return tail;
}

/* The same by a process that has ended since. */
static void begin_and_end_with(const char *lines)
{
    tail_close(begin_with(lines));
}

START_TEST(whole_lines_are_read_once)
{
    struct tail *tail;

    append("", "one\ntwo\nthr");
    tail = open_at_top();
    ck_assert_str_eq(read_all(tail), "one\ntwo\n");
    append("", "ee\nfour\n");
    ck_assert_str_eq(read_all(tail), "three\nfour\n");
    ck_assert_str_eq(read_all(tail), "");
    tail_close(tail);
    append("", "five\n");
    ck_assert_str_eq(read_anew(), "five\n");
}
END_TEST

START_TEST(a_piece_that_was_not_advanced_over_is_read_again)
{
    struct outcome error;
    const char *piece;
    size_t length;

    append("", "one\n");
    struct tail *tail = open_at_top();
    ck_assert_int_eq(tail_read(tail, &piece, &length, &error), TAIL_PIECE);
    ck_assert_int_eq(tail_read(tail, &piece, &length, &error), TAIL_PIECE);
    ck_assert_str_eq(read_all(tail), "one\n");
    tail_close(tail);
}
END_TEST

START_TEST(without_a_position_the_end_is_the_beginning)
{
    append("", "old\nolder\nhalf");
    struct tail *tail = tail_open(log_path, NULL, false);
    append("", " new\n");
    ck_assert_str_eq(read_all(tail), "half new\n");
    tail_close(tail);
}
END_TEST

START_TEST(a_log_that_appears_later_is_read_from_its_top)
{
    struct tail *tail = tail_open(log_path, NULL, false);
    ck_assert_str_eq(read_all(tail), "");
    tail_close(tail);
    tail = tail_open(log_path, &stored, false); /* also by the next process */
    append("", "first\n");
    ck_assert_str_eq(read_all(tail), "first\n");
    tail_close(tail);
}
END_TEST

START_TEST(rotation_by_rename_loses_nothing_written_late)
{
    struct tail *tail = begin_with("one\n");
    rename(log_path, path_of(".1"));
    append(".1", "two\n"); /* syslogd still holds the old file */
    append("", "");
    ck_assert_str_eq(read_all(tail), "two\n");
    append(".1", "three\n");
    append("", "four\n");
    ck_assert_str_eq(read_all(tail), "three\nfour\n");
    tail_close(tail);
}
END_TEST

START_TEST(the_unfinished_line_of_a_finished_file_is_a_line)
{
    append("", "one\nhalf");
    struct tail *tail = open_at_top();
    ck_assert_str_eq(read_all(tail), "one\n");
    rename(log_path, path_of(".1"));
    append("", "two\n");
    ck_assert_str_eq(read_all(tail), "halftwo\n");
    tail_close(tail);
}
END_TEST

START_TEST(several_rotations_at_once_are_read_in_order)
{
    struct tail *tail = begin_with("one\n");
    append("", "two\n");
    rename(log_path, path_of(".2"));
    append(".1", "three\n");
    append("", "four\n");
    ck_assert_str_eq(read_all(tail), "two\nthree\nfour\n");
    tail_close(tail);
}
END_TEST

START_TEST(predecessors_of_a_downtime_are_caught_up_also_compressed)
{
    begin_and_end_with("one\n");
    unlink(log_path);
    compress_to(".3.gz", "one\ntwo\n");
    compress_to(".2.gz", "three\n");
    append(".1", "four\n");
    compress_to(".1.gz", "fo"); /* still being compressed */
    append("", "five\n");
    ck_assert_str_eq(read_anew(), "two\nthree\nfour\nfive\n");
    append("", "six\n");
    ck_assert_str_eq(read_anew(), "six\n");
}
END_TEST

START_TEST(predecessors_named_by_date_are_in_order)
{
    begin_and_end_with("one\n");
    unlink(log_path);
    compress_to("-20261121.gz", "one\ntwo\n");
    append("-20261122", "three\n");
    append("", "four\n");
    ck_assert_str_eq(read_anew(), "two\nthree\nfour\n");
}
END_TEST

/* savelog -d, logrotate with "dateformat .%Y%m%d", "postfix logrotate" */
START_TEST(predecessors_named_by_date_behind_a_dot_are_in_order)
{
    static const char *const suffixes[][2] = {{".20261121.gz", ".20261122"},
                                              {".20261121-000000.gz", ".20261122-000000"}};

    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        begin_and_end_with("one\n");
        unlink(log_path);
        compress_to(suffixes[i][0], "one\ntwo\n");
        append(suffixes[i][1], "three\n");
        append("", "four\n");
        ck_assert_str_eq(read_anew(), "two\nthree\nfour\n");
        end();
        begin();
    }
}
END_TEST

START_TEST(what_was_rotated_long_ago_is_not_read_again)
{
    compress_to(".20261121-000000.gz", "history\n");
    append(".20261122-000000", "more history\n");
    struct tail *tail = begin_with("one\n");
    rename(log_path, path_of(".20261123-000000"));
    append("", "two\n");
    ck_assert_str_eq(read_all(tail), "two\n");
    tail_close(tail);
}
END_TEST

START_TEST(copytruncate_is_noticed_also_when_the_log_has_grown_past_the_position)
{
    struct tail *tail = begin_with("one\n");
    append("", "two\n");
    copy_and_truncate(".1");
    ck_assert_str_eq(read_all(tail), "two\n");
    append("", "three\nlonger than all before\n");
    ck_assert_str_eq(read_all(tail), "three\nlonger than all before\n");
    rename(path_of(".1"), path_of(".2"));
    append("", "four\n");
    copy_and_truncate(".1");
    append("", "another beginning, longer than the one that was there before\n");
    ck_assert_str_eq(read_all(tail), "four\nanother beginning, longer than the one that was there before\n");
    tail_close(tail);
}
END_TEST

START_TEST(copytruncate_twice_around_an_empty_log_loses_nothing)
{
    struct tail *tail = begin_with("one\n");
    copy_and_truncate(".1");
    ck_assert_str_eq(read_all(tail), "");
    tail_close(tail);
    rename(path_of(".1"), path_of(".2"));
    append("", "two\n");
    copy_and_truncate(".1");
    ck_assert_str_eq(read_anew(), "two\n");
    append("", "three\n");
    ck_assert_str_eq(read_anew(), "three\n");
}
END_TEST

START_TEST(a_position_whose_file_is_gone_goes_on_with_what_is_younger)
{
    append(".2", "history\n");
    begin_and_end_with("one\n");
    unlink(log_path);
    stored.modified_ms -= 10;
    append(".1", "two\n");
    append("", "three\n");
    struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    utimensat(AT_FDCWD, path_of(".2"), long_ago, 0);
    ck_assert_str_eq(read_anew(), "two\nthree\n");
}
END_TEST

/* logrotate makes the new log as its rule says, and where that is wrong root's alone. */
static void close_to_us(const char *suffix)
{
    ck_assert_int_eq(chmod(path_of(suffix), 0), 0);
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(directory, NOBODY, NOBODY), 0);
        ck_assert_int_eq(seteuid(NOBODY), 0);
    }
}

static void open_to_us(const char *suffix)
{
    if (getuid() == 0)
        ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(chmod(path_of(suffix), 0644), 0);
}

static void check_closed(struct tail *tail, const char *suffix)
{
    struct outcome error;
    const char *piece;
    size_t length;

    ck_assert_int_eq(tail_read(tail, &piece, &length, &error), TAIL_TROUBLE);
    ck_assert_ptr_nonnull(strstr(error.text, path_of(suffix)));
    ck_assert_ptr_nonnull(strstr(error.text, "give this user read access"));
}

START_TEST(a_new_log_that_is_closed_to_us_is_trouble)
{
    struct tail *tail = begin_with("one\n");
    rename(log_path, path_of(".1"));
    append("", "two\n");
    close_to_us("");
    check_closed(tail, "");
    open_to_us("");
    ck_assert_str_eq(read_all(tail), "two\n");
    tail_close(tail);
}
END_TEST

START_TEST(a_predecessor_that_is_closed_to_us_is_trouble_and_not_passed_over)
{
    struct tail *tail = begin_with("one\n");
    rename(log_path, path_of(".2"));
    append(".1", "two\n");
    append("", "three\n");
    close_to_us(".1");
    check_closed(tail, ".1");
    open_to_us(".1");
    ck_assert_str_eq(read_all(tail), "two\nthree\n");
    tail_close(tail);
}
END_TEST

START_TEST(the_file_that_was_being_read_is_trouble_when_it_is_closed_to_the_next_process)
{
    begin_and_end_with("one\n");
    append("", "two\n");
    rename(log_path, path_of(".1"));
    append("", "three\n");
    struct tail *tail = tail_open(log_path, &stored, false);
    close_to_us(".1");
    check_closed(tail, ".1");
    open_to_us(".1");
    ck_assert_str_eq(read_all(tail), "two\nthree\n");
    tail_close(tail);
}
END_TEST

START_TEST(a_line_beyond_all_bounds_is_passed_over)
{
    FILE *file = fopen(log_path, "w");

    for (size_t i = 0; i < TAIL_LINE_MAX + 5000; i++)
        putc('x', file);
    fclose(file);
    struct tail *tail = open_at_top();
    ck_assert_str_eq(read_all(tail), "");
    ck_assert_int_eq(stored.offset, 0); /* nobody may begin in the middle of it */
    append("", "y\nnext\n");
    ck_assert_str_eq(read_all(tail), "next\n");
    tail_close(tail);
    append("", "more\n");
    ck_assert_str_eq(read_anew(), "more\n");
}
END_TEST

START_TEST(a_hole_before_a_line_is_passed_over_however_long_it_is)
{
    enum { HOLE = 2 * TAIL_PIECE_MAX + 100 };

    append("", "");
    ck_assert_int_eq(truncate(log_path, HOLE), 0);
    append("", "line\n");
    struct tail *tail = open_at_top();
    const char *text = read_all(tail); /* of the hole only what shares the last piece with the line */
    ck_assert_str_eq(text, "");
    ck_assert_str_eq(text + 100, "line\n");
    ck_assert_int_eq(stored.offset, HOLE + 5);
    tail_close(tail);
}
END_TEST

UNIT_SUITE(tail_suite)
{
    Suite *suite = suite_create("tail");
    TCase *tcase = tcase_create("tail");

    tcase_add_checked_fixture(tcase, begin, end);
    tcase_add_test(tcase, whole_lines_are_read_once);
    tcase_add_test(tcase, a_piece_that_was_not_advanced_over_is_read_again);
    tcase_add_test(tcase, without_a_position_the_end_is_the_beginning);
    tcase_add_test(tcase, a_log_that_appears_later_is_read_from_its_top);
    tcase_add_test(tcase, rotation_by_rename_loses_nothing_written_late);
    tcase_add_test(tcase, the_unfinished_line_of_a_finished_file_is_a_line);
    tcase_add_test(tcase, several_rotations_at_once_are_read_in_order);
    tcase_add_test(tcase, predecessors_of_a_downtime_are_caught_up_also_compressed);
    tcase_add_test(tcase, predecessors_named_by_date_are_in_order);
    tcase_add_test(tcase, predecessors_named_by_date_behind_a_dot_are_in_order);
    tcase_add_test(tcase, what_was_rotated_long_ago_is_not_read_again);
    tcase_add_test(tcase, copytruncate_is_noticed_also_when_the_log_has_grown_past_the_position);
    tcase_add_test(tcase, copytruncate_twice_around_an_empty_log_loses_nothing);
    tcase_add_test(tcase, a_position_whose_file_is_gone_goes_on_with_what_is_younger);
    tcase_add_test(tcase, a_new_log_that_is_closed_to_us_is_trouble);
    tcase_add_test(tcase, a_predecessor_that_is_closed_to_us_is_trouble_and_not_passed_over);
    tcase_add_test(tcase, the_file_that_was_being_read_is_trouble_when_it_is_closed_to_the_next_process);
    tcase_add_test(tcase, a_line_beyond_all_bounds_is_passed_over);
    tcase_add_test(tcase, a_hole_before_a_line_is_passed_over_however_long_it_is);
    suite_add_tcase(suite, tcase);
    return suite;
}
