/* sendpostctl test: a real transaction with each TPSP, step by step. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/xalloc.h"
#include "ctl/ctl.h"
#include "net/dns.h"
#include "relay/connectivity.h"

#define TEST_DEADLINE_MS 120000 /* for one TPSP; a person waits */

struct test {
    struct ctl *ctl;
    const char *sender, *recipient; /* NULL: the default */
    struct relay_session *session;
    struct json_object *results; /* NULL: for people */
    bool no_send;
    bool failed;
    struct ctl_test_end *end; /* of the first that failed; NULL: nobody asks */
};

/* A login that is an address is one that its provider takes. */
static char *default_sender(const struct config_tpsp *tpsp)
{
    char host[256] = "";
    const char *why;

    if (tpsp->username != NULL && address_valid(tpsp->username, &why))
        return xstrdup(tpsp->username);
    gethostname(host, sizeof host - 1);
    return xasprintf("postmaster@%s", *host != '\0' ? host : "localhost");
}

static void print_begin(const struct config_tpsp *tpsp, const char *sender, const char *recipient)
{
    bool six = strchr(tpsp->host, ':') != NULL;

    printf("%s%s%s  %s%s%s:%u", ctl_colour(CTL_BOLD), tpsp->name, ctl_colour(CTL_PLAIN), six ? "[" : "",
           tpsp->host, six ? "]" : "", (unsigned)tpsp->port);
    if (recipient != NULL)
        printf(", from <%s> to <%s>\n", sender, recipient);
    else
        printf(", no mail is sent\n");
    fflush(stdout);
}

/* As it happens: some steps take as long as a timeout. */
static void print_step(void *context, const struct connectivity_step *step)
{
    AUTO_FREE char *detail = ctl_text(step->detail);
    char code[16] = "";

    (void)context;
    if (step->smtp_code != 0 && step->ok)
        snprintf(code, sizeof code, "%d ", step->smtp_code);
    printf("  %s%-6s%s %-9s %8.1f ms  %s%s\n", ctl_colour(step->ok ? CTL_GREEN : CTL_RED),
           step->ok ? "ok" : "failed", ctl_colour(CTL_PLAIN), relay_stage_name(step->stage),
           (double)step->duration_us / 1000, code, detail);
    fflush(stdout);
}

static void print_end(const struct connectivity *test, bool with_message)
{
    if (test->ok)
        printf("  %s%s%s\n", ctl_colour(CTL_GREEN),
               with_message ? "The message was accepted." : "The session stands.", ctl_colour(CTL_PLAIN));
    else
        printf("  %s%s%s at %s. %s\n", ctl_colour(CTL_RED), test->error, ctl_colour(CTL_PLAIN),
               relay_stage_name(test->result.stage), test->advice);
    fflush(stdout);
}

