#include "classify/replies.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites.h"

static struct replies *replies;

static void open_rules(void)
{
    struct outcome error;

    replies = replies_open(NULL, &error);
    ck_assert_msg(replies != NULL, "%s", error.text);
}

static void close_rules(void)
{
    replies_close(replies);
}

static struct reply_verdict judge_as(const struct replies *rules, struct reply_facts facts, const char *text)
{
    struct reply_verdict verdict;

    if (facts.status == NULL)
        facts.status = "";
    if (facts.service == NULL)
        facts.service = "";
    replies_judge(rules, &facts, text, strlen(text), &verdict);
    return verdict;
}

static struct reply_verdict judge(enum reply_stage stage, int code, const char *text)
{
    return judge_as(replies,
                    (struct reply_facts){.stage = stage,
                                         .code = code,
                                         .recipient = "bob@example.org",
                                         .sender = "news@shop.example",
                                         .logged_in = true},
                    text);
}

/* --- the tables of replies that providers give ------------------------------------------------------- */

struct score {
    size_t replies, exact;                /* the verdict is one of those that are right */
    size_t waits_right, waits_missed;     /* of the account, the host, the session: known as such or not */
    size_t message_right, message_missed; /* of the message */
};

static bool is_one_of(const char *list, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = list; *at != '\0'; at += strcspn(at, "|"), at += *at == '|')
        if (strcspn(at, "|") == length && memcmp(at, word, length) == 0)
            return true;
    return false;
}

static void judge_row(char *row, const char *service_of(const char *), struct score *score)
{
    char *column[6], *rest = row;
    struct reply_facts facts = {
        .recipient = "bob@example.org", .sender = "news@shop.example", .logged_in = true};

    for (size_t i = 0; i < 6; i++) {
        column[i] = rest;
        rest = i < 5 ? strchr(rest, '\t') : NULL;
        ck_assert_msg(i == 5 || rest != NULL, "a row of too few columns: %s", row);
        if (rest != NULL)
            *rest++ = '\0';
    }
    ck_assert_msg(reply_stage_by_name(column[0], &facts.stage), "%s", column[0]);
    facts.code = atoi(column[1]);
    facts.status = *column[2] == '-' ? "" : column[2];
    facts.service = service_of(column[4]);
    const struct reply_verdict verdict = judge_as(replies, facts, column[5]);
    const char *said = reply_whose_name(verdict.whose);
    bool waits = verdict.whose != REPLY_OF_MESSAGE, may_be_message = is_one_of(column[3], "message"),
         may_wait = strcmp(column[3], "message") != 0;

    score->replies++;
    if (is_one_of(column[3], said))
        score->exact++;
    else if (getenv("REPLIES_SHOW") != NULL)
        fprintf(stderr, "%s %s %s: %s instead of %s [%s] \"%s\": %s\n", column[0], column[1], column[2], said,
                column[3], verdict.reason, verdict.rule, column[5]);
    if (may_be_message && may_wait)
        return;
    if (may_wait)
        (*(waits ? &score->waits_right : &score->waits_missed))++;
    else
        (*(waits ? &score->message_missed : &score->message_right))++;
}

static struct score judge_table(const char *path, const char *service_of(const char *))
{
    FILE *file = fopen(path, "re");
    struct score score = {.replies = 0};
    char line[4096];

    ck_assert_msg(file != NULL, "%s", path);
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (*line != '#' && *line != '\0')
            judge_row(line, service_of, &score);
    }
    fclose(file);
    double found = (double)score.waits_right;
    fprintf(stderr,
            "%s: %zu replies, %zu with the right verdict; account, host or session: recall %.3f, precision "
            "%.3f\n",
            strrchr(path, '/') + 1, score.replies, score.exact,
            found / (double)(score.waits_right + score.waits_missed),
            found / (double)(score.waits_right + score.message_missed));
    return score;
}

static const char *by_name(const char *name)
{
    if (strcmp(name, "163") == 0)
        return "netease";
    return replies_know_service(replies, name) ? name : "";
}

static const char *unknown(const char *name)
{
    (void)name;
    return "";
}

