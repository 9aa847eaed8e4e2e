/* What two deliveries must have in common to be served by one process: idle.h tells of it. */
#include <string.h>
#include <unistd.h>

#include "base/file_stamp.h"
#include "supervisor/idle.h"

extern char **environ;

static void mix(uint64_t *key, const void *data, size_t length) /* FNV-1a */
{
    for (const unsigned char *at = data; length > 0; at++, length--)
        *key = (*key ^ *at) * 0x100000001b3;
}

bool idle_key(const char *program_path, const char *config_path, uint64_t *key_r)
{
    struct file_stamp program, config, mounts;
    uid_t users[] = {geteuid(), getegid()};
    uint64_t key = 0xcbf29ce484222325;

    if (!file_stamp_of(program_path, &program) || !file_stamp_of(config_path, &config) ||
        !file_stamp_of("/proc/self/ns/mnt", &mounts))
        return false;
    mix(&key, users, sizeof users);
    mix(&key, &mounts.inode, sizeof mounts.inode);
    mix(&key, &program, sizeof program);
    mix(&key, &config, sizeof config);
    mix(&key, config_path, strlen(config_path) + 1);
    for (char **variable = environ; *variable != NULL; variable++)
        mix(&key, *variable, strlen(*variable) + 1);
    *key_r = key;
    return true;
}
