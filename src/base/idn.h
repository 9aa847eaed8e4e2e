/*
 * idn: an internationalised domain in the one form that DNS knows (RFC 5891, mapped as UTS 46 says: in lower
 * case, composed). For what is only compared see base/punycode.h, which needs no tables.
 */
#ifndef SENDPOST_BASE_IDN_H
#define SENDPOST_BASE_IDN_H

#define IDN_SIZE 256 /* a domain has 253 letters (RFC 1035 section 2.3.4, in text form) */

enum idn_answer {
    IDN_CONVERTED,
    IDN_NO_DOMAIN,
    IDN_TROUBLE, /* of ours: libidn2 cannot be loaded, or memory lacks; the log says which */
};

/* "München.example" as "xn--mnchen-3ya.example". */
enum idn_answer idn_to_ascii(const char *domain, char ascii_r[IDN_SIZE]) __attribute__((nonnull));

#endif