START_TEST(every_reply_looked_at_has_its_verdict)
{
    struct score score = judge_table(TOP_SRCDIR "/tests/data/replies-seen.tsv", by_name);

    ck_assert_uint_ge(score.replies, 200);
    ck_assert_uint_eq(score.waits_missed, 0);
    ck_assert_uint_eq(score.message_missed, 0);
    ck_assert_uint_eq(score.exact, score.replies);
}
END_TEST

START_TEST(replies_not_looked_at_have_theirs_in_98_of_100)
{
    static const char *(*const services[])(const char *) = {by_name, unknown};
    static const char *const tables[] = {TOP_SRCDIR "/tests/data/replies-held-out.tsv",
                                         TOP_SRCDIR "/tests/data/replies-held-out-2.tsv"};

    for (size_t i = 0; i < 4; i++) {
        struct score score = judge_table(tables[i / 2], services[i % 2]);

        ck_assert_uint_ge(score.replies, 100);
        ck_assert_uint_le(score.waits_missed * 100, (score.waits_right + score.waits_missed) * 2);
        ck_assert_uint_le(score.message_missed * 100, (score.message_right + score.message_missed) * 2);
    }
}
END_TEST

/* --- what correspondents and servers may try ---------------------------------------------------------- */

START_TEST(what_an_address_is_made_of_never_speaks)
{
    static const struct {
        const char *recipient, *text;
    } echoes[] = {
        {"someone@gspf.example", "5.1.1 <someone@gspf.example>: user unknown"},
        {"\"relay access denied\"@evil.example",
         "5.1.1 <\"relay access denied\"@evil.example>: user unknown"},
        {"\"relay access denied\"@evil.example", "5.1.1 relay access denied@evil.example: user unknown"},
        {"\"relay access denied\"@evil.example", "5.1.1 \"relay access denied\": no such mailbox"},
        {"\"authentication required\"@evil.example", "5.1.1 <authentication required@evil.example> rejected"},
        {"your-account-is-suspended@evil.example",
         "No such person: YOUR-ACCOUNT-IS-SUSPENDED@Evil.Example here"},
        {"quota+sending.limit.exceeded@evil.example", "quota+sending.limit.exceeded: mailbox unavailable"},
        {"quota+sending.limit.exceeded@evil.example", "<quota>: mailbox unavailable"},
        {"bob@daily-sending-limit-exceeded.example",
         "Domain daily-sending-limit-exceeded.example does not exist"},
        {"bob@xn--relay-denied-9ta.example", "bob@relay-d\xc3\xa9nied.example: no such user"},
        {"bob@m\xc3\xbcnchen.example", "<bob@xn--mnchen-3ya.example> not found"},
    };

    for (size_t i = 0; i < sizeof echoes / sizeof echoes[0]; i++) {
        struct reply_verdict verdict = judge_as(replies,
                                                (struct reply_facts){.stage = REPLY_RCPT,
                                                                     .code = 550,
                                                                     .recipient = echoes[i].recipient,
                                                                     .sender = "news@shop.example",
                                                                     .logged_in = true},
                                                echoes[i].text);
        ck_assert_msg(verdict.whose == REPLY_OF_MESSAGE, "%s: %s by \"%s\"", echoes[i].text,
                      reply_whose_name(verdict.whose), verdict.rule);
    }
}
END_TEST

START_TEST(an_address_does_not_hide_what_is_said)
{
    struct reply_facts facts = {.stage = REPLY_RCPT, .code = 550, .sender = "a@b.example", .logged_in = true};

    facts.recipient = "quota@example.org";
    ck_assert_int_eq(judge_as(replies, facts, "Your sending quota is exceeded").whose, REPLY_OF_ACCOUNT);
    facts.recipient = "account@example.org";
    ck_assert_int_eq(judge_as(replies, facts, "Your account is suspended").whose, REPLY_OF_ACCOUNT);
    facts.recipient = "denied@example.org";
    ck_assert_int_eq(judge_as(replies, facts, "<denied@example.org>: Relay access denied").whose,
                     REPLY_OF_HOST);
}
END_TEST

