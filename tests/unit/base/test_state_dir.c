#include "base/state_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "suites.h"

#define SOMEBODY 65534

static char directory[64];
static struct outcome error;

static void setup(void)
{
    snprintf(directory, sizeof directory, "/tmp/sendpost-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void teardown(void)
{
    if (fork() == 0)
        execlp("rm", "rm", "-rf", directory, (char *)NULL);
    wait(NULL);
}

static char *path_of(const char *name)
{
    return xasprintf("%s/%s", directory, name);
}

static void make_file(const char *path)
{
    ck_assert_int_eq(close(open(path, O_CREAT | O_WRONLY, 0644)), 0);
}

START_TEST(a_new_file_is_for_its_owner_alone)
{
    AUTO_FREE char *path = path_of("lock");
    mode_t before = umask(0277);
    struct stat status;
    int descriptor = state_dir_open(path, O_RDWR | O_CREAT, &error);

    umask(before);
    ck_assert_msg(descriptor >= 0, "%s", error.text);
    ck_assert_int_eq(fstat(descriptor, &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0600);
    close(descriptor);
}
END_TEST

START_TEST(a_file_that_others_can_read_is_closed_to_them)
{
    AUTO_FREE char *path = path_of("lock");
    struct stat status;

    make_file(path);
    ck_assert(state_dir_check(path, &error));
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0600);
}
END_TEST

static void refused(const char *path, int error_number, const char *words)
{
    int descriptor = state_dir_open(path, O_RDWR | O_CREAT, &error);

    ck_assert_int_eq(descriptor, -1);
    ck_assert_int_eq(errno, error_number);
    ck_assert_int_eq(error.class, OUTCOME_DEFERRED);
    ck_assert_str_eq(error.enhanced, "4.3.0");
    ck_assert_msg(strstr(error.text, words) != NULL, "%s", error.text);
    ck_assert_ptr_nonnull(strstr(error.text, path));
    ck_assert(!state_dir_check(path, &error));
    ck_assert_msg(strstr(error.text, words) != NULL, "%s", error.text);
}

START_TEST(a_symbolic_link_is_not_followed)
{
    AUTO_FREE char *path = path_of("lock"), *target = path_of("target");
    struct stat status;

    ck_assert_int_eq(symlink(target, path), 0);
    refused(path, ELOOP, "symbolic link");
    ck_assert_int_ne(stat(target, &status), 0);
    make_file(target);
    refused(path, ELOOP, "symbolic link");
}
END_TEST

START_TEST(a_file_with_a_second_name_is_not_used)
{
    AUTO_FREE char *path = path_of("lock"), *target = path_of("target");

    make_file(target);
    ck_assert_int_eq(link(target, path), 0);
    refused(path, EPERM, "another name");
}
END_TEST

START_TEST(what_is_no_regular_file_is_not_used)
{
    AUTO_FREE char *path = path_of("lock");

    ck_assert_int_eq(mkfifo(path, 0600), 0);
    refused(path, ELOOP, "no regular file");
}
END_TEST

/* In a child: some of what follows cannot be undone. */
static void in_child(void (*work)(void))
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        work();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

#define CHECK(condition)                                         \
    do {                                                         \
        if (!(condition)) {                                      \
            fprintf(stderr, "%s: %s\n", #condition, error.text); \
            _exit(1);                                            \
        }                                                        \
    } while (0)

static void expect_owner(void)
{
    AUTO_FREE char *path = path_of("lock");
    uid_t real, effective, saved;
    struct stat status;

    CHECK(state_dir_become_owner(directory, NULL, &error));
    CHECK(getresuid(&real, &effective, &saved) == 0 && real == SOMEBODY && effective == SOMEBODY &&
          saved == SOMEBODY);
    CHECK(setuid(0) != 0 && setgid(0) != 0); /* there is no way back */
    CHECK(getgroups(0, NULL) == 1);
    CHECK(close(state_dir_open(path, O_RDWR | O_CREAT, &error)) == 0);
    CHECK(stat(path, &status) == 0 && status.st_uid == SOMEBODY);
}

START_TEST(root_becomes_the_owner_for_good)
{
    if (geteuid() != 0)
        return;
    ck_assert_int_eq(chown(directory, SOMEBODY, SOMEBODY), 0);
    in_child(expect_owner);
}
END_TEST

static void expect_group(void)
{
    const struct group *group = getgrnam("adm");
    gid_t wanted = group != NULL ? group->gr_gid : SOMEBODY, groups[8] = {0};

    CHECK(state_dir_become_owner(directory, "adm no-such-group-here", &error));
    CHECK(getgroups(8, groups) == (group != NULL ? 2 : 1));
    CHECK(groups[0] == wanted || groups[1] == wanted);
}

START_TEST(the_groups_that_are_asked_for_are_taken_where_they_exist)
{
    if (geteuid() != 0)
        return;
    ck_assert_int_eq(chown(directory, SOMEBODY, SOMEBODY), 0);
    in_child(expect_group);
}
END_TEST

static void expect_root(void)
{
    CHECK(state_dir_become_owner(directory, NULL, &error));
    CHECK(geteuid() == 0);
}

START_TEST(in_a_directory_of_its_own_root_stays_root)
{
    if (geteuid() == 0)
        in_child(expect_root);
}
END_TEST

START_TEST(root_that_did_not_become_the_owner_makes_and_uses_nothing)
{
    AUTO_FREE char *path = path_of("lock");
    struct stat status;

    if (geteuid() != 0)
        return;
    ck_assert_int_eq(chown(directory, SOMEBODY, SOMEBODY), 0);
    ck_assert_int_eq(state_dir_open(path, O_RDWR | O_CREAT, &error), -1);
    ck_assert_ptr_nonnull(strstr(error.text, "chown"));
    ck_assert_int_ne(lstat(path, &status), 0);
    make_file(path);
    ck_assert_int_eq(chown(path, SOMEBODY, SOMEBODY), 0);
    refused(path, EPERM, "belongs to user");
}
END_TEST

START_TEST(a_directory_that_is_not_there_is_an_error_with_a_remedy)
{
    if (geteuid() != 0)
        return;
    ck_assert(!state_dir_become_owner("/nonexistent/sendpost", NULL, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "install -d"));
}
END_TEST

UNIT_SUITE(state_dir_suite)
{
    Suite *suite = suite_create("state_dir");
    TCase *tcase = tcase_create("files");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_new_file_is_for_its_owner_alone);
    tcase_add_test(tcase, a_file_that_others_can_read_is_closed_to_them);
    tcase_add_test(tcase, a_symbolic_link_is_not_followed);
    tcase_add_test(tcase, a_file_with_a_second_name_is_not_used);
    tcase_add_test(tcase, what_is_no_regular_file_is_not_used);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("owner");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, root_becomes_the_owner_for_good);
    tcase_add_test(tcase, the_groups_that_are_asked_for_are_taken_where_they_exist);
    tcase_add_test(tcase, in_a_directory_of_its_own_root_stays_root);
    tcase_add_test(tcase, root_that_did_not_become_the_owner_makes_and_uses_nothing);
    tcase_add_test(tcase, a_directory_that_is_not_there_is_an_error_with_a_remedy);
    suite_add_tcase(suite, tcase);
    return suite;
}
