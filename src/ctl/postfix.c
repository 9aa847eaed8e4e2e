/*
 * sendpostctl postfix: a transport in master.cf and its two lines in main.cf, through postconf(1) alone: that
 * of sendpost-pipe, or with --bounces that of sendpost-bounce. What is there and runs the program stays as
 * the postmaster has made it; nothing else is touched, but for the meeting place of idle deliverers, which is
 * made where it is not there.
 */
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "ctl/ctl.h"
#include "ctl/postfix_conf.h"
#include "supervisor/idle.h"

struct plan {
    struct ctl *ctl;
    const struct postfix_kind *kind;
    const char *directory;                       /* NULL: Postfix's own */
    const char *name, *user, *maxproc, *program; /* NULL: the default */
    char *entry;                                 /* of master.cf, in one line */
    char *deliverer;                             /* who delivers, by what is there or will be */
    bool there;                                  /* a transport of this name runs our program */
    bool taken;                                  /* a service of this name runs something else */
    bool of_setup;                               /* which says itself what comes next */
    size_t changes;
    struct json_object *list;
};

static const struct {
    const char *suffix, *value;
} parameters[] = {
    {"_destination_recipient_limit", "1"}, /* one process, one recipient */
    {"_time_limit", "1000s"},              /* above delivery-timeout, or mail is bounced */
};

#define PARAMETER_COUNT (sizeof parameters / sizeof parameters[0])

/* --- the plan -------------------------------------------------------------------------------- */

static char *make_entry(const struct plan *plan)
{
    const char *path = plan->ctl->config_path;
    AUTO_FREE char *config = NULL;

    if (strcmp(path, SYSCONFDIR "/config.yaml") != 0) {
        AUTO_FREE char *real = realpath(path, NULL);
        config = xasprintf(" -c %s", real != NULL ? real : path);
    }
    AUTO_FREE char *program = xasprintf(PKGLIBEXECDIR "/%s", plan->kind->program);
    return xasprintf("%s unix - n n - %s pipe flags=q user=%s null_sender= argv=%s%s %s", plan->name,
                     plan->maxproc != NULL ? plan->maxproc : plan->kind->maxproc, plan->user,
                     plan->program != NULL ? plan->program : program, config != NULL ? config : "",
                     plan->kind->argv);
}

static bool make_plan(struct plan *plan)
{
    struct postfix_transports transports;
    char *why = NULL;

    if (!postfix_transports(plan->directory, plan->kind, &transports, &why)) {
        ctl_fail(plan->ctl, "%s", why);
        free(why);
        return false;
    }
    for (size_t i = 0; i < transports.count && !plan->there; i++) {
        plan->there = strcmp(transports.items[i].name, plan->name) == 0;
        if (plan->there)
            plan->deliverer = postfix_attribute(&transports.items[i], "user");
    }
    if (plan->deliverer == NULL)
        plan->deliverer = xstrdup(plan->user);
    plan->deliverer[strcspn(plan->deliverer, ":")] = '\0'; /* user:group */
    plan->taken = !plan->there && postfix_service_exists(plan->directory, plan->name);
    plan->entry = make_entry(plan);
    postfix_transports_free(&transports);
    return true;
}

static void tell(struct plan *plan, const char *file, const char *change, const char *what, const char *was)
{
    plan->changes++;
    if (plan->ctl->json) {
        struct json_object *row = json_object_new_object();
        json_object_object_add(row, "file", json_object_new_string(file));
        json_object_object_add(row, "change", json_object_new_string(change));
        json_object_object_add(row, "what", json_object_new_string(what));
        if (was != NULL)
            json_object_object_add(row, "was", json_object_new_string(was));
        json_object_array_add(plan->list, row);
    } else if (was != NULL)
        printf("%-9s %s: %s (was %s)\n", file, change, what, was);
    else
        printf("%-9s %s: %s\n", file, change, what);
}

static enum ctl_status finish(struct plan *plan, enum ctl_status status, const char *nothing,
                              const char *next)
{
    if (plan->ctl->json) {
        struct json_object *result = json_object_new_object();
        json_object_object_add(result, "ok", json_object_new_boolean(status == CTL_OK));
        json_object_object_add(result, "changes", json_object_get(plan->list));
        ctl_print_json(result);
    } else if (status == CTL_OK && plan->changes == 0)
        printf("%s\n", nothing);
    else if (status == CTL_OK && !plan->of_setup)
        printf("%s\n", next);
    return status;
}

