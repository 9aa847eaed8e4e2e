/*
 * sendpostctl check: whether what Postfix routes mail to is there. A transport that master.cf does not have
 * keeps its mail in the queue, and Postfix says so in its log alone.
 */
#include <stdlib.h>
#include <string.h>

#include "base/run.h"
#include "base/xalloc.h"
#include "ctl/check.h"

#define NAMED_MAX 20 /* of what is wrong in one table */

/* "NAME:nexthop", "NAME:", "NAME"; "" and ":nexthop" leave the transport as it is. */
static void look_target(struct check *check, const char *directory, const char *where, const char *value)
{
    AUTO_FREE char *name = xstrndup(value, strcspn(value, ": \t"));

    if (*name == '\0' || strchr(name, '[') != NULL || strchr(name, '.') != NULL ||
        postfix_service_exists(directory, name))
        return;
    AUTO_FREE char *remedy = xasprintf("sendpostctl postfix install --name %s, or correct %s", name, where);
    check_say(check, CHECK_FAILURE, remedy,
              "%s leads to %s, but master.cf has no transport %s: this mail stays in the queue", where, value,
              name);
}

static void look_parameters(struct check *check, const char *directory)
{
    static const char *const parameters[] = {"default_transport", "relay_transport", "local_transport",
                                             "virtual_transport", "mailbox_transport"};

    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++) {
        AUTO_FREE char *value = postfix_parameter(directory, parameters[i]);
        if (value != NULL && *value != '\0')
            look_target(check, directory, parameters[i], value);
    }
}

/* What "postmap -s" lists: key, blank, value. */
static void look_table(struct check *check, const char *directory, const char *table)
{
    struct run run;
    const char *const argv[] = {"postmap", "-c",  directory != NULL ? directory : "/etc/postfix",
                                "-s",      table, NULL};
    size_t before = check->counts[CHECK_FAILURE];

    if (run_program(&run, argv)) {
        char *rest = run.out, *line;
        while ((line = strsep(&rest, "\n")) != NULL && check->counts[CHECK_FAILURE] < before + NAMED_MAX) {
            size_t key = strcspn(line, " \t");
            const char *value = line + key + strspn(line + key, " \t");
            AUTO_FREE char *where = xasprintf("%.*s in %s", (int)key, line, table);
            look_target(check, directory, where, value);
        }
    }
    run_free(&run);
}

/* Only files can be listed; servers and databases are asked a key at a time. */
static bool is_file(const char *table)
{
    static const char *const types[] = {"hash:", "btree:", "lmdb:", "texthash:", "cdb:", "dbm:"};

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strncmp(table, types[i], strlen(types[i])) == 0)
            return true;
    return false;
}

void check_route_targets(struct check *check, const char *directory)
{
    static const char *const maps[] = {"transport_maps", "sender_dependent_default_transport_maps"};

    check->subject = "routes";
    look_parameters(check, directory);
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        AUTO_FREE char *value = postfix_parameter(directory, maps[i]);
        char *rest = value, *table;
        while (rest != NULL && (table = strsep(&rest, ", \t")) != NULL)
            if (is_file(table))
                look_table(check, directory, table);
    }
    check->subject = "postfix";
}
