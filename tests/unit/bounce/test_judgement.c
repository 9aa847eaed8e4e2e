#include "bounce/judgement.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "suites.h"

#define UUID "6f1c2d3e-4b5a-4c7d-8e9f-0a1b2c3d4e5f"
#define HEAD "{\"message_id\":\"" UUID "\",\"date_ms\":1,\"recipients\":["
#define RECIPIENT_BUT(address, hard, delayed, code, status, text, reason, rule)                            \
    "{\"address\":" address ",\"final\":\"b@example.com\",\"hard\":" hard ",\"delayed\":" delayed          \
    ",\"smtp_code\":" code ",\"status\":" status ",\"text\":" text ",\"reason\":" reason ",\"rule\":" rule \
    "}"
#define RECIPIENT                                                                                           \
    RECIPIENT_BUT("\"a@example.com\"", "true", "false", "550", "\"5.1.1\"", "\"no such user\"", "\"user\"", \
                  "\"no such\"")

static struct outcome error;

static bool decodes(const char *text)
{
    struct judgement judgement;
    bool ok = judgement_decode(text, strlen(text), &judgement, &error);

    judgement_clear(&judgement);
    return ok;
}

START_TEST(what_the_judge_says_arrives)
{
    struct dsn_recipient recipients[2] = {{.address = "a@example.com",
                                           .final = "b@example.com",
                                           .hard = true,
                                           .smtp_code = 550,
                                           .status = "5.1.1",
                                           .text = "550 no\x01 such \xff user \"\\",
                                           .reason = "user-unknown",
                                           .rule = "no such * user"},
                                          {.delayed = true, .reason = "", .rule = ""}};
    struct dsn report = {.recipients = recipients, .count = 2, .message_id = UUID, .date_ms = 1764000000000};
    AUTO_FREE char *line = judgement_encode(&report);
    struct judgement judgement;

    ck_assert_msg(judgement_decode(line, strlen(line), &judgement, &error), "%s: %s", error.text, line);
    ck_assert_uint_eq(judgement.report.count, 2);
    ck_assert_str_eq(judgement.report.message_id, UUID);
    ck_assert_int_eq(judgement.report.date_ms, 1764000000000);
    ck_assert_ptr_null(judgement.report.why_none);
    const struct dsn_recipient *first = &judgement.report.recipients[0], *second = first + 1;
    ck_assert_str_eq(first->address, "a@example.com");
    ck_assert_str_eq(first->final, "b@example.com");
    ck_assert(first->hard && !first->delayed && second->delayed && !second->hard);
    ck_assert_int_eq(first->smtp_code, 550);
    ck_assert_str_eq(first->status, "5.1.1");
    ck_assert_str_eq(first->text, "550 no  such \xef\xbf\xbd user \"\\");
    ck_assert_str_eq(first->reason, "user-unknown");
    ck_assert_str_eq(first->rule, "no such * user");
    ck_assert_str_eq(second->address, "");
    judgement_clear(&judgement);
}
END_TEST

START_TEST(no_failure_has_a_reason)
{
    struct dsn report = {.why_none = "an auto-reply"};
    AUTO_FREE char *line = judgement_encode(&report);
    struct judgement judgement;

    ck_assert(judgement_decode(line, strlen(line), &judgement, &error));
    ck_assert_str_eq(judgement.report.why_none, "an auto-reply");
    ck_assert_uint_eq(judgement.report.count, 0);
    judgement_clear(&judgement);
}
END_TEST

START_TEST(a_complaint_arrives_as_one)
{
    struct dsn_recipient recipient = {
        .text = "abuse, reported by somebody", .reason = "complaint", .rule = ""};
    struct dsn report = {.recipients = &recipient, .count = 1, .complaint = true};
    AUTO_FREE char *line = judgement_encode(&report);
    struct judgement judgement;

    ck_assert(judgement_decode(line, strlen(line), &judgement, &error));
    ck_assert(judgement.report.complaint && judgement.report.count == 1);
    judgement_clear(&judgement);
}
END_TEST

/* --- whatever a report holds ---------------------------------------------------------------------- */

#define REPORTS 300 /* under valgrind a tenth */
#define WORDS_OF_A_RULE 600

static uint64_t state;

static size_t below(size_t bound) /* Knuth's MMIX */
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(state >> 33) % bound;
}

/* Up to size - 1 bytes of what makes trouble in JSON, in UTF-8 or on a terminal. */
static void fill(char *text_r, size_t size, const char *const pieces[], size_t count)
{
    size_t length = 0, wanted = below(2) ? size - 1 : below(size);

    for (;;) {
        const char *piece = pieces[below(count)];
        if (length + strlen(piece) > wanted)
            break;
        memcpy(text_r + length, piece, strlen(piece));
        length += strlen(piece);
    }
    text_r[length] = '\0';
}

