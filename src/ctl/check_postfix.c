/*
 * sendpostctl check: Postfix's own settings, as postconf(1) reports them, against what deliveries need. What
 * each is for stands in postfix-conf/README.
 */
#include <ctype.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/postconf.h"
#include "base/xalloc.h"
#include "ctl/check.h"
#include "ctl/postfix_conf.h"
#include "ctl/selinux.h"
#include "delivery/mark.h"

#define BOUNCE_DEADLINE_S 300 /* sendpost-bounce(8) */

/* --- master.cf ------------------------------------------------------------------------------- */

static void look_flags(struct check *check, const struct postfix_transport *transport)
{
    AUTO_FREE char *flags = postfix_attribute(transport, "flags");
    static const char altering[] = POSTCONF_ALTERING_FLAGS;
    char found[sizeof altering] = "";

    for (const char *flag = altering; *flag != '\0'; flag++)
        if (flags != NULL && strchr(flags, *flag) != NULL)
            found[strlen(found)] = *flag;
    if (found[0] != '\0')
        check_say(check, CHECK_FAILURE, "flags=q, and no other, in master.cf; then: postfix reload",
                  "transport %s: flags=%s changes mail or addresses (%s)", transport->name, flags, found);
    else if (flags == NULL || strchr(flags, 'q') == NULL)
        check_say(check, CHECK_WARNING, "flags=q",
                  "transport %s: addresses with blanks or quotes arrive garbled without flags=q",
                  transport->name);
}

static void look_null_sender(struct check *check, const struct postfix_transport *transport)
{
    AUTO_FREE char *value = postfix_attribute(transport, "null_sender");

    if (value == NULL || *value != '\0')
        check_say(check, CHECK_FAILURE, "null_sender= (with nothing behind it) in master.cf",
                  "transport %s: bounces would be sent from %s instead of the null sender", transport->name,
                  value == NULL ? "MAILER-DAEMON" : value);
}

static void look_user(struct check *check, const struct postfix_transport *transport)
{
    AUTO_FREE char *group = NULL;
    AUTO_FREE char *user = postfix_user_words(transport, &group);
    const struct passwd *entry = user == NULL ? NULL : getpwnam(user);
    const struct group *wanted = group == NULL ? NULL : getgrnam(group);

    if (user == NULL)
        check_say(check, CHECK_FAILURE, "user=sendpost in master.cf; then: postfix reload",
                  "transport %s: has no user=, pipe(8) will refuse to start", transport->name);
    else if (entry == NULL) {
        AUTO_FREE char *remedy =
            xasprintf("useradd --system --home-dir / --shell /usr/sbin/nologin %s", user);
        check_say(check, CHECK_FAILURE, remedy, "transport %s: there is no user %s", transport->name, user);
    } else if (entry->pw_uid == 0 || strcmp(user, "postfix") == 0)
        check_say(check, CHECK_FAILURE, "user=sendpost in master.cf; then: postfix reload",
                  "transport %s: pipe(8) refuses to run as %s", transport->name, user);
    else if (group != NULL && (wanted == NULL || wanted->gr_gid == 0)) {
        AUTO_FREE char *remedy = xasprintf("user=%s, or a group that is there, in master.cf; then: postfix "
                                           "reload",
                                           user);
        check_say(check, CHECK_FAILURE, remedy,
                  wanted == NULL ? "transport %s: there is no group %s"
                                 : "transport %s: pipe(8) refuses to run with group %s",
                  transport->name, group);
    }
}

static void look_command(struct check *check, const struct postfix_kind *kind,
                         const struct postfix_transport *transport)
{
    static const struct {
        const char *word, *remedy, *why;
        enum check_level level;
        bool outgoing; /* of no use to the transport for bounces */
    } words[] = {
        {"${sender}", "-f ${sender} in argv", "the envelope sender is not passed on", CHECK_FAILURE, false},
        {"${recipient}", "-- ${recipient} at the end of argv", "the recipient is not passed on",
         CHECK_FAILURE, false},
        {"${queue_id}", "-q ${queue_id} in argv",
         "a retry cannot be recognised, so a crash may duplicate mail", CHECK_WARNING, false},
        {"${nexthop}", "-p ${nexthop} in argv", "pools cannot be chosen by routing", CHECK_WARNING, true},
        {" -- ", "-- before ${recipient} in argv", "a recipient that begins with - is taken for an option",
         CHECK_WARNING, false},
    };
    AUTO_FREE char *program = xstrndup(transport->argv, strcspn(transport->argv, " "));

    if (access(program, X_OK) != 0)
        check_say(check, CHECK_FAILURE, "install it there, or run: sendpostctl postfix install",
                  "transport %s: %s cannot be run, and Postfix would bounce the mail", transport->name,
                  program);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if ((!words[i].outgoing || kind == &postfix_outgoing) && !postfix_argv_has(transport, words[i].word))
            check_say(check, words[i].level, words[i].remedy, "transport %s: %s", transport->name,
                      words[i].why);
}

