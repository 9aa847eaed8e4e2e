#include "event/event.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "suites.h"

static struct event sample(void)
{
    struct event event = {
        .cs = CS_DELIVERED,
        .source = EVENT_SOURCE_PIPE,
        .timestamp_ms = 1732338092123,
        .message_id = "4c8f4a0e-2a9a-5a0e-9a4e-1f7a6c7f2b11",
        .recipient = "User@Example.COM",
        .sender = "from@example.org",
        .queue_id = "4bXyz",
        .smtp_code = 250,
        .smtp_enhanced_code = "2.0.0",
        .smtp_description = "Ok: queued as \"X\"",
        .tpsp = "primary",
        .tpsp_id = 12,
        .provider = "default",
        .attempt = 1,
    };
    event_identify(&event, "");
    return event;
}

static void assert_json(const struct event *event, const char *state, const char *expected)
{
    struct json_object *object = event_to_json(event, state);

    ck_assert_str_eq(
        json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
        expected);
    json_object_put(object);
}

START_TEST(the_json_is_the_contracts)
{
    struct event event = sample();

    memcpy(event.event_id, "11111111-2222-5333-8444-555555555555", UUID_SIZE);
    assert_json(&event, NULL,
                "{\"message_id\":\"4c8f4a0e-2a9a-5a0e-9a4e-1f7a6c7f2b11\",\"event_type\":\"delivered\","
                "\"event_id\":\"11111111-2222-5333-8444-555555555555\",\"cs_event\":\"CSDelivered\","
                "\"cs_event_id\":60,\"timestamp\":\"2024-11-23T05:01:32.123Z\",\"source\":\"pipe\","
                "\"recipient\":\"User@Example.COM\",\"sender\":\"from@example.org\",\"queue_id\":\"4bXyz\","
                "\"smtp_code\":250,\"smtp_enhanced_code\":\"2.0.0\","
                "\"smtp_description\":\"Ok: queued as \\\"X\\\"\",\"tpsp\":\"primary\",\"tpsp_id\":12,"
                "\"provider\":\"default\",\"attempt\":1}");
}
END_TEST

START_TEST(what_is_not_known_is_left_out)
{
    struct event event = {.cs = CS_SOFT_BOUNCED, .source = EVENT_SOURCE_BOUNCE, .timestamp_ms = 0};

    memcpy(event.message_id, "4c8f4a0e-2a9a-5a0e-9a4e-1f7a6c7f2b11", UUID_SIZE);
    memcpy(event.event_id, "11111111-2222-5333-8444-555555555555", UUID_SIZE);
    assert_json(&event, "rejected",
                "{\"message_id\":\"4c8f4a0e-2a9a-5a0e-9a4e-1f7a6c7f2b11\",\"event_type\":\"soft_bounced\","
                "\"event_id\":\"11111111-2222-5333-8444-555555555555\",\"cs_event\":\"CSSoftBounced\","
                "\"cs_event_id\":64,\"timestamp\":\"1970-01-01T00:00:00.000Z\",\"source\":\"bounce\","
                "\"state\":\"rejected\"}");
}
END_TEST

START_TEST(every_kind_has_its_name_and_word)
{
    static const struct {
        enum event_cs cs;
        const char *name, *type;
    } expected[] = {
        {59, "CSSent", "sent"},       {60, "CSDelivered", "delivered"}, {61, "CSDeferred", "deferred"},
        {62, "CSDropped", "dropped"}, {63, "CSHardBounced", "bounced"}, {64, "CSSoftBounced", "soft_bounced"},
    };

    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        struct event event = {.cs = expected[i].cs};
        ck_assert_str_eq(event_cs_name(event.cs), expected[i].name);
        ck_assert_str_eq(event_type(&event), expected[i].type);
    }
    ck_assert_ptr_null(event_cs_name(65));
    ck_assert_str_eq(event_type(&(struct event){.cs = CS_DROPPED, .other_word = true}), "bounced");
}
END_TEST

START_TEST(the_same_happening_has_the_same_id)
{
    struct event event = sample(), again = sample();

    /* the value itself is a promise: what an older version has reported must not be reported under a new
     * id */
    ck_assert_str_eq(event.event_id, "46dd8386-049d-5bf9-b3fb-d480b5cc45b9");
    again.timestamp_ms++;
    again.attempt = 7;
    memcpy(again.recipient, "User@example.com", 17);
    event_identify(&again, "");
    ck_assert_str_eq(again.event_id, event.event_id);
}
END_TEST

