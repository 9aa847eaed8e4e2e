/* How the answers of setup become files: staged, checked, and only then put in place. See setup.h. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/uuid_proof.h"
#include "base/xalloc.h"
#include "ctl/setup_text.h"

char *setup_path(const struct setup *setup, const char *name)
{
    AUTO_FREE char *copy = xstrdup(setup->ctl->config_path);
    AUTO_FREE char *directory = realpath(dirname(copy), NULL);

    if (directory == NULL) { /* not there yet; setup_stage() makes it */
        free(copy);
        copy = xstrdup(setup->ctl->config_path);
        return xasprintf("%s/%s", dirname(copy), name);
    }
    return xasprintf("%s/%s", directory, name);
}

/* The files in the order in which they are put in place, the configuration last. Missing ones have no path.
 */
enum { PASSWORD, CLIENT_SECRET, REFRESH_TOKEN, API_KEY, UUID_KEY, CONFIGURATION, FILES };
struct setup_files {
    char *paths[FILES], *staged[FILES]; /* staged: NULL where there is nothing to write */
};

static bool exists(const char *path)
{
    struct stat status;

    return lstat(path, &status) == 0;
}

static bool is_given(const struct setup *setup, enum setup_question which)
{
    return *setup->answers[which] != '\0';
}

static char *path_of_secret(const struct setup *setup, const char *kind)
{
    AUTO_FREE char *name = xasprintf("%s.%s", setup->answers[SETUP_NAME], kind);

    return setup_path(setup, name);
}

/* The secret of the client, which may be that of the section that is changed. */
static const char *client_secret(const struct setup *setup)
{
    const struct config_oauth *before = setup_oauth_before(setup);

    return is_given(setup, SETUP_CLIENT_SECRET) ? setup->answers[SETUP_CLIENT_SECRET]
           : before != NULL                     ? before->client_secret
                                                : NULL;
}

/* What is there of the tokens is left alone where no answer changes it; a first login may come later. */
static void list_oauth(const struct setup *setup, struct setup_files *files)
{
    const struct config_oauth *before = setup_oauth_before(setup);

    if (!setup_uses_oauth(setup) || !setup_oauth_differs(setup))
        return;
    if (client_secret(setup) != NULL)
        files->paths[CLIENT_SECRET] = path_of_secret(setup, "client-secret");
    if (before != NULL && before->refresh_token_path != NULL)
        files->paths[REFRESH_TOKEN] = xstrdup(before->refresh_token_path);
    else if (setup_can_log_in(setup) || is_given(setup, SETUP_REFRESH_TOKEN))
        files->paths[REFRESH_TOKEN] = path_of_secret(setup, "refresh-token");
}

/* A key that is there stays: mail under way has UUIDs of it. */
static bool is_written(const struct setup *setup, const struct setup_files *files, size_t which)
{
    return files->paths[which] != NULL && (which != UUID_KEY || !exists(files->paths[which])) &&
           (which != REFRESH_TOKEN || is_given(setup, SETUP_REFRESH_TOKEN));
}

static struct setup_files *list_files(const struct setup *setup)
{
    struct setup_files *files = xcalloc(1, sizeof *files);
    AUTO_FREE char *copy = xstrdup(setup->ctl->config_path);

    if (is_given(setup, SETUP_PASSWORD) && !setup_uses_oauth(setup))
        files->paths[PASSWORD] = path_of_secret(setup, "password");
    list_oauth(setup, files);
    if (is_given(setup, SETUP_API_KEY))
        files->paths[API_KEY] = setup_path(setup, SETUP_API_KEY_FILE);
    files->paths[UUID_KEY] = setup_path(setup, SETUP_UUID_KEY_FILE);
    files->paths[CONFIGURATION] = setup_path(setup, basename(copy));
    for (size_t i = 0; i < FILES; i++)
        if (is_written(setup, files, i))
            files->staged[i] = xasprintf("%s.new", files->paths[i]);
    return files;
}

static void forget_files(struct setup *setup)
{
    setup_interrupt_removes(NULL, 0);
    for (size_t i = 0; i < FILES; i++) {
        free(setup->files->paths[i]);
        free(setup->files->staged[i]);
    }
    free(setup->files);
    setup->files = NULL;
}

