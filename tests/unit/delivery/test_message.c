#include "delivery/message.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "delivery/identity.h"
#include "suites.h"

static struct message *read_message(const char *bytes, size_t length, int64_t limit)
{
    struct outcome error;
    int descriptor = memfd_create("message", MFD_CLOEXEC);

    for (size_t at = 0; at < length;)
        at += (size_t)write(descriptor, bytes + at, length - at);
    lseek(descriptor, 0, SEEK_SET);
    struct message *message = message_read(descriptor, "/tmp", limit, &error);
    close(descriptor);
    return message;
}

static char *whole(struct message *message, size_t *length_r)
{
    const struct relay_message *view = message_view(message);
    size_t room = view->size + 1, piece; /* for one byte more than promised, which would be seen */
    char *bytes = xmalloc(room);
    ssize_t got;

    for (*length_r = 0; (piece = room - *length_r < 7000 ? room - *length_r : 7000) > 0;
         *length_r += (size_t)got)
        if ((got = view->read_at(view->context, *length_r, bytes + *length_r, piece)) <= 0)
            break;
    ck_assert_int_eq(got, 0);
    ck_assert_uint_eq(*length_r, view->size);
    return bytes;
}

#define BYTES(literal) literal, sizeof(literal) - 1

static const struct {
    const char *in;
    size_t in_length;
    const char *out;
    size_t out_length;
    size_t header_length;
} cases[] = {
    {BYTES("A: b\n\nbody\n"), BYTES("A: b\r\n\r\nbody\r\n"), 8},
    {BYTES("A: b\r\n\r\nbody\r\n"), BYTES("A: b\r\n\r\nbody\r\n"), 8},
    {BYTES("A: b\n\r\nbody\nx\r\n"), BYTES("A: b\r\n\r\nbody\r\nx\r\n"), 8},
    {BYTES("A: b\n c\n\tX: d\n\n"), BYTES("A: b\r\n c\r\n\tX: d\r\n\r\n"), 19},
    {BYTES("A: b\n\nno end"), BYTES("A: b\r\n\r\nno end\r\n"), 8},
    {BYTES("A: b"), BYTES("A: b\r\n"), 6},
    {BYTES("A: b\n"), BYTES("A: b\r\n"), 6},
    {BYTES("A: b\r"), BYTES("A: b \r\n"), 7},
    {BYTES(""), BYTES(""), 0},
    {BYTES("\nbody\n"), BYTES("\r\nbody\r\n"), 2},
    {BYTES("A: b\nno field\nC: d\n"), BYTES("A: b\r\nno field\r\nC: d\r\n"), 6},
    {BYTES("no field\n"), BYTES("no field\r\n"), 0},
    {BYTES(" begins folded\nA: b\n\n"), BYTES(" begins folded\r\nA: b\r\n\r\n"), 0},
    {BYTES("From a@b Mon Nov 23\nA: b\n\nx\n"), BYTES("From a@b Mon Nov 23\r\nA: b\r\n\r\nx\r\n"), 29},
    {BYTES("A : b\n\nx\n"), BYTES("A : b\r\n\r\nx\r\n"), 9},
    {BYTES("A: b\n\na\rb\r\rc\r\r\n\rd\n"), BYTES("A: b\r\n\r\na b  c \r\n d\r\n"), 8},
    {BYTES("A: b\n\nx\0y\n\0"), BYTES("A: b\r\n\r\nx\0y\r\n\0\r\n"), 8},
    {BYTES("A: b\n\n.\n..\n.\r\n"), BYTES("A: b\r\n\r\n.\r\n..\r\n.\r\n"), 8},
};

START_TEST(line_ends_become_crlf_and_nothing_else_changes)
{
    struct message *message = read_message(cases[_i].in, cases[_i].in_length, 0);
    size_t length;
    char *bytes = whole(message, &length);

    ck_assert_uint_eq(length, cases[_i].out_length);
    ck_assert_mem_eq(bytes, cases[_i].out, length);
    ck_assert_uint_eq(message_view(message)->header_length, cases[_i].header_length);
    free(bytes);
    message_free(message);
}
END_TEST

