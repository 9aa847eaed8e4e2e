/* sendpostctl check: the log agent, and the log that it reads. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/run.h"
#include "base/xalloc.h"
#include "ctl/agent_health.h"
#include "ctl/check.h"

/* --- the log --------------------------------------------------------------------------------- */

/* The groups that the unit adds to those of its user. */
static char *unit_groups(void)
{
    struct run run;
    const char *const argv[] = {
        "systemctl", "show", "--property=SupplementaryGroups", "--value", "sendpost-agent.service", NULL};
    bool answered = run_program(&run, argv) && *run.out != '\0';
    char *groups = xstrdup(answered ? run.out : AGENT_GROUPS);

    run_free(&run);
    return groups;
}

/* How the agent comes to read it. */
static char *log_remedy(const char *path, const struct stat *status, const char *user)
{
    if ((status->st_mode & 044) == 0)
        return xasprintf(
            "chmod 0644 %s; where Postfix makes the file (maillog_file), from 3.9 on, so that the "
            "next one is like it: postconf -e maillog_file_permissions=0644",
            path);
    return xasprintf("add %s to the group of the log (usermod -aG adm %s), or run the agent with that group",
                     user, user);
}

static void look_log(struct check *check)
{
    const char *path = check->config->log_path;
    const char *user = check->user != NULL ? check->user : "the delivery user";
    struct stat status = {.st_mode = S_IFREG};

    if (stat(path, &status) != 0 && errno == ENOENT) {
        check_say(check, CHECK_FAILURE,
                  "name Postfix's log as log-path (postconf maillog_file), or log-path: journal",
                  "%s does not exist, so the agent will see nothing of what Postfix does", path);
        return;
    }
    AUTO_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int reason = errno;
    AUTO_FREE char *remedy = log_remedy(path, &status, user);
    if (file < 0)
        check_say(check, CHECK_FAILURE, remedy, "%s cannot be read by %s: %s", path, user, strerror(reason));
    else if (!S_ISREG(status.st_mode))
        check_say(check, CHECK_FAILURE, "name a file, or log-path: journal", "%s is no regular file", path);
    else
        check_say(check, CHECK_OK, NULL, "%s is readable for the agent (user %s, groups %s)", path, user,
                  check->agent_groups);
}

void check_log(struct check *check)
{
    check->subject = "mail log";
    if (strcmp(check->config->log_path, "journal") != 0) {
        check->agent_groups = unit_groups();
        check_as_user(check, look_log);
        cleanup_free(&check->agent_groups);
        return;
    }
#ifdef HAVE_SYSTEMD
    check_say(check, CHECK_OK, NULL, "is read from the journal");
#else
    check_say(check, CHECK_FAILURE, "name the log file as log-path, or build with systemd",
              "this build cannot read the journal");
#endif
}

/* --- the agent ------------------------------------------------------------------------------- */

/* Without its log the agent sees nothing, whatever else is well. */
static bool log_is_wrong(struct json_object *health)
{
    struct json_object *log = NULL;

    return json_object_object_get_ex(health, "log", &log) && *agent_health_text(log, "error") != '\0';
}

void check_agent(struct check *check)
{
    const char *listen = check->config->listen;
    AUTO_FREE char *why = NULL;

    check->subject = "agent";
    if (listen == NULL) {
        check_say(check, CHECK_OK, NULL, "serves no HTTP (listen: none), so it cannot be asked");
        return;
    }
    struct json_object *health = agent_health(check->config, &why);
    const char *word = agent_health_text(health, "status");
    AUTO_FREE char *owner = health == NULL ? check_port_owner(listen) : NULL;
    if (owner != NULL && strstr(owner, "sendpost-agent") == NULL) {
        AUTO_FREE char *remedy = xasprintf("name a free port as listen, or end %s; then: systemctl restart "
                                           "sendpost-agent",
                                           owner);
        check_say(check, CHECK_FAILURE, remedy,
                  "%s is taken by %s, so the agent serves neither health nor metrics", listen, owner);
    } else if (health == NULL)
        check_say(
            check, CHECK_WARNING,
            "systemctl start sendpost-agent; without it, nobody reads the log, and events that could not be "
            "reported wait for the next delivery",
            "does not answer at %s: %s", listen, why);
    else if (strcmp(word, "ok") == 0)
        check_say(check, CHECK_OK, NULL, "answers at %s: ok", listen);
    else
        check_say(check, log_is_wrong(health) ? CHECK_FAILURE : CHECK_WARNING,
                  "journalctl -u sendpost-agent tells more", "answers at %s: %s: %s", listen, word,
                  agent_health_text(health, "last_error"));
    json_object_put(health);
}