/* --- owners and directories -------------------------------------------------------------------- */

static const struct passwd *delivery_user(const struct setup *setup)
{
    return geteuid() == 0 ? getpwnam(setup->user) : NULL;
}

/* As root, root's with the group of the delivery user; else our own. */
static bool give(const struct setup *setup, int file, mode_t group_mode, mode_t own_mode)
{
    const struct passwd *user = delivery_user(setup);

    if (user == NULL)
        return fchmod(file, own_mode) == 0;
    return fchown(file, 0, setup->group) == 0 && fchmod(file, group_mode) == 0;
}

void setup_become_user(const struct setup *setup)
{
    const struct passwd *user = delivery_user(setup);

    /* root needs no groups, and needs none back */
    if (user != NULL &&
        (setgroups(1, &setup->group) != 0 || setegid(setup->group) != 0 || seteuid(user->pw_uid) != 0))
        ctl_fail(setup->ctl, "cannot act as %s: %s", setup->user, strerror(errno));
}

void setup_become_root(void)
{
    if (getuid() == 0 && (seteuid(0) != 0 || setegid(0) != 0))
        abort(); /* what is written now would be another's */
}

static bool make_directory(const struct setup *setup, const char *path, bool of_user)
{
    const struct passwd *user = delivery_user(setup);

    if (mkdir(path, 0700) != 0)
        return errno == EEXIST ||
               ctl_fail(setup->ctl, "cannot create %s: %s", path, strerror(errno)) == CTL_OK;
    if (user != NULL &&
        (chown(path, of_user ? user->pw_uid : 0, setup->group) != 0 || chmod(path, 0750) != 0))
        return ctl_fail(setup->ctl, "cannot give %s to %s: %s", path, setup->user, strerror(errno)) == CTL_OK;
    return true;
}

static bool make_directories(const struct setup *setup)
{
    AUTO_FREE char *copy = xstrdup(setup->ctl->config_path);

    return make_directory(setup, dirname(copy), false) &&
           make_directory(setup, setup->answers[SETUP_STATE_DIR], true);
}

/* --- contents -------------------------------------------------------------------------------------- */

static bool write_file(const struct setup *setup, const char *path, const char *text, const char *end)
{
    unlink(path);
    AUTO_CLOSE int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text) &&
        write(file, end, strlen(end)) == (ssize_t)strlen(end) && give(setup, file, 0640, 0600) &&
        fsync(file) == 0)
        return true;
    ctl_fail(setup->ctl, "cannot write %s: %s", path, strerror(errno));
    return false;
}

bool setup_write_secret(const struct setup *setup, const char *path, const char *secret)
{
    return write_file(setup, path, secret, "\n");
}

bool setup_replace(const struct setup *setup, const char *from, const char *to)
{
    if (rename(from, to) == 0)
        return true;
    ctl_fail(setup->ctl, "cannot put %s in place: %s", to, strerror(errno));
    return false;
}

static bool write_configuration(const struct setup *setup, const char *path, char *const secrets[FILES])
{
    AUTO_FREE char *text = setup_text(setup, &(struct setup_secrets){.password = secrets[PASSWORD],
                                                                     .client_secret = secrets[CLIENT_SECRET],
                                                                     .refresh_token = secrets[REFRESH_TOKEN],
                                                                     .api_key = secrets[API_KEY],
                                                                     .uuid_key = secrets[UUID_KEY]});

    if (text != NULL)
        return write_file(setup, path, text, "");
    ctl_fail(setup->ctl,
             "%s is laid out in a way that cannot be changed here: change it by hand, or let --force write "
             "it anew",
             setup->ctl->config_path);
    return false;
}

static bool write_uuid_key(const struct setup *setup, const char *path)
{
    char digits[UUID_KEY_DIGITS + 1];

    uuid_key_random(digits);
    bool ok = write_file(setup, path, digits, "\n");
    explicit_bzero(digits, sizeof digits);
    return ok;
}