static void look_maxproc(struct check *check, const char *directory, const struct postfix_kind *kind,
                         const struct postfix_transport *transport)
{
    AUTO_FREE char *fallback = postfix_parameter(directory, "default_process_limit");
    const char *limit =
        strcmp(transport->maxproc, "-") == 0 && fallback != NULL ? fallback : transport->maxproc;

    if (strcmp(limit, "0") == 0)
        check_say(check, CHECK_WARNING, "a number as maxproc, 50 for example",
                  "transport %s: maxproc 0 sets no bound to parallel deliveries", transport->name);
    else if (kind == &postfix_outgoing && strtoul(limit, NULL, 10) > MARK_PLACES)
        check_say(
            check, CHECK_WARNING, "a lower maxproc in master.cf, 50 for example",
            "transport %s: maxproc %s: more than %d deliveries at once have to wait, the state directory "
            "keeps track of no more",
            transport->name, limit, MARK_PLACES);
    else
        check_say(check, CHECK_OK, NULL, "transport %s: runs %s, at most %s deliver%s at once",
                  transport->name, kind->program, limit, strcmp(limit, "1") == 0 ? "y" : "ies");
    if (strcmp(transport->chroot, "n") != 0)
        check_say(check, CHECK_FAILURE, "n in the chroot column of master.cf",
                  "transport %s: may run chrooted, where it finds neither program nor configuration",
                  transport->name);
    if (strcmp(transport->unprivileged, "n") != 0)
        check_say(check, CHECK_FAILURE, "n in the unpriv column of master.cf",
                  "transport %s: pipe(8) must start privileged to become the delivery user", transport->name);
}

/* --- main.cf --------------------------------------------------------------------------------- */

static void look_recipient_limit(struct check *check, const char *directory,
                                 const struct postfix_transport *transport)
{
    AUTO_FREE char *name = xasprintf("%s_destination_recipient_limit", transport->name);
    AUTO_FREE char *value = postfix_parameter(directory, name);
    AUTO_FREE char *remedy = xasprintf("postconf -e '%s = 1'", name);

    if (value == NULL || strcmp(value, "1") != 0)
        check_say(check, CHECK_FAILURE, remedy,
                  "%s is %s: mail to several recipients would stay in the queue", name,
                  value != NULL && *value != '\0' ? value : "not set");
    else
        check_say(check, CHECK_OK, NULL, "%s = 1", name);
}

static void look_time_limit(struct check *check, const char *directory, const struct postfix_kind *kind,
                            const struct postfix_transport *transport)
{
    bool outgoing = kind == &postfix_outgoing;
    const char *what = outgoing ? "delivery-timeout" : "the deadline of sendpost-bounce";
    AUTO_FREE char *name = xasprintf("%s_time_limit", transport->name);
    AUTO_FREE char *value = postfix_time_limit(directory, transport);
    AUTO_FREE char *remedy =
        xasprintf("postconf -e '%s = 1000s'%s", name, outgoing ? ", or a shorter delivery-timeout" : "");
    int64_t ours = !outgoing               ? BOUNCE_DEADLINE_S
                   : check->config != NULL ? check->config->delivery_timeout_ms / 1000
                                           : 600;
    int64_t theirs = value == NULL ? -1 : postfix_seconds(value);

    if (theirs < 0)
        check_say(check, CHECK_WARNING, remedy, "%s cannot be read: \"%s\"", name,
                  value != NULL ? value : "");
    else if (theirs < ours + 30)
        check_say(check, CHECK_FAILURE, remedy,
                  "%s is %llds, %s %llds: Postfix bounces mail that is still being delivered, "
                  "keep 30s between them",
                  name, (long long)theirs, what, (long long)ours);
    else
        check_say(check, CHECK_OK, NULL, "%s is %llds, above %s (%llds)", name, (long long)theirs, what,
                  (long long)ours);
}

