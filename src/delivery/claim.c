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

int64_t claim_offset(const char *uuid, const char *queue_id, const char *recipient)
{
    return uuid_number((const char *[]){"claim", uuid, queue_id, recipient}, 4);
}

int claim_take(const char *state_dir, int64_t offset, struct outcome *error_r)
{
    AUTO_FREE char *path = xasprintf("%s/deliveries.lock", state_dir);
    int descriptor = state_dir_open(path, O_RDWR | O_CREAT, error_r);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)offset, .l_len = 1};

    if (descriptor < 0)
        return -1;
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

int claim_try(const char *state_dir, int64_t offset)
{
    struct outcome ignored;

    return claim_take(state_dir, offset, &ignored);
}
