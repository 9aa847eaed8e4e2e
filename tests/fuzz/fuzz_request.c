/* Frames between supervisor and deliverer: either side may be hit by nonsense, and survives it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct delivery_request request, again;
    struct delivery_result result;
    char *frame;

    if (result_decode((const char *)data, size, &result) && result.deadline_s == 0)
        (void)result_valid(&result);
    if (request_decode((const char *)data, size, &request)) {
        size_t length = request_encode(&request, &frame);
        if (length > 0 &&
            (!request_decode(frame + 4, length - 4, &again) || strcmp(request.sender, again.sender) != 0 ||
             strcmp(request.recipient, again.recipient) != 0 || request.dry_run != again.dry_run))
            abort();
        free(frame);
    }
    return 0;
}
