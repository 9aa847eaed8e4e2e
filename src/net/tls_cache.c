#include "net/tls_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/xalloc.h"

#define MAGIC "sendpost-tls-session 1 "
#define FILE_MAX (32 * 1024)
#define STALE_LOCK_S 60

static void describe_path(FILE *out, const char *path)
{
    struct stat status;

    if (path == NULL || stat(path, &status) != 0)
        fprintf(out, "%s\n", path != NULL ? path : "-");
    else
        fprintf(out, "%s %ju %ju %jd.%09ld\n", path, (uintmax_t)status.st_dev, (uintmax_t)status.st_ino,
                (intmax_t)status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
}

void tls_cache_key(char key_r[TLS_CACHE_KEY_SIZE], const struct tls_peer *peer)
{
    AUTO_FREE char *text = NULL;
    size_t length = 0;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_length = 0;
    FILE *out = open_memstream(&text, &length);

    key_r[0] = '\0';
    if (out == NULL)
        return;
    fprintf(out, "%s\n%u\n%s\n%d\n%lx\n", peer->host, peer->port, peer->mode, peer->settings->verify,
            OpenSSL_version_num());
    if (peer->settings->verify) {
        describe_path(out, peer->settings->ca_path);
        describe_path(out, peer->settings->ca_file);
    }
    if (peer->settings->cert_file != NULL) /* the server knows by the session who we are */
        describe_path(out, peer->settings->cert_file);
    if (fclose(out) != 0 || EVP_Digest(text, length, digest, &digest_length, EVP_sha256(), NULL) != 1)
        return;
    for (unsigned i = 0; i < digest_length && 2 * i + 2 < TLS_CACHE_KEY_SIZE; i++)
        snprintf(key_r + 2 * i, TLS_CACHE_KEY_SIZE - 2 * i, "%02x", digest[i]);
}

static bool build_path(char *path, size_t size, const char *directory, const char *key, const char *suffix)
{
    int length = snprintf(path, size, "%s/%s%s", directory, key, suffix);
    return *key != '\0' && length > 0 && (size_t)length < size;
}

void tls_cache_forget(const char *directory, const char *key)
{
    char path[PATH_MAX];

    if (build_path(path, sizeof path, directory, key, ""))
        unlink(path);
}

/* OpenSSL 3.4 (Debian 13 has 3.5) deprecates the one whose time ends in 2038 on some machines. */
static int64_t session_time(const SSL_SESSION *session)
{
#if OPENSSL_VERSION_NUMBER >= 0x30400000L
    return SSL_SESSION_get_time_ex(session);
#else
    return SSL_SESSION_get_time(session);
#endif
}

static SSL_SESSION *parse(const char *data, size_t length, int64_t *verified_s_r)
{
    const unsigned char *der;
    char *end = NULL;
    long long verified;
    SSL_SESSION *session;

    /* data is NUL-terminated behind its end */
    if (length < sizeof MAGIC || memcmp(data, MAGIC, sizeof MAGIC - 1) != 0)
        return NULL;
    errno = 0;
    verified = strtoll(data + sizeof MAGIC - 1, &end, 10);
    if (errno != 0 || end == data + sizeof MAGIC - 1 || *end != '\n')
        return NULL;
    der = (const unsigned char *)end + 1;
    session = d2i_SSL_SESSION(NULL, &der, (long)(data + length - (const char *)der));
    ERR_clear_error();
    if (session != NULL && der != (const unsigned char *)data + length) {
        SSL_SESSION_free(session);
        return NULL;
    }
    *verified_s_r = verified;
    return session;
}

/* One that somebody put a link in the place of, or that root left there, is no cache of ours. */
static bool is_ours(const char *directory)
{
    struct stat status;

    return lstat(directory, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == geteuid();
}

struct tls_cached tls_cache_load(const char *directory, const char *key)
{
    struct tls_cached cached = {0};
    char path[PATH_MAX], data[FILE_MAX + 1];
    struct stat status;
    ssize_t length = -1;
    AUTO_CLOSE int descriptor = -1;
    int64_t now = time(NULL);

    if (!build_path(path, sizeof path, directory, key, "") || !is_ours(directory))
        return cached;
    descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0)
        return cached;
    if (fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 1 &&
        status.st_uid == geteuid() && (status.st_mode & 077) == 0)
        length = read(descriptor, data, FILE_MAX);
    if (length > 0) {
        data[length] = '\0';
        cached.session = parse(data, (size_t)length, &cached.verified_s);
        cached.written_s = status.st_mtime;
        OPENSSL_cleanse(data, (size_t)length);
    }
    if (cached.session != NULL &&
        (cached.verified_s > now || now - cached.verified_s > TLS_CACHE_VERIFIED_MAX_S ||
         session_time(cached.session) + SSL_SESSION_get_timeout(cached.session) < now)) {
        SSL_SESSION_free(cached.session);
        cached.session = NULL;
    }
    if (cached.session == NULL)
        unlink(path);
    return cached;
}

/* A file of this name is being written by somebody else, or was left by one that died. */
static int open_new(const char *path)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    struct stat status;
    int descriptor = open(path, flags, 0600);

    if (descriptor < 0 && errno == EEXIST && lstat(path, &status) == 0 &&
        time(NULL) - status.st_mtime > STALE_LOCK_S && unlink(path) == 0)
        descriptor = open(path, flags, 0600);
    return descriptor;
}

void tls_cache_store(const char *directory, const char *key, SSL_SESSION *session, int64_t verified_s)
{
    char path[PATH_MAX], new_path[PATH_MAX], data[FILE_MAX];
    unsigned char *der;
    int head, der_length = i2d_SSL_SESSION(session, NULL);
    size_t length;
    bool written;
    int descriptor;

    head = snprintf(data, sizeof data, MAGIC "%" PRId64 "\n", verified_s);
    if (der_length <= 0 || head <= 0 || (size_t)head + (size_t)der_length > sizeof data ||
        !build_path(path, sizeof path, directory, key, "") ||
        !build_path(new_path, sizeof new_path, directory, key, ".new"))
        return;
    der = (unsigned char *)data + head;
    i2d_SSL_SESSION(session, &der);
    length = (size_t)head + (size_t)der_length;
    if (mkdir(directory, 0700) != 0 && !is_ours(directory))
        descriptor = -1;
    else
        descriptor = open_new(new_path);
    if (descriptor >= 0) {
        written = write(descriptor, data, length) == (ssize_t)length;
        /* no fsync: what a power cut leaves is either whole or removed at the next load */
        if (close(descriptor) != 0 || !written || rename(new_path, path) != 0)
            unlink(new_path);
    }
    OPENSSL_cleanse(data, sizeof data);
}