START_TEST(words_are_whole_words)
{
    ck_assert_int_eq(judge(REPLY_RCPT, 550, "the gspfx department is closed").whose, REPLY_OF_MESSAGE);
    ck_assert_str_ne(judge(REPLY_RCPT, 550, "the gspfx department is closed").reason,
                     "message-authentication");
    ck_assert_str_eq(judge(REPLY_RCPT, 550, "5.7.1 SPF: fail").reason, "message-authentication");
}
END_TEST

START_TEST(what_is_passed_on_from_the_recipients_server_is_the_recipients)
{
    static const char *const texts[] = {
        "5.1.1 undeliverable: host mx.example.org[192.0.2.7] said: 550 5.7.1 Your account is suspended",
        "host mx.example.org [192.0.2.7] said: 554 5.7.1 Relay access denied",
        "Callback setup failed: 550 sending limit exceeded",
        "remote server answered: 550 authentication required",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct reply_verdict verdict = judge(REPLY_RCPT, 550, texts[i]);
        ck_assert_msg(verdict.whose == REPLY_OF_MESSAGE && verdict.of_recipient, "%s: %s", texts[i],
                      verdict.rule);
    }
    ck_assert(judge(REPLY_RCPT, 450, "4.2.0 Greylisted, come back").of_recipient);
    ck_assert(judge(REPLY_RCPT, 452, "4.2.2 Mailbox full").of_recipient);
    ck_assert(!judge(REPLY_RCPT, 451, "4.7.1 later").of_recipient);
}
END_TEST

START_TEST(without_words_stage_and_code_decide)
{
    static const struct {
        enum reply_stage stage;
        int code;
        const char *text;
        enum reply_whose whose;
    } bare[] = {
        {REPLY_GREETING, 554, "", REPLY_OF_HOST},
        {REPLY_EHLO, 550, "no", REPLY_OF_HOST},
        {REPLY_STARTTLS, 550, "", REPLY_OF_HOST},
        {REPLY_AUTH, 550, "", REPLY_OF_ACCOUNT},
        {REPLY_MAIL, 550, "", REPLY_OF_ACCOUNT},
        {REPLY_MAIL, 550, "5.7.1 no", REPLY_OF_ACCOUNT},
        {REPLY_MAIL, 500, "", REPLY_OF_SESSION},
        {REPLY_RCPT, 503, "", REPLY_OF_SESSION},
        {REPLY_DATA, 503, "", REPLY_OF_SESSION},
        {REPLY_RCPT, 502, "", REPLY_OF_SESSION},
        {REPLY_MAIL, 521, "", REPLY_OF_HOST},
        {REPLY_RCPT, 521, "", REPLY_OF_HOST},
        {REPLY_RCPT, 501, "5.1.3 bad", REPLY_OF_MESSAGE},
        {REPLY_MAIL, 501, "5.1.7 bad", REPLY_OF_MESSAGE},
        {REPLY_MAIL, 555, "5.5.4 no", REPLY_OF_MESSAGE},
        {REPLY_RCPT, 550, "", REPLY_OF_MESSAGE},
        {REPLY_DATA, 554, "", REPLY_OF_MESSAGE},
        {REPLY_DOT, 554, "", REPLY_OF_MESSAGE},
        {REPLY_DOT, 451, "", REPLY_OF_MESSAGE},
        {REPLY_MAIL, 550, "<news@shop.example> no", REPLY_OF_MESSAGE},
    };

    for (size_t i = 0; i < sizeof bare / sizeof bare[0]; i++) {
        struct reply_verdict verdict = judge(bare[i].stage, bare[i].code, bare[i].text);
        ck_assert_msg(verdict.whose == bare[i].whose, "%s %d %s: %s by %s", reply_stage_name(bare[i].stage),
                      bare[i].code, bare[i].text, reply_whose_name(verdict.whose), verdict.rule);
    }
    ck_assert(judge(REPLY_MAIL, 550, "").by_default);
    ck_assert(!judge(REPLY_MAIL, 550, "your account is suspended").by_default);
}
END_TEST

/* --- rules of the postmaster --------------------------------------------------------------------------- */