/* The words of the list, "PLAIN XOAUTH2". */
static bool offers(const char *logins, const char *mechanism)
{
    size_t length = strlen(mechanism);

    for (const char *at = strcasestr(logins, mechanism); at != NULL; at = strcasestr(at + 1, mechanism))
        if ((at == logins || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return false;
}

static bool takes_tokens_only(const char *logins)
{
    return (offers(logins, "XOAUTH2") || offers(logins, "OAUTHBEARER")) && !offers(logins, "PLAIN") &&
           !offers(logins, "LOGIN") && !offers(logins, "SCRAM-SHA-256");
}

static void test_one(struct test *test, const struct config_tpsp *tpsp)
{
    AUTO_FREE char *own = default_sender(tpsp);
    const char *sender = test->sender != NULL ? test->sender : own;
    const char *recipient = test->no_send ? NULL : test->recipient != NULL ? test->recipient : sender;
    bool for_people = test->results == NULL;
    struct connectivity result;

    if (for_people)
        print_begin(tpsp, sender, recipient);
    connectivity_test(&result,
                      &(struct connectivity_request){.session = test->session,
                                                     .tpsp = tpsp,
                                                     .sender = sender,
                                                     .recipient = recipient,
                                                     .deadline_ms = clock_monotonic_ms() + TEST_DEADLINE_MS,
                                                     .trace = test->ctl->verbose ? stderr : NULL,
                                                     .show = for_people ? print_step : NULL});
    if (!result.ok && !test->failed && test->end != NULL)
        *test->end = (struct ctl_test_end){.failed_at = result.result.stage,
                                           .tokens_only = takes_tokens_only(result.result.logins)};
    test->failed = test->failed || !result.ok;
    if (for_people) {
        print_end(&result, recipient != NULL);
    } else {
        struct json_object *json = connectivity_json(&result);
        json_object_object_add(json, "tpsp", json_object_new_string(tpsp->name));
        json_object_array_add(test->results, json);
    }
    connectivity_free(&result);
}

static enum ctl_status check_words(struct ctl *ctl, const struct config *config)
{
    static const char *const addresses[] = {"from", "to"};

    for (size_t i = 0; i < 2; i++) {
        const char *address = ctl_option(ctl, addresses[i]), *why;
        if (address != NULL && !address_valid(address, &why))
            return ctl_usage(ctl, "--%s \"%s\" is no address: %s", addresses[i], address, why);
    }
    for (size_t i = 0; i < ctl->operand_count; i++)
        if (config_tpsp_by_name(config, ctl->operands[i]) == NULL)
            return ctl_usage(ctl, "there is no tpsp \"%s\" in %s", ctl->operands[i], ctl->config_path);
    return CTL_OK;
}

static void test_all(struct test *test, const struct config *config, char **names, size_t count)
{
    struct dns_resolver *resolver = dns_open((const char *const *)(uintptr_t)config->dns.servers.items,
                                             config->dns.servers.count, (int)config->dns.timeout_ms);

    signal(SIGPIPE, SIG_IGN);
    /* without the ticket cache: the whole handshake is what is tested */
    test->session = relay_open(NULL, NULL, resolver);
    struct oauth *oauth = oauth_open(config, test->ctl->verbose ? stderr : NULL);
    relay_use_oauth(test->session, oauth);
    for (size_t i = 0; i < (count > 0 ? count : config->tpsp_count); i++)
        test_one(test, count > 0 ? config_tpsp_by_name(config, names[i]) : &config->tpsps[i]);
    relay_close(test->session);
    oauth_close(oauth);
    dns_close(resolver);
}

bool ctl_test_config(struct ctl *ctl, const struct config *config, const char *name, const char *recipient,
                     struct json_object *results, struct ctl_test_end *end_r)
{
    struct test test = {.ctl = ctl, .recipient = recipient, .results = results, .end = end_r};
    char *names[] = {(char *)(uintptr_t)name};

    test_all(&test, config, names, 1);
    return !test.failed;
}

static enum ctl_status run(struct ctl *ctl)
{
    const struct config *config = ctl_config(ctl);
    struct test test = {.ctl = ctl, .sender = ctl_option(ctl, "from"), .recipient = ctl_option(ctl, "to")};

    test.no_send = ctl_option(ctl, "no-send") != NULL;
    if (config == NULL)
        return CTL_TROUBLE;
    enum ctl_status status = check_words(ctl, config);
    if (status != CTL_OK)
        return status;
    test.results = ctl->json ? json_object_new_array() : NULL;
    test_all(&test, config, ctl->operands, ctl->operand_count);
    if (ctl->json)
        ctl_print_json(test.results);
    return test.failed ? CTL_TROUBLE : CTL_OK;
}

static const struct ctl_option options[] = {
    {"from", 0, "A", "envelope sender (the login where it is an address, else postmaster of this host)"},
    {"to", 0, "B", "recipient (the sender)"},
    {"no-send", 0, NULL, "try the session up to the login, and send nothing"},
    {.name = NULL},
};

const struct ctl_command ctl_test = {
    .name = "test",
    .synopsis = "[TPSP…] [--no-send] [--from A] [--to B]",
    .summary = "Send a test message through each TPSP, and show every step",
    .examples = "  sendpostctl test\n"
                "  sendpostctl test primary --from news@example.com --to me@example.net\n"
                "  sendpostctl test primary --no-send\n"
                "  sendpostctl test --json | jq '.[] | {tpsp, ok, error}'\n"
                "  sendpostctl test primary -v\n",
    .options = options,
    .run = run,
};
