/* How the answers of setup become files: staged, checked, and only then put in place. See setup.h. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "ctl/setup.h"

#define API_KEY_FILE "event-api-key"

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

/* The three files, the configuration last. Missing ones have no path. */
struct files {
    char *paths[3], *staged[3];
};

static struct files list_files(const struct setup *setup)
{
    struct files files = {{NULL}, {NULL}};
    AUTO_FREE char *password = xasprintf("%s.password", setup->answers[SETUP_NAME]);
    AUTO_FREE char *copy = xstrdup(setup->ctl->config_path);

    if (*setup->answers[SETUP_PASSWORD] != '\0')
        files.paths[0] = setup_path(setup, password);
    if (*setup->answers[SETUP_API_KEY] != '\0')
        files.paths[1] = setup_path(setup, API_KEY_FILE);
    files.paths[2] = setup_path(setup, basename(copy));
    for (size_t i = 0; i < 3; i++)
        files.staged[i] = files.paths[i] == NULL ? NULL : xasprintf("%s.new", files.paths[i]);
    return files;
}

static void free_files(struct files *files)
{
    for (size_t i = 0; i < 3; i++) {
        free(files->paths[i]);
        free(files->staged[i]);
    }
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
    return fchown(file, 0, user->pw_gid) == 0 && fchmod(file, group_mode) == 0;
}

static bool make_directory(const struct setup *setup, const char *path, bool of_user)
{
    const struct passwd *user = delivery_user(setup);

    if (mkdir(path, 0700) != 0)
        return errno == EEXIST ||
               ctl_fail(setup->ctl, "cannot create %s: %s", path, strerror(errno)) == CTL_WELL;
    if (user != NULL &&
        (chown(path, of_user ? user->pw_uid : 0, user->pw_gid) != 0 || chmod(path, 0750) != 0))
        return ctl_fail(setup->ctl, "cannot give %s to %s: %s", path, setup->user, strerror(errno)) ==
               CTL_WELL;
    return true;
}

static bool make_directories(const struct setup *setup)
{
    AUTO_FREE char *copy = xstrdup(setup->ctl->config_path);

    return make_directory(setup, dirname(copy), false) &&
           make_directory(setup, setup->answers[SETUP_STATE_DIR], true);
}

/* --- contents -------------------------------------------------------------------------------------- */

/* A JSON string is a YAML double-quoted one. */
static void write_quoted(FILE *stream, const char *key, const char *value)
{
    struct json_object *json = json_object_new_string(value);

    fprintf(stream, "%s: %s\n", key,
            json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(json);
}

static char *render(const struct setup *setup, char *const paths[3])
{
    char *const *answers = setup->answers;
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    if (stream == NULL)
        return NULL;
    fprintf(stream,
            "# Written by sendpostctl setup; postfix-sendpost.yaml(5) explains every key.\n"
            "account-id: %s\nsubaccount-id: %s\n",
            answers[SETUP_ACCOUNT_ID], answers[SETUP_SUBACCOUNT_ID]);
    write_quoted(stream, "state-dir", answers[SETUP_STATE_DIR]);
    write_quoted(stream, "endpoint", answers[SETUP_ENDPOINT]);
    if (paths[1] != NULL)
        write_quoted(stream, "api-key-file", paths[1]);
    if (setup->log_path != NULL)
        write_quoted(stream, "log-path", setup->log_path);
    fputs("tpsps:\n", stream);
    write_quoted(stream, "  - name", answers[SETUP_NAME]);
    if (*answers[SETUP_TPSP_ID] != '\0')
        fprintf(stream, "    id: %s\n", answers[SETUP_TPSP_ID]);
    write_quoted(stream, "    host", answers[SETUP_HOST]);
    fprintf(stream, "    port: %s\n    security: %s\n", answers[SETUP_PORT], answers[SETUP_SECURITY]);
    if (*answers[SETUP_USERNAME] != '\0')
        write_quoted(stream, "    username", answers[SETUP_USERNAME]);
    if (paths[0] != NULL)
        write_quoted(stream, "    password-file", paths[0]);
    fprintf(stream, "    max-rate-per-hour: %s\n", answers[SETUP_MAX_RATE]);
    fclose(stream);
    return text;
}

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

static bool write_configuration(const struct setup *setup, const char *path, char *const secrets[3])
{
    AUTO_FREE char *text = render(setup, secrets);

    return text != NULL && write_file(setup, path, text, "");
}

static bool write_staged(const struct setup *setup, const struct files *files)
{
    return (files->staged[0] == NULL ||
            write_file(setup, files->staged[0], setup->answers[SETUP_PASSWORD], "\n")) &&
           (files->staged[1] == NULL ||
            write_file(setup, files->staged[1], setup->answers[SETUP_API_KEY], "\n")) &&
           write_configuration(setup, files->staged[2], files->staged);
}

/* --- stage, commit, discard -------------------------------------------------------------------------- */

struct config *setup_stage(const struct setup *setup)
{
    struct config *config = NULL;
    struct outcome error;

    if (!make_directories(setup))
        return NULL;
    struct files files = list_files(setup);
    if (write_staged(setup, &files) && (config = config_load(files.staged[2], &error)) == NULL)
        ctl_fail(setup->ctl, "%s", error.text);
    free_files(&files);
    if (config == NULL)
        setup_discard(setup);
    return config;
}

bool setup_commit(const struct setup *setup)
{
    struct files files = list_files(setup);
    AUTO_FREE char *backup = xasprintf("%s.old", files.paths[2]);
    /* now with the secrets' final names; the old configuration stays beside the new one */
    bool ok = write_configuration(setup, files.staged[2], files.paths) &&
              (unlink(backup) == 0 || errno == ENOENT) &&
              (link(files.paths[2], backup) == 0 || errno == ENOENT);

    for (size_t i = 0; ok && i < 3; i++)
        ok = files.staged[i] == NULL || rename(files.staged[i], files.paths[i]) == 0;
    if (!ok)
        ctl_fail(setup->ctl, "cannot put %s in place: %s", files.paths[2], strerror(errno));
    free_files(&files);
    return ok;
}

void setup_discard(const struct setup *setup)
{
    struct files files = list_files(setup);

    for (size_t i = 0; i < 3; i++)
        if (files.staged[i] != NULL)
            unlink(files.staged[i]);
    free_files(&files);
}
