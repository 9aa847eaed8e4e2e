#include "base/address.h"

#include <string.h>
#include <strings.h>

#include "base/utf8.h"

bool address_valid(const char *address, const char **why_r)
{
    const char *domain = address_domain(address);
    bool quoted = false;
    size_t length = strlen(address);

    *why_r = NULL;
    if (length == 0)
        *why_r = "it is empty";
    else if (length >= ADDRESS_SIZE)
        *why_r = "it is longer than 1,024 bytes";
    else if (domain == NULL)
        *why_r = "it has no domain";
    else if (*domain == '\0')
        *why_r = "its domain is empty";
    else if (domain == address + 1)
        *why_r = "its local part is empty";
    if (*why_r != NULL)
        return false;

    for (const char *at = address; *at != '\0' && *why_r == NULL;) {
        unsigned char c = (unsigned char)*at;
        size_t sequence = utf8_sequence(at, strlen(at));
        bool local_part = at < domain - 1;
        if (sequence == 0)
            *why_r = "it is not valid UTF-8";
        else if (c < ' ' || c == 127)
            *why_r = "it contains a control character";
        else if (local_part && quoted && c == '\\' && at + 1 < domain - 1 && at[1] >= ' ' && at[1] <= '~')
            sequence = 2; /* quoted-pair (RFC 5321 section 4.1.2) */
        else if (local_part && c == '"')
            quoted = !quoted;
        else if (!(local_part && quoted) && strchr(" <>", c) != NULL)
            *why_r = "it contains an unquoted space or angle bracket";
        else if (!local_part && strchr("\"\\(),;", c) != NULL)
            *why_r = "its domain contains a character that no domain has";
        at += sequence;
    }
    if (*why_r == NULL && quoted)
        *why_r = "a quote in it is not closed";
    return *why_r == NULL;
}

const char *address_domain(const char *address)
{
    const char *at = strrchr(address, '@');
    return at == NULL ? NULL : at + 1;
}

bool address_is_ascii(const char *address)
{
    for (; *address != '\0'; address++)
        if ((unsigned char)*address > 127)
            return false;
    return true;
}

bool address_equal(const char *a, const char *b)
{
    return strcasecmp(a, b) == 0;
}
