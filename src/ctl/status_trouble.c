/* What is not well, the gravest first: the first line of `sendpostctl status`, and its exit status. */
#include <inttypes.h>
#include <string.h>

#include "base/xalloc.h"
#include "ctl/agent_health.h"
#include "ctl/status_private.h"
#include "oauth/token_file.h"

/* Both are given up. */
static void find(struct status *status, char *command, char *text)
{
    status->trouble = xrealloc(status->trouble, (status->trouble_count + 1) * sizeof status->trouble[0]);
    status->trouble[status->trouble_count++] = (struct status_trouble){text, command};
}

static bool is_held(const struct status *status, const struct config_tpsp *tpsp)
{
    for (size_t i = 0; i < status->held_count; i++)
        if (status->held[i].tpsp == tpsp)
            return true;
    return false;
}

static void find_tpsps(struct status *status)
{
    for (size_t i = 0; i < status->held_count; i++) {
        const struct held *held = &status->held[i];
        find(status, xasprintf("sendpostctl test %s", held->tpsp->name),
             xasprintf("%" PRId64 " %s for %s: %s", held->messages,
                       held->messages == 1 ? "message waits" : "messages wait", held->tpsp->name,
                       held->standing.text));
    }
    for (size_t i = 0; i < status->config->tpsp_count; i++) {
        const struct status_tpsp *tpsp = &status->tpsps[i];
        if (tpsp->breaker.state != BREAKER_CLOSED && !is_held(status, tpsp->config))
            find(status, xasprintf("sendpostctl test %s", tpsp->config->name),
                 xasprintf("%s is left alone after %u failures in a row%s", tpsp->config->name,
                           tpsp->breaker.failures, breaker_whose(&tpsp->breaker)));
    }
}

static void find_here(struct status *status)
{
    const struct store_leftovers *leftovers = &status->leftovers;

    if (status->disk_size > 0 && (double)status->disk_free < STATUS_DISK_LOW * (double)status->disk_size)
        find(status, xasprintf("df -h %s", status->config->state_dir),
             xasprintf("the disk of %s is almost full; no message is sent when it is",
                       status->config->state_dir));
    if (leftovers->count > 0 || leftovers->unfinished)
        find(status, xstrdup("sendpostctl check"), xstrdup("the store was corrupt, and lies aside"));
    if (status->rejected > 0)
        find(status, xstrdup("sendpostctl events --state rejected"),
             xasprintf("%" PRId64 " %s refused by the event API", status->rejected,
                       status->rejected == 1 ? "event was" : "events were"));
}

static void find_tokens(struct status *status)
{
    for (size_t i = 0; i < status->config->tpsp_count; i++) {
        const struct config_tpsp *tpsp = &status->config->tpsps[i];
        struct token_state state;
        if (tpsp->oauth.token_endpoint == NULL)
            continue;
        token_file_read(status->config->state_dir, tpsp, &state);
        if (state.error[0] != '\0')
            find(status, xasprintf("sendpostctl test %s", tpsp->name),
                 xasprintf("the login token for %s: %s", tpsp->name, state.error));
        token_state_clear(&state);
    }
}

/* Whether it was said before: the agent knows of the same. */
static bool is_told(const struct status *status, const char *text)
{
    for (size_t i = 0; i < status->trouble_count; i++)
        if (strstr(status->trouble[i].text, text) != NULL || strstr(text, status->trouble[i].text) != NULL)
            return true;
    for (size_t i = 0; i < status->held_count; i++)
        if (strstr(text, status->held[i].standing.text) != NULL)
            return true;
    return false;
}

static void find_agent(struct status *status)
{
    const char *error = agent_health_text(status->agent, "last_error");

    if (status->config->listen == NULL)
        return;
    if (status->agent == NULL)
        find(status, xstrdup("systemctl restart sendpost-agent"),
             xasprintf("the agent does not answer at %s: %s", status->config->listen, status->agent_error));
    else if (strcmp(agent_health_text(status->agent, "status"), "ok") != 0 &&
             (*error == '\0' || !is_told(status, error)))
        find(status, xstrdup("sendpostctl check"),
             xasprintf("the agent: %s", *error != '\0' ? error : "it is in trouble"));
}

void status_find_trouble(struct status *status)
{
    find_tpsps(status);
    find_here(status);
    find_tokens(status);
    find_agent(status);
}
