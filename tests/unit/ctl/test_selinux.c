#include "ctl/selinux.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "suites.h"

static char root[64];

/* A file below the root, with the directories that it needs. */
static void make(const char *name, const char *text)
{
    char path[256];

    snprintf(path, sizeof path, "%s%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; *slash++ = '/') {
        *slash = '\0';
        mkdir(path, 0755);
    }
    FILE *file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void set_up(void)
{
    snprintf(root, sizeof root, "/tmp/sendpost-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

static void tear_down(void)
{
    ck_assert_int_eq(nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

START_TEST(it_confines_where_it_enforces_and_was_not_told_otherwise)
{
    ck_assert(!selinux_confines_pipe(root));
    make("/sys/fs/selinux/enforce", "0");
    ck_assert(!selinux_confines_pipe(root));
    make("/sys/fs/selinux/enforce", "1");
    ck_assert(selinux_confines_pipe(root));
    make("/var/lib/selinux/targeted/active/modules/400/permissive_httpd_t/cil", "");
    ck_assert(selinux_confines_pipe(root));
    make("/var/lib/selinux/targeted/active/modules/400/permissive_postfix_pipe_t/cil", "");
    ck_assert(!selinux_confines_pipe(root));
}
END_TEST

UNIT_SUITE(selinux_suite)
{
    Suite *suite = suite_create("selinux");
    TCase *tcase = tcase_create("selinux");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, it_confines_where_it_enforces_and_was_not_told_otherwise);
    suite_add_tcase(suite, tcase);
    return suite;
}