START_TEST(the_postmasters_rules_come_first_and_may_use_our_groups)
{
    static const char rules[] = "@mine = relay.example, mx.relay.example\n"
                                "(limit) = sparrows\n"
                                "[strange] session\n"
                                "{from=mine stage=dot} the moon & (used-up) & !bananas\n"
                                "[sending-limit] account\n"
                                "you sent all your sparrows\n";
    struct outcome error;
    struct replies *own = replies_parse("mine", rules, strlen(rules), &error);
    struct reply_facts facts = {.stage = REPLY_DOT, .code = 550, .service = "mine", .logged_in = true};

    ck_assert_msg(own != NULL, "%s", error.text);
    struct reply_verdict verdict = judge_as(own, facts, "exceeded is the moon");
    ck_assert_int_eq(verdict.whose, REPLY_OF_SESSION);
    ck_assert_str_eq(verdict.reason, "strange");
    ck_assert_str_eq(verdict.file, "mine");
    ck_assert_uint_eq(verdict.line, 4);
    ck_assert_int_eq(judge_as(own, facts, "the moon exceeded the bananas").whose, REPLY_OF_MESSAGE);
    facts.service = "other";
    ck_assert_int_eq(judge_as(own, facts, "exceeded is the moon").whose, REPLY_OF_MESSAGE);
    facts.stage = REPLY_MAIL;
    ck_assert_int_eq(judge_as(own, facts, "your sparrows are exhausted").whose, REPLY_OF_ACCOUNT);
    ck_assert_str_eq(replies_service(own, "auto", "A.MX.Relay.example."), "mine");
    ck_assert_str_eq(replies_service(own, "auto", "notrelay.example"), "");
    ck_assert_str_eq(replies_service(own, "none", "relay.example"), "");
    ck_assert_str_eq(replies_service(own, "ses", "relay.example"), "ses");
    ck_assert_str_eq(replies_service(own, "auto", "email-smtp.eu-west-1.amazonaws.com"), "ses");
    replies_close(own);
}
END_TEST

START_TEST(a_section_can_be_switched_off)
{
    static const char rules[] = "[greylisted] off\n";
    struct outcome error;
    struct replies *own = replies_parse("mine", rules, strlen(rules), &error);
    struct reply_facts facts = {.stage = REPLY_RCPT, .code = 450, .logged_in = true};

    ck_assert_msg(own != NULL, "%s", error.text);
    ck_assert_str_ne(judge_as(own, facts, "greylisted").reason, "greylisted");
    replies_close(own);
}
END_TEST

START_TEST(wrong_rules_are_refused_with_file_and_line)
{
    static const char *const wrong[] = {
        "[x] nobody\n",
        "[x] account\n{stage=lunch} words\n",
        "[x] account\n{login=maybe} a\n",
        "[x] account\n(nobody) words\n",
        "(x) = a | (limit)\n",
        "(x) = a || b\n",
        "[x] account\na & \n",
        "[x] account\n!\n",
        "[x] account\n{from=} a\n",
        "[x] account\na & b & c & d & e & f & g & h & i\n",
        "@X = a\n",
    };

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct outcome error;
        struct replies *own = replies_parse("mine", wrong[i], strlen(wrong[i]), &error);

        ck_assert_msg(own == NULL, "%s", wrong[i]);
        ck_assert_msg(strncmp(error.text, "mine:", 5) == 0, "%s: %s", wrong[i], error.text);
    }
}
END_TEST

UNIT_SUITE(replies_suite)
{
    Suite *suite = suite_create("replies");
    TCase *tcase = tcase_create("replies");

    tcase_add_checked_fixture(tcase, open_rules, close_rules);
    tcase_add_test(tcase, every_reply_looked_at_has_its_verdict);
    tcase_add_test(tcase, replies_not_looked_at_have_theirs_in_98_of_100);
    tcase_add_test(tcase, what_an_address_is_made_of_never_speaks);
    tcase_add_test(tcase, an_address_does_not_hide_what_is_said);
    tcase_add_test(tcase, words_are_whole_words);
    tcase_add_test(tcase, what_is_passed_on_from_the_recipients_server_is_the_recipients);
    tcase_add_test(tcase, without_words_stage_and_code_decide);
    tcase_add_test(tcase, the_postmasters_rules_come_first_and_may_use_our_groups);
    tcase_add_test(tcase, a_section_can_be_switched_off);
    tcase_add_test(tcase, wrong_rules_are_refused_with_file_and_line);
    suite_add_tcase(suite, tcase);
    return suite;
}
