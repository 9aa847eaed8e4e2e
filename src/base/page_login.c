#include "base/page_login.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/state_dir.h"
#include "base/xalloc.h"

#define DIGITS (PAGE_LOGIN_TOKEN_SIZE - 1)

static void write_digits(char digits_r[PAGE_LOGIN_TOKEN_SIZE], const unsigned char bytes[PAGE_LOGIN_KEY_SIZE])
{
    for (size_t i = 0; i < PAGE_LOGIN_KEY_SIZE; i++)
        snprintf(digits_r + 2 * i, 3, "%02x", bytes[i]);
}

static bool equal(const char *one, const char *other)
{
    size_t length = strlen(other);

    return strlen(one) == length && CRYPTO_memcmp(one, other, length) == 0;
}

/* --- the link ------------------------------------------------------------------------------------- */

bool page_login_offer(const char *state_dir, int64_t now_ms, char token_r[PAGE_LOGIN_TOKEN_SIZE],
                      struct outcome *error_r)
{
    AUTO_FREE char *path = xasprintf("%s/page-login", state_dir);
    unsigned char bytes[PAGE_LOGIN_KEY_SIZE];
    char line[DIGITS + 32];

    if (RAND_bytes(bytes, sizeof bytes) != 1) {
        outcome_local(error_r, "4.3.0", "no random numbers are to be had");
        return false;
    }
    write_digits(token_r, bytes);
    int length = snprintf(line, sizeof line, "%s %" PRId64 "\n", token_r, now_ms + PAGE_LOGIN_LINK_MS);
    unlink(path);
    AUTO_CLOSE int file = state_dir_open(path, O_WRONLY | O_CREAT | O_EXCL, error_r);
    bool ok = file >= 0 && write(file, line, (size_t)length) == length;
    if (file >= 0 && !ok)
        state_dir_error("write", path, errno, error_r);
    explicit_bzero(line, sizeof line);
    return ok;
}

/* A wrong guess leaves the token where it is: it is good for who has it. Who removes the file has used it. */
bool page_login_redeem(const char *state_dir, int64_t now_ms, const char *token)
{
    AUTO_FREE char *path = xasprintf("%s/page-login", state_dir);
    struct outcome ignored;
    AUTO_CLOSE int file = state_dir_open(path, O_RDONLY, &ignored);
    char line[DIGITS + 32];

    ssize_t length = file >= 0 ? read(file, line, sizeof line - 1) : -1;
    if (length <= DIGITS || line[DIGITS] != ' ')
        return false;
    line[length] = line[DIGITS] = '\0';
    int64_t until_ms = strtoll(line + DIGITS + 1, NULL, 10);
    bool ok = equal(token, line) && now_ms < until_ms && until_ms <= now_ms + PAGE_LOGIN_LINK_MS &&
              unlink(path) == 0;
    explicit_bzero(line, sizeof line);
    return ok;
}

/* --- the cookie ----------------------------------------------------------------------------------- */

/* Complete before it has its name, so that nobody reads half a key. */
static bool make_key(const char *path, struct outcome *error_r)
{
    AUTO_FREE char *fresh = xasprintf("%s.new", path);
    struct page_login_key key;

    unlink(fresh);
    AUTO_CLOSE int file = state_dir_open(fresh, O_WRONLY | O_CREAT | O_EXCL, error_r);
    if (file < 0)
        return false;
    bool ok = RAND_bytes(key.bytes, sizeof key.bytes) == 1 &&
              write(file, key.bytes, sizeof key.bytes) == sizeof key.bytes && rename(fresh, path) == 0;
    if (!ok)
        state_dir_error("write", path, errno, error_r);
    explicit_bzero(&key, sizeof key);
    return ok;
}

static bool read_key(const char *path, struct page_login_key *key_r, struct outcome *error_r)
{
    AUTO_CLOSE int file = state_dir_open(path, O_RDONLY, error_r);

    return file >= 0 && read(file, key_r->bytes, sizeof key_r->bytes) == sizeof key_r->bytes;
}

bool page_login_key(const char *state_dir, struct page_login_key *key_r, struct outcome *error_r)
{
    AUTO_FREE char *path = xasprintf("%s/page-key", state_dir);

    return read_key(path, key_r, error_r) || (make_key(path, error_r) && read_key(path, key_r, error_r));
}

void page_login_cookie(const struct page_login_key *key, int64_t until_ms,
                       char cookie_r[PAGE_LOGIN_COOKIE_SIZE])
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    char digits[PAGE_LOGIN_TOKEN_SIZE], text[64];
    unsigned length = 0;

    int text_length = snprintf(text, sizeof text, "page %" PRId64, until_ms);
    HMAC(EVP_sha256(), key->bytes, sizeof key->bytes, (const unsigned char *)text, (size_t)text_length, mac,
         &length);
    write_digits(digits, mac);
    snprintf(cookie_r, PAGE_LOGIN_COOKIE_SIZE, "%" PRId64 ".%s", until_ms, digits);
}

bool page_login_valid(const struct page_login_key *key, int64_t now_ms, const char *cookie)
{
    char expected[PAGE_LOGIN_COOKIE_SIZE], *end;
    long long until_ms = strtoll(cookie, &end, 10);

    if (*end != '.' || until_ms <= now_ms || until_ms > now_ms + PAGE_LOGIN_MS)
        return false;
    page_login_cookie(key, until_ms, expected);
    return equal(cookie, expected);
}
