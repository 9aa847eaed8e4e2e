#include "supervisor/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites.h"

START_TEST(a_request_survives_its_wire_form)
{
    struct delivery_request request = {.config_path = "/etc/x.yaml",
                                       .sender = "",
                                       .recipient = "user@example.com",
                                       .pool = "bulk",
                                       .queue_id = "4bXyz1",
                                       .uuid = "",
                                       .size = "",
                                       .dry_run = true};
    struct delivery_request back;
    char *frame;
    size_t length = request_encode(&request, &frame);

    ck_assert_uint_gt(length, 4);
    ck_assert(request_decode(frame + 4, length - 4, &back));
    ck_assert_str_eq(back.config_path, "/etc/x.yaml");
    ck_assert_str_eq(back.sender, "");
    ck_assert_str_eq(back.recipient, "user@example.com");
    ck_assert_str_eq(back.pool, "bulk");
    ck_assert_str_eq(back.queue_id, "4bXyz1");
    ck_assert(back.dry_run);
    ck_assert(!back.verbose);
    free(frame);
}
END_TEST

START_TEST(a_result_survives_its_wire_form)
{
    struct delivery_result result = {.status = 75, .text = "4.7.1 later"}, back;
    char *frame;
    size_t length = result_encode(&result, &frame);

    ck_assert(result_decode(frame + 4, length - 4, &back));
    ck_assert_int_eq(back.status, 75);
    ck_assert_int_eq(back.deadline_s, 0);
    ck_assert_str_eq(back.text, "4.7.1 later");
    free(frame);
    length = result_encode(&(struct delivery_result){.deadline_s = 600}, &frame);
    ck_assert(result_decode(frame + 4, length - 4, &back));
    ck_assert_int_eq(back.deadline_s, 600);
    free(frame);
}
END_TEST

START_TEST(a_frame_that_is_too_large_is_not_made)
{
    char *huge = malloc(REQUEST_FRAME_MAX + 1), *frame;

    memset(huge, 'x', REQUEST_FRAME_MAX);
    huge[REQUEST_FRAME_MAX] = '\0';
    struct delivery_request request = {.config_path = "",
                                       .sender = huge,
                                       .recipient = "",
                                       .pool = "",
                                       .queue_id = "",
                                       .uuid = "",
                                       .size = ""};
    ck_assert_uint_eq(request_encode(&request, &frame), 0);
    ck_assert_ptr_null(frame);
    free(huge);
}
END_TEST

START_TEST(malformed_frames_are_refused)
{
    struct delivery_request request;
    struct delivery_result result;

    ck_assert(!request_decode("", 0, &request));
    ck_assert(!request_decode("sender\0a\0recipient\0b", 20, &request)); /* no NUL at the end */
    ck_assert(!request_decode("sender\0a\0", 9, &request));              /* no recipient */
    ck_assert(!request_decode("sender\0a\0recipient\0b\0odd\0", 25, &request));
    ck_assert(!result_decode("status\0"
                             "0\0",
                             9, &result));
    ck_assert(!result_decode("status\0-1\0text\0x\0", 17, &result));
    ck_assert(!result_decode("status\0"
                             "999999\0text\0x\0",
                             21, &result));
    ck_assert(!result_decode("deadline\0"
                             "0\0",
                             11, &result));
}
END_TEST

static const struct {
    int status;
    const char *text;
    bool valid;
} results[] = {
    {0, "2.0.0 uuid=x", true}, {75, "4.7.1 rate", true},
    {69, "5.1.1 no", true},    {0, "5.1.1 no", false},
    {69, "4.1.1 no", false},   {75, "2.0.0 ok", false},
    {1, "5.1.1 no", false},    {70, "5.1.1 no", false},
    {0, "2.0.0", false},       {0, "2.0 ok", false},
    {0, "2..0 ok", false},     {0, "", false},
    {75, "4.0.0 a\nb", false}, {75, "4.0.0 \x1b[m", false},
    {69, "5.1.1000 x", false}, {69, "5.100.100 \xc3\xbc", true},
};

START_TEST(only_a_result_fit_for_postfix_is_valid)
{
    struct delivery_result result = {.status = results[_i].status};

    snprintf(result.text, sizeof result.text, "%s", results[_i].text);
    ck_assert_msg(result_valid(&result) == results[_i].valid, "%d %s", result.status, result.text);
}
END_TEST

UNIT_SUITE(request_suite)
{
    Suite *suite = suite_create("request");
    TCase *tcase = tcase_create("request");

    tcase_add_test(tcase, a_request_survives_its_wire_form);
    tcase_add_test(tcase, a_result_survives_its_wire_form);
    tcase_add_test(tcase, a_frame_that_is_too_large_is_not_made);
    tcase_add_test(tcase, malformed_frames_are_refused);
    tcase_add_loop_test(tcase, only_a_result_fit_for_postfix_is_valid, 0, sizeof results / sizeof results[0]);
    suite_add_tcase(suite, tcase);
    return suite;
}
