#include "oauth/token_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xalloc.h"

#define MAGIC "sendpost-oauth 1\n"
#define FILE_SIZE (2 * 16384 + 4096) /* two tokens of the longest kind, and the rest */

struct token_place {
    int directory, file;
    char *name, *fingerprint;
};

/* Of all that the tokens depend on. Hexadecimal SHA-256. */
static char *fingerprint_of(const struct config_oauth *oauth)
{
    const char *parts[] = {oauth->token_endpoint, oauth->client_id, oauth->scope, oauth->client_secret,
                           oauth->refresh_token};
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    char *text = xcalloc(2 * sizeof digest + 1, 1);
    bool ok = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;

    for (size_t i = 0; ok && i < sizeof parts / sizeof parts[0]; i++)
        ok = parts[i] == NULL ? EVP_DigestUpdate(context, "", 1) == 1
                              : EVP_DigestUpdate(context, parts[i], strlen(parts[i]) + 1) == 1;
    if (!ok || EVP_DigestFinal_ex(context, digest, &length) != 1)
        length = 0;
    EVP_MD_CTX_free(context);
    for (unsigned i = 0; i < length; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    return text;
}

void token_seed_fingerprint(const struct config_oauth *oauth, char fingerprint_r[TOKEN_SEED_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;

    *fingerprint_r = '\0';
    if (oauth->refresh_token == NULL || EVP_Digest(oauth->refresh_token, strlen(oauth->refresh_token), digest,
                                                   &length, EVP_sha256(), NULL) != 1)
        return;
    for (unsigned i = 0; i < length && i < (TOKEN_SEED_SIZE - 1) / 2; i++)
        snprintf(fingerprint_r + 2 * i, 3, "%02x", digest[i]);
}

static int open_directory(const char *state_dir, bool make)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/oauth", state_dir);

    if (length < 0 || (size_t)length >= sizeof path)
        return -1;
    if (make && mkdir(path, 0700) != 0 && errno != EEXIST)
        return -1;
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* --- reading ------------------------------------------------------------------------------------------- */

/* The value of "key value" at the beginning of a line; NULL: none. Lines end with '\n'. */
static char *line_of(const char *text, const char *key)
{
    size_t key_length = strlen(key);

    for (const char *line = text; *line != '\0';) {
        const char *end = strchrnul(line, '\n');
        if ((size_t)(end - line) > key_length && line[key_length] == ' ' &&
            strncmp(line, key, key_length) == 0)
            return xstrndup(line + key_length + 1, (size_t)(end - line) - key_length - 1);
        line = *end != '\0' ? end + 1 : end;
    }
    return NULL;
}

static int64_t number_of(const char *text, const char *key)
{
    AUTO_FREE char *value = line_of(text, key);

    return value != NULL ? strtoll(value, NULL, 10) : 0;
}

static void parse(const char *text, const char *fingerprint, struct token_state *state_r)
{
    AUTO_FREE char *whose = line_of(text, "for");
    AUTO_FREE char *error = line_of(text, "error");
    size_t length = strlen(text);

    if (strncmp(text, MAGIC, sizeof MAGIC - 1) != 0 || whose == NULL || *fingerprint == '\0' ||
        strcmp(whose, fingerprint) != 0 || length < 5 || strcmp(text + length - 5, "\nend\n") != 0)
        return;
    state_r->access_token = line_of(text, "access");
    state_r->refresh_token = line_of(text, "refresh");
    state_r->received_ms = number_of(text, "received");
    state_r->expires_ms = number_of(text, "expires");
    state_r->refresh_expires_ms = number_of(text, "refresh-expires");
    state_r->failures = (int)number_of(text, "failures");
    state_r->next_try_ms = number_of(text, "next-try");
    snprintf(state_r->error, sizeof state_r->error, "%s", error != NULL ? error : "");
}

void token_file_read(const char *state_dir, const struct config_tpsp *tpsp, struct token_state *state_r)
{
    AUTO_CLOSE int directory = open_directory(state_dir, false);
    AUTO_CLOSE int file =
        directory >= 0 ? openat(directory, tpsp->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
    AUTO_FREE char *fingerprint = fingerprint_of(&tpsp->oauth);
    char text[FILE_SIZE + 1];
    struct stat status;

    *state_r = (struct token_state){.failures = 0};
    if (file < 0 || fstat(file, &status) != 0 || !S_ISREG(status.st_mode) || (status.st_mode & 077) != 0)
        return;
    ssize_t got = pread(file, text, FILE_SIZE, 0);
    if (got > 0 && memchr(text, '\0', (size_t)got) == NULL) {
        text[got] = '\0';
        parse(text, fingerprint, state_r);
    }
    explicit_bzero(text, sizeof text);
}

/* --- writing ------------------------------------------------------------------------------------------- */

static struct token_place *cannot(struct token_place *place, const char *doing, int error,
                                  struct outcome *error_r)
{
    char buffer[96];

    outcome_local(error_r, "4.3.0", "OAuth tokens of tpsp %s cannot be kept: %s: %s", place->name, doing,
                  strerror_r(error, buffer, sizeof buffer));
    token_place_give_up(place);
    return NULL;
}

struct token_place *token_place_take(const char *state_dir, const struct config_tpsp *tpsp,
                                     struct outcome *error_r)
{
    struct token_place *place = xcalloc(1, sizeof *place);
    AUTO_FREE char *temporary = xasprintf(".%s.new", tpsp->name);

    place->file = -1;
    place->name = xstrdup(tpsp->name);
    place->fingerprint = fingerprint_of(&tpsp->oauth);
    place->directory = open_directory(state_dir, true);
    if (place->directory < 0)
        return cannot(place, "directory oauth in state-dir", errno, error_r);
    unlinkat(place->directory, temporary, 0); /* of one who was killed: the lock is ours */
    place->file =
        openat(place->directory, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (place->file < 0)
        return cannot(place, "making a file", errno, error_r);
    int error = posix_fallocate(place->file, 0, FILE_SIZE);
    return error == 0 ? place : cannot(place, "taking room", error, error_r);
}

static char *text_of(const struct token_place *place, const struct token_state *state)
{
    return xasprintf("%sfor %s\n%s%s%s%s%s%sreceived %" PRId64 "\nexpires %" PRId64
                     "\nrefresh-expires %" PRId64 "\nfailures %d\nnext-try %" PRId64 "\nerror %s\nend\n",
                     MAGIC, place->fingerprint, state->access_token != NULL ? "access " : "",
                     state->access_token != NULL ? state->access_token : "",
                     state->access_token != NULL ? "\n" : "", state->refresh_token != NULL ? "refresh " : "",
                     state->refresh_token != NULL ? state->refresh_token : "",
                     state->refresh_token != NULL ? "\n" : "", state->received_ms, state->expires_ms,
                     state->refresh_expires_ms, state->failures, state->next_try_ms, state->error);
}

bool token_place_commit(struct token_place *place, const struct token_state *state, struct outcome *error_r)
{
    AUTO_FREE char *temporary = xasprintf(".%s.new", place->name);
    char *text = text_of(place, state);
    size_t length = strlen(text);
    bool ok = length <= FILE_SIZE && pwrite(place->file, text, length, 0) == (ssize_t)length &&
              ftruncate(place->file, (off_t)length) == 0 && fsync(place->file) == 0 &&
              renameat(place->directory, temporary, place->directory, place->name) == 0;
    int error = errno;

    secret_free(&text);
    if (!ok) {
        cannot(place, "writing", length > FILE_SIZE ? EFBIG : error, error_r);
        return false;
    }
    fsync(place->directory);
    close(place->file);
    place->file = -1;
    token_place_give_up(place);
    return true;
}

void token_place_give_up(struct token_place *place)
{
    if (place == NULL)
        return;
    if (place->file >= 0) {
        AUTO_FREE char *temporary = xasprintf(".%s.new", place->name);
        unlinkat(place->directory, temporary, 0);
        close(place->file);
    }
    if (place->directory >= 0)
        close(place->directory);
    free(place->name);
    free(place->fingerprint);
    free(place);
}

void token_state_clear(struct token_state *state)
{
    secret_free(&state->access_token);
    secret_free(&state->refresh_token);
    *state = (struct token_state){.failures = 0};
}