static bool write_staged(const struct setup *setup, const struct setup_files *files)
{
    const char *const secrets[] = {[PASSWORD] = setup->answers[SETUP_PASSWORD],
                                   [CLIENT_SECRET] = client_secret(setup),
                                   [REFRESH_TOKEN] = setup->answers[SETUP_REFRESH_TOKEN],
                                   [API_KEY] = setup->answers[SETUP_API_KEY]};
    /* the configuration that is tried names what is there now */
    char *names[FILES];

    for (size_t i = 0; i < FILES; i++)
        names[i] = files->staged[i] != NULL ? files->staged[i] : files->paths[i];
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++)
        if (files->staged[i] != NULL && !write_file(setup, files->staged[i], secrets[i], "\n"))
            return false;
    return (files->staged[UUID_KEY] == NULL || write_uuid_key(setup, files->staged[UUID_KEY])) &&
           write_configuration(setup, files->staged[CONFIGURATION], names);
}

/* --- stage, commit, discard -------------------------------------------------------------------------- */

/* What was changed in a text must say what was answered, or it was not understood. */
static bool says_so(const struct setup *setup, const struct config *config)
{
    const struct config_tpsp *tpsp = config_tpsp_by_name(config, setup->answers[SETUP_NAME]);

    if (setup->old == NULL ||
        (tpsp != NULL && strcasecmp(tpsp->host, setup->answers[SETUP_HOST]) == 0 &&
         tpsp->port == atoi(setup->answers[SETUP_PORT]) &&
         strcmp(tpsp->username != NULL ? tpsp->username : "", setup->answers[SETUP_USERNAME]) == 0 &&
         config->account_id == atoll(setup->answers[SETUP_ACCOUNT_ID]) &&
         config->tpsp_count == setup->old->tpsp_count + (setup->adds ? 1 : 0)))
        return true;
    ctl_fail(setup->ctl, "%s could not be changed here; change it by hand, or let --force write it anew",
             setup->ctl->config_path);
    return false;
}

struct config *setup_stage(struct setup *setup)
{
    struct config *config = NULL;
    struct outcome error;

    if (!make_directories(setup) || !setup_lock(setup))
        return NULL;
    setup->files = list_files(setup);
    setup_interrupt_removes(setup->files->staged, FILES);
    if (write_staged(setup, setup->files) &&
        (config = config_load(setup->files->staged[CONFIGURATION], &error)) == NULL)
        ctl_fail(setup->ctl, "%s", error.text);
    if (config != NULL && !says_so(setup, config)) {
        config_free(config);
        config = NULL;
    }
    if (config == NULL)
        setup_discard(setup);
    for (size_t i = 0; config != NULL && i < config->tpsp_count; i++)
        config->tpsps[i].oauth.tried = true;
    return config;
}

bool setup_commit(struct setup *setup)
{
    const struct setup_files *files = setup->files;
    AUTO_FREE char *backup = xasprintf("%s.old", files->paths[CONFIGURATION]);
    sigset_t signals;

    setup_interrupt_wait(&signals); /* the old secrets with the new configuration would be neither */
    /* now with the secrets' final names; the old configuration stays beside the new one */
    bool ok = write_configuration(setup, files->staged[CONFIGURATION], files->paths) &&
              (unlink(backup) == 0 || errno == ENOENT) &&
              (link(files->paths[CONFIGURATION], backup) == 0 || errno == ENOENT);

    for (size_t i = 0; ok && i < FILES; i++)
        ok = files->staged[i] == NULL || rename(files->staged[i], files->paths[i]) == 0;
    if (!ok) {
        ctl_fail(setup->ctl, "cannot put %s in place: %s", files->paths[CONFIGURATION], strerror(errno));
        setup_discard(setup);
    } else {
        forget_files(setup);
    }
    setup_interrupt_go_on(&signals);
    return ok;
}

/* What was staged, whatever has been answered since, or has not: the input may have ended. */
void setup_discard(struct setup *setup)
{
    for (size_t i = 0; i < FILES; i++)
        if (setup->files->staged[i] != NULL)
            unlink(setup->files->staged[i]);
    forget_files(setup);
}
