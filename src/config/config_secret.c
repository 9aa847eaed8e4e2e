/*
 * Secrets, inline or from a file of their own. Nothing here ever quotes a value: a path is shown only when it
 * is absolute, so a password that was written where its path belongs stays out of messages, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "config/config_values.h"

#define SECRET_MAX 16384 /* OAuth tokens reach a few kilobytes */

CONFIG_READER(config_read_secret)
{
    if (!config_read_text(reader, place, node, key, field))
        return false;
    if (strlen(*(char **)field) > SECRET_MAX)
        return config_fail(reader, place, node, "is longer than %d bytes", SECRET_MAX);
    if (reader->inline_secret_line == 0)
        reader->inline_secret_line = node->start_mark.line + 1;
    return true;
}

static bool read_all(int file, char *buffer, size_t size, size_t *length_r)
{
    size_t length = 0;
    ssize_t got;

    while (length < size && (got = read(file, buffer + length, size - length)) != 0) {
        if (got < 0 && errno != EINTR)
            return false;
        length += got > 0 ? (size_t)got : 0;
    }
    *length_r = length;
    return true;
}

/* One line end after the secret is what editors leave; any other control character is a wrong file. */
static bool accept_secret(struct config_reader *reader, const struct config_place *place,
                          const yaml_node_t *node, const char *path, const char *text, size_t length,
                          char **secret_r)
{
    if (length > SECRET_MAX)
        return config_fail(reader, place, node, "%s holds more than %d bytes: this is no secret", path,
                           SECRET_MAX);
    if (length > 0 && text[length - 1] == '\n')
        length--;
    if (length == 0)
        return config_fail(reader, place, node, "%s is empty; write the secret into it", path);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 127)
            return config_fail(reader, place, node,
                               "%s holds a %s inside the secret; it must be one line with a plain line end",
                               path,
                               text[i] == '\r'   ? "carriage return"
                               : text[i] == '\n' ? "second line"
                                                 : "control character");
    *secret_r = xstrndup(text, length);
    return true;
}

/* A regular file that can be read, and, where it is private, not by others. -1 after config_fail(). */
static int open_file(struct config_reader *reader, const struct config_place *place, const yaml_node_t *node,
                     const char *path, bool is_private, struct stat *status_r)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (file < 0 && errno == EACCES)
        config_fail(reader, place, node,
                    "%s cannot be read by uid %ld; chgrp it to the group of that user and chmod 640 it", path,
                    (long)geteuid());
    else if (file < 0 || fstat(file, status_r) != 0)
        config_fail(reader, place, node, "cannot open %s: %s", path, strerror(errno));
    else if (!S_ISREG(status_r->st_mode))
        config_fail(reader, place, node, "%s is not a regular file", path);
    else if (is_private && (status_r->st_mode & 07) != 0)
        config_fail(reader, place, node, "%s is open to others (mode %04o); chmod o= %s", path,
                    (unsigned)status_r->st_mode & 07777, path);
    else
        return file;
    if (file >= 0)
        close(file);
    return -1;
}

/* The file's bytes, length of them; false when it cannot be had, or others can read it. */
static bool read_private_file(struct config_reader *reader, const struct config_place *place,
                              const yaml_node_t *node, const char *path, char text_r[SECRET_MAX + 1],
                              size_t *length_r)
{
    struct stat status;
    AUTO_CLOSE int file = open_file(reader, place, node, path, true, &status);

    if (file < 0)
        return false;
    if (!read_all(file, text_r, SECRET_MAX + 1, length_r))
        return config_fail(reader, place, node, "cannot read %s: %s", path, strerror(errno));
    config_note_source(reader, path, &status);
    return true;
}

/* A file that a library of ours reads later: it must be there, and a change of it is one of the
 * configuration. */
static bool note_file(struct config_reader *reader, const struct config_place *place, const yaml_node_t *node,
                      const char *path, bool is_private)
{
    struct stat status;
    AUTO_CLOSE int file = open_file(reader, place, node, path, is_private, &status);

    if (file < 0)
        return false;
    config_note_source(reader, path, &status);
    return true;
}

CONFIG_READER(config_read_noted_file)
{
    return config_read_absolute_path(reader, place, node, key, field) &&
           note_file(reader, place, node, *(char **)field, false);
}

CONFIG_READER(config_read_private_path)
{
    return config_read_absolute_path(reader, place, node, key, field) &&
           note_file(reader, place, node, *(char **)field, true);
}

static bool read_secret_file(struct config_reader *reader, const struct config_place *place,
                             const yaml_node_t *node, const char *path, char **secret_r)
{
    char text[SECRET_MAX + 1];
    size_t length;
    bool ok = read_private_file(reader, place, node, path, text, &length) &&
              accept_secret(reader, place, node, path, text, length, secret_r);

    explicit_bzero(text, sizeof text);
    return ok;
}

/*
 * From the service manager (systemd.exec(5), LoadCredential=). What Postfix starts is given none: it leaves
 * what needs the secret to the agent.
 */
static bool read_credential(struct config_reader *reader, const struct config_place *place,
                            const yaml_node_t *node, const char *name, char **secret_r)
{
    const char *directory = getenv("CREDENTIALS_DIRECTORY");

    if (*name == '\0' || *name == '.' || strchr(name, '/') != NULL)
        return config_fail(reader, place, node, "names no credential; the form is cred:NAME");
    if (directory == NULL || *directory != '/') {
        reader->credentials_elsewhere = true;
        return true;
    }
    AUTO_FREE char *path = xasprintf("%s/%s", directory, name);
    return read_secret_file(reader, place, node, path, secret_r);
}

CONFIG_READER(config_read_secret_file)
{
    char **secret = field;
    AUTO_FREE char *path = NULL;
    const char *text = config_yaml_text(reader, place, node);

    if (text == NULL)
        return false;
    if (*secret != NULL)
        return config_fail(reader, place, node, "the secret is given inline, too; keep one of the two");
    if (strncmp(text, "cred:", 5) == 0)
        return read_credential(reader, place, node, text + 5, secret);
    return config_read_absolute_path(reader, place, node, key, &path) &&
           read_secret_file(reader, place, node, path, secret);
}

/* --- keys of message UUIDs ------------------------------------------------------------------------- */

static bool read_uuid_keys(struct config_reader *reader, const struct config_place *place,
                           const yaml_node_t *node, const char *path, struct uuid_keys *keys_r)
{
    char text[SECRET_MAX + 1];
    const char *why;
    size_t length, line;
    bool ok = read_private_file(reader, place, node, path, text, &length);

    if (ok && !uuid_keys_parse(keys_r, text, length, &why, &line))
        ok = line > 0 ? config_fail(reader, place, node, "%s, line %zu %s; sendpostctl setup makes keys",
                                    path, line, why)
                      : config_fail(reader, place, node, "%s %s; sendpostctl setup makes keys", path, why);
    explicit_bzero(text, sizeof text);
    return ok;
}

CONFIG_READER(config_read_uuid_keys)
{
    AUTO_FREE char *path = NULL;

    return config_read_absolute_path(reader, place, node, key, &path) &&
           read_uuid_keys(reader, place, node, path, field);
}

bool config_find_uuid_keys(struct config_reader *reader, const char *path, struct uuid_keys *keys_r)
{
    const struct config_place place = {.key = "uuid-key-file"};
    struct stat status = {0};

    /* a directory that we may not look into may hold it: then the file cannot be read, and that is said */
    if (stat(path, &status) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
        config_note_source(reader, path, &(struct stat){0});
        return true;
    }
    return read_uuid_keys(reader, &place, NULL, path, keys_r);
}
