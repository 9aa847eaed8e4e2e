#include "agent/track.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "classify/classify_rules.h"
#include "suites.h"

#define UUID "31bdc664-f741-5a76-b8dc-9a801744f747"
#define UUID2 "42bdc664-f741-5a76-b8dc-9a801744f747"

/* What track tells, one line a note: "delivered a@b 31". */
static char told[4096];

static bool write_down(void *context, const struct track_note *note)
{
    static const char *const verbs[] = {"delivered",    "bounced",     "deferred",   "discarded",
                                        "own-deferred", "own-settled", "own-killed", "expired",
                                        "adopted",      "moved",       "forgotten"};
    size_t length = strlen(told);

    (void)context;
    snprintf(told + length, sizeof told - length, "%s%s", verbs[note->verb], note->line != NULL ? "" : "\n");
    length = strlen(told);
    if (note->line != NULL)
        snprintf(told + length, sizeof told - length, " %.*s %02x\n", (int)note->line->to.length,
                 note->line->to.at != NULL ? note->line->to.at : "", note->uuid != NULL ? note->uuid[0] : 0);
    return true;
}

static struct track track;
static struct senders senders;

/* Everybody may send; the tests of trust list whom they want. */
static struct config config;
static struct mta mta;
static const struct trust trust = {.config = &config, .mta = &mta};

static void senders_are(const char *networks)
{
    networks_clear(&config.trusted_senders);
    networks_read(&config.trusted_senders, &mta.tables, networks);
}

static void begin(void)
{
    struct outcome error;

    memset(&senders, 0, sizeof senders);
    senders_are("0.0.0.0/0 ::/0");
    track = (struct track){.table = correlation_open(1024),
                           .senders = &senders,
                           .trust = &trust,
                           .filters = classify_compile("filters", data_filters, data_filters_count, &error),
                           .note = write_down};
    ck_assert_ptr_nonnull(track.filters);
    told[0] = '\0';
}

static void end(void)
{
    correlation_close(track.table);
    classify_close((struct classify_rules *)track.filters);
}

static void read_at(int64_t second, const char *tag, const char *message)
{
    struct postfix_log_line line;

    postfix_log_parse_message(tag, strlen(tag), message, strlen(message), &line);
    ck_assert(track_line(&track, &line, second * 1000));
    ck_assert(track_bury(&track, second * 1000));
}

static void reads(const char *tag, const char *message)
{
    read_at(1700000000, tag, message);
}

#define INFO(uuid) "info: header X-Sendpost-Message-UUID: " uuid " from local; from=<a@b> to=<c@d>"
#define TO(to, relay, status) \
    "to=<" to ">, relay=" relay ", delay=1, delays=1/0/0/0, dsn=2.0.0, status=" status

START_TEST(the_header_line_names_the_message)
{
    reads("postfix/smtpd", "4AAAAA: client=x[10.0.0.1]");
    reads("postfix/cleanup", "4AAAAA: message-id=<x>");
    reads("postfix/cleanup", "4AAAAA: " INFO(UUID));
    reads("postfix/qmgr", "4AAAAA: from=<a@b>, size=1, nrcpt=2 (queue active)");
    reads("postfix/smtp", "4AAAAA: " TO("a@b", "mx[10.0.0.2]:25", "sent (250 ok)"));
    reads("postfix/smtp",
          "4AAAAA: " TO("c@d", "mx[10.0.0.2]:25", "bounced (host mx[10.0.0.2] said: 550 no)"));
    reads("postfix/qmgr", "4AAAAA: removed");
    ck_assert_str_eq(told, "delivered a@b 31\nbounced c@d 31\n");
}
END_TEST

START_TEST(a_verp_sender_names_the_message_unless_a_header_does)
{
    reads("postfix/qmgr", "4AAAAA: from=<bounces+" UUID "+4321@sp-bounce.x>, size=1, nrcpt=1 (queue active)");
    reads("postfix/smtp", "4AAAAA: " TO("a@b", "mx[10.0.0.2]:25", "sent (250 ok)"));
    reads("postfix/cleanup", "4BBBBB: " INFO(UUID2));
    reads("postfix/qmgr", "4BBBBB: from=<bounces+" UUID "+4321@sp-bounce.x>, size=1, nrcpt=1 (queue active)");
    reads("postfix/smtp", "4BBBBB: " TO("a@b", "mx[10.0.0.2]:25", "sent (250 ok)"));
    reads("postfix/qmgr", "4CCCCC: from=<bounces+31bdc664+4321@sp-bounce.x>, size=1, nrcpt=1 (queue active)");
    reads("postfix/smtp", "4CCCCC: " TO("a@b", "mx[10.0.0.2]:25", "sent (250 ok)"));
    ck_assert_str_eq(told, "delivered a@b 31\ndelivered a@b 42\n");
    ck_assert_uint_eq(track.counts.uncorrelated, 1);
}
END_TEST

START_TEST(the_first_header_counts)
{
    reads("postfix/cleanup", "4AAAAA: " INFO(UUID));
    reads("postfix/cleanup", "4AAAAA: " INFO(UUID2)); /* of a message within the message */
    reads("postfix/smtp", "4AAAAA: " TO("a@b", "mx[10.0.0.2]:25", "sent (250 ok)"));
    ck_assert_str_eq(told, "delivered a@b 31\n");
}
END_TEST

