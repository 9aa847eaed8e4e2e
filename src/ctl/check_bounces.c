/*
 * sendpostctl check: whether bounces find their way. Mail leaves with a reverse path below bounce-prefix;
 * either SendPost receives what comes back there, or this Postfix does and hands it to sendpost-bounce. See
 * postfix-conf/bounce/README.
 */
#include <string.h>

#include "base/run.h"
#include "base/xalloc.h"
#include "ctl/check.h"

#define LOADER_FAILED 127 /* or there is no such program */

/* Where Postfix lists the domains that it takes mail for. */
static const char *const domain_lists[] = {"relay_domains", "mydestination", "virtual_mailbox_domains",
                                           "virtual_alias_domains"};

/* The list that names the domain; NULL when mail for it is not taken. */
static const char *list_with(const char *directory, const char *domain)
{
    for (size_t i = 0; i < sizeof domain_lists / sizeof domain_lists[0]; i++) {
        AUTO_FREE char *found = postfix_lookup(directory, domain_lists[i], domain);
        if (found != NULL)
            return domain_lists[i];
    }
    return NULL;
}

static const char *transport_for(const struct postfix_transports *transports, const char *route)
{
    for (size_t i = 0; route != NULL && i < transports->count; i++)
        if (postfix_routes_to(route, transports->items[i].name))
            return transports->items[i].name;
    return NULL;
}

static void look_domain(struct check *check, const char *directory,
                        const struct postfix_transports *transports, const char *domain)
{
    AUTO_FREE char *bounces = xasprintf("%s.%s", check->config->return_path.bounce_prefix, domain);
    AUTO_FREE char *route = postfix_lookup(directory, "transport_maps", bounces);
    const char *list = list_with(directory, bounces), *name = transport_for(transports, route);

    if (list != NULL && name != NULL)
        check_say(check, CHECK_OK, NULL, "mail for %s is taken (%s) and goes to %s", bounces, list, name);
    else if (list != NULL && transports->count == 0)
        check_say(check, CHECK_FAILURE,
                  "sendpostctl postfix install --bounces, and a route to it, see " CTL_FRAGMENTS "/bounce",
                  "mail for %s is taken (%s), but no transport runs sendpost-bounce: bounces are lost",
                  bounces, list);
    else if (list != NULL) {
        AUTO_FREE char *remedy = xasprintf("the line \"%s %s:\" in a table of transport_maps, then postmap",
                                           bounces, transports->items[0].name);
        check_say(check, CHECK_FAILURE, remedy, "mail for %s is taken (%s), but does not go to %s", bounces,
                  list, transports->items[0].name);
    } else if (name != NULL)
        check_say(check, CHECK_FAILURE, "add it to relay_domains, see " CTL_FRAGMENTS "/bounce",
                  "mail for %s would go to %s, but is not taken: it stands in none of relay_domains, "
                  "mydestination and the like",
                  bounces, name);
    else if (transports->count == 0)
        check_say(check, CHECK_OK, NULL, "bounces to %s are not received here, but by %s", bounces,
                  check->config->return_path.cname_target);
    else
        check_say(check, CHECK_WARNING, "relay_domains and a route, see " CTL_FRAGMENTS "/bounce",
                  "transport %s: mail for %s is not taken here", transports->items[0].name, bounces);
}

/* It lies beside sendpost-bounce, and its library is not brought by every package. */
static void look_judge(struct check *check, const struct postfix_transport *transport)
{
    const char *end = transport->argv + strcspn(transport->argv, " ");
    while (end > transport->argv && end[-1] != '/')
        end--;
    AUTO_FREE char *judge = xasprintf("%.*ssendpost-judge", (int)(end - transport->argv), transport->argv);
    struct run run;

    run_program(&run, (const char *const[]){judge, NULL}); /* without arguments it says what it is */
    if (run.status == LOADER_FAILED)
        check_say(check, CHECK_FAILURE,
                  "apt install --no-install-recommends libgmime-3.0-0 (elsewhere gmime30)",
                  "transport %s: bounces stay in the queue, for %s cannot be started: %s", transport->name,
                  judge, run.err);
    run_free(&run);
}

void check_bounce_routes(struct check *check, const char *directory,
                         const struct postfix_transports *transports)
{
    const struct config *config = check->config;

    bool rewritten = config->return_path.rewrite && config->return_path.verify != VERIFY_OFF;

    if (!rewritten && transports->count > 0)
        check_say(check, CHECK_WARNING, "return-path: {verify: static, domains: […], rewrite: true}",
                  "transport %s: nothing comes back to it, because mail leaves with its own sender",
                  transports->items[0].name);
    for (size_t i = 0; i < transports->count; i++)
        look_judge(check, &transports->items[i]);
    for (size_t i = 0; rewritten && i < config->return_path.domains.count; i++)
        look_domain(check, directory, transports, config->return_path.domains.items[i]);
}
