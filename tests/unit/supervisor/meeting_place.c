#include "supervisor/meeting_place.h"

#include <check.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/idle.h"

char meeting_places[] = "/tmp/sendpost-test-XXXXXX";
int meeting_place;

static void path_of(char path_r[static 96])
{
    idle_place_path(meeting_places, geteuid(), path_r, 96);
}

void meeting_place_make(void)
{
    memcpy(meeting_places + sizeof meeting_places - 7, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(meeting_places));
    meeting_place = idle_place_open(meeting_places, true);
    ck_assert_int_ge(meeting_place, 0);
}

bool meeting_place_is_socket(const char *name)
{
    return name[0] != '.' && strchr(name, '.') != NULL;
}

void meeting_place_remove(void)
{
    char path[96];

    path_of(path);
    ck_assert_msg(meeting_place_count(meeting_place_is_socket) == 0, "something was left in %s", path);
    DIR *names = opendir(path);
    ck_assert_ptr_nonnull(names);
    for (const struct dirent *entry; (entry = readdir(names)) != NULL;)
        unlinkat(meeting_place, entry->d_name, 0);
    closedir(names);
    close(meeting_place);
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(rmdir(meeting_places), 0);
}

unsigned meeting_place_count(bool (*of)(const char *name))
{
    char path[96];
    unsigned count = 0;

    path_of(path);
    DIR *stream = opendir(path);
    ck_assert_ptr_nonnull(stream);
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;)
        count += of(entry->d_name);
    closedir(stream);
    return count;
}

int exit_status(pid_t child)
{
    int status;

    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}
