#include "agent/mta.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/mta_services.h"
#include "base/log.h"
#include "base/maillog.h"
#include "base/postconf.h"
#include "base/run.h"
#include "base/xalloc.h"

#define LOOK_MS 60000

/* Postfix's default in every mynetworks_style. */
#define LOOPBACK "127.0.0.0/8 [::1]/128"

enum {
    MYNETWORKS,
    MAIL_OWNER,
    CONTENT_FILTER,
    RELAY_DOMAINS,
    MYDESTINATION,
    MAILBOX_DOMAINS,
    ALIAS_DOMAINS,
    VALUES
};
static const char *const names[VALUES] = {
    [MYNETWORKS] = "mynetworks",
    [MAIL_OWNER] = "mail_owner",
    [CONTENT_FILTER] = "content_filter",
    [RELAY_DOMAINS] = "relay_domains",
    [MYDESTINATION] = "mydestination",
    [MAILBOX_DOMAINS] = "virtual_mailbox_domains",
    [ALIAS_DOMAINS] = "virtual_alias_domains",
};

void mta_init(struct mta *mta, const struct config *config)
{
    const char *directory = getenv("MAIL_CONFIG");

    *mta = (struct mta){.owner = (uid_t)-1, .tables = xstrdup(""), .config = config};
    mta->directory = xstrdup(directory != NULL && *directory == '/' ? directory : "/etc/postfix");
    networks_read(&mta->networks, &mta->tables, LOOPBACK);
}

static void forget(struct mta *mta)
{
    networks_clear(&mta->networks);
    free(mta->tables);
    free(mta->elsewhere);
    free(mta->wrong);
    mta->tables = mta->elsewhere = mta->wrong = NULL;
}

void mta_clear(struct mta *mta)
{
    forget(mta);
    free(mta->directory);
    *mta = (struct mta){.owner = (uid_t)-1};
}

/* "smtp/inet/content_filter = scan:[127.0.0.1]:10025"; nothing behind the "=" where a service has none. */
static bool has_filtering_service(const struct mta *mta)
{
    struct run run;

    run_program(&run,
                (const char *const[]){"postconf", "-c", mta->directory, "-P", "*/*/content_filter", NULL});
    bool has = strstr(run.out, "/content_filter = ") != NULL;
    run_free(&run);
    return has;
}

static char *services_trouble(const struct mta *mta, char *const values[VALUES])
{
    AUTO_FREE char *taken = xstrdup("");
    char *trouble = NULL;
    struct run run;

    for (int i = RELAY_DOMAINS; i <= ALIAS_DOMAINS; i++) {
        char *longer = xasprintf("%s %s", taken, values[i] != NULL ? values[i] : "");
        free(taken);
        taken = longer;
    }
    if (run_program(&run, (const char *const[]){"postconf", "-c", mta->directory, "-M", NULL}))
        trouble = mta_services_trouble(mta->config, run.out, taken);
    run_free(&run);
    return trouble;
}

static void ask(struct mta *mta)
{
    char *values[VALUES];

    forget(mta);
    mta->known = postconf_values(mta->directory, names, VALUES, values) && values[MYNETWORKS] != NULL;
    networks_read(&mta->networks, &mta->tables, mta->known ? values[MYNETWORKS] : LOOPBACK);
    mta->elsewhere = mta->known ? maillog_elsewhere(mta->directory, mta->config->log_path) : NULL;
    mta->wrong = mta->known ? services_trouble(mta, values) : NULL;
    const struct passwd *owner = getpwnam(values[MAIL_OWNER] != NULL ? values[MAIL_OWNER] : "postfix");
    mta->owner = owner != NULL ? owner->pw_uid : (uid_t)-1;
    mta->filters = mta->known && ((values[CONTENT_FILTER] != NULL && *values[CONTENT_FILTER] != '\0') ||
                                  has_filtering_service(mta));
    for (size_t i = 0; i < VALUES; i++)
        free(values[i]);
}

void mta_look(struct mta *mta, int64_t now_ms)
{
    struct file_stamp main_now = {0}, services_now = {0};

    if (mta->looked_ms > 0 && now_ms < mta->looked_ms + LOOK_MS)
        return;
    AUTO_FREE char *main = xasprintf("%s/main.cf", mta->directory);
    AUTO_FREE char *services = xasprintf("%s/master.cf", mta->directory);
    bool there = file_stamp_of(main, &main_now), first = mta->looked_ms == 0;
    file_stamp_of(services, &services_now);
    mta->looked_ms = now_ms;
    if (!first && memcmp(&main_now, &mta->main, sizeof main_now) == 0 &&
        memcmp(&services_now, &mta->services, sizeof services_now) == 0)
        return;
    mta->main = main_now;
    mta->services = services_now;
    ask(mta);
    if (there && !mta->known)
        log_line(LOG_WARNING,
                 "postconf -c %s does not answer: which clients may send through Postfix is not known",
                 mta->directory);
    if (mta->elsewhere != NULL)
        log_line(LOG_ERR,
                 "Postfix logs to %s (postconf maillog_file), and not to %s: correct log-path in the "
                 "configuration, then: systemctl restart sendpost-agent",
                 mta->elsewhere, mta->config->log_path);
    if (mta->wrong != NULL)
        log_line(LOG_ERR, "%s", mta->wrong);
    if (*mta->tables != '\0')
        log_line(LOG_WARNING,
                 "mynetworks holds %s, which is not asked: list the networks of your senders as "
                 "trusted-senders, or their message UUIDs are not believed",
                 mta->tables);
}
