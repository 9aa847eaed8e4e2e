#include "cluster/answer.h"

#include <hiredis/hiredis.h>
#include <limits.h>
#include <string.h>

#include "suites.h"

#define NOW INT64_C(1700000000000000)
#define FIELDS_MAX 8

/* An answer as the reader of the protocol makes it: text where there is one, else a number. */
struct field {
    const char *text;
    long long number;
};

static const struct cluster_limit limit = {.key = "primary", .lanes = 3, .pace_us = 1000, .window_us = 60000};
static const struct cluster_connection connection = {.tpsp = "primary", .host = "a1"};
static const struct cluster_told told = {.tpsp = "primary", .version = 1};

static struct cluster_reply reply;
static unsigned numbers[2];

static enum cluster_answer read_fields(const char *operation, const struct field fields[FIELDS_MAX],
                                       size_t text_length)
{
    const struct question question = {
        .operation = operation, .limits = &limit, .count = 1, .connection = &connection, .told = &told};
    struct redisReply elements[FIELDS_MAX], *pointers[FIELDS_MAX];
    size_t count = 0;

    for (; count < FIELDS_MAX && (fields[count].text != NULL || fields[count].number != LLONG_MIN); count++) {
        const struct field *field = &fields[count];
        elements[count] =
            (struct redisReply){.type = field->text != NULL ? REDIS_REPLY_STRING : REDIS_REPLY_INTEGER,
                                .integer = field->number,
                                .str = (char *)(uintptr_t)field->text,
                                .len = field->text == NULL ? 0
                                       : text_length > 0   ? text_length
                                                           : strlen(field->text)};
        pointers[count] = &elements[count];
    }
    const struct redisReply whole = {.type = REDIS_REPLY_ARRAY, .elements = count, .element = pointers};
    memset(&reply, 0, sizeof reply);
    reply.numbers = numbers;
    reply.number_room = sizeof numbers / sizeof numbers[0];
    return answer_read(&whole, &question, &reply);
}

#define END             \
    {                   \
        NULL, LLONG_MIN \
    }
#define BEGIN(word)         \
    {word, 0}, {NULL, NOW}, \
    {                       \
        NULL, 9             \
    }
#define NUMBER(value) \
    {                 \
        NULL, value   \
    }
#define BEYOND ((1LL << 53) + 1)

static const struct {
    const char *name, *operation;
    struct field fields[FIELDS_MAX];
    enum cluster_answer answer;
} answers[] = {
    {"slots", "take", {BEGIN("granted"), NUMBER(1), NUMBER(0), NUMBER(0), END}, CLUSTER_GRANTED},
    {"lane 0", "take", {BEGIN("granted"), NUMBER(0), NUMBER(0), NUMBER(0), END}, CLUSTER_AWAY},
    {"no such lane", "take", {BEGIN("granted"), NUMBER(4), NUMBER(0), NUMBER(0), END}, CLUSTER_AWAY},
    {"cut off in slots", "take", {BEGIN("granted"), NUMBER(1), END}, CLUSTER_AWAY},
    {"cut off before the connection", "take", {BEGIN("granted"), NUMBER(1), NUMBER(0), END}, CLUSTER_AWAY},
    {"a time beyond all",
     "take",
     {{"granted", 0}, NUMBER(LLONG_MAX), NUMBER(9), NUMBER(1), NUMBER(0), NUMBER(0), END},
     CLUSTER_AWAY},
    {"an epoch beyond all",
     "take",
     {{"granted", 0}, NUMBER(NOW), NUMBER(BEYOND), NUMBER(1), NUMBER(0), NUMBER(0), END},
     CLUSTER_AWAY},
    {"refused", "take", {BEGIN("refused"), NUMBER(1), NUMBER(NOW + 5), END}, CLUSTER_REFUSED},
    {"refused by limit 0", "take", {BEGIN("refused"), NUMBER(0), NUMBER(NOW), END}, CLUSTER_AWAY},
    {"refused by none of ours", "take", {BEGIN("refused"), NUMBER(2), NUMBER(NOW), END}, CLUSTER_AWAY},
    {"refused until never", "take", {BEGIN("refused"), NUMBER(1), NUMBER(LLONG_MAX), END}, CLUSTER_AWAY},
    {"busy", "take", {BEGIN("busy"), NUMBER(3), END}, CLUSTER_BUSY},
    {"busy, fewer than none", "take", {BEGIN("busy"), NUMBER(-1), END}, CLUSTER_AWAY},
    {"busy, wraps", "take", {BEGIN("busy"), NUMBER(1LL << 32), END}, CLUSTER_AWAY},
    {"news", "take", {BEGIN("news"), NUMBER(7), {"breaker\n", 0}, END}, CLUSTER_NEWS},
    {"empty news", "take", {BEGIN("news"), NUMBER(7), {"", 0}, END}, CLUSTER_NEWS},
    {"news without a text", "take", {BEGIN("news"), NUMBER(7), END}, CLUSTER_AWAY},
    {"news that are a number", "take", {BEGIN("news"), NUMBER(7), NUMBER(8), END}, CLUSTER_AWAY},
    {"news without a version", "take", {BEGIN("news"), {"7", 0}, {"breaker\n", 0}, END}, CLUSTER_AWAY},
    {"a version below 0", "take", {BEGIN("news"), NUMBER(-7), {"breaker\n", 0}, END}, CLUSTER_AWAY},
    {"a version beyond all", "take", {BEGIN("news"), NUMBER(BEYOND), {"breaker\n", 0}, END}, CLUSTER_AWAY},
    {"connections", "connections", {BEGIN("done"), NUMBER(2), NUMBER(0), NUMBER(1), END}, CLUSTER_DONE},
    {"more of them than room",
     "connections",
     {BEGIN("done"), NUMBER(4), NUMBER(0), NUMBER(1), NUMBER(2), END},
     CLUSTER_DONE},
    {"connections not counted", "connections", {BEGIN("done"), END}, CLUSTER_AWAY},
    {"a number below 0", "connections", {BEGIN("done"), NUMBER(1), NUMBER(-1), END}, CLUSTER_AWAY},
    {"a number that wraps to another's",
     "connections",
     {BEGIN("done"), NUMBER(1), NUMBER((1LL << 32) + 1), END},
     CLUSTER_AWAY},
    {"a count that wraps", "connections", {BEGIN("done"), NUMBER((1LL << 32) + 1), END}, CLUSTER_AWAY},
    {"a number that is a word", "connections", {BEGIN("done"), NUMBER(1), {"one", 0}, END}, CLUSTER_AWAY},
    {"peeked", "peek", {BEGIN("done"), NUMBER(2), NUMBER(NOW), END}, CLUSTER_DONE},
    {"peeked, fewer than none", "peek", {BEGIN("done"), NUMBER(-2), NUMBER(NOW), END}, CLUSTER_AWAY},
    {"peeked, never", "peek", {BEGIN("done"), NUMBER(2), NUMBER(LLONG_MIN + 1), END}, CLUSTER_AWAY},
    {"a word that is none", "take", {BEGIN("grant"), NUMBER(1), NUMBER(0), NUMBER(0), END}, CLUSTER_AWAY},
    {"a word alone", "take", {{"granted", 0}, END}, CLUSTER_AWAY},
    {"nothing", "take", {END}, CLUSTER_AWAY},
};

