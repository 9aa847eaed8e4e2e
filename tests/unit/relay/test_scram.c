#include "relay/scram.h"

#include <string.h>

#include "base/base64.h"
#include "suites.h"

#define NONCE "rOprNGfwEbeRWgbNEkqO"
#define CHALLENGE "r=" NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"

/* RFC 7677 section 3 */
START_TEST(the_exchange_of_the_rfc_is_made)
{
    struct scram scram;
    char out[SCRAM_TEXT_SIZE];

    ck_assert(scram_first(&scram, "user", NONCE, out, sizeof out));
    ck_assert_str_eq(out, "n,,n=user,r=" NONCE);
    ck_assert(scram_answer(&scram, "pencil", CHALLENGE, out, sizeof out));
    ck_assert_str_eq(out, "c=biws,r=" NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                          "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    ck_assert(scram_final(&scram, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
    ck_assert(!scram_final(&scram, "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
    ck_assert(!scram_final(&scram, "e=other-error"));
    ck_assert(!scram_final(&scram, ""));
}
END_TEST

START_TEST(a_foreign_or_costly_challenge_is_refused)
{
    static const char *const wrong[] = {
        "",
        "r=" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", /* nothing of the server's */
        "r=somebody-elses-nonce,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "r=" NONCE "x,s=,i=4096",
        "r=" NONCE "x,s=W22Z,i=0",
        "r=" NONCE "x,s=W22Z,i=1000000000",
        "r=" NONCE "x,s=W22Z",
        "m=ext,r=" NONCE "x,s=W22Z,i=4096",
    };
    struct scram scram;
    char out[SCRAM_TEXT_SIZE];

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ck_assert(scram_first(&scram, "user", NONCE, out, sizeof out));
        ck_assert_msg(!scram_answer(&scram, "pencil", wrong[i], out, sizeof out), "%s", wrong[i]);
    }
}
END_TEST

START_TEST(a_nonce_is_new_each_time_and_names_are_escaped)
{
    struct scram one, two;
    char a[SCRAM_TEXT_SIZE], b[SCRAM_TEXT_SIZE];

    ck_assert(scram_first(&one, "a=b,c", NULL, a, sizeof a) && scram_first(&two, "a=b,c", NULL, b, sizeof b));
    ck_assert_str_ne(a, b);
    ck_assert_int_eq(strncmp(a, "n,,n=a=3Db=2Cc,r=", 17), 0);
}
END_TEST

START_TEST(base64_is_what_the_rfc_says_and_nothing_else)
{
    static const char *const pairs[][2] = {
        {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}};
    static const char *const wrong[] = {"", "Z", "Zg=", "Zg==Zg==", "Z===", "Zm9*", "Zm 9", "=Zm9"};
    unsigned char bytes[16];
    char text[16];

    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        size_t length = strlen(pairs[i][0]);
        ck_assert_uint_eq(base64_encode(pairs[i][0], length, text, sizeof text), strlen(pairs[i][1]));
        ck_assert_str_eq(text, pairs[i][1]);
        ck_assert_uint_eq(base64_decode(text, strlen(text), bytes, sizeof bytes), length);
        ck_assert_mem_eq(bytes, pairs[i][0], length);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        ck_assert_msg(base64_decode(wrong[i], strlen(wrong[i]), bytes, sizeof bytes) == 0, "%s", wrong[i]);
    ck_assert_uint_eq(base64_encode("foo", 3, text, 4), 0);
    ck_assert_uint_eq(base64_decode("Zm9v", 4, bytes, 2), 0);
}
END_TEST

UNIT_SUITE(scram_suite)
{
    Suite *suite = suite_create("scram");
    TCase *tcase = tcase_create("scram");

    tcase_add_test(tcase, the_exchange_of_the_rfc_is_made);
    tcase_add_test(tcase, a_foreign_or_costly_challenge_is_refused);
    tcase_add_test(tcase, a_nonce_is_new_each_time_and_names_are_escaped);
    tcase_add_test(tcase, base64_is_what_the_rfc_says_and_nothing_else);
    suite_add_tcase(suite, tcase);
    return suite;
}
