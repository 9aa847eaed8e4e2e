/*
 * Messages on standard input: whatever comes, the view has exactly the bytes that came, with CRLF for each
 * line end, behind the five identity fields, and fields of these names are in its header once each.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/encoded_word.h"
#include "base/utf8.h"
#include "base/xalloc.h"
#include "delivery/identity.h"
#include "delivery/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static char *read_view(struct message *message, size_t *length_r)
{
    const struct relay_message *view = message_view(message);
    char *bytes = xmalloc(view->size + 1);
    ssize_t got;

    for (*length_r = 0; (got = view->read_at(view->context, *length_r, bytes + *length_r, 1000)) > 0;)
        *length_r += (size_t)got;
    must(got == 0 && *length_r == view->size && view->header_length <= view->size);
    return bytes;
}

/* The message as it should be: LF and CRLF to CRLF, a missing end added. */
static char *expected(const char *data, size_t size, size_t *length_r)
{
    char *bytes = xmalloc(size * 2 + 3);
    size_t length = 0;

    for (size_t i = 0; i < size; i++) {
        if (data[i] == '\n' && (i == 0 || data[i - 1] != '\r'))
            bytes[length++] = '\r';
        bytes[length++] = data[i] == '\r' && (i + 1 == size || data[i + 1] != '\n') ? ' ' : data[i];
    }
    if (size > 0 && data[size - 1] != '\n') {
        bytes[length++] = '\r';
        bytes[length++] = '\n';
    }
    *length_r = length;
    return bytes;
}

static void check_subject(const struct message *message)
{
    AUTO_FREE char *subject = message_header(message, "Subject", 0);
    char decoded[64], again[64];

    if (subject == NULL)
        return;
    size_t decoded_length = encoded_word_decode(decoded, sizeof decoded, subject);
    must(decoded_length < sizeof decoded && strlen(decoded) == decoded_length);
    must(utf8_clean(again, sizeof again, decoded, decoded_length) == decoded_length);
}

static void check_identity(struct message *message)
{
    const struct config config = {.account_id = 1, .subaccount_id = 2};
    const struct config_tpsp tpsp = {.id = 3};
    const struct uuid_keys none = {0};
    char uuid[UUID_SIZE];

    identity_uuid(uuid, message, "", "4bX", "user@example.com", &none);
    must(uuid_valid(uuid, strlen(uuid)));
    identity_mark(message, uuid, &config, &tpsp);
    identity_mark(message, uuid, &config, &tpsp);
    AUTO_FREE char *value = message_header(message, IDENTITY_HEADER_UUID, 0);
    AUTO_FREE char *second = message_header(message, IDENTITY_HEADER_UUID, 1);
    must(value != NULL && strcmp(value, uuid) == 0 && second == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome error;
    size_t length, expected_length;
    int descriptor = memfd_create("fuzz", MFD_CLOEXEC);

    must(descriptor >= 0 && write(descriptor, data, size) == (ssize_t)size);
    lseek(descriptor, 0, SEEK_SET);
    struct message *message = message_read(descriptor, "/tmp", 0, &error);
    close(descriptor);
    must(message != NULL);
    AUTO_FREE char *bytes = read_view(message, &length);
    AUTO_FREE char *wanted = expected((const char *)data, size, &expected_length);
    must(length == expected_length && memcmp(bytes, wanted, length) == 0);
    check_subject(message);
    check_identity(message);
    AUTO_FREE char *marked = read_view(message, &length);
    must(length > sizeof IDENTITY_HEADER_UUID &&
         memcmp(marked, IDENTITY_HEADER_UUID ":", sizeof IDENTITY_HEADER_UUID) == 0);
    message_free(message);
    return 0;
}
