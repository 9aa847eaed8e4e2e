/* What follows when the configuration is written: the transport, the route, where our lines are logged, the
 * services. See setup.h. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/run.h"
#include "base/xalloc.h"
#include "ctl/own_log.h"
#include "ctl/postfix_conf.h"
#include "ctl/setup.h"

#define ROUTE "sendpost:default"

static bool edit(const struct setup *setup, const char *what)
{
    const char *directory = ctl_option(setup->ctl, "postfix-config");
    char *why = NULL;

    if (postfix_edit(directory, "-e", what, &why)) {
        printf("main.cf   set: %s\n", what);
        return true;
    }
    ctl_fail(setup->ctl, "%s", why);
    free(why);
    return false;
}

/* --- the route ------------------------------------------------------------------------------------------ */

static bool route(const struct setup *setup)
{
    const char *directory = ctl_option(setup->ctl, "postfix-config");
    AUTO_FREE char *now = postfix_parameter(directory, "default_transport");

    if (now == NULL || postfix_routes_to(now, "sendpost"))
        return true;
    if (ctl_option(setup->ctl, "route-all") == NULL &&
        (setup->batch ||
         !setup_ask_yes("Route all mail to other places here now (default_transport)?", false))) {
        printf("No mail is routed to it yet: see " CTL_FRAGMENTS "/transport, then: postfix reload\n");
        return true;
    }
    if (!edit(setup, "default_transport = " ROUTE))
        return false;
    printf("          back again: postconf -e 'default_transport = %s' && postfix reload\n", now);
    return true;
}

/* --- our own lines ------------------------------------------------------------------------------------- */

static bool make_log(const struct setup *setup, const char *path)
{
    const struct passwd *user = getpwnam(setup->user);
    const struct group *readers = getgrnam("adm");
    AUTO_CLOSE int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);

    if (file >= 0 && (geteuid() != 0 || user == NULL ||
                      fchown(file, user->pw_uid, readers != NULL ? readers->gr_gid : setup->group) == 0))
        return true;
    ctl_fail(setup->ctl, "cannot make %s, where deliveries are to be logged: %s", path, strerror(errno));
    return false;
}

/* Where our lines would go nowhere. */
static bool log_somewhere(const struct setup *setup)
{
    AUTO_FREE char *path = NULL;
    AUTO_FREE char *setting = own_log_needed(ctl_option(setup->ctl, "postfix-config"), &path);

    return setting == NULL || (make_log(setup, path) && edit(setup, setting));
}

/* --- the services -------------------------------------------------------------------------------------- */

static bool runs(const char *const argv[])
{
    struct run run;
    bool ok = run_program(&run, argv);

    if (!ok && *run.err != '\0')
        fprintf(stderr, "%s: %s\n", argv[0], run.err);
    run_free(&run);
    return ok;
}

static bool postfix_runs(const char *directory)
{
    struct run run;
    const char *const plain[] = {"postfix", "status", NULL}, *const other[] = {"postfix", "-c", directory,
                                                                               "status", NULL};
    bool ok = run_program(&run, directory != NULL ? other : plain);

    run_free(&run);
    return ok;
}

static enum ctl_status start(const struct setup *setup, bool postfix_changed)
{
    const char *directory = ctl_option(setup->ctl, "postfix-config");
    bool units = access("/run/systemd/system", F_OK) == 0,
         reload = postfix_changed && postfix_runs(directory);
    AUTO_FREE char *reload_it =
        directory != NULL ? xasprintf("postfix -c %s reload", directory) : xstrdup("postfix reload");
    AUTO_FREE char *agent =
        xstrdup(units ? "systemctl enable sendpost-agent && systemctl restart sendpost-agent"
                      : "systemctl restart sendpost-agent");
    AUTO_FREE char *command = xasprintf("%s%s%s", agent, reload ? " && " : "", reload ? reload_it : "");
    const char *const enable[] = {"systemctl", "enable", "sendpost-agent", NULL};
    const char *const restart[] = {"systemctl", "restart", "sendpost-agent", NULL};
    const char *const reload_plain[] = {"postfix", "reload", NULL};
    const char *const reload_other[] = {"postfix", "-c", directory, "reload", NULL};

    if (!units || setup->batch || geteuid() != 0) {
        printf("Next: %s, and sendpostctl check\n", command);
        return CTL_OK;
    }
    AUTO_FREE char *prompt = xasprintf("Start it now: %s?", command);
    if (!setup_ask_yes(prompt, true)) {
        printf("Next: %s, and sendpostctl check\n", command);
        return CTL_OK;
    }
    bool ok =
        runs(enable) && runs(restart) && (!reload || runs(directory != NULL ? reload_other : reload_plain));
    printf(ok ? "Started. Next: sendpostctl check\n"
              : "Not all of it could be started. Next: sendpostctl check\n");
    return ok ? CTL_OK : CTL_TROUBLE;
}

enum ctl_status setup_finish(const struct setup *setup)
{
    const char *directory = ctl_option(setup->ctl, "postfix-config");
    bool installs = ctl_option(setup->ctl, "postfix") != NULL ||
                    (!setup->batch && !postfix_service_exists(directory, "sendpost") &&
                     setup_ask_yes("Add the transport to Postfix's main.cf and master.cf?", true));
    struct ctl quiet = *setup->ctl; /* one JSON value is printed, and not here */
    enum ctl_status status = CTL_OK;

    quiet.json = false;
    printf("\n");
    if (installs)
        status = ctl_postfix_install(&quiet, directory, setup->user);
    bool there = status == CTL_OK && postfix_service_exists(directory, "sendpost");
    if (there && (!log_somewhere(setup) || !route(setup)))
        status = CTL_TROUBLE;
    setup_tell_user(setup);
    enum ctl_status started = start(setup, there);
    return status != CTL_OK ? status : started;
}
