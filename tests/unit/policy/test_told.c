#include "policy/told.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/utf8.h"
#include "policy/breaker_share.h"
#include "policy/slow_down_share.h"
#include "simulation.h"
#include "suites.h"

/* The server's time, and how far it is ahead of this host's, at an hour of uptime. */
#define AHEAD_US INT64_C(1700000000000000)
#define NOW_US (AHEAD_US + HOUR / 1000)
#define IN_A_MINUTE "1700003660000000"
#define A_MINUTE_AGO "1700003540000000"
#define IN_A_YEAR "1731539600000000"

/* Of 256 days: some 1000 a day. */
#define RATE "256000"

#define ALL (-1)

static struct simulation *simulation;
static struct config config;
static struct admission_gate gate;
static int64_t version;

static void setup(void)
{
    struct outcome ignored;

    simulation = simulation_begin();
    config = (struct config){.state_dir = simulation->dir,
                             .rate_burst = 10,
                             .tpsps = &simulation->tpsp,
                             .tpsp_count = 1,
                             .slow_down = {.enabled = true, .floor = {1, 86400000}, .recovery_ms = 600000},
                             .cluster = {.name = (char *)"test"}};
    gate = (struct admission_gate){.config = &config, .table = simulation_table(simulation)};
    atomic_store(&admission_shared(&gate, &ignored)->clock_us, AHEAD_US);
    version = 0;
}

static void teardown(void)
{
    char lock[128];

    snprintf(lock, sizeof lock, "%s/told", simulation->dir);
    unlink(lock);
    rate_table_close(gate.table);
    simulation_end(simulation);
}

static void hear(const char *text)
{
    static struct cluster_reply reply;
    struct outcome error;

    reply.asked = version;
    reply.version = ++version;
    memset(reply.text, 0, sizeof reply.text);
    ck_assert_uint_lt(strlen(text), sizeof reply.text);
    memcpy(reply.text, text, strlen(text));
    ck_assert_msg(told_hear(&gate, &simulation->tpsp, &reply, &error), "%s", error.text);
    ck_assert_int_eq(told_version(&gate, &simulation->tpsp), version);
}

/* provider: or ALL, of the TPSP. */
static struct slow_down_view look(int provider)
{
    const struct slow_down about = {&config, gate.table, &simulation->tpsp,
                                    provider == ALL ? PROVIDER_GMAIL : (enum provider_category)provider};
    struct slow_down_view view;

    slow_down_look(&about, provider != ALL, &view);
    return view;
}

static struct breaker breaker(void)
{
    return breaker_look(gate.table, "primary");
}

enum { SLOWED = 1, PAUSED = 2, CONNECTIONS = 4, OPEN = 8 };

static int effects(void)
{
    struct slow_down_view view = look(ALL);

    return (view.slowed ? SLOWED : 0) | (view.paused ? PAUSED : 0) |
           (view.connections_limited ? CONNECTIONS : 0) | (breaker().state == BREAKER_OPEN ? OPEN : 0);
}