static bool edit(struct plan *plan, const char *verb, const char *what)
{
    char *why = NULL;

    if (postfix_edit(plan->directory, verb, what, &why))
        return true;
    ctl_fail(plan->ctl, "%s", why);
    free(why);
    return false;
}

/* --- show and install ------------------------------------------------------------------------ */

/* One after the other, the limit before the transport: mail must not meet a transport without its limit. */
static bool add(struct plan *plan, bool apply)
{
    for (size_t i = 0; i < PARAMETER_COUNT; i++) {
        AUTO_FREE char *name = xasprintf("%s%s", plan->name, parameters[i].suffix);
        AUTO_FREE char *setting = xasprintf("%s = %s", name, parameters[i].value);
        AUTO_FREE char *value = postfix_parameter_set(plan->directory, name);
        bool free_choice = strcmp(parameters[i].suffix, "_time_limit") == 0;
        if (value != NULL && (free_choice || strcmp(value, parameters[i].value) == 0))
            continue;
        if (apply && !edit(plan, "-e", setting))
            return false;
        tell(plan, "main.cf", apply ? "set" : "to set", setting, value);
    }
    if (!plan->there) {
        AUTO_FREE char *service = xasprintf("%s/unix = %s", plan->name, plan->entry);
        if (apply && !edit(plan, "-Me", service))
            return false;
        tell(plan, "master.cf", apply ? "added" : "to add", plan->entry, NULL);
    }
    return true;
}

/*
 * Where its deliverers wait for the next message: tmpfiles.d makes it at the boot, that of the user sendpost.
 * Mail flows without it, so a place that cannot be made is told, and check tells of it as long as it lasts.
 */
static void make_place(struct plan *plan, bool apply)
{
    const struct passwd *user = getpwnam(plan->deliverer);
    char path[PATH_MAX];

    if (plan->kind != &postfix_outgoing || user == NULL || user->pw_uid == 0)
        return;
    idle_place_path(IDLE_PLACES, user->pw_uid, path, sizeof path);
    if (access(path, F_OK) == 0)
        return;
    AUTO_FREE char *what = xasprintf("%s, mode 0700, of %s", path, plan->deliverer);
    if (!apply || idle_place_make(IDLE_PLACES, user->pw_uid, user->pw_gid))
        tell(plan, "directory", apply ? "made" : "to make", what, NULL);
    else
        ctl_fail(plan->ctl, "cannot make %s: %s; each delivery will start a process of its own", path,
                 strerrordesc_np(errno));
}

static enum ctl_status show_or_install(struct plan *plan, bool apply)
{
    if (plan->taken)
        return ctl_fail(plan->ctl,
                        "master.cf has a service \"%s\" that is not ours; choose another name with --name",
                        plan->name);
    if (apply && !plan->there && getpwnam(plan->user) == NULL)
        return ctl_fail(plan->ctl, "there is no user \"%s\"; create it, or name another with --user",
                        plan->user);
    enum ctl_status status = add(plan, apply) ? CTL_OK : CTL_TROUBLE;
    if (status == CTL_OK)
        make_place(plan, apply);
    return finish(plan, status, "Everything is there already.",
                  !apply                            ? "\"sendpostctl postfix install\" does this."
                  : plan->kind == &postfix_outgoing ? "Now route mail to it, see " CTL_FRAGMENTS
                                                      "/transport, and run: postfix reload"
                                                    : "Now route the bounce domain to it, see " CTL_FRAGMENTS
                                                      "/bounce, and run: postfix reload");
}

/* --- remove ---------------------------------------------------------------------------------- */

/* Mail that is routed to a transport which is gone would stay in the queue. */
static bool still_routed(struct plan *plan)
{
    static const char *const routes[] = {"default_transport", "relay_transport", "local_transport",
                                         "virtual_transport"};

    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        AUTO_FREE char *value = postfix_parameter(plan->directory, routes[i]);
        if (value != NULL && postfix_routes_to(value, plan->name)) {
            ctl_fail(plan->ctl,
                     "%s = %s still routes mail to it; change that first, or the mail stays in the queue",
                     routes[i], value);
            return true;
        }
    }
    return false;
}

static bool take_away(struct plan *plan)
{
    AUTO_FREE char *service = xasprintf("%s/unix", plan->name);

    if (plan->there) {
        if (!edit(plan, "-MX", service))
            return false;
        tell(plan, "master.cf", "removed", service, NULL);
    }
    for (size_t i = 0; i < PARAMETER_COUNT; i++) {
        AUTO_FREE char *name = xasprintf("%s%s", plan->name, parameters[i].suffix);
        AUTO_FREE char *value = postfix_parameter_set(plan->directory, name);
        if (value == NULL)
            continue;
        if (!edit(plan, "-X", name))
            return false;
        tell(plan, "main.cf", "removed", name, value);
    }
    return true;
}

