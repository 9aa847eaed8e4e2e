#include "ctl/postfix_conf.h"

#include <ctype.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/postconf.h"
#include "base/run.h"
#include "base/xalloc.h"

const struct postfix_kind postfix_outgoing = {
    .program = "sendpost-pipe",
    .name = "sendpost",
    .maxproc = "50",
    .argv = "-q ${queue_id} -p ${nexthop} -f ${sender} -- ${recipient}",
};

const struct postfix_kind postfix_bounces = {
    .program = "sendpost-bounce",
    .name = "sendpost-bounce",
    .maxproc = "10",
    .argv = "-q ${queue_id} -f ${sender} -- ${recipient}",
};

/* program [-c directory] options… */
static bool call(struct run *run, const char *program, const char *directory, const char *const options[])
{
    const char *argv[8] = {program};
    size_t count = 1;

    if (directory != NULL) {
        argv[count++] = "-c";
        argv[count++] = directory;
    }
    for (; *options != NULL && count < 7; options++)
        argv[count++] = *options;
    argv[count] = NULL;
    return run_program(run, argv);
}

/* The next word of a line, *rest behind it and its blanks; NULL at the end. Cuts the line up. */
static char *word(char **rest)
{
    char *start = *rest + strspn(*rest, " \t");

    if (*start == '\0')
        return NULL;
    char *end = start + strcspn(start, " \t");
    *rest = end;
    if (*end != '\0') {
        *end = '\0';
        *rest = end + 1 + strspn(end + 1, " \t");
    }
    return start;
}

/* "argv=" at the start of a word. */
static char *find_argv(char *arguments)
{
    for (char *at = arguments; (at = strstr(at, "argv=")) != NULL; at++)
        if (at == arguments || isspace((unsigned char)at[-1]))
            return at;
    return NULL;
}

static void add_transport(struct postfix_transports *transports, const char *wanted, char *line)
{
    char *columns[8], *rest = line; /* service type private unpriv chroot wakeup maxproc command */

    for (size_t i = 0; i < 8; i++)
        if ((columns[i] = word(&rest)) == NULL)
            return;
    char *argv = find_argv(rest);
    if (strcmp(columns[1], "unix") != 0 || strcmp(columns[7], "pipe") != 0 || argv == NULL)
        return;
    AUTO_FREE char *program = xstrndup(argv, strcspn(argv, " "));
    const char *slash = strrchr(program, '/');
    if (slash == NULL || strcmp(slash + 1, wanted) != 0)
        return;
    transports->items = xrealloc(transports->items, (transports->count + 1) * sizeof transports->items[0]);
    transports->items[transports->count++] = (struct postfix_transport){
        .name = xstrdup(columns[0]),
        .unprivileged = xstrdup(columns[3]),
        .chroot = xstrdup(columns[4]),
        .maxproc = xstrdup(columns[6]),
        .arguments = xstrndup(rest, (size_t)(argv - rest)),
        .argv = xstrdup(argv + strlen("argv=")),
    };
}

bool postfix_transports(const char *directory, const struct postfix_kind *kind,
                        struct postfix_transports *transports_r, char **why_r)
{
    struct run run;
    /* -f would fold long lines; without it each service is one line */
    bool ok = call(&run, "postconf", directory, (const char *const[]){"-M", NULL});

    *transports_r = (struct postfix_transports){0};
    if (ok) {
        char *rest = run.out, *line;
        while ((line = strsep(&rest, "\n")) != NULL)
            add_transport(transports_r, kind->program, line);
    } else if (why_r != NULL) {
        *why_r = run.status == 127 ? xstrdup("there is no postconf(1) here")
                                   : xasprintf("postconf -M: %.300s", run.err);
    }
    run_free(&run);
    return ok;
}

void postfix_transports_free(struct postfix_transports *transports)
{
    for (size_t i = 0; i < transports->count; i++) {
        struct postfix_transport *transport = &transports->items[i];
        free(transport->name);
        free(transport->unprivileged);
        free(transport->chroot);
        free(transport->maxproc);
        free(transport->arguments);
        free(transport->argv);
    }
    free(transports->items);
    *transports = (struct postfix_transports){0};
}

char *postfix_user_words(const struct postfix_transport *transport, char **group_r)
{
    char *user = postfix_attribute(transport, "user"), *colon = user != NULL ? strchr(user, ':') : NULL;

    /* "NAME:" is NAME for pipe(8), too */
    *group_r = colon != NULL && colon[1] != '\0' ? xstrdup(colon + 1) : NULL;
    if (colon != NULL)
        *colon = '\0';
    return user;
}

static bool find_user(const struct postfix_transport *transport, struct postfix_user *user_r)
{
    AUTO_FREE char *group_name = NULL;
    char *name = postfix_user_words(transport, &group_name);
    const struct passwd *user = name != NULL ? getpwnam(name) : NULL;
    const struct group *group = group_name != NULL ? getgrnam(group_name) : NULL;

    if (user == NULL || (group_name != NULL && group == NULL)) {
        free(name);
        return false;
    }
    *user_r = (struct postfix_user){.name = name, .group = group != NULL ? group->gr_gid : user->pw_gid};
    return true;
}

