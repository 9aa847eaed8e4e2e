/* sendpostctl check: what TPSPs are told in EHLO, and how their replies are read. */
#include <string.h>

#include "base/helo_name.h"
#include "base/xalloc.h"
#include "classify/classify.h"
#include "classify/replies.h"
#include "ctl/check.h"

#define HELO_REMEDY "helo-name: the full name of this host, which its address should lead back to"

/* Gmail, Microsoft, Yahoo and whoever has reject_non_fqdn_helo_hostname refuse a name without a dot; most of
 * them an address literal, too. */
static void look_helo(struct check *check, const struct config_tpsp *tpsp)
{
    char host[HELO_NAME_SIZE];

    if (tpsp->helo_name != NULL) {
        if (!helo_name_is_public(tpsp->helo_name))
            check_say(check, CHECK_WARNING, HELO_REMEDY,
                      "tpsp %s: EHLO says %s, %s: large providers refuse that", tpsp->name, tpsp->helo_name,
                      tpsp->helo_name[0] == '[' ? "an address literal" : "which is no full name");
    } else if (!helo_name_of_host(host)) {
        check_say(check, CHECK_WARNING, HELO_REMEDY,
                  "tpsp %s: EHLO says an address literal, for this host is called %s, which is no full name: "
                  "large providers refuse that",
                  tpsp->name, host);
    }
}

/* A name that nothing belongs to is as good as none. */
static void look_service(struct check *check, const struct replies *replies, const struct config_tpsp *tpsp)
{
    const char *service = tpsp->service;

    if (service == NULL || strcmp(service, "auto") == 0 || strcmp(service, "none") == 0 ||
        replies_know_service(replies, service))
        return;
    check_say(check, CHECK_WARNING, "service: auto, or a name with an @ before it in the rules of replies",
              "tpsp %s: no rule belongs to service %s: its replies are read as those of any server",
              tpsp->name, service);
}

/* A file that cannot be understood costs nothing but its own rules, so it would go unnoticed. */
static void look_classify(struct check *check)
{
    AUTO_FREE char *path = classify_path(check->ctl->config_path);
    struct outcome error;
    struct classify_rules *rules = classify_open(path, &error);

    if (rules == NULL)
        check_say(check, CHECK_FAILURE, "correct the line; until then the built-in rules alone count", "%s",
                  error.text);
    classify_close(rules);
}

static void look_replies(struct check *check)
{
    AUTO_FREE char *path = replies_path(check->ctl->config_path);
    struct outcome error;
    struct replies *replies = replies_open(path, &error);

    if (replies == NULL) {
        check_say(check, CHECK_FAILURE, "correct the line; until then the built-in rules alone count", "%s",
                  error.text);
        replies = replies_open(NULL, &error);
    }
    for (size_t i = 0; i < check->config->tpsp_count; i++)
        look_service(check, replies, &check->config->tpsps[i]);
    replies_close(replies);
}

void check_smtp(struct check *check)
{
    for (size_t i = 0; i < check->config->tpsp_count; i++)
        look_helo(check, &check->config->tpsps[i]);
    check_as_user(check, look_classify);
    check_as_user(check, look_replies);
}
