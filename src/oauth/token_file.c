#include "oauth/token_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "oauth/token_owner.h"
#include "store/store.h"

#define MAGIC "sendpost-oauth 1\n"
#define FILE_SIZE (2 * 16384 + 4096) /* two tokens of the longest kind, and the rest */
#define SETTLE_MS 30000              /* who asks a provider has the lock for 20 s at most */

/* What the file says, and for which configuration. */
struct content {
    char *access_for, *refresh_for, *failure_for;
    struct token_state state;
};

struct token_place {
    int directory, file;
    char *name;
    bool by_login;
    struct token_owner ours;
    struct content before;
};

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

static void content_clear(struct content *content)
{
    free(content->access_for);
    free(content->refresh_for);
    free(content->failure_for);
    token_state_clear(&content->state);
    *content = (struct content){.access_for = NULL};
}

/* What has no line of its own is for the same configuration as the access token. */
static char *whose_of(const char *text, const char *key, const char *access_for)
{
    char *whose = line_of(text, key);

    return whose != NULL ? whose : xstrdup(access_for);
}

static void parse(const char *text, struct content *content_r)
{
    AUTO_FREE char *error = line_of(text, "error");
    struct token_state *state = &content_r->state;
    size_t length = strlen(text);

    if (strncmp(text, MAGIC, sizeof MAGIC - 1) != 0 || length < 5 ||
        strcmp(text + length - 5, "\nend\n") != 0 || (content_r->access_for = line_of(text, "for")) == NULL)
        return;
    content_r->refresh_for = whose_of(text, "refresh-for", content_r->access_for);
    content_r->failure_for = whose_of(text, "failure-for", content_r->access_for);
    state->access_token = line_of(text, "access");
    state->refresh_token = line_of(text, "refresh");
    state->received_ms = number_of(text, "received");
    state->expires_ms = number_of(text, "expires");
    state->refresh_expires_ms = number_of(text, "refresh-expires");
    state->failures = (int)number_of(text, "failures");
    state->next_try_ms = number_of(text, "next-try");
    snprintf(state->error, sizeof state->error, "%s", error != NULL ? error : "");
}

/* 0, also when there is none, or one that must not count; else the errno of why it cannot be known. */
static int read_content(int directory, const char *name, struct content *content_r)
{
    AUTO_CLOSE int file = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    char text[FILE_SIZE + 1];
    struct stat status;

    *content_r = (struct content){.access_for = NULL};
    if (file < 0)
        return errno == ENOENT ? 0 : errno;
    if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode) || (status.st_mode & 077) != 0)
        return 0;
    ssize_t got = pread(file, text, FILE_SIZE, 0);
    int error = got < 0 ? errno : 0;
    if (got > 0 && memchr(text, '\0', (size_t)got) == NULL) {
        text[got] = '\0';
        parse(text, content_r);
    }
    explicit_bzero(text, sizeof text);
    return error;
}

/* Whether there is a token in it for us to go on with. */
static bool holds(const struct content *content, const struct token_owner *ours, bool by_login)
{
    const struct token_state *state = &content->state;

    return (state->access_token != NULL && token_owner_is(content->access_for, ours->access)) ||
           (by_login && state->refresh_token != NULL && token_owner_has_refresh(content->refresh_for, ours));
}

/* Leaves what is another's, and what is there already. */
static void take_ours(struct content *content, const struct token_owner *ours, bool by_login,
                      struct token_state *state_r)
{
    struct token_state *state = &content->state;

    if (state_r->access_token == NULL && token_owner_is(content->access_for, ours->access)) {
        state_r->access_token = state->access_token;
        state->access_token = NULL;
        state_r->received_ms = state->received_ms;
        state_r->expires_ms = state->expires_ms;
    }
    if (state_r->refresh_token == NULL && by_login && token_owner_has_refresh(content->refresh_for, ours)) {
        state_r->refresh_token = state->refresh_token;
        state->refresh_token = NULL;
        state_r->refresh_expires_ms = state->refresh_expires_ms;
    }
    if (state_r->failures == 0 && token_owner_is(content->failure_for, ours->access)) {
        state_r->failures = state->failures;
        state_r->next_try_ms = state->next_try_ms;
        snprintf(state_r->error, sizeof state_r->error, "%s", state->error);
    }
}

/* No TPSP can be named so. */
static char *tried_name(const char *name)
{
    return xasprintf("%s+tried", name);
}

void token_file_read(const char *state_dir, const struct config_tpsp *tpsp, struct token_state *state_r)
{
    AUTO_CLOSE int directory = open_directory(state_dir, false);
    AUTO_FREE char *tried = tried_name(tpsp->name);
    const char *const names[] = {tpsp->name, tried};
    bool by_login = token_by_login(&tpsp->oauth);

    *state_r = (struct token_state){.failures = 0};
    if (directory < 0)
        return;
    struct token_owner ours = token_owner_of(&tpsp->oauth);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct content content;
        read_content(directory, names[i], &content);
        bool enough = holds(&content, &ours, by_login);
        take_ours(&content, &ours, by_login, state_r);
        content_clear(&content);
        if (enough)
            break;
    }
    token_owner_clear(&ours);
}