/* Mail whose route is given by default_transport or relay_transport, or perhaps by a table. */
static void look_routes(struct check *check, const char *directory, const struct postfix_transport *transport)
{
    static const char *const parameters[] = {"default_transport", "relay_transport", "relayhost",
                                             "transport_maps", "sender_dependent_default_transport_maps"};
    bool routed = false, tables = false;

    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++) {
        AUTO_FREE char *value = postfix_parameter(directory, parameters[i]);
        if (value == NULL || *value == '\0')
            continue;
        if (strstr(parameters[i], "maps") != NULL) {
            tables = true;
            continue;
        }
        if (!postfix_routes_to(value, transport->name))
            continue;
        routed = true;
        const char *colon = strchr(value, ':'), *pool = colon != NULL ? colon + 1 : "";
        if (*pool != '\0' && check->config != NULL &&
            config_pool_for(check->config, pool, "x@x.invalid") == NULL)
            check_say(check, CHECK_FAILURE, "name a pool of the configuration behind the colon, or none",
                      "%s = %s: there is no pool %s, this mail is deferred", parameters[i], value, pool);
        else
            check_say(check, CHECK_OK, NULL, "%s = %s", parameters[i], value);
    }
    if (!routed && tables)
        check_say(check, CHECK_OK, NULL, "transport %s: routes are in tables; try one with postmap -q",
                  transport->name);
    else if (!routed)
        check_say(check, CHECK_WARNING, "a route, see transport(5) and " CTL_FRAGMENTS "/transport",
                  "transport %s: no mail is routed to it", transport->name);
}

static void look_limits(struct check *check, const char *directory)
{
    AUTO_FREE char *size = postfix_parameter(directory, "message_size_limit");
    AUTO_FREE char *lifetime = postfix_parameter(directory, "maximal_queue_lifetime");
    const struct config *config = check->config;
    int64_t ladder = 0, ours = config->validation.max_message_size;

    long long theirs = size == NULL ? -1 : strtoll(size, NULL, 10);
    if (theirs >= 0 && ours > 0 && (theirs == 0 || theirs > ours))
        check_say(check, CHECK_WARNING, "raise validation.max-message-size, or lower message_size_limit",
                  "message_size_limit is %lld, validation.max-message-size %lld: Postfix takes mail that is "
                  "dropped later",
                  theirs, (long long)ours);
    for (size_t i = 0; i < config->retry.schedule_count; i++)
        ladder += config->retry.schedule_ms[i] / 1000;
    int64_t seconds = lifetime == NULL ? -1 : postfix_seconds(lifetime);
    if (seconds >= 0 && seconds < ladder)
        check_say(check, CHECK_WARNING, "raise maximal_queue_lifetime, or shorten retry.schedule",
                  "maximal_queue_lifetime is %llds, shorter than retry.schedule (%llds): Postfix gives up, "
                  "and bounces, first",
                  (long long)seconds, (long long)ladder);
}

/* --- all of it ------------------------------------------------------------------------------- */

static void look_transport(struct check *check, const char *directory, const struct postfix_kind *kind,
                           const struct postfix_transport *transport)
{
    look_maxproc(check, directory, kind, transport);
    look_user(check, transport);
    look_flags(check, transport);
    look_null_sender(check, transport);
    look_command(check, kind, transport);
    look_recipient_limit(check, directory, transport);
    look_time_limit(check, directory, kind, transport);
}

void check_postfix(struct check *check, const char *directory)
{
    struct postfix_transports outgoing, bounces = {0};
    char *why = NULL;

    check->subject = "postfix";
    bool readable = postfix_transports(directory, &postfix_outgoing, &outgoing, &why) &&
                    postfix_transports(directory, &postfix_bounces, &bounces, &why);
    if (!readable)
        check_say(check, CHECK_WARNING,
                  "run this where Postfix runs, or name its directory with --postfix-config",
                  "its settings cannot be read: %s", why);
    else if (outgoing.count == 0 && bounces.count == 0)
        check_say(check, CHECK_FAILURE,
                  "sendpostctl postfix install, or add " CTL_FRAGMENTS "/master.cf to master.cf",
                  "no transport in master.cf runs sendpost-pipe");
    free(why);
    for (size_t i = 0; i < outgoing.count; i++) {
        look_transport(check, directory, &postfix_outgoing, &outgoing.items[i]);
        look_routes(check, directory, &outgoing.items[i]);
    }
    for (size_t i = 0; i < bounces.count; i++)
        look_transport(check, directory, &postfix_bounces, &bounces.items[i]);
    if (outgoing.count + bounces.count > 0 && geteuid() == 0 && selinux_confines_pipe(""))
        check_say(check, CHECK_WARNING, SELINUX_REMEDY,
                  "SELinux enforces, and its policy for what pipe(8) starts knows no state directory: mail "
                  "may be deferred");
    if (outgoing.count > 0 && check->config != NULL)
        look_limits(check, directory);
    if (readable)
        check_route_targets(check, directory);
    if (readable && check->config != NULL)
        check_bounce_routes(check, directory, &bounces);
    postfix_transports_free(&outgoing);
    postfix_transports_free(&bounces);
}