static void fill_text(char *text_r, size_t size)
{
    static const char *const pieces[] = {
        "user unknown",     "\"", "\\", "/", "\n", "\x7f", "\xff", "\xc2\x85", "\xc3\xa9", "\xe2\x82\xac",
        "\xf0\x9f\x93\xa7", " "};

    fill(text_r, size, pieces, sizeof pieces / sizeof *pieces);
}

/* What a report is read with: valid, or none. */
static void fill_address(char address_r[ADDRESS_SIZE])
{
    static const char *const pieces[] = {"a",        "a", "user", "/", "\xc3\xa9", "\xf0\x9f\x93\xa7",
                                         "\xc2\x85", "@", "."};
    const char *why;

    fill(address_r, ADDRESS_SIZE, pieces, below(2) ? 6 : sizeof pieces / sizeof *pieces);
    if (strlen(address_r) > 20 && below(2))
        memcpy(address_r + strlen(address_r) - 12, "@example.org", 12);
    if (!address_valid(address_r, &why))
        *address_r = '\0';
}

static void fill_recipient(struct dsn_recipient *recipient_r, char *reason, char *rule)
{
    static const char *const states[] = {"", "5.1.1", "4.999.999", "5.0.0"};

    *recipient_r = (struct dsn_recipient){.smtp_code = below(2) ? (int)(400 + below(200)) : 0};
    fill_address(recipient_r->address);
    fill_address(recipient_r->final);
    recipient_r->hard = below(2);
    recipient_r->delayed = !recipient_r->hard && below(2);
    memccpy(recipient_r->status, states[below(4)], '\0', sizeof recipient_r->status);
    fill_text(recipient_r->text, sizeof recipient_r->text);
    fill_text(reason, WORDS_OF_A_RULE);
    fill_text(rule, WORDS_OF_A_RULE);
    recipient_r->reason = reason;
    recipient_r->rule = rule;
}

/* A judgement that is refused is a report that is deferred until it expires. */
START_TEST(whatever_a_report_makes_the_judge_say_is_taken)
{
    static struct dsn_recipient recipients[JUDGEMENT_RECIPIENTS_MAX];
    static char words[2 * JUDGEMENT_RECIPIENTS_MAX][WORDS_OF_A_RULE];

    for (size_t i = 0; i < (unit_tests_under_valgrind() ? REPORTS / 10 : REPORTS); i++) {
        struct dsn report = {.recipients = recipients,
                             .count = below(10) ? 1 + below(3) : JUDGEMENT_RECIPIENTS_MAX};
        struct judgement judgement;

        report.reached = below(2);
        report.date_ms = ((int64_t)below(12000) - 2000) * 366 * 86400000;
        if (below(2))
            memcpy(report.message_id, UUID, sizeof UUID);
        for (size_t j = 0; j < report.count; j++)
            fill_recipient(&recipients[j], words[2 * j], words[2 * j + 1]);
        AUTO_FREE char *line = judgement_encode(&report);
        ck_assert_msg(judgement_decode(line, strlen(line), &judgement, &error), "report %zu: %s: %s", i,
                      error.text, line);
        ck_assert_uint_eq(judgement.report.count, report.count);
        ck_assert(judgement.report.reached == report.reached);
        for (size_t j = 0; j < report.count; j++) {
            const char *address = judgement.report.recipients[j].address;
            ck_assert(*address == '\0' || strcmp(address, recipients[j].address) == 0);
        }
        judgement_clear(&judgement);
    }
}
END_TEST

START_TEST(an_address_of_any_length_arrives)
{
    struct dsn_recipient recipient = {.reason = "", .rule = ""};
    struct dsn report = {.recipients = &recipient, .count = 1};
    struct judgement judgement;

    memset(recipient.address, 'a', ADDRESS_SIZE - 1);
    memcpy(recipient.address + ADDRESS_SIZE - 13, "@example.org", 13);
    AUTO_FREE char *line = judgement_encode(&report);
    ck_assert_msg(judgement_decode(line, strlen(line), &judgement, &error), "%s", error.text);
    ck_assert_str_eq(judgement.report.recipients[0].address, recipient.address);
    judgement_clear(&judgement);
}
END_TEST

