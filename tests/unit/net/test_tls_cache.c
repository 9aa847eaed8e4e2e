#include "net/tls_cache.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "suites.h"

static char directory[] = "/tmp/sendpost-tls-XXXXXX";
static const char key[TLS_CACHE_KEY_SIZE] =
    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

static void enter(void)
{
    memcpy(directory + sizeof directory - 7, "XXXXXX", 7);
    ck_assert_ptr_nonnull(mkdtemp(directory));
}

static char *path_of(const char *name)
{
    return xasprintf("%s/%s", directory, name);
}

static void leave(void)
{
    AUTO_FREE char *path = path_of(key), *lock = xasprintf("%s/%s.new", directory, key);

    unlink(path);
    unlink(lock);
    rmdir(directory);
}

/* As after a handshake that ended age_s ago, with a ticket for lifetime_s. */
static SSL_SESSION *session_of(int64_t age_s, long lifetime_s)
{
    static const unsigned char aes_128_gcm_sha256[] = {0x13, 0x01}, master_key[32] = {1};
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    SSL_SESSION *session = SSL_SESSION_new();

    ck_assert(SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION));
    ck_assert(SSL_SESSION_set_cipher(session, SSL_CIPHER_find(ssl, aes_128_gcm_sha256)));
    ck_assert(SSL_SESSION_set1_master_key(session, master_key, sizeof master_key));
#if OPENSSL_VERSION_NUMBER >= 0x30400000L
    ck_assert(SSL_SESSION_set_time_ex(session, time(NULL) - age_s) != 0);
#else
    ck_assert(SSL_SESSION_set_time(session, (long)(time(NULL) - age_s)) != 0);
#endif
    SSL_SESSION_set_timeout(session, lifetime_s);
    SSL_free(ssl);
    SSL_CTX_free(context);
    return session;
}

static void store(int64_t verified_s, int64_t age_s, long lifetime_s)
{
    SSL_SESSION *session = session_of(age_s, lifetime_s);

    tls_cache_store(directory, key, session, verified_s);
    SSL_SESSION_free(session);
}

static bool loads(void)
{
    struct tls_cached cached = tls_cache_load(directory, key);
    bool there = cached.session != NULL;

    SSL_SESSION_free(cached.session);
    return there;
}

static bool is_there(void)
{
    AUTO_FREE char *path = path_of(key);

    return access(path, F_OK) == 0;
}

START_TEST(what_was_stored_comes_back)
{
    int64_t now = time(NULL);
    AUTO_FREE char *path = path_of(key);
    struct stat status;

    store(now - 60, 0, 300);
    struct tls_cached cached = tls_cache_load(directory, key);
    ck_assert_ptr_nonnull(cached.session);
    ck_assert_int_eq(cached.verified_s, now - 60);
    ck_assert_int_eq(SSL_SESSION_get_timeout(cached.session), 300);
    SSL_SESSION_free(cached.session);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0600);
    tls_cache_forget(directory, key);
    ck_assert(!loads());
}
END_TEST

/* Seconds ago: the certificate was verified, the ticket was given; and for how long it is. */
static const struct {
    int64_t verified, given;
    long lifetime;
    bool usable;
} ages[] = {
    {0, 0, 300, true},
    {TLS_CACHE_VERIFIED_MAX_S - 60, 0, 300, true},
    {TLS_CACHE_VERIFIED_MAX_S + 60, 0, 300, false}, /* ticket after ticket: verified too long ago */
    {-3600, 0, 300, false},                         /* the clock was put back */
    {600, 600, 900, true},
    {600, 600, 300, false}, /* the ticket has ended */
};

START_TEST(a_session_is_used_as_long_as_both_ticket_and_verification_last)
{
    store(time(NULL) - ages[_i].verified, ages[_i].given, ages[_i].lifetime);
    ck_assert_int_eq(loads(), ages[_i].usable);
    ck_assert_int_eq(is_there(), ages[_i].usable);
}
END_TEST

static void cut(const char *path)
{
    ck_assert_int_eq(truncate(path, 40), 0);
}

static void empty(const char *path)
{
    ck_assert_int_eq(truncate(path, 0), 0);
}

static void overwrite(const char *path)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);

    ck_assert_int_eq(pwrite(file, "nonsense", 8, 0), 8);
    close(file);
}

static void open_to_others(const char *path)
{
    ck_assert_int_eq(chmod(path, 0644), 0);
}

static void (*const damages[])(const char *path) = {cut, empty, overwrite, open_to_others};

START_TEST(a_file_that_cannot_be_trusted_is_removed_and_ignored)
{
    AUTO_FREE char *path = path_of(key);

    store(time(NULL), 0, 300);
    damages[_i](path);
    ck_assert(!loads());
    ck_assert(!is_there());
}
END_TEST

START_TEST(whatever_was_verified_is_part_of_the_key)
{
    const struct config_tls settings = {.verify = true, .ca_path = (char *)"/etc/ssl/certs"},
                            careless = {.verify = false, .ca_path = (char *)"/etc/ssl/certs"};
    const struct tls_peer peers[] = {
        {"smtp.example.net", 587, "starttls", &settings}, {"smtp.example.org", 587, "starttls", &settings},
        {"smtp.example.net", 465, "starttls", &settings}, {"smtp.example.net", 587, "tls", &settings},
        {"smtp.example.net", 587, "starttls", &careless},
    };
    enum { COUNT = sizeof peers / sizeof *peers };
    char keys[COUNT][TLS_CACHE_KEY_SIZE], again[TLS_CACHE_KEY_SIZE];

    for (int i = 0; i < COUNT; i++) {
        tls_cache_key(keys[i], &peers[i]);
        for (int j = 0; j < i; j++)
            ck_assert_str_ne(keys[i], keys[j]);
    }
    tls_cache_key(again, &peers[0]);
    ck_assert_str_eq(again, keys[0]);
}
END_TEST

UNIT_SUITE(tls_cache_suite)
{
    Suite *suite = suite_create("tls_cache");
    TCase *tcase = tcase_create("tls_cache");

    tcase_add_checked_fixture(tcase, enter, leave);
    tcase_add_test(tcase, what_was_stored_comes_back);
    tcase_add_loop_test(tcase, a_session_is_used_as_long_as_both_ticket_and_verification_last, 0,
                        sizeof ages / sizeof *ages);
    tcase_add_loop_test(tcase, a_file_that_cannot_be_trusted_is_removed_and_ignored, 0,
                        sizeof damages / sizeof *damages);
    tcase_add_test(tcase, whatever_was_verified_is_part_of_the_key);
    suite_add_tcase(suite, tcase);
    return suite;
}
