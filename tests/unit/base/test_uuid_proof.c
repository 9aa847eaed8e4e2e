#include "base/uuid_proof.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites.h"

static const struct uuid_keys one = {.keys = {"the first key, of 32 bytes."}, .count = 1};
static const struct uuid_keys other = {.keys = {"another key, 32 bytes as well."}, .count = 1};
static const struct uuid_keys none = {.count = 0};

static void make(char uuid_r[UUID_SIZE], const struct uuid_keys *keys, const char *queue_id,
                 const char *recipient)
{
    uuid_proof_derive(uuid_r, keys, 0, (const char *[]){queue_id, recipient, "from a by b"}, 3, recipient);
}

START_TEST(a_uuid_proves_itself_for_its_recipient_alone)
{
    char uuid[UUID_SIZE], upper[UUID_SIZE];

    make(uuid, &one, "4bXyz", "User@Example.com");
    ck_assert(uuid_valid(uuid, strlen(uuid)));
    ck_assert_int_eq(uuid[14], '5');
    ck_assert(strchr("89ab", uuid[19]) != NULL);
    ck_assert(uuid_proof_verify(&one, uuid, "User@Example.com"));
    ck_assert(uuid_proof_verify(&one, uuid, "user@example.COM"));
    for (size_t i = 0; i < UUID_SIZE; i++)
        upper[i] = (char)(uuid[i] >= 'a' && uuid[i] <= 'f' ? uuid[i] - 32 : uuid[i]);
    ck_assert(uuid_proof_verify(&one, upper, "user@example.com"));

    ck_assert(!uuid_proof_verify(&one, uuid, "other@example.com"));
    ck_assert(!uuid_proof_verify(&one, uuid, "user@example.com.evil.example"));
    ck_assert(!uuid_proof_verify(&one, uuid, ""));
    ck_assert(!uuid_proof_verify(&other, uuid, "user@example.com"));
    ck_assert(!uuid_proof_verify(&none, uuid, "user@example.com"));
    ck_assert(!uuid_proof_verify(&one, "no uuid", "user@example.com"));
}
END_TEST

START_TEST(the_value_is_a_promise)
{
    char uuid[UUID_SIZE];

    /* a retry after an upgrade must find its UUID again, and a bounce its proof */
    make(uuid, &one, "4bXyz", "user@example.com");
    ck_assert_str_eq(uuid, "1a116ee5-ea7d-58ab-adca-9fa460341727");
}
END_TEST

START_TEST(any_changed_digit_is_noticed)
{
    char uuid[UUID_SIZE];

    make(uuid, &one, "4bXyz", "user@example.com");
    for (size_t i = 0; i < UUID_SIZE - 1; i++) {
        char changed[UUID_SIZE];
        if (uuid[i] == '-')
            continue;
        for (const char *digit = "0123456789abcdef"; *digit != '\0'; digit++) {
            memcpy(changed, uuid, sizeof changed);
            changed[i] = *digit;
            ck_assert_int_eq(uuid_proof_verify(&one, changed, "user@example.com"), *digit == uuid[i]);
        }
    }
}
END_TEST

START_TEST(without_the_key_nothing_is_computed)
{
    char uuid[UUID_SIZE], with_other[UUID_SIZE], bare[UUID_SIZE];

    make(uuid, &one, "4bXyz", "user@example.com");
    make(with_other, &other, "4bXyz", "user@example.com");
    make(bare, &none, "4bXyz", "user@example.com");
    ck_assert_int_ne(strncmp(uuid, with_other, 23), 0);
    ck_assert_int_ne(strncmp(uuid, bare, 23), 0);
    ck_assert_str_ne(uuid + 24, with_other + 24);
    /* without keys it is what it always was */
    uuid_derived(with_other, (const char *[]){"4bXyz", "user@example.com", "from a by b"}, 3);
    ck_assert_str_eq(bare, with_other);
}
END_TEST

START_TEST(the_first_key_makes_and_all_verify)
{
    struct uuid_keys both = {.count = 2};
    char uuid[UUID_SIZE], made[UUID_SIZE];

    memcpy(both.keys[0], other.keys[0], UUID_KEY_SIZE);
    memcpy(both.keys[1], one.keys[0], UUID_KEY_SIZE);
    make(uuid, &one, "4bXyz", "user@example.com");
    ck_assert(uuid_proof_verify(&both, uuid, "user@example.com"));
    make(uuid, &both, "4bXyz", "user@example.com");
    make(made, &other, "4bXyz", "user@example.com");
    ck_assert_str_eq(uuid, made);
}
END_TEST

START_TEST(quotes_of_a_log_or_report_do_not_count)
{
    char uuid[UUID_SIZE];

    make(uuid, &one, "Q", "a b\"c@example.com");
    ck_assert(uuid_proof_verify(&one, uuid, "\"a b\\\"c\"@example.com"));
    ck_assert(!uuid_proof_verify(&one, uuid, "\"a b\"@example.com"));
    ck_assert(!uuid_proof_verify(&one, uuid, "\"@example.com"));
    make(uuid, &one, "Q", "\"@example.com");
    ck_assert(uuid_proof_verify(&one, uuid, "\"@example.com"));
}
END_TEST

/* Each free bit is set in about half of many UUIDs, and none comes twice: 5 standard deviations of 4,000 coin
 * throws are 158; the keys are fixed, so this does not depend on luck. */