bool postfix_user(const char *directory, struct postfix_user *user_r)
{
    static const struct postfix_kind *const kinds[] = {&postfix_outgoing, &postfix_bounces};
    bool found = false, readable = true;

    *user_r = (struct postfix_user){0};
    for (size_t i = 0; readable && !found && i < sizeof kinds / sizeof kinds[0]; i++) {
        struct postfix_transports transports;
        readable = postfix_transports(directory, kinds[i], &transports, NULL);
        found = transports.count > 0 && find_user(&transports.items[0], user_r);
        postfix_transports_free(&transports);
    }
    return found;
}

char *postfix_attribute(const struct postfix_transport *transport, const char *name)
{
    AUTO_FREE char *copy = xstrdup(transport->arguments);
    size_t length = strlen(name);
    char *rest = copy, *each;

    while ((each = word(&rest)) != NULL)
        if (strncmp(each, name, length) == 0 && each[length] == '=')
            return xstrdup(each + length + 1);
    return NULL;
}

/* Macro braces away: ${x}, $(x) and $x become $x. */
static char *plain(const char *text)
{
    char *copy = xcalloc(1, strlen(text) + 1), *to = copy;

    for (; *text != '\0'; text++)
        if (strchr("{}()", *text) == NULL)
            *to++ = *text;
    return copy;
}

bool postfix_argv_has(const struct postfix_transport *transport, const char *wanted)
{
    AUTO_FREE char *argv = plain(transport->argv), *want = plain(wanted);
    size_t length = strlen(want);

    for (const char *at = argv; (at = strstr(at, want)) != NULL; at++)
        if (!isalnum((unsigned char)at[length]) && at[length] != '_')
            return true;
    return false;
}

char *postfix_parameter(const char *directory, const char *name)
{
    char *value;

    postconf_values(directory, &name, 1, &value);
    return value;
}

bool postfix_routes_to(const char *value, const char *name)
{
    size_t length = strlen(name);

    return strncmp(value, name, length) == 0 && (value[length] == '\0' || value[length] == ':');
}

char *postfix_lookup(const char *directory, const char *parameter, const char *key)
{
    AUTO_FREE char *value = postfix_parameter(directory, parameter);
    char *rest = value, *each;

    if (value == NULL || strchr(value, '{') != NULL)
        return NULL;
    while ((each = strsep(&rest, ", \t")) != NULL) {
        struct run run = {.out = NULL};
        if (strcasecmp(each, key) == 0)
            return xstrdup(key);
        if (strchr(each, ':') == NULL)
            continue;
        const char *const options[] = {"-q", key, each, NULL};
        char *found = call(&run, "postmap", directory, options) ? xstrdup(run.out) : NULL;
        run_free(&run);
        if (found != NULL)
            return found;
    }
    return NULL;
}

/*
 * A parameter of a transport that is not there is unknown to postconf, which tells of it in a warning only:
 * "postconf: warning: FILE: unused parameter: NAME=VALUE".
 */
char *postfix_parameter_set(const char *directory, const char *name)
{
    struct run run;
    bool ok = call(&run, "postconf", directory, (const char *const[]){"-n", name, NULL});
    AUTO_FREE char *unused = xasprintf("unused parameter: %s=", name);
    const char *equals = ok ? strstr(run.out, " =") : NULL, *warning = ok ? strstr(run.err, unused) : NULL;
    char *value = NULL;

    if (equals != NULL)
        value = xstrdup(equals + 2 + strspn(equals + 2, " "));
    else if (warning != NULL)
        value = xstrndup(warning + strlen(unused), strcspn(warning + strlen(unused), "\n"));
    run_free(&run);
    return value;
}

bool postfix_service_exists(const char *directory, const char *name)
{
    struct run run;
    AUTO_FREE char *service = xasprintf("%s/unix", name);
    bool exists =
        call(&run, "postconf", directory, (const char *const[]){"-M", service, NULL}) && run.out[0] != '\0';

    run_free(&run);
    return exists;
}

bool postfix_edit(const char *directory, const char *verb, const char *what, char **why_r)
{
    struct run run;
    bool ok = call(&run, "postconf", directory, (const char *const[]){verb, what, NULL});

    if (!ok)
        *why_r = run.status == 127 ? xstrdup("there is no postconf(1) here")
                                   : xasprintf("postconf %s: %.300s", verb, run.err);
    run_free(&run);
    return ok;
}

char *postfix_time_limit(const char *directory, const struct postfix_transport *transport)
{
    AUTO_FREE char *name = xasprintf("%s_time_limit", transport->name);
    char *value = postfix_attribute(transport, name); /* as in -o NAME_time_limit=… */

    if (value == NULL)
        value = postfix_parameter(directory, name);
    if (value == NULL)
        value = postfix_parameter(directory, "command_time_limit");
    return value;
}

int64_t postfix_seconds(const char *text)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'\0', 1}, {'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
    char *end;
    long long value = strtoll(text, &end, 10);

    if (end == text || value < 0 || value > 1000000000 || (*end != '\0' && end[1] != '\0'))
        return -1;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (units[i].unit == *end)
            return value * units[i].seconds;
    return -1;
}
