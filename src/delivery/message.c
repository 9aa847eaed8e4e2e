/* The digest is asked for by its own functions, which OpenSSL 3 calls deprecated: those it prefers cost a
 * look-up and three allocations a message. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "delivery/message.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "delivery/header_field.h"

#define CHUNK_SIZE (64u << 10)
#define BODY_MEMORY_MAX (256u << 10) /* a larger body goes to the spool file */

struct buffer {
    char *bytes;
    size_t length, size;
};

struct message {
    struct buffer header; /* CRLF lines */
    /* what is not in the spool file; with a spool file, what is still to be written to it */
    struct buffer body;
    int spool;        /* unlinked file, or -1 */
    uint64_t spooled; /* bytes in it */
    uint64_t body_size;
    uint64_t received; /* bytes as received, also beyond the limit */
    uint64_t line_ends;
    char content[MESSAGE_CONTENT_SIZE];
    bool header_overflow;
    struct relay_message view;
};

/* Where the reader stands. */
struct reader {
    struct message *message;
    const char *spool_dir;
    uint64_t limit; /* bytes to keep, UINT64_MAX for all */
    bool in_body;
    bool pending_cr;   /* a CR was read whose next byte is not known yet */
    size_t line_start; /* offset in header of the line being read */
    bool eight_bit;
    int error; /* errno of a failed spool write */
};

static void buffer_append(struct buffer *buffer, const char *bytes, size_t length)
{
    if (length == 0)
        return;
    if (length > buffer->size - buffer->length) {
        buffer->size = buffer->size + (buffer->size > length ? buffer->size : length) + 1024;
        buffer->bytes = xrealloc(buffer->bytes, buffer->size);
    }
    memcpy(buffer->bytes + buffer->length, bytes, length);
    buffer->length += length;
}

/* --- header fields ------------------------------------------------------------------------------ */

char *message_header(const struct message *message, const char *name, size_t nth)
{
    const struct buffer *header = &message->header;

    for (size_t at = 0, end; at < header->length; at = end) {
        end = header_field_end(header->bytes, header->length, at);
        if (header_field_is(header->bytes + at, end - at, name) && nth-- == 0)
            return header_field_value(header->bytes + at, end - at);
    }
    return NULL;
}

void message_remove_header(struct message *message, const char *name)
{
    struct buffer *header = &message->header;
    size_t kept = 0;

    for (size_t at = 0, end; at < header->length; at = end) {
        end = header_field_end(header->bytes, header->length, at);
        if (header_field_is(header->bytes + at, end - at, name))
            continue;
        memmove(header->bytes + kept, header->bytes + at, end - at);
        kept += end - at;
    }
    header->length = kept;
}

void message_prepend(struct message *message, const char *lines)
{
    struct buffer fresh = {0};

    buffer_append(&fresh, lines, strlen(lines));
    buffer_append(&fresh, message->header.bytes, message->header.length);
    free(message->header.bytes);
    message->header = fresh;
}

/* --- reading ------------------------------------------------------------------------------------ */

