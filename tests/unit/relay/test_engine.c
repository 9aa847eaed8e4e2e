/* The choice of the engine, and the header shapes and content that it rests on. */
#include "relay/engine.h"

#include <stdio.h>
#include <string.h>

#include "relay/content.h"
#include "relay/header_shape.h"
#include "suites.h"

#define WELL "Date: x\r\nFrom: a@example.com\r\nMessage-Id: <1@x>\r\n"

static const struct {
    const char *header;
    const char *trouble; /* NULL: none */
} shapes[] = {
    {WELL "\r\n", NULL},
    {"DATE: x\r\nfrom: a\r\nMESSAGE-ID: <1>\r\nTo: a\r\nCc: b\r\n\r\n", NULL},
    {WELL "To: a,\r\n To: not a field\r\nTo : other\r\n\r\n", NULL},
    {WELL "Received: a\r\nReceived: b\r\nDKIM-Signature: a\r\nDKIM-Signature: b\r\nSubject: a\r\nSubject: "
          "b\r\n\r\n",
     NULL},
    {WELL "no colon here\r\nX:y\r\n\r\n", NULL},
    {"From: a\r\nMessage-Id: <1>\r\n\r\n", "a missing Date is added"},
    {"Date : x\r\nFrom: a\r\nMessage-Id: <1>\r\n\r\n", "a missing Date is added"},
    {"Date: x\r\nMessage-Id: <1>\r\n\r\n", "a missing From is added"},
    {"Date: x\r\nFrom: a\r\n\r\n", "a missing Message-Id is added"},
    {WELL "To: a\r\nTO: b\r\n\r\n", "a second To is dropped"},
    {WELL "Cc: a\r\nCc: b\r\n\r\n", "a second Cc is dropped"},
    {WELL "Bcc: a\r\nBcc: b\r\n\r\n", "a second Bcc is dropped"},
    {WELL "Date: y\r\n\r\n", "a second Date is dropped"},
    {WELL "From: y\r\n\r\n", "a second From is dropped"},
    {WELL "message-id: y\r\n\r\n", "a second Message-Id is dropped"},
    {WELL "Sender: y\r\nSender: z\r\n\r\n", "a second Sender is dropped"},
    {WELL "Reply-To: y\r\nReply-To: z\r\n\r\n", "a second Reply-To is dropped"},
    {WELL "Disposition-Notification-To: y\r\nDisposition-Notification-To: z\r\n\r\n",
     "a second Disposition-Notification-To is dropped"},
    {WELL "Return-Path: <a>\r\n\r\n", "Return-Path is dropped"},
    {WELL "Resent-Reply-To: a\r\n\r\n", "Resent-Reply-To is dropped"},
    {WELL "original-foo: a\r\n\r\n", "Original-… fields are dropped"},
    {WELL, "the header does not end in a blank line"},
    {"\r\n", "a missing Date is added"},
    {"", "the header does not end in a blank line"},
};

START_TEST(header_shapes_that_libesmtp_alters_are_known)
{
    const char *trouble = header_shape_trouble(shapes[_i].header, strlen(shapes[_i].header));

    if (shapes[_i].trouble == NULL)
        ck_assert_msg(trouble == NULL, "%s: %s", shapes[_i].header, trouble);
    else
        ck_assert_msg(trouble != NULL && strcmp(trouble, shapes[_i].trouble) == 0, "%s: %s",
                      shapes[_i].header, trouble != NULL ? trouble : "nothing");
}
END_TEST

static ssize_t read_text(void *context, uint64_t offset, char *buffer, size_t size)
{
    const char *text = context;
    size_t length = strlen(text), part;

    if (offset >= length)
        return 0;
    part = length - offset < size ? length - offset : size;
    memcpy(buffer, text + offset, part);
    return (ssize_t)part;
}

static unsigned needs(struct config_tpsp *tpsp, const char *sender, const char *recipient, const char *text)
{
    struct relay_message message = {.header = text,
                                    .header_length = strlen(text),
                                    .size = strlen(text),
                                    .read_at = read_text,
                                    .context = (void *)text};
    struct relay_request request = {.tpsp = tpsp,
                                    .token = tpsp->oauth_token,
                                    .sender = sender,
                                    .recipient = recipient,
                                    .message = &message};

    return engine_needs(&request);
}

