/*
 * sendpostctl check: what keeps forged bounces and forged names of messages out: the keys of message UUIDs,
 * and whom the agent believes; and whether the log that it reads is Postfix's.
 */
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/maillog.h"
#include "base/xalloc.h"
#include "ctl/check.h"
#include "ctl/own_log.h"

void check_keys(struct check *check)
{
    size_t count = check->config->uuid_keys.count;

    check->subject = "uuid key";
    if (count == 0)
        check_say(
            check, CHECK_WARNING,
            "sendpostctl setup makes " SYSCONFDIR
            "/uuid-key; or make it by hand, see postfix-sendpost.yaml(5)",
            "message UUIDs carry no proof: bounces are believed only while the store knows the message, and "
            "who knows the form of a UUID can forge them");
    else
        check_say(check, CHECK_OK, NULL, "message UUIDs prove themselves; %zu key%s verif%s", count,
                  count == 1 ? "" : "s", count == 1 ? "ies" : "y");
}

/* Networks of mynetworks count by themselves; tables are not asked. */
static void look_senders(struct check *check, const char *directory)
{
    AUTO_FREE char *mynetworks = postfix_parameter(directory, "mynetworks"), *tables = NULL;
    struct networks networks = {0};

    if (check->config->trusted_senders.count > 0 || mynetworks == NULL)
        return;
    networks_read(&networks, &tables, mynetworks);
    if (*tables != '\0')
        check_say(check, CHECK_WARNING, "trusted-senders: […] with the networks of your senders",
                  "mynetworks holds %s, which the agent does not ask: message UUIDs from clients that only "
                  "these name are not believed",
                  tables);
    networks_clear(&networks);
}

/* As a delivery would: into the file, or a new one beside it. */
static void look_own_log(struct check *check)
{
    AUTO_FREE char *copy = xstrdup(check->own_log), *remedy = NULL;
    bool there = access(check->own_log, F_OK) == 0;
    const char *user = check->user != NULL ? check->user : "sendpost";

    if (access(there ? check->own_log : dirname(copy), W_OK) == 0) {
        check_say(check, CHECK_OK, NULL, "deliveries are logged to %s", check->own_log);
        return;
    }
    int reason = errno;
    remedy = there ? xasprintf("chown %s:adm %s; chmod 0640 %s", user, check->own_log, check->own_log)
                   : xasprintf("install -o %s -g adm -m 0640 /dev/null %s", user, check->own_log);
    check_say(check, CHECK_WARNING, remedy,
              "%s (SENDPOST_LOG_FILE in export_environment) cannot be written by %s: %s; what deliveries say "
              "is lost",
              check->own_log, user, strerror(reason));
}

/* The words of deliveries: in a file of their own, or with a syslog daemon, or nowhere. */
static void look_delivery_log(struct check *check, const char *directory)
{
    AUTO_FREE char *named = own_log_named(directory), *path = NULL;
    AUTO_FREE char *setting = own_log_needed(directory, &path);

    if (named != NULL) {
        check->own_log = named;
        check_as_user(check, look_own_log);
        check->own_log = NULL;
    } else if (setting != NULL) {
        AUTO_FREE char *remedy =
            xasprintf("install -o %s -g adm -m 0640 /dev/null %s; postconf -e '%s'; postfix reload",
                      check->user != NULL ? check->user : "sendpost", path, setting);
        check_say(
            check, CHECK_WARNING, remedy,
            "what deliveries say is lost: Postfix writes its log by itself (maillog_file), and no syslog "
            "daemon listens at /dev/log");
    } else
        check_say(check, CHECK_OK, NULL, "deliveries are logged through syslog");
}

void check_trust(struct check *check, const char *directory)
{
    AUTO_FREE char *elsewhere = maillog_elsewhere(directory, check->config->log_path), *remedy = NULL;

    check->subject = "mail log";
    if (elsewhere != NULL) {
        remedy = xasprintf("set log-path: %s in %s, then: systemctl restart sendpost-agent", elsewhere,
                           check->ctl->config_path);
        check_say(check, CHECK_FAILURE, remedy, "Postfix logs to %s (postconf maillog_file), and not to %s",
                  elsewhere, check->config->log_path);
    }
    look_delivery_log(check, directory);
    check->subject = "senders";
    look_senders(check, directory);
}