START_TEST(the_message_returned_within_a_bounce_is_not_the_bounce)
{
    reads("postfix/smtpd", "4AAAAA: client=x[10.0.0.1]");
    reads("postfix/cleanup",
          "4AAAAA: info: header X-Sendpost-Message-UUID: " UUID " from x[10.0.0.1]; from=<> to=<c@d>");
    reads("postfix/qmgr", "4AAAAA: from=<>, size=1, nrcpt=1 (queue active)");
    reads("postfix/smtp", "4AAAAA: " TO("a@b", "mx[10.0.0.2]:25", "sent (250 ok)"));
    ck_assert_str_eq(told, "");
    ck_assert_uint_eq(track.counts.uncorrelated, 0);
}
END_TEST

START_TEST(a_queue_id_that_is_used_again_is_another_message)
{
    reads("postfix/smtpd", "4AAAAA: client=x[198.51.100.1]");
    reads("postfix/cleanup", "4AAAAA: " INFO(UUID));
    reads("postfix/qmgr", "4AAAAA: removed");
    reads("postfix/smtp", "4AAAAA: " TO("late@b", "mx[10.0.0.2]:25", "sent (250 ok)"));
    reads("postfix/smtpd", "4AAAAA: client=x[198.51.100.1]");
    reads("postfix/qmgr", "4AAAAA: from=<a@b>, size=1, nrcpt=1 (queue active)");
    reads("postfix/smtp", "4AAAAA: " TO("a@b", "mx[10.0.0.2]:25", "sent (250 ok)"));
    ck_assert_str_eq(told, "delivered late@b 31\n");
    /* also when the line that said "removed" never came */
    reads("postfix/cleanup", "4AAAAA: " INFO(UUID));
    reads("postfix/pickup", "4AAAAA: uid=0 from=<root>");
    reads("postfix/smtp", "4AAAAA: " TO("b@b", "mx[10.0.0.2]:25", "sent (250 ok)"));
    ck_assert_str_eq(told, "delivered late@b 31\n");
}
END_TEST

/* The line that said "removed" was lost, and so was the one that said whom the next message came from. */
START_TEST(a_queue_id_used_again_after_a_gap_is_another_message)
{
    reads("postfix/cleanup", "4AAAAA: " INFO(UUID));
    reads("postfix/qmgr", "4AAAAA: from=<a@b>, size=1, nrcpt=1 (queue active)");
    reads("postfix/smtp", "4AAAAA: " TO("a@b", "mx[10.0.0.2]:25", "sent (250 ok)"));
    reads("postfix/cleanup", "4AAAAA: " INFO(UUID2)); /* by its header */
    reads("postfix/qmgr", "4AAAAA: from=<a@b>, size=1, nrcpt=1 (queue active)");
    reads("postfix/smtp", "4AAAAA: " TO("b@b", "mx[10.0.0.2]:25", "sent (250 ok)"));
    reads("postfix/qmgr", "4AAAAA: from=<x@y>, size=1, nrcpt=1 (queue active)"); /* by its sender */
    reads("postfix/smtp", "4AAAAA: " TO("c@b", "mx[10.0.0.2]:25", "sent (250 ok)"));
    ck_assert_str_eq(told, "delivered a@b 31\ndelivered b@b 42\n");
    told[0] = '\0';
    reads("postfix/cleanup", "4AAAAA: message-id=<x>"); /* made by Postfix itself: without a UUID */
    reads("postfix/qmgr", "4AAAAA: from=<>, size=1, nrcpt=1 (queue active)");
    reads("postfix/smtp", "4AAAAA: " TO("d@b", "mx[10.0.0.2]:25", "sent (250 ok)"));
    reads("postfix/qmgr", "4AAAAA: from=<bounces+" UUID "+1@sp-bounce.x>, size=1, nrcpt=1 (queue active)");
    reads("postfix/smtp", "4AAAAA: " TO("e@b", "mx[10.0.0.2]:25", "sent (250 ok)"));
    reads("postfix/qmgr", "4AAAAA: from=<bounces+" UUID2 "+1@sp-bounce.x>, size=1, nrcpt=1 (queue active)");
    reads("postfix/smtp", "4AAAAA: " TO("f@b", "mx[10.0.0.2]:25", "sent (250 ok)"));
    ck_assert_str_eq(told, "delivered e@b 31\ndelivered f@b 42\n");
}
END_TEST

START_TEST(what_is_deferred_and_tried_again_is_the_same_message)
{
    reads("postfix/cleanup", "4AAAAA: " INFO(UUID));
    reads("postfix/qmgr", "4AAAAA: from=<a@b>, size=1, nrcpt=1 (queue active)");
    reads("postfix/cleanup", "4AAAAA: message-id=<x>"); /* overtaken by the line before */
    reads("postfix/smtp", "4AAAAA: " TO("a@b", "mx[10.0.0.2]:25", "deferred (connection refused)"));
    read_at(1700003600, "postfix/qmgr", "4AAAAA: from=<a@b>, size=1, nrcpt=1 (queue active)");
    read_at(1700003600, "postfix/smtp", "4AAAAA: " INFO(UUID)); /* smtp_header_checks */
    read_at(1700003601, "postfix/smtp", "4AAAAA: " TO("a@b", "mx[10.0.0.2]:25", "sent (250 ok)"));
    ck_assert_str_eq(told, "deferred a@b 31\ndelivered a@b 31\n");
}
END_TEST