static const struct {
    const char *name, *text;
    int effects;
} texts[] = {
    /* as it is written */
    {"nothing", "", 0},
    {"slowed down",
     "slow-down all " RATE " " RATE " " A_MINUTE_AGO " 0 0 0 " RATE " 1700000000000 0 0 0 rate: slow\n",
     SLOWED},
    {"paused", "slow-down all 0 0 0 0 0 0 0 1700000000000 " IN_A_MINUTE " 0 0 rate: wait\n", PAUSED},
    {"connections", "slow-down all 0 0 0 0 0 0 0 1700000000000 0 2 " IN_A_MINUTE " rate: fewer\n",
     CONNECTIONS},
    {"without words", "slow-down all 0 0 0 0 0 0 0 0 " IN_A_MINUTE " 0 0 \n", PAUSED},
    {"left alone", "breaker " A_MINUTE_AGO " " IN_A_MINUTE " 5 a1 0 0\n", OPEN},
    {"too few failures", "breaker " A_MINUTE_AGO " " IN_A_MINUTE " 4 a1 0 0\n", 0},
    {"a suspect", "breaker " A_MINUTE_AGO " 0 0 0 ffffffffffffffff " IN_A_MINUTE "\n", 0},
    {"all at once",
     "breaker " A_MINUTE_AGO " " IN_A_MINUTE " 5 a1 0 0\n"
     "slow-down all " RATE " " RATE " " A_MINUTE_AGO " 0 0 0 " RATE " 0 " IN_A_MINUTE " 2 " IN_A_MINUTE
     " x\n",
     SLOWED | PAUSED | CONNECTIONS | OPEN},
    /* a newer version */
    {"more fields", "breaker " A_MINUTE_AGO " " IN_A_MINUTE " 5 a1 0 0 and more\n", OPEN},
    {"another kind first", "weather fine 1 2 3\nbreaker " A_MINUTE_AGO " " IN_A_MINUTE " 5 a1 0 0\n", OPEN},
    {"a kind that begins alike", "breakers " A_MINUTE_AGO " " IN_A_MINUTE " 5 a1 0 0\n", 0},
    {"an unknown scope",
     "slow-down hotelmail 0 0 0 0 0 0 0 0 " IN_A_MINUTE " 0 0 x\nslow-down all 0 0 0 0 0 0 0 0 " IN_A_MINUTE
     " 0 0 x\n",
     PAUSED},
    /* cut off: what is left may be half a number */
    {"no end", "slow-down all 0 0 0 0 0 0 0 0 " IN_A_MINUTE " 0 0 rate: wa", 0},
    {"no end, breaker", "breaker " A_MINUTE_AGO " " IN_A_MINUTE " 5 a1 0 0", 0},
    {"in a number", "breaker " A_MINUTE_AGO " " IN_A_MINUTE " 5 a1\n", 0},
    {"goes on in the next line", "breaker " A_MINUTE_AGO " " IN_A_MINUTE "\n5 a1 0 0\n", 0},
    {"the word alone", "slow-down\nbreaker\n", 0},
    {"the word and a space", "slow-down \nbreaker \n", 0},
    /* numbers */
    {"rate below 0", "slow-down all -1 1 0 0 0 0 0 0 0 0 0 x\n", 0},
    {"rate beyond any", "slow-down all 1097364144129 1 0 0 0 0 0 0 0 0 0 x\n", 0},
    {"rate of 80 bits", "slow-down all 999999999999999999999999 1 0 0 0 0 0 0 0 0 0 x\n", 0},
    {"count beyond its bits", "slow-down all " RATE " " RATE " 0 8 0 0 0 0 0 0 0 x\n", 0},
    {"count that wraps", "slow-down all " RATE " " RATE " 0 4294967296 0 0 0 0 0 0 0 x\n", 0},
    {"base below 0", "slow-down all " RATE " " RATE " 0 0 0 0 -5 0 0 0 0 x\n", 0},
    {"began in no year", "slow-down all " RATE " " RATE " 0 0 0 0 0 9223372036854775807 0 0 0 x\n", 0},
    {"too many connections", "slow-down all 0 0 0 0 0 0 0 0 0 10001 " IN_A_MINUTE " x\n", 0},
    {"a pause of a year", "slow-down all 0 0 0 0 0 0 0 0 " IN_A_YEAR " 0 0 x\n", 0},
    {"a pause without end", "slow-down all 0 0 0 0 0 0 0 0 9223372036854775807 0 0 x\n", 0},
    {"a pause before all times", "slow-down all 0 0 0 0 0 0 0 0 -9223372036854775808 0 0 x\n", 0},
    {"failures that wrap", "breaker " A_MINUTE_AGO " " IN_A_MINUTE " 4294967301 a1 0 0\n", 0},
    {"failures below 0", "breaker " A_MINUTE_AGO " " IN_A_MINUTE " -1 a1 0 0\n", 0},
    {"left alone for a year", "breaker " A_MINUTE_AGO " " IN_A_YEAR " 5 a1 0 0\n", 0},
    {"a host of 80 bits", "breaker " A_MINUTE_AGO " " IN_A_MINUTE " 5 fffffffffffffffff 0 0\n", 0},
    {"a host that is none", "breaker " A_MINUTE_AGO " " IN_A_MINUTE " 5 -a1 0 0\n", 0},
    /* fields */
    {"two spaces", "breaker  " A_MINUTE_AGO " " IN_A_MINUTE " 5 a1 0 0\n", 0},
    {"a plus", "breaker " A_MINUTE_AGO " +" IN_A_MINUTE " 5 a1 0 0\n", 0},
    {"a tab", "breaker\t" A_MINUTE_AGO " " IN_A_MINUTE " 5 a1 0 0\n", 0},
    {"no number", "breaker now later 5 a1 0 0\n", 0},
    {"a fraction", "breaker " A_MINUTE_AGO " " IN_A_MINUTE ".5 5 a1 0 0\n", 0},
    {"empty lines", "\n\n\n", 0},
    {"something else", "<html>\r\n<body>breaker 1 2 5 a1 0 0</body>\r\n", 0},
};

