/* sendpostctl check: looks at everything a delivery depends on. See check.h. */
#include "ctl/check.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/xalloc.h"

static const struct {
    const char *word;
    enum ctl_colour colour;
} levels[] = {
    [CHECK_OK] = {"ok", CTL_GREEN},
    [CHECK_WARNING] = {"warning", CTL_YELLOW},
    [CHECK_FAILURE] = {"failure", CTL_RED},
};

/* --- findings -------------------------------------------------------------------------------- */

static void add_finding(struct check *check, enum check_level level, const char *text, const char *remedy)
{
    struct json_object *finding = json_object_new_object();

    json_object_object_add(finding, "check", json_object_new_string(check->subject));
    json_object_object_add(finding, "status", json_object_new_string(levels[level].word));
    json_object_object_add(finding, "text", json_object_new_string(text));
    if (remedy != NULL)
        json_object_object_add(finding, "remedy", json_object_new_string(remedy));
    json_object_array_add(check->findings, finding);
    check->counts[level]++;
    if (check->quiet)
        return;
    printf("%s%-7s%s  %s: %s\n", ctl_colour(levels[level].colour), levels[level].word, ctl_colour(CTL_PLAIN),
           check->subject, text);
    if (remedy != NULL)
        printf("         %sremedy: %s%s\n", ctl_colour(CTL_BOLD), remedy, ctl_colour(CTL_PLAIN));
    fflush(stdout); /* some looks take seconds */
}

void check_say(struct check *check, enum check_level level, const char *remedy, const char *format, ...)
{
    char text[2048];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    AUTO_FREE char *clean = ctl_text(text), *clean_remedy = ctl_text(remedy != NULL ? remedy : "");
    add_finding(check, level, clean, remedy != NULL ? clean_remedy : NULL);
}

/* --- another user's eyes --------------------------------------------------------------------- */

/* With the group that pipe(8) leaves a command, alone. */
static bool become_deliverer(gid_t group)
{
    return setgroups(1, &group) == 0 && setresgid(group, group, group) == 0;
}

/* With those that systemd gives the agent: the user's, and further ones of the unit. */
static bool become_agent(const struct passwd *user, const char *names)
{
    gid_t groups[64];
    AUTO_FREE char *copy = xstrdup(names);
    char *rest = copy, *name;
    int count = initgroups(user->pw_name, user->pw_gid) == 0 ? getgroups(32, groups) : -1;

    while (count >= 0 && count < 64 && (name = strsep(&rest, " ")) != NULL) {
        const struct group *group = *name != '\0' ? getgrnam(name) : NULL;
        if (group != NULL)
            groups[count++] = group->gr_gid;
    }
    return count >= 0 && setgroups((size_t)count, groups) == 0 &&
           setresgid(user->pw_gid, user->pw_gid, user->pw_gid) == 0;
}

static bool become(const struct check *check)
{
    const struct passwd *user = getpwnam(check->user);

    return user != NULL &&
           (check->agent_groups != NULL ? become_agent(user, check->agent_groups)
                                        : become_deliverer(check->group)) &&
           setresuid(user->pw_uid, user->pw_uid, user->pw_uid) == 0;
}

