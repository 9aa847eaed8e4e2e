/* What a TLS connection came to, for traces and people. */
#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>

#include "net/tls.h"

void tls_summary(const SSL *ssl, char *text, size_t size)
{
    text[0] = '\0';
    if (ssl != NULL)
        snprintf(text, size, "%s %s%s", SSL_get_version(ssl), SSL_get_cipher_name(ssl),
                 SSL_session_reused(ssl) ? " resumed" : "");
}

static void print_names(FILE *out, X509 *certificate)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);

    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        char address[INET6_ADDRSTRLEN];

        if (name->type == GEN_DNS) {
            fprintf(out, "%s %.*s", i == 0 ? ", for" : "", ASN1_STRING_length(name->d.dNSName),
                    (const char *)ASN1_STRING_get0_data(name->d.dNSName));
        } else if (name->type == GEN_IPADD) {
            int length = ASN1_STRING_length(name->d.iPAddress);
            if ((length == 4 || length == 16) &&
                inet_ntop(length == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(name->d.iPAddress), address,
                          sizeof address) != NULL)
                fprintf(out, "%s %s", i == 0 ? ", for" : "", address);
        }
    }
    GENERAL_NAMES_free(names);
}

int64_t tls_certificate_end_ms(const SSL *ssl)
{
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    struct tm end;

    if (certificate == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) != 1)
        return 0;
    return (int64_t)timegm(&end) * 1000;
}

void tls_detail(const SSL *ssl, char *text, size_t size)
{
    X509 *certificate = ssl != NULL ? SSL_get0_peer_certificate(ssl) : NULL;
    char name[256];
    int days = 0, seconds = 0;
    FILE *out;

    tls_summary(ssl, text, size);
    if (certificate == NULL || size == 0)
        return;
    out = fmemopen(text, size, "a");
    if (out == NULL)
        return;
    X509_NAME_oneline(X509_get_subject_name(certificate), name, sizeof name);
    fprintf(out, "; certificate %s", name);
    X509_NAME_oneline(X509_get_issuer_name(certificate), name, sizeof name);
    fprintf(out, ", issued by %s", name);
    print_names(out, certificate);
    if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate)) == 1)
        fprintf(out, ", %d days left", days);
    if (SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE)
        fputs(", not verified (tls-verify: false)", out);
    fclose(out);
    text[size - 1] = '\0';
}