START_TEST(what_is_told_is_taken_in_or_passed_over)
{
    hear(texts[_i].text);
    ck_assert_msg(effects() == texts[_i].effects, "%s: %d", texts[_i].name, effects());
}
END_TEST

START_TEST(what_cannot_be_read_makes_nothing_faster)
{
    static const char strict[] = "breaker " A_MINUTE_AGO " " IN_A_MINUTE " 5 a1 0 0\n"
                                 "slow-down all 0 0 0 0 0 0 0 0 " IN_A_MINUTE " 2 " IN_A_MINUTE " x\n";

    hear(strict);
    hear("breaker 1 2\nslow-down all nonsense\n");
    ck_assert_int_eq(effects(), PAUSED | CONNECTIONS | OPEN);
    hear(""); /* that is over: it is said so in due form */
    ck_assert_int_eq(effects(), 0);
}
END_TEST

START_TEST(each_scope_is_itself)
{
    hear("slow-down gmail " RATE " " RATE " " A_MINUTE_AGO " 0 0 0 " RATE " 0 0 0 0 rate: gmail\n"
         "slow-down yahoo 0 0 0 0 0 0 0 0 " IN_A_MINUTE " 0 0 rate: yahoo\n");
    ck_assert(look(PROVIDER_GMAIL).slowed && !look(PROVIDER_GMAIL).paused);
    ck_assert(look(PROVIDER_YAHOO).paused && !look(PROVIDER_YAHOO).slowed);
    ck_assert_str_eq(look(PROVIDER_YAHOO).said, "rate: yahoo");
    ck_assert_int_eq(effects(), 0);
}
END_TEST

START_TEST(of_two_lines_about_one_thing_the_first_counts)
{
    hear("slow-down all 0 0 0 0 0 0 0 0 " IN_A_MINUTE " 0 0 rate: first\n"
         "slow-down all 0 0 0 0 0 0 0 0 0 2 " IN_A_MINUTE " rate: second\n"
         "breaker " A_MINUTE_AGO " 0 0 0 0 0\nbreaker " A_MINUTE_AGO " " IN_A_MINUTE " 5 a1 0 0\n");
    ck_assert_int_eq(effects(), PAUSED);
    ck_assert_str_eq(look(ALL).said, "rate: first");
}
END_TEST

/* They stand in deferrals, in the log, on the status page, in JSON. */
START_TEST(words_are_fit_for_a_log)
{
    char long_words[CLUSTER_TEXT_SIZE] = "slow-down all 0 0 0 0 0 0 0 0 " IN_A_MINUTE " 0 0 rate: ";

    hear("slow-down all 0 0 0 0 0 0 0 0 " IN_A_MINUTE
         " 0 0 rate: \x1b[31mred\x07 \r tab\t \x7f \xff\xfe %s \xc3\xa9\n");
    ck_assert_str_eq(look(ALL).said, "rate:  [31mred    tab    \xef\xbf\xbd\xef\xbf\xbd %s \xc3\xa9");
    size_t length = strlen(long_words);
    while (length < sizeof long_words - 3)
        length += (size_t)snprintf(long_words + length, sizeof long_words - length, "\xc3\xa9");
    memcpy(long_words + length, "\n", 2);
    hear(long_words);
    struct slow_down_view view = look(ALL);
    ck_assert(view.paused);
    for (size_t at = 0, step; at < strlen(view.said); at += step) /* no half of a character at its end */
        ck_assert_uint_gt(step = utf8_sequence(view.said + at, strlen(view.said) - at), 0);
    ck_assert_uint_gt(strlen(view.said), 100);
}
END_TEST

START_TEST(as_much_as_fits_into_a_text_is_read)
{
    char text[CLUSTER_TEXT_SIZE];
    const char last[] = "breaker " A_MINUTE_AGO " " IN_A_MINUTE " 5 a1 0 0\n";
    size_t room = sizeof text - sizeof last;

    memset(text, '\n', room);
    memcpy(text + room, last, sizeof last);
    hear(text);
    ck_assert_int_eq(effects(), OPEN);
}
END_TEST