START_TEST(instances_do_not_mix_up_their_queue_ids)
{
    reads("postfix-a/smtpd", "4AAAAA: client=x[10.0.0.1]");
    reads("postfix-b/smtpd", "4AAAAA: client=x[10.0.0.1]");
    reads("postfix-a/cleanup", "4AAAAA: " INFO(UUID));
    reads("postfix-b/submission/cleanup", "4AAAAA: " INFO(UUID2));
    reads("postfix-b/smtp", "4AAAAA: " TO("b@b", "mx[10.0.0.2]:25", "sent (250 ok)"));
    reads("postfix-a/relay/smtp", "4AAAAA: " TO("a@b", "mx[10.0.0.2]:25", "sent (250 ok)"));
    ck_assert_str_eq(told, "delivered b@b 42\ndelivered a@b 31\n");
}
END_TEST

START_TEST(a_service_with_a_name_of_its_own_is_of_the_same_instance)
{
    reads("postfix/cleanup", "4AAAAA: " INFO(UUID));
    reads("fast/smtp", "4AAAAA: " TO("b@b", "mx[10.0.0.2]:25", "sent (250 ok)"));
    ck_assert_str_eq(told, "delivered b@b 31\n");
}
END_TEST

#define FILTERED(id) \
    TO("a@b", "127.0.0.1[127.0.0.1]:10024", "sent (250 2.0.0 from MTA(): 250 Ok: queued as " id ")")

START_TEST(a_message_is_followed_through_a_content_filter)
{
    reads("postfix/cleanup", "4AAAAA: " INFO(UUID));
    reads("postfix/smtpd", "4BBBBB: client=localhost[127.0.0.1]");
    reads("postfix/smtp", "4AAAAA: " FILTERED("4BBBBB"));
    reads("postfix/qmgr", "4AAAAA: removed");
    ck_assert_str_eq(told, "");
    reads("postfix/smtp", "4BBBBB: " TO("a@b", "mx[10.0.0.2]:25", "sent (250 ok)"));
    ck_assert_str_eq(told, "delivered a@b 31\n");
}
END_TEST

START_TEST(a_filter_whose_message_is_faster_than_its_answer_is_waited_for)
{
    reads("postfix/cleanup", "4AAAAA: " INFO(UUID));
    reads("postfix/smtpd", "4BBBBB: client=localhost[127.0.0.1]");
    reads("postfix/smtp", "4BBBBB: " TO("a@b", "mx[10.0.0.2]:25", "sent (250 ok)"));
    reads("postfix/qmgr", "4BBBBB: removed");
    reads("postfix/smtp", "4AAAAA: " FILTERED("4BBBBB"));
    ck_assert_str_eq(told, "delivered a@b 00\nadopted a@b 31\n");
    read_at(1700000061, "postfix/qmgr", "4CCCCC: removed");
    ck_assert_str_eq(told, "delivered a@b 00\nadopted a@b 31\nforgotten\n");
}
END_TEST

#define ANSWERS(relay) TO("a@b", relay, "sent (250 2.0.0 from MTA(x): 250 2.0.0 Ok: queued as 4BBBBB)")

/* client of the message that the filter makes, relay, whether it is a hand-over */
static const struct {
    const char *client, *line;
    bool hand_over;
} filters[] = {
    {"localhost[127.0.0.1]", "4AAAAA: " ANSWERS("mx[/run/amavis/lmtp.sock]"), true},
    {"unknown[10.0.0.7]", "4AAAAA: " ANSWERS("mx[/run/amavis/lmtp.sock]"), true},
    {"localhost[127.0.0.1]", "4AAAAA: " ANSWERS("mx.example.com[private/scan]"), true},
    {"scan[10.0.0.7]", "4AAAAA: " ANSWERS("scan[10.0.0.7]:10024"), true},
    {"scan[10.0.0.8]", "4AAAAA: " ANSWERS("scan[10.0.0.7]:10024"), true},
    {"scan[192.0.2.7]", "4AAAAA: " ANSWERS("scan[192.0.2.7]:10024"), true},
    {"scan[10.0.0.7]", "4AAAAA: " ANSWERS("scan[10.0.0.7]:25"), true},
    {"scan[fd00::7]", "4AAAAA: " ANSWERS("scan[fd00::7]:25"), true},
    {"localhost[::1]", "4AAAAA: " ANSWERS("localhost[::1]:10024"), true},
    {"app[10.0.0.9]", "4AAAAA: " ANSWERS("scan[10.0.0.7]:25"), false},
    {"mx[192.0.2.7]", "4AAAAA: " ANSWERS("mx[192.0.2.7]:25"), false},
    {"localhost[127.0.0.1]", "4AAAAA: " ANSWERS("mx[192.0.2.7]:25"), false},
    {"localhost[127.0.0.1]", "4AAAAA: " ANSWERS("smtp.tpsp.example[192.0.2.7]:587"), false},
};