START_TEST(the_engine_follows_from_what_the_delivery_needs)
{
    char user[] = "u", password[] = "p";
    struct config_tpsp tpsp = {.username = user, .password = password};

    ck_assert_uint_eq(needs(&tpsp, "", "r@example.net", WELL "\r\n"), 0);
    ck_assert_ptr_eq(engine_choose(ENGINE_AUTO, 0), &engine_esmtp);
    ck_assert_ptr_eq(engine_choose(ENGINE_LIBESMTP, 0), &engine_esmtp);
    ck_assert_ptr_eq(engine_choose(ENGINE_LIBCURL, 0), &engine_curl);

    ck_assert_uint_eq(needs(&tpsp, "", "r\xc3\xa4@example.net", WELL "\r\n"), ENGINE_NEED_SMTPUTF8);
    ck_assert_uint_eq(needs(&tpsp, "", "r@example.net", "\r\n"), ENGINE_NEED_EXACT_HEADER);
    for (unsigned need = 1; need <= ENGINE_NEED_LONG_LINES; need <<= 1) {
        ck_assert_ptr_eq(engine_choose(ENGINE_AUTO, need), &engine_curl);
        ck_assert_ptr_eq(engine_choose(ENGINE_LIBESMTP, need), &engine_curl);
    }
}
END_TEST

static enum content_verdict check(const char *message, const char *stream, size_t piece, size_t *safe_r)
{
    struct relay_message view = {.size = strlen(message), .read_at = read_text, .context = (void *)message};
    struct content_check content;
    enum content_verdict verdict = CONTENT_MORE;
    size_t length = strlen(stream);

    *safe_r = 0;
    content_start(&content, &view);
    for (size_t at = 0; at < length && verdict == CONTENT_MORE; at += piece) {
        size_t safe;
        verdict = content_feed(&content, stream + at, length - at < piece ? length - at : piece, &safe);
        if (safe > 0)
            *safe_r = at + safe;
    }
    content_finish(&content);
    return verdict;
}

static const struct {
    const char *message, *stream;
    enum content_verdict verdict;
} contents[] = {
    {"a: b\r\n\r\nc\r\n", "a: b\r\n\r\nc\r\n.\r\n", CONTENT_COMPLETE},
    {".\r\n..\r\n.a\r\n", "..\r\n...\r\n..a\r\n.\r\n", CONTENT_COMPLETE},
    {"no end", "no end\r\n.\r\n", CONTENT_COMPLETE},
    {"cr at end\r", "cr at end\r\n.\r\n", CONTENT_COMPLETE},
    {"\rb\r\n.\rc\r\n", "\rb\r\n..\rc\r\n.\r\n", CONTENT_COMPLETE},
    {"", ".\r\n", CONTENT_COMPLETE},
    {"abc\r\n", "abc\r\n", CONTENT_MORE},
    {"abc\r\n", "ab\r\n.\r\n", CONTENT_ALTERED},
    {"abc\r\ndef\r\n", "abc\r\n.\r\n", CONTENT_ALTERED},
    {"abc\r\n", "abc\r\n\r\n.\r\n", CONTENT_ALTERED},
    {"abc", "abc\r\n\r\n.\r\n", CONTENT_ALTERED},
    {"abc", "abcd\r\n.\r\n", CONTENT_ALTERED},
    {"abc\r\n.\r\nd\r\n", "abc\r\n.\r\nd\r\n.\r\n", CONTENT_ALTERED}, /* not stuffed: it would end here */
    {"a\n.\r\nb\r\n", "a\n.\r\nb\r\n.\r\n", CONTENT_BARE_LF},
    {"\nb\r\n", "\nb\r\n.\r\n", CONTENT_BARE_LF},
};

START_TEST(content_passes_only_when_it_is_the_message)
{
    for (size_t piece = 1; piece < 16; piece++) {
        size_t safe, length = strlen(contents[_i].stream);
        enum content_verdict verdict = check(contents[_i].message, contents[_i].stream, piece, &safe);
        ck_assert_msg(verdict == contents[_i].verdict, "case %d in pieces of %zu: %d", _i, piece,
                      (int)verdict);
        if (verdict == CONTENT_COMPLETE)
            ck_assert_uint_eq(safe, length);
    }
}
END_TEST

START_TEST(the_beginning_of_a_final_dot_is_held_back)
{
    size_t safe;

    ck_assert_int_eq(check("abc\r\ndef\r\n", "abc\r\n.", 100, &safe), CONTENT_MORE);
    ck_assert_uint_eq(safe, 5);
    ck_assert_int_eq(check("abc\r\ndef\r\n", "abc\r\n.\r", 100, &safe), CONTENT_MORE);
    ck_assert_uint_eq(safe, 5);
}
END_TEST

UNIT_SUITE(engine_suite)
{
    Suite *suite = suite_create("engine");
    TCase *tcase = tcase_create("engine");

    tcase_add_loop_test(tcase, header_shapes_that_libesmtp_alters_are_known, 0,
                        sizeof shapes / sizeof shapes[0]);
    tcase_add_test(tcase, the_engine_follows_from_what_the_delivery_needs);
    tcase_add_loop_test(tcase, content_passes_only_when_it_is_the_message, 0,
                        sizeof contents / sizeof contents[0]);
    tcase_add_test(tcase, the_beginning_of_a_final_dot_is_held_back);
    suite_add_tcase(suite, tcase);
    return suite;
}
