#include "classify/classify.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "classify/classify_words.h"
#include "suites.h"

static struct classify_rules *rules;

static void open_rules(void)
{
    struct outcome error;

    rules = classify_open(NULL, &error);
    ck_assert_msg(rules != NULL, "%s", error.text);
}

static void close_rules(void)
{
    classify_close(rules);
}

static struct classify_result judge(const struct classify_rules *set, int code, const char *status,
                                    const char *text)
{
    struct classify_result result;

    classify_text(set, code, status, text, strlen(text), &result);
    return result;
}

static const struct {
    int code;
    const char *status, *text;
    bool hard;
    const char *reason;
} failures[] = {
    {550, "5.1.1", "550 5.1.1 <nobody@example.com>... User unknown", true, "user-unknown"},
    {550, "", "550 No such user here", true, "user-unknown"},
    {550, "5.7.1", "550 5.7.1 No such user!", true, "user-unknown"},
    {0, "5.4.4",
     "Host or domain name not found. Name service error for name=nowhere.example type=A: Host not found",
     true, "host-unknown"},
    {0, "4.4.3",
     "Host or domain name not found. Name service error for name=a.example type=MX: Host not found, try "
     "again",
     false, "temporary"},
    {550, "5.1.6", "550 5.1.6 gone", true, "moved"},
    {556, "5.1.10", "domain does not accept mail (nullMX)", true, "takes-no-mail"},
    {550, "5.4.1", "550 5.4.1 Recipient address rejected: Access denied. AS(201806281)", true,
     "user-unknown"},
    {550, "5.5.0", "550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302).", true,
     "user-unknown"},
    {450, "4.2.0", "450 4.2.0 Requested mail action not taken: mailbox unavailable", false, "temporary"},
    {552, "5.2.2", "552 5.2.2 The email account that you tried to reach is over quota", false, "quota"},
    {550, "5.1.1", "550 5.1.1 mailbox for nobody@example.com is full", false, "quota"},
    {550, "5.1.8", "550 5.1.8 <a@b.example>: Sender address rejected: Domain not found", false,
     "sender-rejected"},
    {550, "5.1.1",
     "host mx.example.com[192.0.2.1] said: 550 5.1.1 user unknown (in reply to MAIL FROM command)", false,
     "sender-rejected"},
    {450, "4.1.1", "450 4.1.1 <a@b.example>: Recipient address rejected: unverified address: still asking",
     false, "greylisted"},
    {550, "5.7.26", "550-5.7.26 This mail has been blocked because the sender is unauthenticated", false,
     "authentication"},
    {554, "5.7.1", "554 5.7.1 <a@b.example>: Relay access denied", false, "relaying"},
    {550, "", "5.1.0 - Unknown address error 550-'5.7.1 <a@b.example>... Access denied'", false, "blocked"},
    {0, "4.4.7", "Delivery time expired", false, "expired"},
    {0, "5.3.0", "five pounds of flax", false, "unknown"},
    {0, "", "", false, "unknown"},
};

START_TEST(a_failure_is_hard_when_the_address_is_bad)
{
    struct classify_result result = judge(rules, failures[_i].code, failures[_i].status, failures[_i].text);

    ck_assert_msg(result.hard == failures[_i].hard && strcmp(result.reason, failures[_i].reason) == 0,
                  "%s: %s %s by line %zu: %s", failures[_i].text, result.hard ? "hard" : "soft",
                  result.reason, result.line, result.rule);
}
END_TEST

/* The same wording through line breaks, case, accents, odd spacing and punctuation. */
static const char *const spellings[] = {
    "USER   UNKNOWN",  "user\r\n unknown",     "User_Unknown!",       "550-5.1.1 user\r\n550 5.1.1 unknown",
    "<User><Unknown>", "550-User 550 unknown", "\xc3\x9cser unknown", "user\xe2\x80\x99 unknown",
};

START_TEST(a_wording_is_recognised_however_it_is_written)
{
    ck_assert_msg(judge(rules, 0, "", spellings[_i]).hard, "%s", spellings[_i]);
}
END_TEST

START_TEST(words_within_an_address_or_a_query_prove_nothing)
{
    ck_assert(!judge(rules, 550, "", "<user.unknown@no-such-user.example> ...").hard);
    ck_assert(!judge(rules, 550, "",
                     "see https://example.com/why?user+unknown or https://example.com/#user-unknown")
                   .hard);
    ck_assert(!judge(rules, 550, "", "superuser unknowns").hard);
}
END_TEST