START_TEST(a_filter_is_known_by_the_message_it_makes)
{
    char born[128];

    snprintf(born, sizeof born, "4BBBBB: client=%s", filters[_i].client);
    reads("postfix/cleanup", "4AAAAA: " INFO(UUID));
    reads("postfix/smtpd", born);
    reads("postfix/smtp", filters[_i].line);
    ck_assert_msg((strcmp(told, "") == 0) == filters[_i].hand_over, "%s: %s", filters[_i].line, told);
    told[0] = '\0';
    reads("postfix/smtp", "4BBBBB: " TO("v@w", "mx[192.0.2.2]:25", "sent (250 ok)"));
    ck_assert_msg((strcmp(told, "delivered v@w 31\n") == 0) == filters[_i].hand_over, "%s: %s",
                  filters[_i].line, told);
}
END_TEST

START_TEST(a_filter_cannot_take_a_message_that_has_a_uuid_of_its_own)
{
    reads("postfix/cleanup", "4AAAAA: " INFO(UUID));
    reads("postfix/cleanup", "4BBBBB: " INFO(UUID2));
    reads("postfix/smtp", "4AAAAA: " ANSWERS("scan[192.0.2.7]:10024"));
    reads("postfix/smtp", "4BBBBB: " TO("v@w", "mx[192.0.2.2]:25", "sent (250 ok)"));
    ck_assert_str_eq(told, "delivered a@b 31\ndelivered v@w 42\n");
}
END_TEST

START_TEST(what_a_filter_throws_away_is_discarded)
{
    static const struct {
        const char *relay, *reply, *verb;
    } cases[] = {
        {"127.0.0.1[127.0.0.1]:10024", "250 2.7.0 Ok, discarded, id=15303-02 - spam", "discarded"},
        {"127.0.0.1[127.0.0.1]:10024",
         "250 2.7.0 Ok, discarded, id=15303-02 - INFECTED: Eicar-Test-Signature", "discarded"},
        {"127.0.0.1[127.0.0.1]:10024", "250 2.5.0 Ok, id=1-2, DISCARD(bounce.suppressed)", "discarded"},
        {"mx[/run/clamsmtp.sock]", "250 Virus Detected; Discarded Email", "discarded"},
        {"scan[10.0.0.7]:10025", "250 2.0.0 Ok: message quarantined as spam-x", "discarded"},
        {"scan[192.0.2.7]:10025", "250 2.0.0 Message contains a virus and was deleted", "discarded"},
        {"127.0.0.1[127.0.0.1]:10024", "250 2.0.0 Ok, no virus found, id=1", "delivered"},
        {"127.0.0.1[127.0.0.1]:10024", "250 2.0.0 Ok", "delivered"},
        {"127.0.0.1[127.0.0.1]:10024", "250 2.6.0 Ok, id=1, from MTA: 250 queued as 9", "delivered"},
        {"mx.d.example[192.0.2.9]:25", "250 2.7.0 Ok, discarded as spam", "delivered"},
    };
    char line[512], expected[64];

    reads("postfix/cleanup", "4AAAAA: " INFO(UUID));
    snprintf(line, sizeof line,
             "4AAAAA: to=<a@b>, relay=%s, delay=1, delays=0/0/0/1, dsn=2.7.0, status=sent (%s)",
             cases[_i].relay, cases[_i].reply);
    reads("postfix/smtp", line);
    snprintf(expected, sizeof expected, "%s a@b 31\n", cases[_i].verb);
    ck_assert_msg(strcmp(told, expected) == 0, "%s: %s", line, told);
}
END_TEST

START_TEST(a_server_on_this_machine_with_a_log_of_its_own_is_a_destination)
{
    reads("postfix/cleanup", "4AAAAA: " INFO(UUID));
    reads("postfix/smtp", "4AAAAA: " FILTERED("4BBBBB"));
    ck_assert_str_eq(told, "delivered a@b 31\n");
}
END_TEST

START_TEST(a_remote_server_cannot_claim_a_message_of_ours)
{
    reads("postfix/smtpd", "4BBBBB: client=localhost[127.0.0.1]");
    reads("postfix/cleanup", "4AAAAA: " INFO(UUID));
    reads("postfix/smtp", "4AAAAA: " TO("a@b", "mx[10.0.0.2]:25", "sent (250 queued as 4BBBBB)"));
    reads("postfix/smtp",
          "4BBBBB: " TO("v@w", "mx[10.0.0.2]:25", "bounced (host mx[10.0.0.2] said: 550 no)"));
    ck_assert_str_eq(told, "delivered a@b 31\nbounced v@w 00\n");
}
END_TEST

START_TEST(forwarding_by_an_alias_is_no_delivery)
{
    reads("postfix/cleanup", "4AAAAA: " INFO(UUID));
    reads("postfix/cleanup", "4BBBBB: message-id=<x>");
    reads("postfix/local", "4AAAAA: " TO("a@b", "local", "sent (forwarded as 4BBBBB)"));
    reads("postfix/smtp", "4BBBBB: " TO("c@d", "mx[10.0.0.2]:25", "sent (250 ok)"));
    ck_assert_str_eq(told, "delivered c@d 31\n");
}
END_TEST

