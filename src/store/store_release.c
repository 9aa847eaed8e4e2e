#include "store/store_release.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <unistd.h>

#define ATTEMPTS 50
#define PAUSE_US 1000

typedef int (*fcntl_call)(int, int, ...);

static fcntl_call usual;

static int insisting_fcntl(int descriptor, int command, ...)
{
    va_list arguments;

    va_start(arguments, command);
    void *argument = va_arg(arguments, void *); /* as the C library itself reads it, whatever it is */
    va_end(arguments);

    int result = usual(descriptor, command, argument);
    if (command != F_SETLK || ((const struct flock *)argument)->l_type != F_UNLCK)
        return result;
    for (int attempt = 1; result < 0 && attempt < ATTEMPTS; attempt++) {
        usleep(PAUSE_US);
        result = usual(descriptor, command, argument);
    }
    return result;
}

void store_release_insist(void)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find("unix");

    if (vfs == NULL || vfs->iVersion < 3)
        return;
    fcntl_call before = (fcntl_call)vfs->xGetSystemCall(vfs, "fcntl");
    if (before == NULL || before == insisting_fcntl)
        return;
    usual = before;
    vfs->xSetSystemCall(vfs, "fcntl", (sqlite3_syscall_ptr)insisting_fcntl);
}