__attribute__((noreturn)) static void look_in_child(struct check *check, void (*look)(struct check *check),
                                                    int file)
{
    check->findings = json_object_new_array();
    check->quiet = true;
    if (become(check))
        look(check);
    else
        check_say(check, CHECK_FAILURE, "create the user, or correct user= in master.cf",
                  "cannot become user %s", check->user);
    const char *text = json_object_to_json_string(check->findings);
    _exit(write(file, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : 1);
}

static struct json_object *read_findings(int file)
{
    struct stat status;

    if (fstat(file, &status) != 0)
        return NULL;
    size_t size = (size_t)status.st_size;
    AUTO_FREE char *text = xcalloc(1, size + 1);
    if (pread(file, text, size, 0) != (ssize_t)size)
        return NULL;
    return json_tokener_parse(text);
}

static void merge(struct check *check, struct json_object *found)
{
    const char *subject = check->subject;

    for (size_t i = 0; i < json_object_array_length(found); i++) {
        struct json_object *finding = json_object_array_get_idx(found, i), *remedy = NULL;
        const char *word = json_object_get_string(json_object_object_get(finding, "status"));
        enum check_level level = CHECK_OK;
        while (level < CHECK_FAILURE && strcmp(levels[level].word, word) != 0)
            level++;
        check->subject = json_object_get_string(json_object_object_get(finding, "check"));
        json_object_object_get_ex(finding, "remedy", &remedy);
        add_finding(check, level, json_object_get_string(json_object_object_get(finding, "text")),
                    remedy != NULL ? json_object_get_string(remedy) : NULL);
    }
    check->subject = subject;
}

void check_as_user(struct check *check, void (*look)(struct check *check))
{
    int status = -1;

    if (geteuid() != 0 || check->user == NULL || strcmp(check->user, "root") == 0) {
        look(check);
        return;
    }
    AUTO_CLOSE int file = memfd_create("findings", MFD_CLOEXEC);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        look_in_child(check, look, file);
    if (child > 0)
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
    struct json_object *found = status == 0 ? read_findings(file) : NULL;
    if (found != NULL)
        merge(check, found);
    else
        check_say(check, CHECK_FAILURE, "report this as a bug", "the check broke off (status %d)", status);
    json_object_put(found);
}

/* Who delivers: what master.cf says, else who owns the state directory. */
static void find_user(struct check *check, const char *directory)
{
    struct stat status;

    struct postfix_user named;

    if (postfix_user(directory, &named)) {
        check->user = named.name;
        check->group = named.group;
    } else if (check->config != NULL && stat(check->config->state_dir, &status) == 0) {
        const struct passwd *entry = getpwuid(status.st_uid);
        check->user = entry != NULL ? xstrdup(entry->pw_name) : NULL;
        check->group = entry != NULL ? entry->pw_gid : status.st_gid;
    }
    const struct passwd *self = getpwuid(geteuid());
    check->subject = "user";
    if (geteuid() != 0 && check->user != NULL && self != NULL && strcmp(self->pw_name, check->user) != 0)
        check_say(check, CHECK_WARNING, "run this as root",
                  "deliveries run as user %s, but this check runs as %s", check->user, self->pw_name);
    else if (geteuid() == 0 && check->user == NULL)
        check_say(check, CHECK_WARNING, "install the transport with user=sendpost",
                  "cannot tell who delivers; looking with the eyes of root");
}

static enum ctl_status run(struct ctl *ctl)
{
    const char *directory = ctl_option(ctl, "postfix-config");
    struct outcome error;

    if (ctl->operand_count > 0)
        return ctl_usage(ctl, "takes no operands: \"%s\"", ctl->operands[0]);
    struct check check = {.ctl = ctl, .findings = json_object_new_array(), .quiet = ctl->json};
    check.config = ctl->config = config_load(ctl->config_path, &error);
    find_user(&check, directory);
    check_configuration(&check);
    if (check.config != NULL) {
        check_state(&check);
        check_keys(&check);
        check_log(&check);
        check_agent(&check);
        if (ctl_option(ctl, "offline") == NULL) {
            check_network(&check);
            check_domains(&check);
            check_tpsps(&check);
            check_cluster(&check);
        }
    }
    check_clock(&check);
    if (ctl_option(ctl, "no-postfix") == NULL) {
        check_postfix(&check, directory);
        if (check.config != NULL)
            check_trust(&check, directory);
    }

    bool ok = check.counts[CHECK_FAILURE] == 0;
    if (ctl->json) {
        struct json_object *result = json_object_new_object();
        json_object_object_add(result, "ok", json_object_new_boolean(ok));
        json_object_object_add(result, "checks", check.findings);
        ctl_print_json(result);
    } else {
        printf("\n%zu ok, %zu warning%s, %zu failure%s\n", check.counts[CHECK_OK],
               check.counts[CHECK_WARNING], check.counts[CHECK_WARNING] == 1 ? "" : "s",
               check.counts[CHECK_FAILURE], check.counts[CHECK_FAILURE] == 1 ? "" : "s");
        json_object_put(check.findings);
    }
    free(check.user);
    return ok ? CTL_OK : CTL_TROUBLE;
}

static const struct ctl_option options[] = {
    {"offline", 0, NULL, "ask no name server, no API and no TPSP"},
    {"no-postfix", 0, NULL, "leave Postfix's own settings out"},
    {"postfix-config", 0, "DIR", "Postfix's configuration directory (that of postconf)"},
    {.name = NULL},
};

const struct ctl_command ctl_check = {
    .name = "check",
    .synopsis = "[--offline] [--no-postfix] [--postfix-config DIR]",
    .summary = "Look at configuration, permissions, state, network and Postfix, try each TPSP, with a remedy "
               "for what is wrong",
    .examples = "  sendpostctl check\n"
                "  sendpostctl check --json | jq '.checks[] | select(.status != \"ok\")'\n"
                "  sendpostctl -c /etc/postfix-sendpost/new.yaml check --offline --no-postfix\n"
                "  sendpostctl check --postfix-config /etc/postfix-out\n",
    .options = options,
    .stays_root = true,
    .run = run,
};