START_TEST(requeueing_keeps_the_uuid)
{
    reads("postfix/cleanup", "4AAAAA: " INFO(UUID));
    reads("postfix/smtp", "4AAAAA: " TO("a@b", "mx[10.0.0.2]:25", "deferred (connection refused)"));
    reads("postfix/pickup", "4BBBBB: uid=5 from=<a@b> orig_id=4AAAAA");
    reads("postfix/smtp", "4BBBBB: " TO("a@b", "mx[10.0.0.2]:25", "sent (250 ok)"));
    ck_assert_str_eq(told, "deferred a@b 31\nmoved  00\ndelivered a@b 31\n");
}
END_TEST

START_TEST(lines_of_our_own_transport_are_left_to_the_pipe)
{
    reads("postfix/cleanup", "4AAAAA: " INFO(UUID));
    reads("postfix-sendpost/pipe",
          "4AAAAA: to=<a@b>, tpsp=x, relay=h[10.0.0.3]:25, delay=1, dsn=2.0.0, uuid=" UUID
          ", status=sent (250 ok)");
    reads("postfix/pipe",
          "4AAAAA: " TO("a@b", "sendpost", "sent (delivered via sendpost service (2.0.0 uuid=x))"));
    reads("postfix/pipe", "4AAAAA: " TO("c@d", "sendpost", "deferred (4.3.0 x)"));
    reads("postfix/qmgr", "4AAAAA: from=<a@b>, status=expired, returned to sender");
    ck_assert_str_eq(told, "own-settled a@b 31\nown-settled a@b 31\nown-deferred c@d 31\nexpired  31\n");
    ck_assert_uint_eq(track.counts.deliveries, 0);
    /* a pipe that Postfix had to end has reported nothing */
    told[0] = '\0';
    reads("postfix/pipe", "4AAAAA: " TO("e@f", "sendpost", "bounced (Command time limit exceeded: \"x\")"));
    ck_assert_str_eq(told, "own-killed e@f 31\n");
}
END_TEST

START_TEST(the_uuid_of_one_recipient_of_the_pipe_is_not_the_other_recipients)
{
    reads("postfix-sendpost/pipe",
          "4AAAAA: to=<a@b>, tpsp=x, relay=h[10.0.0.3]:25, dsn=2.0.0, uuid=" UUID ", status=sent (250 ok)");
    reads("postfix/smtp", "4AAAAA: " TO("c@d", "mx[10.0.0.2]:25", "sent (250 ok)"));
    ck_assert_str_eq(told, "own-settled a@b 00\n");
}
END_TEST

START_TEST(a_tpsp_in_the_same_log_takes_the_uuid_from_our_line)
{
    reads("postfix/smtpd", "4BBBBB: client=localhost[127.0.0.1]");
    reads("postfix-sendpost/pipe",
          "4AAAAA: to=<a@b>, tpsp=x, relay=127.0.0.1[127.0.0.1]:25, dsn=2.0.0, uuid=" UUID
          ", status=sent (250 2.0.0 Ok: queued as 4BBBBB)");
    reads("postfix/smtp", "4BBBBB: " TO("a@b", "mx[10.0.0.2]:25", "sent (250 ok)"));
    ck_assert_str_eq(told, "own-settled a@b 00\ndelivered a@b 31\n");
}
END_TEST

START_TEST(address_probes_are_no_deliveries)
{
    reads("postfix/cleanup", "4AAAAA: " INFO(UUID));
    reads("postfix/smtp", "4AAAAA: " TO("a@b", "mx[10.0.0.2]:25", "undeliverable (host said: 550)"));
    reads("postfix/smtp", "4AAAAA: " TO("a@b", "mx[10.0.0.2]:25", "deliverable (250)"));
    ck_assert_str_eq(told, "");
}
END_TEST

START_TEST(a_full_table_forgets_the_most_silent)
{
    char text[128];

    for (int i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "4%05dZ: " INFO(UUID), i);
        read_at(1700000000 + i, "postfix/cleanup", text);
    }
    ck_assert_uint_le(correlation_count(track.table), 1024);
    ck_assert_uint_ge(correlation_evicted(track.table), 5000 - 1024);
    reads("postfix/smtp", "404999Z: " TO("a@b", "mx[10.0.0.2]:25", "sent (250 ok)"));
    ck_assert_str_eq(told, "delivered a@b 31\n");
}
END_TEST

START_TEST(what_was_removed_is_free_after_a_minute_and_what_is_silent_after_days)
{
    reads("postfix/cleanup", "4AAAAA: " INFO(UUID));
    reads("postfix/cleanup", "4BBBBB: " INFO(UUID));
    reads("postfix/qmgr", "4AAAAA: removed");
    read_at(1700000030, "postfix/qmgr", "4CCCCC: removed");
    ck_assert_uint_eq(correlation_count(track.table), 2);
    read_at(1700000061, "postfix/qmgr", "4CCCCC: removed");
    ck_assert_uint_eq(correlation_count(track.table), 1);
    for (int hour = 1; hour <= 9 * 24; hour++)
        read_at(1700000000 + hour * 3600, "postfix/qmgr", "4CCCCC: removed");
    ck_assert_uint_eq(correlation_count(track.table), 1);
    for (int hour = 9 * 24; hour <= 11 * 24; hour++)
        read_at(1700000000 + hour * 3600, "postfix/qmgr", "4CCCCC: removed");
    ck_assert_uint_eq(correlation_count(track.table), 0);
}
END_TEST