START_TEST(every_free_bit_carries)
{
    enum { COUNT = 4000 };
    int set[128] = {0};
    char(*uuids)[UUID_SIZE] = calloc(COUNT, UUID_SIZE);

    for (int n = 0; n < COUNT; n++) {
        char queue_id[16];
        unsigned char bytes[16];
        snprintf(queue_id, sizeof queue_id, "4b%d", n);
        make(uuids[n], &one, queue_id, "user@example.com");
        uuid_bytes(bytes, uuids[n]);
        for (int bit = 0; bit < 128; bit++)
            set[bit] += bytes[bit / 8] >> (7 - bit % 8) & 1;
    }
    for (int bit = 0; bit < 128; bit++) {
        bool fixed = (bit >= 48 && bit < 52) || (bit >= 64 && bit < 66);
        if (!fixed)
            ck_assert_msg(set[bit] > COUNT / 2 - 158 && set[bit] < COUNT / 2 + 158, "bit %d: %d", bit,
                          set[bit]);
    }
    qsort(uuids, COUNT, UUID_SIZE, (int (*)(const void *, const void *))strcmp);
    for (int n = 1; n < COUNT; n++)
        ck_assert_str_ne(uuids[n - 1], uuids[n]);
    free(uuids);
}
END_TEST

START_TEST(random_ones_prove_themselves_too)
{
    char a[UUID_SIZE], b[UUID_SIZE];

    uuid_proof_random(a, &one, "user@example.com");
    uuid_proof_random(b, &one, "user@example.com");
    ck_assert_str_ne(a, b);
    ck_assert(uuid_proof_verify(&one, a, "user@example.com"));
    uuid_proof_random(a, &none, "user@example.com");
    ck_assert_int_eq(a[14], '4');
}
END_TEST

START_TEST(an_endless_recipient_is_bounded)
{
    char *recipient = malloc(100001), uuid[UUID_SIZE];

    memset(recipient, 'a', 100000);
    recipient[100000] = '\0';
    make(uuid, &one, "Q", recipient);
    ck_assert(!uuid_proof_verify(&one, uuid, recipient));
    free(recipient);
}
END_TEST

/* --- the file ------------------------------------------------------------------------------------------ */

#define KEY_A "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"
#define KEY_B "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static const struct {
    const char *text;
    size_t count;
    const char *why;
    size_t line;
} files[] = {
    {KEY_A "\n", 1, NULL, 0},
    {KEY_A, 1, NULL, 0},
    {KEY_A "\r\n\n" KEY_B "\n\n", 2, NULL, 0},
    {"", 0, "holds no key", 0},
    {"\n\n", 0, "holds no key", 0},
    {KEY_A "\n" KEY_B "0\n", 0, "is not 64 hexadecimal digits", 2},
    {"0123456789abcdef\n", 0, "is not 64 hexadecimal digits", 1},
    {"x123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef", 0, "is not 64 hexadecimal digits",
     1},
    {" " KEY_A "\n", 0, "is not 64 hexadecimal digits", 1},
    {KEY_A "\n" ZEROS "\n", 0, "is no random key: every byte of it is the same", 2},
};

START_TEST(a_key_file_is_read_or_named_wrong)
{
    struct uuid_keys keys;
    const char *why;
    size_t line;
    bool ok = uuid_keys_parse(&keys, files[_i].text, strlen(files[_i].text), &why, &line);

    ck_assert_int_eq(ok, files[_i].why == NULL);
    ck_assert_uint_eq(keys.count, files[_i].count);
    if (ok) {
        ck_assert_uint_eq(keys.keys[0][0], 0x01);
        ck_assert_uint_eq(keys.keys[0][31], 0xef);
    } else {
        ck_assert_str_eq(why, files[_i].why);
        ck_assert_uint_eq(line, files[_i].line);
    }
}
END_TEST

START_TEST(too_many_keys_are_said)
{
    char text[17 * 65 + 1] = "";
    struct uuid_keys keys;
    const char *why;
    size_t line;

    for (int i = 0; i < 16; i++)
        memcpy(text + 65 * i, KEY_A "\n", 66);
    ck_assert(uuid_keys_parse(&keys, text, strlen(text), &why, &line));
    memcpy(text + 65 * 16, KEY_A "\n", 66);
    ck_assert(!uuid_keys_parse(&keys, text, strlen(text), &why, &line));
    ck_assert_uint_eq(line, 17);
}
END_TEST

UNIT_SUITE(uuid_proof_suite)
{
    Suite *suite = suite_create("uuid_proof");
    TCase *tcase = tcase_create("uuid_proof");

    tcase_add_test(tcase, a_uuid_proves_itself_for_its_recipient_alone);
    tcase_add_test(tcase, the_value_is_a_promise);
    tcase_add_test(tcase, any_changed_digit_is_noticed);
    tcase_add_test(tcase, without_the_key_nothing_is_computed);
    tcase_add_test(tcase, the_first_key_makes_and_all_verify);
    tcase_add_test(tcase, quotes_of_a_log_or_report_do_not_count);
    tcase_add_test(tcase, every_free_bit_carries);
    tcase_add_test(tcase, random_ones_prove_themselves_too);
    tcase_add_test(tcase, an_endless_recipient_is_bounded);
    tcase_add_loop_test(tcase, a_key_file_is_read_or_named_wrong, 0, sizeof files / sizeof files[0]);
    tcase_add_test(tcase, too_many_keys_are_said);
    suite_add_tcase(suite, tcase);
    return suite;
}