static int spool_open(const char *directory)
{
    int descriptor = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (descriptor >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
        return descriptor;
    AUTO_FREE char *path = xasprintf("%s/spool-XXXXXX", directory); /* a file system without O_TMPFILE */
    descriptor = mkostemp(path, O_CLOEXEC);
    if (descriptor >= 0)
        unlink(path);
    return descriptor;
}

static void spool_flush(struct reader *reader)
{
    struct message *message = reader->message;

    if (message->spool < 0 && (message->spool = spool_open(reader->spool_dir)) < 0)
        reader->error = errno;
    for (size_t at = 0; at < message->body.length && reader->error == 0;) {
        ssize_t written = write(message->spool, message->body.bytes + at, message->body.length - at);
        if (written < 0 && errno != EINTR)
            reader->error = errno;
        else if (written > 0)
            at += (size_t)written;
    }
    message->spooled += message->body.length;
    message->body.length = 0;
}

static void body_append(struct reader *reader, const char *bytes, size_t length)
{
    struct message *message = reader->message;

    if (message->received > reader->limit || message->header_overflow)
        return;
    buffer_append(&message->body, bytes, length);
    message->body_size += length;
    if (message->body.length > (message->spool < 0 ? BODY_MEMORY_MAX : CHUNK_SIZE) && reader->error == 0)
        spool_flush(reader);
}

/* The header's last line is complete: does the header end with it, or before it? */
static void header_line_done(struct reader *reader)
{
    struct message *message = reader->message;
    struct buffer *header = &message->header;
    const char *line = header->bytes + reader->line_start;
    size_t length = header->length - reader->line_start;

    if (length == 2) { /* CRLF alone */
        reader->in_body = true;
    } else if (!header_field_belongs(line, length, reader->line_start == 0)) {
        reader->in_body = true; /* no blank line divides them, and none is put there */
        header->length = reader->line_start;
        body_append(reader, line, length);
    } else if (header->length > MESSAGE_HEADER_MAX) {
        message->header_overflow = true;
        reader->in_body = true;
    }
    reader->line_start = header->length;
}

static void put(struct reader *reader, const char *bytes, size_t length)
{
    if (reader->in_body)
        body_append(reader, bytes, length);
    else if (reader->message->header.length <= MESSAGE_HEADER_MAX)
        buffer_append(&reader->message->header, bytes, length);
    else
        reader->message->header_overflow = true; /* one endless line */
}

static void put_line_end(struct reader *reader)
{
    reader->message->line_ends++;
    put(reader, "\r\n", 2);
    if (!reader->in_body)
        header_line_done(reader);
}

/* A CR that ends no line is for some servers the end of one all the same, and what follows could be commands
 * (SMTP smuggling): it becomes a space, as cleanup_replace_stray_cr_lf of postconf(5) has it. */
static void put_without_cr(struct reader *reader, const char *bytes, size_t length)
{
    const char *end = bytes + length, *cr;

    for (; (cr = memchr(bytes, '\r', (size_t)(end - bytes))) != NULL; bytes = cr + 1) {
        put(reader, bytes, (size_t)(cr - bytes));
        put(reader, " ", 1);
    }
    put(reader, bytes, (size_t)(end - bytes));
}

static bool has_eight_bit(const char *bytes, size_t length)
{
    uint64_t word, seen = 0;
    size_t at = 0;

    for (; length - at >= sizeof word; at += sizeof word) {
        memcpy(&word, bytes + at, sizeof word);
        seen |= word;
    }
    for (; at < length; at++)
        seen |= (unsigned char)bytes[at];
    return (seen & UINT64_C(0x8080808080808080)) != 0;
}

/* LF and CRLF become CRLF. */
static void read_bytes(struct reader *reader, const char *bytes, size_t length)
{
    const char *end = bytes + length;

    reader->eight_bit = reader->eight_bit || has_eight_bit(bytes, length);
    while (bytes < end) {
        const char *newline = memchr(bytes, '\n', (size_t)(end - bytes));
        const char *line_end = newline == NULL ? end : newline;
        if (reader->pending_cr && line_end > bytes)
            put(reader, " ", 1);
        if (line_end > bytes) {
            reader->pending_cr = line_end[-1] == '\r';
            put_without_cr(reader, bytes, (size_t)(line_end - bytes) - reader->pending_cr);
        }
        if (newline == NULL)
            return;
        reader->pending_cr = false;
        put_line_end(reader);
        bytes = newline + 1;
    }
}

static void read_end(struct reader *reader)
{
    struct buffer *header = &reader->message->header;

    if (reader->pending_cr)
        put(reader, " ", 1);
    if (!reader->in_body && header->length > reader->line_start) { /* the header's last line has no end */
        put_line_end(reader);
    } else if (reader->in_body) {
        /* A message ends with a line end (RFC 5321 section 4.1.1.4); every engine and smtp(8) would add a
         * missing one. */
        struct message *message = reader->message;
        char last = '\n';
        if (message->body.length > 0)
            last = message->body.bytes[message->body.length - 1];
        else if (message->spooled > 0 && pread(message->spool, &last, 1, (off_t)message->spooled - 1) != 1)
            reader->error = errno;
        if (last != '\n')
            body_append(reader, "\r\n", 2);
    }
    if (reader->message->spool >= 0 && reader->error == 0)
        spool_flush(reader);
}

static ssize_t view_read_at(void *context, uint64_t offset, char *buffer, size_t size)
{
    const struct message *message = context;
    const char *source;
    size_t available;

    if (offset < message->header.length) {
        source = message->header.bytes + offset;
        available = message->header.length - (size_t)offset;
    } else if ((offset -= message->header.length) >= message->body_size) {
        return 0;
    } else if (message->spool >= 0) {
        ssize_t got;
        do
            got = pread(message->spool, buffer, size, (off_t)offset);
        while (got < 0 && errno == EINTR);
        return got;
    } else {
        source = message->body.bytes + offset;
        available = message->body.length - (size_t)offset;
    }
    if (size > available)
        size = available;
    memcpy(buffer, source, size);
    return (ssize_t)size;
}

const struct relay_message *message_view(struct message *message)
{
    message->view.header = message->header.bytes;
    message->view.header_length = message->header.length;
    message->view.size = message->header.length + message->body_size;
    message->view.read_at = view_read_at;
    message->view.context = message;
    return &message->view;
}

/* Half of the digest tells any two messages apart. */
static void note_content(struct message *message, SHA256_CTX *hash)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[SHA256_DIGEST_LENGTH];
    int length = snprintf(message->content, sizeof message->content, "%ju-", (uintmax_t)message->received);
    char *at = message->content + length;

    SHA256_Final(digest, hash);
    for (size_t i = 0; i < sizeof digest / 2; i++) {
        *at++ = digits[digest[i] >> 4];
        *at++ = digits[digest[i] & 15];
    }
    *at = '\0';
}

