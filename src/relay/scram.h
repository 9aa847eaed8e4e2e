/*
 * scram: SCRAM-SHA-256 as a client (RFC 5802, RFC 7677), without channel binding. Our own 120 lines over
 * OpenSSL, which is linked anyway: libgsasl would be one more shared library at the start of every delivery,
 * with libidn and its tables behind it, for one mechanism that few servers offer. Passwords are taken as they
 * are; of SASLprep (RFC 4013) only what changes nothing in ASCII.
 *
 * The server proves that it knows the password, too: scram_final() is false where it does not.
 */
#ifndef SENDPOST_RELAY_SCRAM_H
#define SENDPOST_RELAY_SCRAM_H

#include <stdbool.h>
#include <stddef.h>

#define SCRAM_TEXT_SIZE 2048
#define SCRAM_ITERATIONS_MAX 1000000

struct scram {
    char first_bare[SCRAM_TEXT_SIZE];
    char nonce[40];
    unsigned char server_signature[32];
};

/* A user name where "=" and "," have other meanings (RFC 5802 section 5.1). False when it does not fit. */
bool scram_write_name(char *out, size_t size, const char *name) __attribute__((nonnull));

/* "n,,n=user,r=nonce". nonce: NULL draws one. False when the user name does not fit. */
bool scram_first(struct scram *scram, const char *username, const char *nonce, char *out, size_t size)
    __attribute__((nonnull(1, 2, 4)));

/* The answer to "r=…,s=…,i=…"; false when that is malformed, foreign or asks for too much work. */
bool scram_answer(struct scram *scram, const char *password, const char *challenge, char *out, size_t size)
    __attribute__((nonnull));

/* "v=…": whether the server knows the password. */
bool scram_final(const struct scram *scram, const char *challenge) __attribute__((nonnull));

#endif
