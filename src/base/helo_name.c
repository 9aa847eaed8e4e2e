#include "base/helo_name.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define NAME_MAX_LENGTH 255 /* RFC 5321 section 4.5.3.1.2 */
#define LABEL_MAX_LENGTH 63

static bool is_let_dig(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_literal(const char *name, size_t length)
{
    char address[INET6_ADDRSTRLEN];
    unsigned char bytes[16];
    bool six = strncasecmp(name + 1, "IPv6:", 5) == 0;

    if (length < 2 || name[length - 1] != ']' || length - 2 >= sizeof address + 5)
        return false;
    snprintf(address, sizeof address, "%.*s", (int)(length - (six ? 7 : 2)), name + (six ? 6 : 1));
    return inet_pton(six ? AF_INET6 : AF_INET, address, bytes) == 1;
}

bool helo_name_valid(const char *name)
{
    size_t length = strlen(name), label = 0;

    if (length == 0 || length > NAME_MAX_LENGTH)
        return false;
    if (name[0] == '[')
        return is_literal(name, length);
    for (size_t i = 0; i <= length; i++) {
        char c = name[i];

        if (c == '.' || c == '\0') {
            if (label == 0 || label > LABEL_MAX_LENGTH || name[i - 1] == '-')
                return false;
            label = 0;
        } else if (is_let_dig(c) || (c == '-' && label > 0)) {
            label++;
        } else {
            return false;
        }
    }
    return true;
}

bool helo_name_is_public(const char *name)
{
    static const char *const own[] = {"localhost", "localdomain", "local", "lan", "invalid"};
    const char *last = strrchr(name, '.');

    if (!helo_name_valid(name) || name[0] == '[' || last == NULL)
        return false;
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (strcasecmp(last + 1, own[i]) == 0)
            return false;
    /* a top-level domain of digits alone is an address without its brackets */
    return last[1 + strspn(last + 1, "0123456789")] != '\0';
}

bool helo_name_of_host(char name_r[HELO_NAME_SIZE])
{
    memset(name_r, 0, HELO_NAME_SIZE);
    gethostname(name_r, HELO_NAME_SIZE - 1);
    return helo_name_is_public(name_r);
}