START_TEST(in_doubt_the_stricter_counts)
{
    hear("slow-down all 0 0 0 0 0 0 0 0 " IN_A_MINUTE " 2 " IN_A_MINUTE " rate: ours\n");
    told_doubt(&gate);
    hear("slow-down all 0 0 0 0 0 0 0 0 0 7 " IN_A_MINUTE " rate: theirs\n");
    ck_assert_int_eq(effects(), PAUSED | CONNECTIONS);
    ck_assert_uint_eq(look(ALL).connections, 2);
    told_doubt(&gate);
    hear("slow-down all 0 0 0 0 0 0 0 0 0 1 " IN_A_MINUTE " rate: theirs\n");
    ck_assert_uint_eq(look(ALL).connections, 1);
}
END_TEST

START_TEST(a_version_is_heard_once)
{
    static struct cluster_reply reply = {.version = 7,
                                         .text = "slow-down all 0 0 0 0 0 0 0 0 " IN_A_MINUTE " 0 0 x\n"};

    struct outcome error;

    ck_assert(told_hear(&gate, &simulation->tpsp, &reply, &error));
    slow_down_reset(gate.table, "primary");
    ck_assert(told_hear(&gate, &simulation->tpsp, &reply, &error));
    ck_assert_int_eq(effects(), 0);
    reply.version = 6; /* it was asked before another process of this host heard the seventh */
    ck_assert(told_hear(&gate, &simulation->tpsp, &reply, &error));
    ck_assert_int_eq(effects(), 0);
    ck_assert_int_eq(told_version(&gate, &simulation->tpsp), 7);
    reply.asked = 7; /* of another server */
    ck_assert(told_hear(&gate, &simulation->tpsp, &reply, &error));
    ck_assert_int_eq(effects(), PAUSED);
    ck_assert_int_eq(told_version(&gate, &simulation->tpsp), 6);
}
END_TEST

/* It was emptied, or is a replica that has missed the last ones. */
START_TEST(a_server_that_knows_less_makes_nothing_faster)
{
    static struct cluster_reply reply;
    struct outcome error;

    hear("");
    hear("");
    hear("breaker " A_MINUTE_AGO " " IN_A_MINUTE " 5 a1 0 0\n"
         "slow-down all " RATE " " RATE " " A_MINUTE_AGO " 0 0 0 " RATE " 0 " IN_A_MINUTE " 2 " IN_A_MINUTE
         " rate: ours\n");
    reply.asked = version;
    reply.version = _i;
    snprintf(reply.text, sizeof reply.text, "%s",
             _i == 0 ? "" : "slow-down all 0 0 0 0 0 0 0 0 0 1 " IN_A_MINUTE " rate: theirs\n");
    ck_assert(told_hear(&gate, &simulation->tpsp, &reply, &error));
    ck_assert_int_eq(effects(), SLOWED | PAUSED | CONNECTIONS | OPEN);
    ck_assert_uint_eq(look(ALL).connections, _i == 0 ? 2 : 1);
    /* what was merged is news there until it is told */
    version = _i;
    hear("slow-down all 0 0 0 0 0 0 0 0 0 7 " IN_A_MINUTE " rate: theirs\n");
    ck_assert_int_eq(effects(), SLOWED | PAUSED | CONNECTIONS | OPEN);
}
END_TEST

START_TEST(who_holds_the_lock_of_hearing_is_named_and_holds_up_no_mail)
{
    static struct cluster_reply reply = {.version = 7,
                                         .text = "breaker " A_MINUTE_AGO " " IN_A_MINUTE " 5 a1 0 0\n"};
    struct outcome error;
    char path[128];

    snprintf(path, sizeof path, "%s/told", simulation->dir);
    int holder = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(flock(holder, LOCK_EX), 0);
    ck_assert(!told_hear(&gate, &simulation->tpsp, &reply, &error));
    ck_assert_int_eq(error.cause, CAUSE_OURS);
    ck_assert_ptr_nonnull(strstr(error.text, path));
    ck_assert_ptr_nonnull(strstr(error.text, "fuser -v"));
    ck_assert_int_eq(told_version(&gate, &simulation->tpsp), 0);
    close(holder);
    ck_assert(told_hear(&gate, &simulation->tpsp, &reply, &error));
    ck_assert_int_eq(effects(), OPEN);
}
END_TEST