START_TEST(a_line_end_split_over_two_reads_is_one)
{
    int ends[2];
    struct outcome error;
    size_t length;

    ck_assert_int_eq(pipe(ends), 0);
    if (fork() == 0) {
        const char *parts[] = {"A: b\r", "\n\r", "\nx\r", "y\r", "\n"};
        for (int i = 0; i < 5; i++) {
            int unread = 1;
            if (write(ends[1], parts[i], strlen(parts[i])) < 0)
                _exit(1);
            while (unread > 0) /* until the reader has taken this part alone */
                if (ioctl(ends[0], FIONREAD, &unread) != 0)
                    _exit(1);
        }
        _exit(0);
    }
    close(ends[1]);
    struct message *message = message_read(ends[0], "/tmp", 0, &error);
    char *bytes = whole(message, &length);
    ck_assert_uint_eq(length, 13);
    ck_assert_mem_eq(bytes, "A: b\r\n\r\nx y\r\n", 13);
    free(bytes);
    close(ends[0]);
    message_free(message);
}
END_TEST

START_TEST(a_large_body_goes_through_the_spool_unchanged)
{
    size_t size = 3u << 20, length;
    char *bytes = xmalloc(size);

    memcpy(bytes, "A: b\r\n\r\n", 8);
    for (size_t i = 8; i < size; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    for (size_t i = 8; i < size; i++)
        if (bytes[i] == '\n' || bytes[i] == '\r')
            bytes[i] = 'x';
    memcpy(bytes + size - 2, "\r\n", 2);
    struct message *message = read_message(bytes, size, 0);
    char *out = whole(message, &length);
    ck_assert_uint_eq(length, size);
    ck_assert(memcmp(out, bytes, size) == 0);
    ck_assert(message_view(message)->eight_bit);
    free(out);
    free(bytes);
    message_free(message);
}
END_TEST

START_TEST(one_byte_of_eight_bits_is_seen_wherever_it_stands)
{
    char bytes[64];

    for (size_t at = 8; at < sizeof bytes; at++) {
        memset(bytes, 'x', sizeof bytes);
        memcpy(bytes, "A: b\r\n\r\n", 8);
        struct message *plain = read_message(bytes, sizeof bytes, 0);
        ck_assert(!message_view(plain)->eight_bit);
        bytes[at] = '\x80';
        struct message *message = read_message(bytes, sizeof bytes, 0);
        ck_assert(message_view(message)->eight_bit);
        message_free(plain);
        message_free(message);
    }
}
END_TEST

START_TEST(an_unwritable_spool_is_our_own_trouble)
{
    struct outcome error;
    int descriptor = memfd_create("message", MFD_CLOEXEC);

    ck_assert_int_eq(ftruncate(descriptor, 1 << 20), 0);
    ck_assert_int_eq((int)write(descriptor, "A: b\n\n", 6), 6);
    lseek(descriptor, 0, SEEK_SET);
    ck_assert_ptr_null(message_read(descriptor, "/nonexistent", 0, &error));
    ck_assert_int_eq(error.cause, CAUSE_OURS);
    ck_assert_str_eq(error.enhanced, "4.3.0");
    ck_assert_ptr_nonnull(strstr(error.text, "/nonexistent"));
    close(descriptor);
}
END_TEST

START_TEST(what_is_beyond_the_limit_is_counted_and_not_kept)
{
    size_t size = 5u << 20;
    char *bytes = xmalloc(size);

    memset(bytes, 'x', size);
    memcpy(bytes, "A: b\n\n", 6);
    struct message *message = read_message(bytes, size, 1 << 20);
    ck_assert_uint_eq(message_received_size(message), size);
    ck_assert_uint_lt(message_view(message)->size, 2u << 20);
    free(bytes);
    message_free(message);
}
END_TEST

START_TEST(an_endless_header_is_noticed)
{
    size_t size = MESSAGE_HEADER_MAX + (1u << 20);
    char *bytes = xmalloc(size);

    memset(bytes, 'x', size);
    bytes[1] = ':';
    if (_i == 1)
        for (size_t at = 70; at + 70 < size; at += 70)
            memcpy(bytes + at, "\nX:", 3);
    struct message *message = read_message(bytes, size, 0);
    ck_assert(message_header_overflow(message));
    ck_assert_uint_eq(message_received_size(message), size);
    free(bytes);
    message_free(message);
}
END_TEST

START_TEST(header_fields_are_found_unfolded_and_removed_with_their_continuations)
{
    struct message *message = read_message(
        BYTES("Subject: one\n two\nX-A: 1\nx-a : 2\n\t3\nSubjects: no\nsubject:three\n\nX-A: body\n"), 0);
    size_t length;
    char *value;

    value = message_header(message, "SUBJECT", 0);
    ck_assert_str_eq(value, "one two");
    free(value);
    value = message_header(message, "Subject", 1);
    ck_assert_str_eq(value, "three");
    free(value);
    ck_assert_ptr_null(message_header(message, "Subject", 2));
    message_remove_header(message, "X-A");
    message_prepend(message, "P: q\r\n");
    value = whole(message, &length);
    value[length] = '\0';
    ck_assert_str_eq(value,
                     "P: q\r\nSubject: one\r\n two\r\nSubjects: no\r\nsubject:three\r\n\r\nX-A: body\r\n");
    free(value);
    message_free(message);
}
END_TEST

/* --- identity -------------------------------------------------------------------------------------- */

#define SOME_UUID "31bdc664-f741-5a76-b8dc-9a801744f747"

static const struct uuid_keys keys = {.keys = {"the key that makes", "another, which verifies"}, .count = 2};

static void uuid_of(char uuid_r[UUID_SIZE], const char *text, const char *given, const char *queue_id,
                    const char *recipient)
{
    struct message *message = read_message(text, strlen(text), 0);
    identity_uuid(uuid_r, message, given, queue_id, recipient, &keys);
    message_free(message);
}

START_TEST(a_retry_keeps_its_uuid)
{
    const char *text = "Received: from a by b; Mon, 23 Nov 2026\nReceived: older\nSubject: x\n\nbody\n";
    char first[UUID_SIZE], again[UUID_SIZE], other[UUID_SIZE];

    uuid_of(first, text, "", "4bXyz", "a@example.com");
    uuid_of(again, text, "", "4bXyz", "a@example.com");
    ck_assert_str_eq(first, again);
    uuid_of(other, text, "", "4bXyz", "b@example.com");
    ck_assert_str_ne(first, other);
    uuid_of(other, text, "", "4bXyy", "a@example.com");
    ck_assert_str_ne(first, other);
    uuid_of(other, "Received: another use of the queue id\n\n", "", "4bXyz", "a@example.com");
    ck_assert_str_ne(first, other);
}
END_TEST

START_TEST(what_was_begun_under_an_earlier_key_is_found_again)
{
    static const struct uuid_keys none = {.count = 0};
    struct uuid_keys later = {.keys = {"the key that came with a change"}, .count = 3};
    const char *text = "Received: from a by b\n\n";
    struct message *message = read_message(text, strlen(text), 0);
    char first[UUID_SIZE], bare[UUID_SIZE], uuid[UUID_SIZE];

    memcpy(later.keys[1], keys.keys, 2 * sizeof keys.keys[0]);
    identity_uuid(first, message, "", "Q", "a@example.com", &keys);
    identity_uuid(bare, message, "", "Q", "a@example.com", &none);
    identity_uuid(uuid, message, "", "Q", "a@example.com", &later);
    ck_assert_str_ne(uuid, first);
    ck_assert(identity_earlier(uuid, message, "", "Q", "a@example.com", &later, 1));
    ck_assert_str_eq(uuid, first);
    ck_assert(identity_earlier(uuid, message, "", "Q", "a@example.com", &later, 2));
    ck_assert(identity_earlier(uuid, message, "", "Q", "a@example.com", &later, 3));
    ck_assert_str_eq(uuid, bare);
    ck_assert(!identity_earlier(uuid, message, "", "Q", "a@example.com", &later, 4));
    ck_assert(!identity_earlier(uuid, message, "", "", "a@example.com", &later, 1));
    ck_assert(!identity_earlier(uuid, message, SOME_UUID, "Q", "a@example.com", &later, 1));
    ck_assert(!identity_earlier(uuid, message, "", "Q", "a@example.com", &none, 1));
    message_free(message);
}
END_TEST

START_TEST(without_received_message_id_and_date_tell_messages_apart)
{
    char first[UUID_SIZE], other[UUID_SIZE];

    uuid_of(first, "Message-ID: <1@x>\nDate: now\n\n", "", "Q", "a@example.com");
    uuid_of(other, "Message-ID: <1@x>\nDate: later\n\n", "", "Q", "a@example.com");
    ck_assert_str_ne(first, other);
}
END_TEST

START_TEST(without_a_queue_id_the_uuid_is_random)
{
    char first[UUID_SIZE], other[UUID_SIZE];

    uuid_of(first, "Message-ID: <1@x>\n\n", "", "", "a@example.com");
    uuid_of(other, "Message-ID: <1@x>\n\n", "", "", "a@example.com");
    ck_assert_str_ne(first, other);
}
END_TEST

START_TEST(a_single_well_formed_incoming_uuid_is_kept)
{
    char uuid[UUID_SIZE];

    uuid_of(uuid, "x-sendpost-message-uuid:  31BDC664-f741-5a76-b8dc-9a801744f747 \n\n", "", "Q", "a@b");
    ck_assert_str_eq(uuid, SOME_UUID);
    uuid_of(uuid, "X-Sendpost-Message-UUID: " SOME_UUID "\nX-Sendpost-Message-UUID: " SOME_UUID "\n\n", "",
            "Q", "a@b");
    ck_assert_str_ne(uuid, SOME_UUID);
    uuid_of(uuid, "X-Sendpost-Message-UUID: ../../etc/passwd\n\n", "", "Q", "a@b");
    ck_assert(uuid_valid(uuid, strlen(uuid)));
    uuid_of(uuid, "A: b\n\nX-Sendpost-Message-UUID: " SOME_UUID "\n", "", "Q", "a@b");
    ck_assert_str_ne(uuid, SOME_UUID);
    uuid_of(uuid, "X-Sendpost-Message-UUID: " SOME_UUID "\n\n", "11111111-2222-4333-8444-555555555555", "Q",
            "a@b");
    ck_assert_str_eq(uuid, "11111111-2222-4333-8444-555555555555");
}
END_TEST

START_TEST(identity_fields_stand_once_each_at_the_top)
{
    const struct config config = {.account_id = 117, .subaccount_id = 4321};
    const struct config_tpsp tpsp = {.id = 12}, other = {.id = 13};
    struct message *message =
        read_message(BYTES("A: b\nX-Sendpost-TPSP-ID: forged\n folded\nx-sendpost-account-id: "
                           "1\nX-Sendpost-Other: stays\n\nbody\n"),
                     0);
    size_t length;

    identity_mark(message, SOME_UUID, &config, &other);
    identity_mark(message, SOME_UUID, &config, &tpsp); /* the next TPSP of a pool */
    char *bytes = whole(message, &length);
    bytes[length] = '\0';
    ck_assert_str_eq(bytes,
                     "X-Sendpost-Message-UUID: " SOME_UUID "\r\nX-Sendpost-Account-ID: 117\r\n"
                     "X-Sendpost-SubAccount-ID: 4321\r\nX-Sendpost-TPSP-ID: 12\r\n"
                     "X-Sendpost-TPSP-Type: custom-smtp\r\nA: b\r\nX-Sendpost-Other: stays\r\n\r\nbody\r\n");
    free(bytes);
    message_free(message);
}
END_TEST

UNIT_SUITE(message_suite)
{
    Suite *suite = suite_create("message");
    TCase *tcase = tcase_create("message");

    tcase_add_loop_test(tcase, line_ends_become_crlf_and_nothing_else_changes, 0,
                        sizeof cases / sizeof cases[0]);
    tcase_add_test(tcase, a_line_end_split_over_two_reads_is_one);
    tcase_add_test(tcase, a_large_body_goes_through_the_spool_unchanged);
    tcase_add_test(tcase, one_byte_of_eight_bits_is_seen_wherever_it_stands);
    tcase_add_test(tcase, an_unwritable_spool_is_our_own_trouble);
    tcase_add_test(tcase, what_is_beyond_the_limit_is_counted_and_not_kept);
    tcase_add_loop_test(tcase, an_endless_header_is_noticed, 0, 2);
    tcase_add_test(tcase, header_fields_are_found_unfolded_and_removed_with_their_continuations);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("identity");
    tcase_add_test(tcase, a_retry_keeps_its_uuid);
    tcase_add_test(tcase, what_was_begun_under_an_earlier_key_is_found_again);
    tcase_add_test(tcase, without_received_message_id_and_date_tell_messages_apart);
    tcase_add_test(tcase, without_a_queue_id_the_uuid_is_random);
    tcase_add_test(tcase, a_single_well_formed_incoming_uuid_is_kept);
    tcase_add_test(tcase, identity_fields_stand_once_each_at_the_top);
    suite_add_tcase(suite, tcase);
    return suite;
}