START_TEST(what_the_recorder_has_no_room_for_is_cut_or_left_out)
{
    char rule[260] = "";
    struct dsn_recipient recipient = {.address = "a@example.org",
                                      .final = "a\xc2\x85"
                                               "b@example.org",
                                      .reason = "ours",
                                      .rule = rule};
    struct dsn report = {.recipients = &recipient, .count = 1, .date_ms = 4102444800001};
    struct judgement judgement;

    for (size_t i = 0; i < 128; i++)
        memcpy(rule + 2 * i, "\xc3\xa9", 3);
    AUTO_FREE char *line = judgement_encode(&report);
    ck_assert_msg(judgement_decode(line, strlen(line), &judgement, &error), "%s", error.text);
    ck_assert_int_eq(judgement.report.date_ms, 0);
    ck_assert_str_eq(judgement.report.recipients[0].final, "");
    ck_assert_uint_eq(strlen(judgement.report.recipients[0].rule), 198);
    ck_assert_int_eq(strncmp(judgement.report.recipients[0].rule, rule, 198), 0);
    judgement_clear(&judgement);
}
END_TEST

START_TEST(the_forms_that_are_right_are_taken)
{
    ck_assert_msg(decodes(HEAD RECIPIENT "]}"), "%s", error.text);
    ck_assert(decodes(HEAD RECIPIENT "," RECIPIENT "]}\n"));
    ck_assert(decodes(HEAD "],\"why_none\":\"an auto-reply\"}"));
    ck_assert(decodes(HEAD RECIPIENT "],\"complaint\":false}"));
}
END_TEST

static const char *const hostile[] = {
    "",
    "\n",
    "null",
    "[]",
    "{}",
    "\"text\"",
    "{",
    "not json",
    HEAD RECIPIENT "]",
    HEAD RECIPIENT "]} and more",
    HEAD RECIPIENT "]}" HEAD RECIPIENT "]}",
    /* nothing failed, and no reason; or both */
    HEAD "]}",
    HEAD RECIPIENT "],\"why_none\":\"x\"}",
    HEAD "],\"why_none\":7}",
    HEAD RECIPIENT "],\"complaint\":1}",
    HEAD RECIPIENT "],\"reached\":\"true\"}",
    HEAD "],\"why_none\":\"x\",\"complaint\":true}",
    HEAD "],\"why_none\":\"x\\ny\"}",
    /* fields missing, of another type, beyond their bounds */
    "{\"message_id\":\"" UUID "\",\"recipients\":[" RECIPIENT "]}",
    "{\"message_id\":\"" UUID "\",\"date_ms\":1,\"recipients\":{}}",
    "{\"message_id\":\"x\",\"date_ms\":1,\"recipients\":[" RECIPIENT "]}",
    "{\"message_id\":\"" UUID "0\",\"date_ms\":1,\"recipients\":[" RECIPIENT "]}",
    "{\"message_id\":\"" UUID "\",\"date_ms\":\"1\",\"recipients\":[" RECIPIENT "]}",
    "{\"message_id\":\"" UUID "\",\"date_ms\":1.5,\"recipients\":[" RECIPIENT "]}",
    "{\"message_id\":\"" UUID "\",\"date_ms\":99999999999999999,\"recipients\":[" RECIPIENT "]}",
    HEAD "[]]}",
    HEAD "\"a\"]}",
    HEAD "null]}",
    HEAD "{}]}",
    HEAD RECIPIENT_BUT("7", "true", "false", "550", "\"\"", "\"\"", "\"\"", "\"\"") "]}",
    HEAD RECIPIENT_BUT("null", "true", "false", "550", "\"\"", "\"\"", "\"\"", "\"\"") "]}",
    HEAD RECIPIENT_BUT("\"no address\"", "true", "false", "550", "\"\"", "\"\"", "\"\"", "\"\"") "]}",
    HEAD RECIPIENT_BUT("\"a@b\\u0000c\"", "true", "false", "550", "\"\"", "\"\"", "\"\"", "\"\"") "]}",
    HEAD RECIPIENT_BUT("\"a@b>\\r\\nRCPT TO:<c@d\"", "true", "false", "550", "\"\"", "\"\"", "\"\"",
                       "\"\"") "]}",
    HEAD RECIPIENT_BUT("\"a@b\"", "1", "false", "550", "\"\"", "\"\"", "\"\"", "\"\"") "]}",
    HEAD RECIPIENT_BUT("\"a@b\"", "\"true\"", "false", "550", "\"\"", "\"\"", "\"\"", "\"\"") "]}",
    HEAD RECIPIENT_BUT("\"a@b\"", "true", "true", "550", "\"\"", "\"\"", "\"\"", "\"\"") "]}",
    HEAD RECIPIENT_BUT("\"a@b\"", "true", "false", "-1", "\"\"", "\"\"", "\"\"", "\"\"") "]}",
    HEAD RECIPIENT_BUT("\"a@b\"", "true", "false", "4294967846", "\"\"", "\"\"", "\"\"", "\"\"") "]}",
    HEAD RECIPIENT_BUT("\"a@b\"", "true", "false", "true", "\"\"", "\"\"", "\"\"", "\"\"") "]}",
    HEAD RECIPIENT_BUT("\"a@b\"", "true", "false", "550", "\"5.1\"", "\"\"", "\"\"", "\"\"") "]}",
    HEAD RECIPIENT_BUT("\"a@b\"", "true", "false", "550", "\"5.1.1 x\"", "\"\"", "\"\"", "\"\"") "]}",
    HEAD RECIPIENT_BUT("\"a@b\"", "true", "false", "550", "\"5.1111.1\"", "\"\"", "\"\"", "\"\"") "]}",
    HEAD RECIPIENT_BUT("\"a@b\"", "true", "false", "550", "\"\"", "\"a\\u0007b\"", "\"\"", "\"\"") "]}",
    HEAD RECIPIENT_BUT("\"a@b\"", "true", "false", "550", "\"\"", "[\"x\"]", "\"\"", "\"\"") "]}",
    HEAD RECIPIENT_BUT("\"a@b\"", "true", "false", "550", "\"\"", "\"\"", "{}", "\"\"") "]}",
    HEAD RECIPIENT_BUT("\"a@b\"", "true", "false", "550", "\"\"", "\"\"", "\"\"", "\"a\\nb\"") "]}",
    HEAD RECIPIENT_BUT("\"a@b\"", "true", "false", "550", "\"\"", "\"\xff\"", "\"\"", "\"\"") "]}",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
};

