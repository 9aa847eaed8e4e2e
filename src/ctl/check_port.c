/* sendpostctl check: who has a TCP port of this machine: the socket's inode from /proc/net, and whose
 * descriptor it is. */
#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "ctl/check.h"

#define LISTENING 0x0a /* TCP_LISTEN, as /proc/net/tcp has it */

/* 0: nobody listens there. */
static unsigned long listening_inode(const char *table, unsigned port)
{
    AUTO_FCLOSE FILE *stream = fopen(table, "re");
    char line[512];
    unsigned long found = 0;

    while (stream != NULL && found == 0 && fgets(line, sizeof line, stream) != NULL) {
        unsigned local = 0, state = 0;
        unsigned long inode = 0;
        if (sscanf(line, " %*[^:]: %*[^:]:%x %*s %x %*s %*s %*s %*s %*s %lu", &local, &state, &inode) == 3 &&
            local == port && state == LISTENING)
            found = inode;
    }
    return found;
}

static bool has_socket(const char *process, unsigned long inode)
{
    AUTO_FREE char *directory = xasprintf("/proc/%s/fd", process);
    AUTO_FREE char *wanted = xasprintf("socket:[%lu]", inode);
    DIR *descriptors = opendir(directory);
    const struct dirent *entry;
    bool found = false;

    while (descriptors != NULL && !found && (entry = readdir(descriptors)) != NULL) {
        AUTO_FREE char *path = xasprintf("%s/%s", directory, entry->d_name);
        char target[64];
        ssize_t length = readlink(path, target, sizeof target - 1);
        target[length > 0 ? length : 0] = '\0';
        found = strcmp(target, wanted) == 0;
    }
    if (descriptors != NULL)
        closedir(descriptors);
    return found;
}

static char *name_process(const char *process)
{
    AUTO_FREE char *path = xasprintf("/proc/%s/comm", process);
    AUTO_FCLOSE FILE *stream = fopen(path, "re");
    char name[64] = "";

    if (stream == NULL || fgets(name, sizeof name, stream) == NULL)
        return xasprintf("process %s", process);
    name[strcspn(name, "\n")] = '\0';
    return xasprintf("%s (process %s)", name, process);
}

char *check_port_owner(const char *listen)
{
    static const char *const tables[] = {"/proc/net/tcp", "/proc/net/tcp6"};
    const char *colon = strrchr(listen, ':');
    unsigned port = colon != NULL ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;
    unsigned long inode = 0;
    const struct dirent *entry;
    char *owner = NULL;

    for (size_t i = 0; i < sizeof tables / sizeof tables[0] && inode == 0 && port > 0; i++)
        inode = listening_inode(tables[i], port);
    DIR *processes = inode != 0 ? opendir("/proc") : NULL;
    while (processes != NULL && owner == NULL && (entry = readdir(processes)) != NULL)
        if (isdigit((unsigned char)entry->d_name[0]) && has_socket(entry->d_name, inode))
            owner = name_process(entry->d_name);
    if (processes != NULL)
        closedir(processes);
    return owner;
}