void token_file_settle(const char *state_dir, const char *name, const struct config_tpsp *tpsp)
{
    AUTO_CLOSE int directory = open_directory(state_dir, false);
    AUTO_FREE char *tried = tried_name(name), *lock = xasprintf("oauth-%s", name);
    struct content content, other;
    struct outcome ignored;

    if (directory < 0 || faccessat(directory, tried, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    AUTO_CLOSE int turn = store_lock(state_dir, lock, clock_monotonic_ms() + SETTLE_MS, &ignored);
    if (turn < 0)
        return; /* both are looked into, and the next trial settles it */
    read_content(directory, tried, &content);
    read_content(directory, name, &other);
    if (tpsp != NULL) {
        struct token_owner ours = token_owner_of(&tpsp->oauth);
        bool by_login = token_by_login(&tpsp->oauth);
        if (holds(&content, &ours, by_login) && !holds(&other, &ours, by_login) &&
            renameat(directory, tried, directory, name) == 0)
            fsync(directory);
        token_owner_clear(&ours);
    }
    unlinkat(directory, tried, 0);
    content_clear(&content);
    content_clear(&other);
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

/* What is tried and is not what the file has goes beside it. */
static int read_before(struct token_place *place, bool tried)
{
    int error = read_content(place->directory, place->name, &place->before);

    if (error != 0 || !tried || holds(&place->before, &place->ours, place->by_login))
        return error;
    char *beside = tried_name(place->name);
    free(place->name);
    place->name = beside;
    content_clear(&place->before);
    return read_content(place->directory, beside, &place->before);
}

struct token_place *token_place_take(const char *state_dir, const struct config_tpsp *tpsp,
                                     struct outcome *error_r)
{
    struct token_place *place = xcalloc(1, sizeof *place);

    place->file = -1;
    place->name = xstrdup(tpsp->name);
    place->by_login = token_by_login(&tpsp->oauth);
    place->ours = token_owner_of(&tpsp->oauth);
    place->directory = open_directory(state_dir, true);
    if (place->directory < 0)
        return cannot(place, "directory oauth in state-dir", errno, error_r);
    int error = read_before(place, tpsp->oauth.tried);
    AUTO_FREE char *reading =
        xasprintf("reading oauth/%s in state-dir (chown it to the owner of state-dir)", place->name);
    if (error != 0) /* who knows which refresh token is in it */
        return cannot(place, reading, error, error_r);
    AUTO_FREE char *temporary = xasprintf(".%s.new", place->name);
    unlinkat(place->directory, temporary, 0); /* of one who was killed: the lock is ours */
    place->file =
        openat(place->directory, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (place->file < 0)
        return cannot(place, "making a file", errno, error_r);
    error = posix_fallocate(place->file, 0, FILE_SIZE);
    return error == 0 ? place : cannot(place, "taking room", error, error_r);
}

static char *text_of(const struct content *content)
{
    const struct token_state *state = &content->state;

    return xasprintf(
        "%sfor %s\nrefresh-for %s\nfailure-for %s\n%s%s%s%s%s%sreceived %" PRId64 "\nexpires %" PRId64
        "\nrefresh-expires %" PRId64 "\nfailures %d\nnext-try %" PRId64 "\nerror %s\nend\n",
        MAGIC, content->access_for, content->refresh_for, content->failure_for,
        state->access_token != NULL ? "access " : "", state->access_token != NULL ? state->access_token : "",
        state->access_token != NULL ? "\n" : "", state->refresh_token != NULL ? "refresh " : "",
        state->refresh_token != NULL ? state->refresh_token : "", state->refresh_token != NULL ? "\n" : "",
        state->received_ms, state->expires_ms, state->refresh_expires_ms, state->failures, state->next_try_ms,
        state->error);
}

/* content is what others own. */
static bool put_in_place(struct token_place *place, const struct content *content, struct outcome *error_r)
{
    AUTO_FREE char *temporary = xasprintf(".%s.new", place->name);
    char *text = text_of(content);
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

bool token_place_commit(struct token_place *place, const struct token_state *state, struct outcome *error_r)
{
    const struct content *before = &place->before;
    struct content content = {.access_for = place->ours.access,
                              .refresh_for = place->ours.refresh,
                              .failure_for = place->ours.access,
                              .state = *state};

    /* client credentials may be there for a while only */
    if (!place->by_login && before->state.refresh_token != NULL &&
        !token_owner_has_refresh(before->refresh_for, &place->ours)) {
        content.refresh_for = before->refresh_for;
        content.state.refresh_token = before->state.refresh_token;
        content.state.refresh_expires_ms = before->state.refresh_expires_ms;
    }
    return put_in_place(place, &content, error_r);
}

bool token_place_note_failure(struct token_place *place, const struct token_state *state,
                              struct outcome *error_r)
{
    struct content content = place->before;

    if (content.access_for == NULL)
        content.access_for = place->ours.access;
    /* an older version's is known by our hash from now on */
    if (content.refresh_for == NULL ||
        (place->by_login && token_owner_has_refresh(content.refresh_for, &place->ours)))
        content.refresh_for = place->ours.refresh;
    content.failure_for = place->ours.access;
    content.state.failures = state->failures;
    content.state.next_try_ms = state->next_try_ms;
    memcpy(content.state.error, state->error, sizeof content.state.error);
    return put_in_place(place, &content, error_r);
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
    token_owner_clear(&place->ours);
    content_clear(&place->before);
    free(place);
}

void token_state_clear(struct token_state *state)
{
    secret_free(&state->access_token);
    secret_free(&state->refresh_token);
    *state = (struct token_state){.failures = 0};
}
