/* A DNS answer of hostile bytes is read within its bounds, and what comes out is a list that hangs
 * together. */
#include <arpa/nameser.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/dns_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int types[] = {ns_t_mx, ns_t_cname};

    for (size_t t = 0; t < 2; t++) {
        struct dns_answer answer;
        enum dns_result result = dns_message_parse(data, size, "a.example", types[t], &answer);
        if ((result == DNS_OK) != (answer.count > 0) || (result == DNS_OK) != (answer.reason[0] == '\0'))
            abort();
        for (size_t i = 1; i < answer.count; i++)
            if (answer.records[i - 1].preference > answer.records[i].preference)
                abort();
        dns_mx_free(answer.records, answer.count);
    }
    return 0;
}
