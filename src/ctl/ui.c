/* sendpostctl ui: a link that opens the status page, with addresses, search and the live feed, once. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/page_login.h"
#include "base/xalloc.h"
#include "ctl/agent_health.h"
#include "ctl/ctl.h"

/* A listen address for all addresses of this machine is none to go to. */
static char *link_to(const char *listen_on, const char *token)
{
    const char *port = strrchr(listen_on, ':');
    bool all = strncmp(listen_on, "0.0.0.0:", 8) == 0 || strncmp(listen_on, "[::]:", 5) == 0;

    return xasprintf("http://%s%s/login?token=%s", all ? "127.0.0.1" : listen_on,
                     all && port != NULL ? port : "", token);
}

static void print(struct ctl *ctl, const char *url, const char *listen_on)
{
    if (ctl->json) {
        struct json_object *object = json_object_new_object();
        json_object_object_add(object, "url", json_object_new_string(url));
        json_object_object_add(object, "valid_seconds", json_object_new_int64(PAGE_LOGIN_LINK_MS / 1000));
        ctl_print_json(object);
        return;
    }
    printf("%s\n\nIt opens the status page once, within %" PRId64
           " minutes; the browser then stays logged in for %" PRId64 " hours.\n",
           url, PAGE_LOGIN_LINK_MS / 60000, PAGE_LOGIN_MS / 3600000);
    if (strncmp(listen_on, "127.", 4) == 0 || strncmp(listen_on, "localhost:", 10) == 0)
        printf("From another machine, first: ssh -L %s:%s THIS-HOST\n", strrchr(listen_on, ':') + 1,
               listen_on);
}

static enum ctl_status run(struct ctl *ctl)
{
    const struct config *config = ctl_config(ctl);
    char token[PAGE_LOGIN_TOKEN_SIZE];
    struct outcome error;

    if (ctl->operand_count > 0)
        return ctl_usage(ctl, "takes no operands: \"%s\"", ctl->operands[0]);
    if (config == NULL)
        return CTL_TROUBLE;
    if (config->listen == NULL)
        return ctl_fail(ctl, "%s says listen: none; give the page an address, and restart sendpost-agent",
                        config->path);
    if (strncmp(config->listen, "unix:", 5) == 0)
        return ctl_fail(
            ctl,
            "the page is served on %s, for a proxy that has a login of its own: open the proxy's address",
            config->listen);
    AUTO_FREE char *why = NULL;
    struct json_object *health = agent_health(config, &why);
    json_object_put(health);
    if (health == NULL)
        return ctl_fail(ctl, "sendpost-agent does not answer on %s: %s; systemctl start sendpost-agent",
                        config->listen, why);
    if (!page_login_offer(config->state_dir, clock_realtime_ms(), token, &error))
        return ctl_fail(ctl, "%s", error.text);
    AUTO_FREE char *url = link_to(config->listen, token);
    print(ctl, url, config->listen);
    return CTL_OK;
}

const struct ctl_command ctl_ui = {
    .name = "ui",
    .synopsis = "",
    .summary = "Print a link that opens the status page, with addresses, once",
    .examples = "  sendpostctl ui\n",
    .run = run,
};