START_TEST(a_clock_that_was_years_back_for_a_while_forgets_nobody)
{
    reads("postfix/cleanup", "4AAAAA: " INFO(UUID));
    read_at(1230768000, "postfix/qmgr", "4AAAAA: from=<a@b>, size=1, nrcpt=1 (queue active)");
    read_at(1700000060, "postfix/smtpd", "4BBBBB: client=x[10.0.0.1]");
    read_at(1700000061, "postfix/smtp", "4AAAAA: " TO("a@b", "mx[10.0.0.2]:25", "sent (250 ok)"));
    ck_assert_str_eq(told, "delivered a@b 31\n");
}
END_TEST

/* --- who may name a message ------------------------------------------------------------------------ */

#define FROM(client) "info: header X-Sendpost-Message-UUID: " UUID " from " client "; from=<a@b> to=<c@d>"
#define LOCAL "to=<a@b>, relay=local, delay=1, delays=1/0/0/0, dsn=2.0.0, status=sent (delivered to mailbox)"
#define OUT TO("a@b", "mx[203.0.113.1]:25", "sent (250 ok)")

START_TEST(a_strangers_word_counts_nowhere)
{
    senders_are("192.0.2.0/24");
    reads("postfix/smtpd", "4AAAAA: client=evil[203.0.113.9]");
    reads("postfix/cleanup", "4AAAAA: " FROM("evil[203.0.113.9]"));
    reads("postfix/smtp", "4AAAAA: " OUT);
    reads("postfix/local", "4AAAAA: " LOCAL);
    reads("postfix/smtpd", "4BBBBB: client=evil[203.0.113.9]");
    reads("postfix/qmgr", "4BBBBB: from=<bounces+" UUID "+4321@sp-bounce.x>, size=1, nrcpt=1 (queue active)");
    reads("postfix/virtual", "4BBBBB: " LOCAL);
    reads("postfix/cleanup", "4CCCCC: " FROM("evil[203.0.113.9]")); /* the client is in this line alone */
    reads("postfix/smtp", "4CCCCC: " OUT);
    ck_assert_str_eq(told, "");
    ck_assert_uint_eq(track.counts.untrusted, 4);
    ck_assert_uint_eq(track.counts.uncorrelated, 0);
}
END_TEST

START_TEST(who_has_logged_in_or_is_of_this_machine_is_a_sender)
{
    senders_are("192.0.2.0/24");
    reads("postfix/submission/smtpd",
          "4AAAAA: client=home[203.0.113.9], sasl_method=PLAIN, sasl_username=jane");
    reads("postfix/cleanup", "4AAAAA: " FROM("home[203.0.113.9]"));
    reads("postfix/local", "4AAAAA: " LOCAL);
    reads("postfix/pickup", "4BBBBB: uid=1000 from=<a@b>");
    reads("postfix/cleanup", "4BBBBB: " FROM("local"));
    reads("postfix/lmtp", "4BBBBB: " LOCAL);
    ck_assert_str_eq(told, "delivered a@b 31\ndelivered a@b 31\n");
}
END_TEST

START_TEST(where_nobody_tells_the_client_what_leaves_counts)
{
    senders_are("192.0.2.0/24");
    reads("postfix/qmgr", "4AAAAA: from=<bounces+" UUID "+4321@sp-bounce.x>, size=1, nrcpt=2 (queue active)");
    reads("postfix/local", "4AAAAA: " LOCAL);
    ck_assert_str_eq(told, "");
    reads("postfix/smtp", "4AAAAA: " OUT);
    ck_assert_str_eq(told, "delivered a@b 31\n");
}
END_TEST

START_TEST(a_filter_makes_no_sender_of_a_stranger)
{
    senders_are("192.0.2.0/24 127.0.0.0/8");
    reads("postfix/smtpd", "4AAAAA: client=evil[203.0.113.9]");
    reads("postfix/cleanup", "4AAAAA: " FROM("evil[203.0.113.9]"));
    reads("postfix/smtpd", "4BBBBB: client=localhost[127.0.0.1]");
    reads("postfix/cleanup", "4BBBBB: " FROM("localhost[127.0.0.1]"));
    reads("postfix/smtp",
          "4AAAAA: " TO("a@b", "127.0.0.1[127.0.0.1]:10024", "sent (250 ok: queued as 4BBBBB)"));
    reads("postfix/local", "4BBBBB: " LOCAL);
    reads("postfix/smtp", "4BBBBB: " OUT);
    ck_assert_str_eq(told, "");
    /* XFORWARD tells at once */
    reads("postfix/smtpd",
          "4CCCCC: client=localhost[127.0.0.1], orig_queue_id=4AAAAA, orig_client=evil[203.0.113.9]");
    reads("postfix/cleanup", "4CCCCC: " FROM("localhost[127.0.0.1]"));
    reads("postfix/local", "4CCCCC: " LOCAL);
    reads("postfix/smtpd", "4DDDDD: client=localhost[127.0.0.1], orig_client=evil[203.0.113.9]");
    reads("postfix/cleanup", "4DDDDD: " FROM("localhost[127.0.0.1]"));
    reads("postfix/local", "4DDDDD: " LOCAL);
    /* nothing but what waits for a sender to claim it */
    ck_assert_ptr_null(strstr(told, " 31"));
}
END_TEST