START_TEST(codes_are_read_from_the_text)
{
    struct classify_words words;
    const char text[] =
        "host a.example[192.0.2.250] said: 550-5.1.1 no 550 5.1.1 such; 4.2.2.1 and 5.9.9 are none";

    classify_words(&words, text, sizeof text - 1);
    ck_assert_int_eq(words.smtp_code, 550);
    ck_assert_uint_eq(words.status.class, 5);
    ck_assert_uint_eq(words.status.subject, 1);
    ck_assert_uint_eq(words.status.detail, 1);
    ck_assert_str_eq(judge(rules, 0, "5.0.0", "550 5.1.1 x").status, "5.1.1");
    ck_assert_str_eq(judge(rules, 0, "5.1.1", "550 5.0.0 x").status, "5.1.1");
    ck_assert_int_eq(judge(rules, 0, "", "450 4.2.0 x").smtp_code, 450);
}
END_TEST

START_TEST(any_bytes_of_any_length_are_judged)
{
    static char flood[3 * CLASSIFY_TEXT_MAX];
    struct classify_words words;

    for (unsigned c = 0; c < 256; c++) {
        memset(flood, (int)c, sizeof flood);
        classify_words(&words, flood, sizeof flood);
        ck_assert_uint_le(words.length, CLASSIFY_WORDS_SIZE);
        judge(rules, 0, "", "");
    }
    memset(flood, ' ', sizeof flood);
    memcpy(flood + CLASSIFY_TEXT_MAX, "user unknown", 12);
    struct classify_result result;
    classify_text(rules, 0, "", flood, sizeof flood, &result);
    ck_assert_str_eq(result.reason, "unknown");
}
END_TEST

static struct classify_rules *parse(const char *text, struct outcome *error)
{
    return classify_parse("own", text, strlen(text), error);
}

START_TEST(the_postmasters_rules_come_first)
{
    struct outcome error;
    struct classify_rules *own = parse("# mine\n[left] hard\n{code=55x status=5.9.*,*.2.2} gone * fishing\n"
                                       "[quota] off\n[late] soft\nuser unknown\n",
                                       &error);
    struct classify_result result;

    ck_assert_msg(own != NULL, "%s", error.text);
    result = judge(own, 550, "5.2.2", "he is gone for a while, Fishing");
    ck_assert(result.hard);
    ck_assert_str_eq(result.reason, "left");
    ck_assert_str_eq(result.file, "own");
    ck_assert_uint_eq(result.line, 3);
    ck_assert_str_eq(result.rule, "{code=55x status=5.9.*,*.2.2} gone * fishing");
    ck_assert(!judge(own, 450, "5.2.2", "gone fishing").hard);
    ck_assert(!judge(own, 550, "5.2.1", "gone fishing").hard);
    ck_assert_str_eq(judge(own, 550, "5.1.1", "user unknown").reason, "late");
    ck_assert_str_ne(judge(own, 552, "5.2.2", "over quota").reason, "quota");
    classify_close(own);
}
END_TEST

static const char *const broken[] = {
    "user unknown\n",
    "[a] hard\n{code=5} x\n",
    "[a] hard\n{code=550 x\n",
    "[a] hard\n{} x\n",
    "[a] harsh\n",
    "[A] hard\n",
    "[] soft\n",
    "[a] soft\n*\n",
    "[a] soft\na * * b\n",
    "[a] soft\n550 no\n",
    "[a] soft\n{status=5.1} a\n",
    "[a] soft\n{status=5.1.1111} a\n",
    "[a] soft\n{code=550,551,552,553,554,555,556,557,558}\n",
    "[a] soft\n...\n",
    "[a] soft\n{from=} a\n",
};

START_TEST(a_rule_file_that_is_not_understood_is_named_with_its_line)
{
    struct outcome error;

    ck_assert_ptr_null(parse(broken[_i], &error));
    ck_assert_msg(strncmp(error.text, "own:", 4) == 0 && (error.text[4] == '1' || error.text[4] == '2'), "%s",
                  error.text);
    ck_assert_str_eq(error.enhanced, "4.3.5");
}
END_TEST

START_TEST(a_missing_file_is_no_error_and_an_unreadable_one_is)
{
    struct outcome error;
    struct classify_rules *set = classify_open("/nonexistent/classify", &error);

    ck_assert_ptr_nonnull(set);
    classify_close(set);
    ck_assert_ptr_null(classify_open("/", &error));
    ck_assert_ptr_nonnull(strstr(error.text, "/: "));
}
END_TEST

