/* sendpostctl check: a session with each TPSP, as a delivery would open it: connection, TLS, EHLO, login,
 * QUIT. */
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "ctl/check.h"
#include "net/dns.h"
#include "relay/connectivity.h"
#include "relay/remedy.h"

#define SESSION_MS 30000

static void look_at(struct check *check, struct relay_session *session, const struct config_tpsp *tpsp)
{
    bool logs_in = tpsp->username != NULL && tpsp->auth != AUTH_NONE;
    struct connectivity test;

    connectivity_test(
        &test, &(struct connectivity_request){
                   .session = session, .tpsp = tpsp, .deadline_ms = clock_monotonic_ms() + SESSION_MS});
    if (test.ok) {
        check_say(check, CHECK_OK, NULL, "%s: %s takes %s%s%s", tpsp->name, test.result.peer,
                  logs_in ? "the login" : "connections", *test.result.tls != '\0' ? ", " : "",
                  test.result.tls);
    } else {
        AUTO_FREE char *remedy = relay_remedy(tpsp, test.result.stage, test.result.outcome.text);
        char code[16] = "";
        if (test.result.outcome.smtp_code > 0)
            snprintf(code, sizeof code, "%d ", test.result.outcome.smtp_code);
        check_say(check, CHECK_FAILURE, remedy, "%s: %s at %s: %s%s. %s", tpsp->name, test.error,
                  relay_stage_name(test.result.stage), code, test.result.outcome.text, test.advice);
    }
    connectivity_free(&test);
}

/* In a child where we are root, so that nothing in the state directory is opened with root's rights. */
static void look_tpsps(struct check *check)
{
    const struct config *config = check->config;
    struct dns_resolver *resolver = dns_open((const char *const *)(uintptr_t)config->dns.servers.items,
                                             config->dns.servers.count, (int)config->dns.timeout_ms);
    struct relay_session *session = relay_open(NULL, NULL, resolver);
    struct oauth *oauth = oauth_open(config, NULL);

    signal(SIGPIPE, SIG_IGN);
    relay_use_oauth(session, oauth);
    for (size_t i = 0; i < config->tpsp_count; i++)
        look_at(check, session, &config->tpsps[i]);
    relay_close(session);
    oauth_close(oauth);
    dns_close(resolver);
}

void check_tpsps(struct check *check)
{
    check->subject = "tpsp";
    check_as_user(check, look_tpsps);
}