START_TEST(only_what_the_script_can_answer_is_an_answer)
{
    ck_assert_msg(read_fields(answers[_i].operation, answers[_i].fields, 0) == answers[_i].answer, "%s",
                  answers[_i].name);
    ck_assert_uint_le(reply.number_count, sizeof numbers / sizeof numbers[0]);
}
END_TEST

static enum cluster_answer read_text(const char *text, size_t length)
{
    const struct field fields[FIELDS_MAX] = {BEGIN("news"), NUMBER(7), {text, 0}, END};

    return read_fields("take", fields, length);
}

/* All hosts would be without the server for as long as one of a newer version has more to tell. */
START_TEST(of_news_that_are_too_long_the_lines_that_fit_are_read)
{
    static char text[2 * CLUSTER_TEXT_SIZE];

    memset(text, 'x', sizeof text);
    text[99] = text[CLUSTER_TEXT_SIZE - 101] = '\n';
    ck_assert_int_eq(read_text(text, CLUSTER_TEXT_SIZE - 1), CLUSTER_NEWS);
    ck_assert_uint_eq(strlen(reply.text), CLUSTER_TEXT_SIZE - 1);
    ck_assert_int_eq(read_text(text, CLUSTER_TEXT_SIZE), CLUSTER_NEWS);
    ck_assert_uint_eq(strlen(reply.text), CLUSTER_TEXT_SIZE - 100);
    ck_assert_int_eq(read_text(text, sizeof text), CLUSTER_NEWS);
    ck_assert_int_eq(reply.text[strlen(reply.text) - 1], '\n');
    memset(text, 'x', sizeof text);
    ck_assert_int_eq(read_text(text, sizeof text), CLUSTER_NEWS);
    ck_assert_str_eq(reply.text, "");
}
END_TEST

START_TEST(news_end_at_a_nul)
{
    static const char text[] = "breaker 1\nslow\0down\n";

    ck_assert_int_eq(read_text(text, sizeof text - 1), CLUSTER_NEWS);
    ck_assert_str_eq(reply.text, "breaker 1\nslow");
}
END_TEST

UNIT_SUITE(answer_suite)
{
    Suite *suite = suite_create("answer");
    TCase *tcase = tcase_create("answer");

    tcase_add_loop_test(tcase, only_what_the_script_can_answer_is_an_answer, 0,
                        (int)(sizeof answers / sizeof answers[0]));
    tcase_add_test(tcase, of_news_that_are_too_long_the_lines_that_fit_are_read);
    tcase_add_test(tcase, news_end_at_a_nul);
    suite_add_tcase(suite, tcase);
    return suite;
}