/* A clock that at one of the questions has somebody remove the file. */
static int questions, remove_at_question;

static int64_t meddling_now(void *context)
{
    char path[128];

    if (++questions == remove_at_question) {
        simulation_path(simulation, path);
        unlink(path);
    }
    return atomic_fetch_add(&((struct simulation *)context)->now, SECOND); /* it is looked for each time */
}

static struct cluster *open_cluster_of(struct config_server *nobody, struct dns_resolver *resolver,
                                       struct tls_contexts *tls)
{
    struct outcome error;

    *nobody = (struct config_server){.host = (char *)"127.0.0.1", .port = 1};
    config.cluster.servers = nobody;
    config.cluster.server_count = 1;
    struct cluster *cluster = cluster_open(&config.cluster, resolver, tls, &error);
    ck_assert_ptr_nonnull(cluster);
    return cluster;
}

/* The last question before the server is asked: what the host notes of the server belongs in the new file. */
START_TEST(the_file_may_be_removed_while_something_is_told)
{
    struct dns_resolver *resolver = dns_open(NULL, 0, 1000);
    struct tls_contexts *tls = tls_contexts_new(NULL);
    struct rate_clock clock = simulation->clock;
    struct config_server nobody;
    struct outcome error;
    int last = 0;

    rate_table_close(gate.table);
    clock.now_ns = meddling_now;
    ck_assert(rate_table_open(&gate.table, simulation->dir, &clock, &error));
    gate.cluster = open_cluster_of(&nobody, resolver, tls);
    for (int removes = 0; removes < 2; removes++) {
        hear("breaker " A_MINUTE_AGO " " IN_A_MINUTE " 5 a1 0 0\n");
        told_doubt(&gate);
        questions = 0;
        remove_at_question = removes ? last : 0;
        told_tell(&gate, &simulation->tpsp);
        last = questions;
        ck_assert_int_gt(last, 0);
        ck_assert_int_ne(atomic_load(&admission_shared(&gate, &error)->circuit), 0); /* it is away */
    }
    cluster_close(gate.cluster);
    tls_contexts_free(tls);
    dns_close(resolver);
}
END_TEST

/* While the server is away each host is the one, but for who has heard meanwhile that it is another. */
START_TEST(a_claim_that_was_overtaken_is_none)
{
    struct dns_resolver *resolver = dns_open(NULL, 0, 1000);
    struct tls_contexts *tls = tls_contexts_new(NULL);
    struct config_server nobody;
    struct breaker_words claim;

    gate.cluster = open_cluster_of(&nobody, resolver, tls);
    hear("breaker " A_MINUTE_AGO " " IN_A_MINUTE " 5 a1 0 0\n");
    breaker_words(gate.table, "primary", &claim);
    ck_assert(told_claim(&gate, &simulation->tpsp, &claim));
    hear("breaker " A_MINUTE_AGO " " IN_A_MINUTE " 5 b2 0 0\n");
    ck_assert(!told_claim(&gate, &simulation->tpsp, &claim));
    cluster_close(gate.cluster);
    tls_contexts_free(tls);
    dns_close(resolver);
}
END_TEST

UNIT_SUITE(told_suite)
{
    Suite *suite = suite_create("told");
    TCase *tcase = tcase_create("told");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, what_is_told_is_taken_in_or_passed_over, 0,
                        (int)(sizeof texts / sizeof texts[0]));
    tcase_add_test(tcase, what_cannot_be_read_makes_nothing_faster);
    tcase_add_test(tcase, each_scope_is_itself);
    tcase_add_test(tcase, of_two_lines_about_one_thing_the_first_counts);
    tcase_add_test(tcase, words_are_fit_for_a_log);
    tcase_add_test(tcase, as_much_as_fits_into_a_text_is_read);
    tcase_add_test(tcase, in_doubt_the_stricter_counts);
    tcase_add_test(tcase, a_version_is_heard_once);
    tcase_add_loop_test(tcase, a_server_that_knows_less_makes_nothing_faster, 0, 3);
    tcase_add_test(tcase, who_holds_the_lock_of_hearing_is_named_and_holds_up_no_mail);
    tcase_add_test(tcase, the_file_may_be_removed_while_something_is_told);
    tcase_add_test(tcase, a_claim_that_was_overtaken_is_none);
    suite_add_tcase(suite, tcase);
    return suite;
}
