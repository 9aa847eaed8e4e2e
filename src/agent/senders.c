#include "agent/senders.h"

#include <string.h>

void senders_put(struct senders *senders, uint64_t key, struct log_slice sender)
{
    size_t place = (size_t)(key >> 20) % SENDERS_COUNT;

    if (sender.length == 0 || sender.length > SENDERS_SIZE)
        return;
    senders->places[place].key = key;
    senders->places[place].length = (uint16_t)sender.length;
    memcpy(senders->places[place].address, sender.at, sender.length);
}

struct log_slice senders_get(const struct senders *senders, uint64_t key)
{
    size_t place = (size_t)(key >> 20) % SENDERS_COUNT;

    if (senders->places[place].key != key)
        return (struct log_slice){NULL, 0};
    return (struct log_slice){senders->places[place].address, senders->places[place].length};
}