START_TEST(two_messages_of_one_uuid_are_two)
{
    struct event event = sample(), other = sample();

    snprintf(other.queue_id, sizeof other.queue_id, "4bOther");
    event_identify(&other, "");
    ck_assert_str_ne(other.event_id, event.event_id);
    /* but a bounce is told apart by nothing of this host */
    event.source = other.source = EVENT_SOURCE_BOUNCE;
    event_identify(&event, "");
    event_identify(&other, "");
    ck_assert_str_eq(other.event_id, event.event_id);
}
END_TEST

START_TEST(another_happening_has_another_id)
{
    struct event event = sample(), other = sample();

    other.cs = CS_DROPPED;
    event_identify(&other, "");
    ck_assert_str_ne(other.event_id, event.event_id);
    memcpy(event.event_id, other.event_id, UUID_SIZE);
    other.other_word = true; /* another word for the same thing */
    event_identify(&other, "");
    ck_assert_str_eq(other.event_id, event.event_id);
    event_identify(&other, "attempt 2");
    ck_assert_str_ne(other.event_id, event.event_id);
    memcpy(other.recipient, "user@Example.COM", 17);
    event_identify(&other, "");
    ck_assert_str_ne(other.event_id, event.event_id);
}
END_TEST

START_TEST(a_description_is_clean_utf8)
{
    struct event event = {0};

    event_describe(&event, "550 no\r\n\tway \0 \xc3\xa4 \xff\xc3 \xed\xa0\x80 \xc2\x9b \x7f", 29);
    ck_assert_str_eq(event.smtp_description, "550 no   way   \xc3\xa4 \xef\xbf\xbd\xef\xbf\xbd "
                                             "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd    ");
}
END_TEST

START_TEST(a_long_description_is_cut_between_characters)
{
    struct event event = {0};
    char text[2000];

    for (size_t at = 0; at < sizeof text; at += 4)
        memcpy(text + at, "\xf0\x9f\x93\xa7", 4);
    event_describe(&event, text, sizeof text);
    ck_assert_uint_eq(strlen(event.smtp_description), 1000);
    event_describe(&event, text, 3);
    ck_assert_uint_eq(strlen(event.smtp_description), 9); /* a cut character: three times U+FFFD */
    memcpy(text, "abc", 3);
    event_describe(&event, text, 3);
    memmove(text + 3, text, sizeof text - 3);
    for (size_t at = 3; at + 4 <= sizeof text; at += 4)
        memcpy(text + at, "\xf0\x9f\x93\xa7", 4);
    event_describe(&event, text, 1999);
    ck_assert_uint_eq(strlen(event.smtp_description), 999);
}
END_TEST

START_TEST(hostile_addresses_become_valid_json)
{
    struct event event = sample();

    memset(event.recipient, 0xff, sizeof event.recipient - 1);
    snprintf(event.sender, sizeof event.sender, "a\"\\\n\x01</script>@b");
    struct json_object *object = event_to_json(&event, NULL);
    const char *text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN);
    for (size_t at = 0, length = strlen(text); at < length;) {
        size_t sequence = utf8_sequence(text + at, length - at);
        ck_assert_uint_gt(sequence, 0);
        ck_assert((unsigned char)text[at] >= ' ');
        at += sequence;
    }
    json_object_put(object);
}
END_TEST

UNIT_SUITE(event_suite)
{
    Suite *suite = suite_create("event");
    TCase *tcase = tcase_create("event");

    tcase_add_test(tcase, the_json_is_the_contracts);
    tcase_add_test(tcase, what_is_not_known_is_left_out);
    tcase_add_test(tcase, every_kind_has_its_name_and_word);
    tcase_add_test(tcase, the_same_happening_has_the_same_id);
    tcase_add_test(tcase, two_messages_of_one_uuid_are_two);
    tcase_add_test(tcase, another_happening_has_another_id);
    tcase_add_test(tcase, a_description_is_clean_utf8);
    tcase_add_test(tcase, a_long_description_is_cut_between_characters);
    tcase_add_test(tcase, hostile_addresses_become_valid_json);
    suite_add_tcase(suite, tcase);
    return suite;
}
