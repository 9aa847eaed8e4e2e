#include "delivery/claim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/state_dir.h"
#include "base/uuid.h"
#include "base/xalloc.h"

/* 62 bits of a name-based UUID: an offset that two deliveries share by chance only, and then one of them
 * waits in the queue. */
static off_t claim_offset(const char *uuid, const char *queue_id, const char *recipient)
{
    char name[UUID_SIZE];
    char digits[17];

    uuid_derived(name, (const char *[]){"claim", uuid, queue_id, recipient}, 4);
    memcpy(digits, name, 8);
    memcpy(digits + 8, name + 24, 8);
    digits[16] = '\0';
    return (off_t)(strtoull(digits, NULL, 16) >> 2);
}

int claim_take(const char *state_dir, const char *uuid, const char *queue_id, const char *recipient,
               struct outcome *error_r)
{
    AUTO_FREE char *path = xasprintf("%s/deliveries.lock", state_dir);
    int descriptor = state_dir_open(path, O_RDWR | O_CREAT, error_r);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};

    if (descriptor < 0)
        return -1;
    lock.l_start = claim_offset(uuid, queue_id, recipient);
    if (fcntl(descriptor, F_OFD_SETLK, &lock) == 0)
        return descriptor;
    if (errno == EAGAIN || errno == EACCES)
        outcome_local(error_r, "4.3.0",
                      "another process is delivering this message to this recipient right now");
    else
        outcome_local(error_r, "4.3.0", "cannot lock %s: %s", path, strerror(errno));
    close(descriptor);
    return -1;
}