#define TAKES(id) TO("a@b", "127.0.0.1[127.0.0.1]:10024", "sent (250 ok: queued as " id ")")

/* What a filter gives back may be delivered before its answer to the first is logged. */
START_TEST(a_filter_that_is_faster_than_its_answer_makes_no_sender_of_a_stranger)
{
    senders_are("192.0.2.0/24 127.0.0.0/8");
    mta.filters = true;
    reads("postfix/smtpd", "4AAAAA: client=evil[203.0.113.9]");
    reads("postfix/cleanup", "4AAAAA: " FROM("evil[203.0.113.9]"));
    if (_i <= 1) /* else it logs under a host name of its own */
        reads("postfix/smtpd", "4BBBBB: client=localhost[127.0.0.1]");
    if (_i != 1) /* else no_header_body_checks */
        reads("postfix/cleanup", "4BBBBB: " FROM("localhost[127.0.0.1]"));
    reads("postfix/local", "4BBBBB: " LOCAL);
    reads("postfix/qmgr", "4BBBBB: removed");
    reads("postfix/smtp", "4AAAAA: " TAKES("4BBBBB"));
    read_at(1700000061, "postfix/qmgr", "4CCCCC: removed");
    ck_assert_str_eq(told, "delivered a@b 00\nforgotten\n");
    mta.filters = false;
}
END_TEST

START_TEST(beside_a_filter_a_sender_of_this_machine_is_told_of_once_it_is_known)
{
    senders_are("127.0.0.0/8");
    mta.filters = true;
    for (int filtered = 0; filtered < 2; filtered++) {
        told[0] = '\0';
        reads("postfix/smtpd", "4AAAAA: client=localhost[127.0.0.1]");
        reads("postfix/cleanup", "4AAAAA: " FROM("localhost[127.0.0.1]"));
        if (filtered) {
            reads("postfix/smtpd", "4BBBBB: client=localhost[127.0.0.1]");
            reads("postfix/cleanup", "4BBBBB: " FROM("localhost[127.0.0.1]"));
            reads("postfix/smtp", "4AAAAA: " TAKES("4BBBBB"));
            reads("postfix/smtp", "4BBBBB: " OUT);
            reads("postfix/qmgr", "4AAAAA: removed");
            reads("postfix/qmgr", "4BBBBB: removed");
        } else { /* by a service without one */
            reads("postfix/smtp", "4AAAAA: " OUT);
            reads("postfix/qmgr", "4AAAAA: removed");
        }
        ck_assert_str_eq(told, filtered ? "delivered a@b 31\n" : "delivered a@b 00\n");
        read_at(1700000061, "postfix/qmgr", "4CCCCC: removed");
        ck_assert_str_eq(told,
                         filtered ? "delivered a@b 31\n" : "delivered a@b 00\nadopted  31\nforgotten\n");
        track.filtered = false;
    }
    mta.filters = false;
}
END_TEST

START_TEST(what_expires_beside_a_filter_was_a_senders)
{
    senders_are("127.0.0.0/8");
    mta.filters = true;
    reads("postfix/smtpd", "4AAAAA: client=localhost[127.0.0.1]");
    reads("postfix/cleanup", "4AAAAA: " FROM("localhost[127.0.0.1]"));
    reads("postfix/smtp", "4AAAAA: " TO("a@b", "mx[10.0.0.2]:25", "deferred (connection refused)"));
    reads("postfix/qmgr", "4AAAAA: from=<a@b>, status=expired, returned to sender");
    ck_assert_str_eq(told, "deferred a@b 00\nadopted  31\nexpired  31\n");
    mta.filters = false;
}
END_TEST

START_TEST(a_senders_message_is_followed_through_a_filter_that_is_none)
{
    senders_are("192.0.2.0/24");
    reads("postfix/smtpd", "4AAAAA: client=app[192.0.2.9]");
    reads("postfix/cleanup", "4AAAAA: " FROM("app[192.0.2.9]"));
    reads("postfix/smtpd", "4BBBBB: client=localhost[127.0.0.1]");
    reads("postfix/cleanup", "4BBBBB: " FROM("localhost[127.0.0.1]"));
    reads("postfix/smtp", "4BBBBB: " OUT); /* faster than the filter's answer */
    reads("postfix/smtp",
          "4AAAAA: " TO("a@b", "127.0.0.1[127.0.0.1]:10024", "sent (250 ok: queued as 4BBBBB)"));
    reads("postfix/local", "4BBBBB: " LOCAL);
    ck_assert_str_eq(told, "delivered a@b 00\nadopted a@b 31\ndelivered a@b 31\n");
}
END_TEST

