/* A store in a directory of its own, for the tests of modules that keep something in it. */
#ifndef SENDPOST_TEMPORARY_STORE_H
#define SENDPOST_TEMPORARY_STORE_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store.h"

static char temporary_directory[64];
static struct store *store;
static struct outcome error;

static void temporary_store_open(void)
{
    snprintf(temporary_directory, sizeof temporary_directory, "/tmp/sendpost-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(temporary_directory));
    ck_assert_msg(store_open(&store, temporary_directory, &error), "%s", error.text);
}

static void temporary_store_close(void)
{
    pid_t child;

    store_close(store);
    child = fork();
    if (child == 0) {
        execlp("rm", "rm", "-rf", temporary_directory, (char *)NULL);
        _exit(1);
    }
    waitpid(child, NULL, 0);
}

#endif
