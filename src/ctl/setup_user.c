/* Who delivers, for setup: whose group may read what is written, and what another user than the packages'
 * needs besides. See setup.h. */
#include <libgen.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "ctl/other_user.h"
#include "ctl/postfix_conf.h"
#include "ctl/setup.h"

/* The owner of the state directory of the configuration that is there; NULL: root's, or not known. */
static const struct passwd *owner_of_state(const char *config_path)
{
    struct outcome ignored;
    struct config *config = config_load(config_path, &ignored);
    struct stat status;
    const struct passwd *owner = config != NULL && stat(config->state_dir, &status) == 0 && status.st_uid != 0
                                     ? getpwuid(status.st_uid)
                                     : NULL;

    config_free(config);
    return owner;
}

/* A configuration that is there has the group of whom it is for. */
static void find_without_postfix(struct setup *setup)
{
    const struct passwd *owner = owner_of_state(setup->ctl->config_path);
    struct stat status;

    setup->user = xstrdup(owner != NULL ? owner->pw_name : OTHER_USER_NOT);
    const struct passwd *user = getpwnam(setup->user);
    setup->group = stat(setup->ctl->config_path, &status) == 0 && status.st_gid != 0 ? status.st_gid
                   : user != NULL                                                    ? user->pw_gid
                                                                                     : 0;
}

bool setup_find_user(struct setup *setup)
{
    const char *given = ctl_option(setup->ctl, "user");
    struct postfix_user named;
    bool known = postfix_user(ctl_option(setup->ctl, "postfix-config"), &named);

    if (known && (given == NULL || strcmp(given, named.name) == 0)) {
        setup->user = named.name;
        setup->group = named.group;
        return true;
    }
    if (known)
        free(named.name);
    if (given == NULL)
        find_without_postfix(setup);
    else
        setup->user = xstrdup(given);
    const struct passwd *user = getpwnam(setup->user);
    if (given != NULL && user != NULL)
        setup->group = user->pw_gid;
    if (geteuid() != 0 || user != NULL)
        return true;
    ctl_fail(setup->ctl, "there is no user \"%s\" to deliver as; create it, or name another with --user",
             setup->user);
    return false;
}

static bool may(const struct setup *setup, const char *path, int what)
{
    setup_become_user(setup);
    bool allowed = eaccess(path, what) == 0;
    setup_become_root();
    return allowed;
}

static void give_to_group(const struct setup *setup, const char *path, int what, mode_t mode)
{
    struct stat status;

    if (may(setup, path, what) || lstat(path, &status) != 0 || S_ISLNK(status.st_mode) || status.st_uid != 0)
        return;
    if (chown(path, 0, setup->group) == 0 && chmod(path, mode) == 0 && may(setup, path, what))
        printf("%s is given to the group of %s.\n", path, setup->user);
}

bool setup_open_to_user(const struct setup *setup)
{
    AUTO_FREE char *copy = xstrdup(setup->ctl->config_path);
    AUTO_FREE char *key = setup_path(setup, SETUP_UUID_KEY_FILE);
    struct outcome error;

    if (geteuid() != 0)
        return true;
    give_to_group(setup, dirname(copy), X_OK, 0750);
    give_to_group(setup, key, R_OK, 0640);
    setup_become_user(setup);
    struct config *config = config_load(setup->ctl->config_path, &error);
    setup_become_root();
    if (config == NULL) {
        ctl_fail(setup->ctl, "mail waits, for %s, who delivers, cannot use it: %s", setup->user, error.text);
        return false;
    }
    config_free(config);
    return true;
}

void setup_tell_user(const struct setup *setup)
{
    if (geteuid() != 0)
        return;
    AUTO_FREE char *lasts = other_user_remedy(setup->user, setup->answers[SETUP_STATE_DIR]);
    if (lasts != NULL)
        printf("Deliveries run as %s: %s\n", setup->user, lasts);
}