START_TEST(an_alias_makes_no_sender_of_a_stranger)
{
    senders_are("192.0.2.0/24");
    for (int sender = 0; sender < 2; sender++) {
        told[0] = '\0';
        reads("postfix/smtpd", sender ? "4AAAAA: client=app[192.0.2.9]" : "4AAAAA: client=evil[203.0.113.9]");
        reads("postfix/cleanup",
              sender ? "4AAAAA: " FROM("app[192.0.2.9]") : "4AAAAA: " FROM("evil[203.0.113.9]"));
        reads("postfix/cleanup", sender ? "4EEEEE: message-id=<x>" : "4BBBBB: message-id=<x>");
        reads("postfix/cleanup", sender ? "4EEEEE: " FROM("local") : "4BBBBB: " FROM("local"));
        reads("postfix/smtp", sender ? "4EEEEE: " OUT : "4BBBBB: " OUT);
        reads("postfix/local", sender ? "4AAAAA: " TO("a@b", "local", "sent (forwarded as 4EEEEE)")
                                      : "4AAAAA: " TO("a@b", "local", "sent (forwarded as 4BBBBB)"));
        ck_assert_str_eq(told, sender ? "delivered a@b 00\nadopted a@b 31\n" : "delivered a@b 00\n");
    }
}
END_TEST

START_TEST(requeued_mail_is_whose_it_was)
{
    senders_are("192.0.2.0/24");
    reads("postfix/smtpd", "4AAAAA: client=evil[203.0.113.9]");
    reads("postfix/cleanup", "4AAAAA: " FROM("evil[203.0.113.9]"));
    reads("postfix/pickup", "4BBBBB: uid=0 from=<a@b> orig_id=4AAAAA");
    reads("postfix/cleanup", "4BBBBB: " FROM("local"));
    reads("postfix/smtp", "4BBBBB: " OUT);
    ck_assert_str_eq(told, "");
}
END_TEST

UNIT_SUITE(track_suite)
{
    Suite *suite = suite_create("track");
    TCase *tcase = tcase_create("track");

    tcase_add_checked_fixture(tcase, begin, end);
    tcase_add_test(tcase, the_header_line_names_the_message);
    tcase_add_test(tcase, a_verp_sender_names_the_message_unless_a_header_does);
    tcase_add_test(tcase, the_first_header_counts);
    tcase_add_test(tcase, the_message_returned_within_a_bounce_is_not_the_bounce);
    tcase_add_test(tcase, a_queue_id_that_is_used_again_is_another_message);
    tcase_add_test(tcase, a_queue_id_used_again_after_a_gap_is_another_message);
    tcase_add_test(tcase, what_is_deferred_and_tried_again_is_the_same_message);
    tcase_add_loop_test(tcase, a_filter_is_known_by_the_message_it_makes, 0,
                        (int)(sizeof filters / sizeof filters[0]));
    tcase_add_test(tcase, a_filter_cannot_take_a_message_that_has_a_uuid_of_its_own);
    tcase_add_loop_test(tcase, what_a_filter_throws_away_is_discarded, 0, 10);
    tcase_add_test(tcase, instances_do_not_mix_up_their_queue_ids);
    tcase_add_test(tcase, a_service_with_a_name_of_its_own_is_of_the_same_instance);
    tcase_add_test(tcase, a_message_is_followed_through_a_content_filter);
    tcase_add_test(tcase, a_filter_whose_message_is_faster_than_its_answer_is_waited_for);
    tcase_add_test(tcase, a_server_on_this_machine_with_a_log_of_its_own_is_a_destination);
    tcase_add_test(tcase, a_remote_server_cannot_claim_a_message_of_ours);
    tcase_add_test(tcase, forwarding_by_an_alias_is_no_delivery);
    tcase_add_test(tcase, requeueing_keeps_the_uuid);
    tcase_add_test(tcase, lines_of_our_own_transport_are_left_to_the_pipe);
    tcase_add_test(tcase, the_uuid_of_one_recipient_of_the_pipe_is_not_the_other_recipients);
    tcase_add_test(tcase, a_tpsp_in_the_same_log_takes_the_uuid_from_our_line);
    tcase_add_test(tcase, address_probes_are_no_deliveries);
    tcase_add_test(tcase, a_full_table_forgets_the_most_silent);
    tcase_add_test(tcase, what_was_removed_is_free_after_a_minute_and_what_is_silent_after_days);
    tcase_add_test(tcase, a_clock_that_was_years_back_for_a_while_forgets_nobody);
    tcase_add_test(tcase, a_strangers_word_counts_nowhere);
    tcase_add_test(tcase, who_has_logged_in_or_is_of_this_machine_is_a_sender);
    tcase_add_test(tcase, where_nobody_tells_the_client_what_leaves_counts);
    tcase_add_test(tcase, a_filter_makes_no_sender_of_a_stranger);
    tcase_add_loop_test(tcase, a_filter_that_is_faster_than_its_answer_makes_no_sender_of_a_stranger, 0, 3);
    tcase_add_test(tcase, beside_a_filter_a_sender_of_this_machine_is_told_of_once_it_is_known);
    tcase_add_test(tcase, what_expires_beside_a_filter_was_a_senders);
    tcase_add_test(tcase, a_senders_message_is_followed_through_a_filter_that_is_none);
    tcase_add_test(tcase, an_alias_makes_no_sender_of_a_stranger);
    tcase_add_test(tcase, requeued_mail_is_whose_it_was);
    suite_add_tcase(suite, tcase);
    return suite;
}