START_TEST(a_provider_decides_between_two_readings_of_the_same_words)
{
    static const char own[] = "@mine = mx.mine.example, mine.example\n"
                              "[gone] hard\n{from=mine code=5xx} the parrot rests\n"
                              "[resting] soft\nthe parrot rests\n";
    struct outcome error;
    struct classify_rules *set = parse(own, &error);
    struct classify_result result;
    const char *text = "554 the parrot rests";
    const struct {
        const char *host, *recipient;
        bool hard;
    } speakers[] = {
        {"", "", false},
        {"mx.mine.example", "", true},
        {"MX3.Mine.Example.", "", true},
        {"", "a@mine.example", true},
        {"mx.other.example", "a@Sub.MINE.example", true},
        {"notmine.example", "a@mine.example.org", false},
        {"mine", "mine.example", false},
    };

    ck_assert_msg(set != NULL, "%s", error.text);
    for (size_t i = 0; i < sizeof speakers / sizeof speakers[0]; i++) {
        uint64_t speaker =
            classify_speaker(set, speakers[i].host, strlen(speakers[i].host), speakers[i].recipient);
        classify_said(set, speaker, 0, "", text, strlen(text), &result);
        ck_assert_msg(result.hard == speakers[i].hard, "%zu: %s", i, result.rule);
    }
    classify_said(set, classify_speaker(set, "mine.example", 12, ""), 0, "", "450 the parrot rests", 20,
                  &result);
    ck_assert(!result.hard);
    classify_close(set);
}
END_TEST

START_TEST(what_exchange_online_means_an_access_table_does_not)
{
    static const char text[] = "550 5.7.1 <a@b.example>: Recipient address rejected: Access denied";
    static const char host[] = "b-example.mail.protection.outlook.com";
    struct classify_result result;

    classify_said(rules, classify_speaker(rules, host, strlen(host), "a@b.example"), 0, "", text,
                  strlen(text), &result);
    ck_assert_msg(result.hard, "%s", result.rule);
    classify_said(rules, classify_speaker(rules, "mx.b.example", 12, "a@b.example"), 0, "", text,
                  strlen(text), &result);
    ck_assert_msg(!result.hard, "%s", result.rule);
}
END_TEST

/* Real replies of many mail systems, where they are at hand. */
START_TEST(real_replies_are_judged_right)
{
    FILE *stream = fopen(TOP_SRCDIR "/../shared/data/bounces/replies.jsonl", "re");
    char *line = NULL;
    size_t room = 0, right_hard = 0, false_hard = 0, missed = 0;

    if (stream == NULL)
        return;
    while (getline(&line, &room, stream) > 0) {
        struct json_object *row = json_tokener_parse(line);
        const char *kind = json_object_get_string(json_object_object_get(row, "kind"));
        const char *debatable = json_object_get_string(json_object_object_get(row, "debatable"));

        if (strcmp(kind, "bounce") == 0 && *debatable == '\0') {
            bool hard = json_object_get_boolean(json_object_object_get(row, "hard"));
            bool judged = judge(rules, json_object_get_int(json_object_object_get(row, "reply_code")),
                                json_object_get_string(json_object_object_get(row, "status")),
                                json_object_get_string(json_object_object_get(row, "smtp_description")))
                              .hard;
            right_hard += hard && judged;
            false_hard += !hard && judged;
            missed += hard && !judged;
        }
        json_object_put(row);
    }
    free(line);
    fclose(stream);
    /* F1 = 2 * right / (2 * right + false + missed) */
    ck_assert_msg(2.0 * (double)right_hard > 0.95 * (double)(2 * right_hard + false_hard + missed),
                  "%zu right, %zu falsely hard, %zu missed", right_hard, false_hard, missed);
}
END_TEST

UNIT_SUITE(classify_suite)
{
    Suite *suite = suite_create("classify");
    TCase *tcase = tcase_create("classify");

    tcase_add_checked_fixture(tcase, open_rules, close_rules);
    tcase_add_loop_test(tcase, a_failure_is_hard_when_the_address_is_bad, 0,
                        sizeof failures / sizeof failures[0]);
    tcase_add_loop_test(tcase, a_wording_is_recognised_however_it_is_written, 0,
                        sizeof spellings / sizeof spellings[0]);
    tcase_add_test(tcase, words_within_an_address_or_a_query_prove_nothing);
    tcase_add_test(tcase, codes_are_read_from_the_text);
    tcase_add_test(tcase, any_bytes_of_any_length_are_judged);
    tcase_add_test(tcase, the_postmasters_rules_come_first);
    tcase_add_loop_test(tcase, a_rule_file_that_is_not_understood_is_named_with_its_line, 0,
                        sizeof broken / sizeof broken[0]);
    tcase_add_test(tcase, a_missing_file_is_no_error_and_an_unreadable_one_is);
    tcase_add_test(tcase, a_provider_decides_between_two_readings_of_the_same_words);
    tcase_add_test(tcase, what_exchange_online_means_an_access_table_does_not);
    tcase_add_test(tcase, real_replies_are_judged_right);
    suite_add_tcase(suite, tcase);
    return suite;
}