START_TEST(whatever_else_it_says_is_refused)
{
    ck_assert_msg(!decodes(hostile[_i]), "%s", hostile[_i]);
    ck_assert_int_eq(error.class, OUTCOME_DEFERRED);
    ck_assert_int_eq(error.cause, CAUSE_OURS);
}
END_TEST

static char *repeated(const char *head, const char *each, size_t count, const char *tail)
{
    size_t length = strlen(head) + strlen(each) * count + strlen(tail) + 1;
    char *text = xmalloc(length), *at = stpcpy(text, head);

    for (size_t i = 0; i < count; i++)
        at = stpcpy(at, each);
    stpcpy(at, tail);
    return text;
}

START_TEST(what_is_too_much_is_refused)
{
    AUTO_FREE char *most = repeated(HEAD RECIPIENT, "," RECIPIENT, JUDGEMENT_RECIPIENTS_MAX - 1, "]}");
    AUTO_FREE char *many = repeated(HEAD RECIPIENT, "," RECIPIENT, JUDGEMENT_RECIPIENTS_MAX, "]}");
    AUTO_FREE char *text =
        repeated(HEAD "{\"address\":\"\",\"final\":\"\",\"hard\":true,\"delayed\":false,\"smtp_code\":550,"
                      "\"status\":\"\",\"reason\":\"\",\"rule\":\"\",\"text\":\"",
                 "x", EVENT_DESCRIPTION_SIZE, "\"}]}");
    AUTO_FREE char *address =
        repeated(HEAD "{\"final\":\"\",\"hard\":true,\"delayed\":false,\"smtp_code\":550,\"status\":\"\","
                      "\"reason\":\"\",\"rule\":\"\",\"text\":\"\",\"address\":\"a@",
                 "b", ADDRESS_SIZE, "\"}]}");
    AUTO_FREE char *flood = repeated(HEAD, " ", JUDGEMENT_SIZE_MAX, RECIPIENT "]}");

    ck_assert_msg(decodes(most), "%s", error.text);
    ck_assert(!decodes(many));
    ck_assert(!decodes(text));
    ck_assert(!decodes(address));
    ck_assert(!decodes(flood));
}
END_TEST

UNIT_SUITE(judgement_suite)
{
    Suite *suite = suite_create("judgement");
    TCase *tcase = tcase_create("judgement");

    tcase_add_test(tcase, what_the_judge_says_arrives);
    tcase_add_test(tcase, no_failure_has_a_reason);
    tcase_add_test(tcase, whatever_a_report_makes_the_judge_say_is_taken);
    tcase_add_test(tcase, an_address_of_any_length_arrives);
    tcase_add_test(tcase, what_the_recorder_has_no_room_for_is_cut_or_left_out);
    tcase_add_test(tcase, the_forms_that_are_right_are_taken);
    tcase_add_test(tcase, a_complaint_arrives_as_one);
    tcase_add_loop_test(tcase, whatever_else_it_says_is_refused, 0, (int)(sizeof hostile / sizeof *hostile));
    tcase_add_test(tcase, what_is_too_much_is_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}
