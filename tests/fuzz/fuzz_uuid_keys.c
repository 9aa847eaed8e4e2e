/*
 * The text of a key file, then a UUID and a recipient: keys are taken or refused for a reason, and what one
 * of them makes verifies, for its recipient alone.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/uuid_proof.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char made[] = "user@example.com";
    const char *text = (const char *)data, *why;
    struct uuid_keys keys;
    size_t line;
    char uuid[UUID_SIZE], recipient[2048] = "";
    bool ok = uuid_keys_parse(&keys, text, size, &why, &line);

    if (ok != (why == NULL) || ok != (keys.count > 0) || keys.count > UUID_KEYS_MAX)
        abort();
    if (!ok)
        keys = (struct uuid_keys){.keys = {"a key of the fuzzer's own"}, .count = 1};
    memcpy(recipient, text, size < sizeof recipient ? size : sizeof recipient - 1);
    uuid_proof_derive(uuid, &keys, 0, (const char *[]){recipient}, 1, made);
    if (!uuid_proof_verify(&keys, uuid, made) ||
        (strcasecmp(recipient, made) != 0 && strchr(recipient, '"') == NULL &&
         uuid_proof_verify(&keys, uuid, recipient)))
        abort();
    uuid_proof_derive(uuid, &keys, 0, (const char *[]){made}, 1, recipient);
    if (*recipient != '\0' && strlen(recipient) < 1025 && !uuid_proof_verify(&keys, uuid, recipient))
        abort();
    uuid_proof_verify(&keys, recipient, made);
    return 0;
}
