/*
 * sendpostctl check: what keeps forged bounces and forged names of messages out: the keys of message UUIDs,
 * and whom the agent believes; and whether the log that it reads is Postfix's.
 */
#include <stdlib.h>
#include <string.h>

#include "base/maillog.h"
#include "base/xalloc.h"
#include "ctl/check.h"

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

void check_trust(struct check *check, const char *directory)
{
    AUTO_FREE char *elsewhere = maillog_elsewhere(directory, check->config->log_path), *remedy = NULL;

    check->subject = "mail log";
    if (elsewhere != NULL) {
        remedy = xasprintf("set log-path: %s", elsewhere);
        check_say(check, CHECK_FAILURE, remedy, "Postfix logs to %s (postconf maillog_file), and not to %s",
                  elsewhere, check->config->log_path);
    }
    check->subject = "senders";
    look_senders(check, directory);
}