struct message *message_read(int descriptor, const char *spool_dir, int64_t limit, struct outcome *error_r)
{
    struct message *message = xcalloc(1, sizeof *message);
    struct reader reader = {
        .message = message, .spool_dir = spool_dir, .limit = limit > 0 ? (uint64_t)limit : UINT64_MAX};
    AUTO_FREE char *chunk = xmalloc(CHUNK_SIZE);
    ssize_t got;

    SHA256_CTX hash;
    SHA256_Init(&hash);
    message->spool = -1;
    message->header.bytes = xmalloc(message->header.size = 8192);
    while ((got = read(descriptor, chunk, CHUNK_SIZE)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            outcome_local(error_r, "4.3.0", "cannot read the message from standard input: %s",
                          strerror(errno));
            message_free(message);
            return NULL;
        }
        message->received += (uint64_t)got;
        SHA256_Update(&hash, chunk, (size_t)got);
        read_bytes(&reader, chunk, (size_t)got);
    }
    note_content(message, &hash);
    read_end(&reader);
    message->view.eight_bit = reader.eight_bit;
    if (reader.error != 0) {
        outcome_local(error_r, "4.3.0",
                      "cannot spool the message in %s: %s; make room there or check its permissions",
                      spool_dir, strerror(reader.error));
        message_free(message);
        return NULL;
    }
    return message;
}

uint64_t message_line_ends(const struct message *message)
{
    return message->line_ends;
}

const char *message_content(const struct message *message)
{
    return message->content;
}

uint64_t message_received_size(const struct message *message)
{
    return message->received;
}

bool message_header_overflow(const struct message *message)
{
    return message->header_overflow;
}

void message_free(struct message *message)
{
    if (message == NULL)
        return;
    if (message->spool >= 0)
        close(message->spool);
    free(message->header.bytes);
    free(message->body.bytes);
    free(message);
}