static enum ctl_status remove_all(struct plan *plan)
{
    if (plan->taken)
        return ctl_fail(plan->ctl, "the service \"%s\" in master.cf is not ours", plan->name);
    if (still_routed(plan))
        return CTL_TROUBLE;
    return finish(plan, take_away(plan) ? CTL_OK : CTL_TROUBLE, "Nothing of it is there.",
                  "Now take it out of transport tables, and run: postfix reload");
}

/* --- the command ----------------------------------------------------------------------------- */

static bool is_word(const char *text)
{
    return *text != '\0' &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") == strlen(text);
}

static enum ctl_status carry_out(struct plan *plan, const char *verb)
{
    enum ctl_status status;

    if (plan->name == NULL)
        plan->name = plan->kind->name;
    if (plan->user == NULL)
        plan->user = "sendpost";
    if (!make_plan(plan))
        return CTL_TROUBLE;
    plan->list = json_object_new_array();
    status =
        strcmp(verb, "remove") == 0 ? remove_all(plan) : show_or_install(plan, strcmp(verb, "install") == 0);
    json_object_put(plan->list);
    free(plan->entry);
    free(plan->deliverer);
    return status;
}

enum ctl_status ctl_postfix_install(struct ctl *ctl, const char *directory, const char *user)
{
    struct plan plan = {
        .ctl = ctl, .kind = &postfix_outgoing, .directory = directory, .user = user, .of_setup = true};

    return carry_out(&plan, "install");
}

static enum ctl_status run(struct ctl *ctl)
{
    struct plan plan = {.ctl = ctl,
                        .kind = ctl_option(ctl, "bounces") != NULL ? &postfix_bounces : &postfix_outgoing,
                        .directory = ctl_option(ctl, "postfix-config"),
                        .name = ctl_option(ctl, "name"),
                        .user = ctl_option(ctl, "user"),
                        .maxproc = ctl_option(ctl, "maxproc"),
                        .program = ctl_option(ctl, "program")};
    const char *const words[] = {plan.name, plan.user, plan.program, plan.maxproc};

    if (ctl->operand_count != 1)
        return ctl_usage(ctl, "say one of show, install, remove");
    const char *verb = ctl->operands[0];
    if (strcmp(verb, "show") != 0 && strcmp(verb, "install") != 0 && strcmp(verb, "remove") != 0)
        return ctl_usage(ctl, "\"%s\" is none of show, install, remove", verb);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (words[i] != NULL && !is_word(words[i]))
            return ctl_usage(ctl, "\"%s\" holds characters that master.cf does not take", words[i]);
    if (plan.maxproc != NULL && strspn(plan.maxproc, "0123456789") != strlen(plan.maxproc))
        return ctl_usage(ctl, "--maxproc \"%s\" is no number", plan.maxproc);
    return carry_out(&plan, verb);
}

static const struct ctl_option options[] = {
    {"postfix-config", 0, "DIR", "Postfix's configuration directory, for one of several instances"},
    {"bounces", 0, NULL, "the transport that takes bounces, in the place of the one that sends mail"},
    {"name", 0, "NAME", "of the transport (sendpost; sendpost-bounce)"},
    {"user", 0, "USER", "who delivers (sendpost)"},
    {"maxproc", 0, "N", "deliveries at once (50; 10)"},
    {"program", 0, "FILE", "the program (in " PKGLIBEXECDIR ": sendpost-pipe; sendpost-bounce)"},
    {.name = NULL},
};

const struct ctl_command ctl_postfix = {
    .name = "postfix",
    .synopsis = "show|install|remove [--bounces] [--postfix-config DIR] [--name NAME] [--user USER] "
                "[--maxproc N] [--program FILE]",
    .summary = "Show, add or remove a transport in Postfix's main.cf and master.cf",
    .examples = "  sendpostctl postfix show\n"
                "  sendpostctl postfix install && postfix reload\n"
                "  sendpostctl postfix install --postfix-config /etc/postfix-out --maxproc 100\n"
                "  sendpostctl postfix install --bounces\n"
                "  sendpostctl postfix remove\n",
    .options = options,
    .stays_root = true,
    .run = run,
};
