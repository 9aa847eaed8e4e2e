/* Readers for what names a place on the network: hosts, domains, the event endpoint, the listen address. */
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "base/helo_name.h"
#include "base/url.h"
#include "base/xalloc.h"
#include "config/config_values.h"

#define HOST_MAX 253 /* RFC 1035 section 2.3.4, in text form */

static bool is_address(int family, const char *text, size_t length)
{
    char copy[INET6_ADDRSTRLEN + 1];
    unsigned char binary[sizeof(struct in6_addr)];

    if (length >= sizeof copy)
        return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return inet_pton(family, copy, binary) == 1;
}

/* Labels of letters, digits, '-' and '_' (real hosts have it), not all of digits and dots. */
static bool is_name(const char *text, size_t length)
{
    bool label = false, letter = false;

    if (length > 0 && text[length - 1] == '.')
        length--;
    if (length == 0 || length > HOST_MAX)
        return false;
    size_t label_length = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '.' ? !label : !isalnum(c) && c != '_' && (c != '-' || !label))
            return false;
        label = c != '.';
        label_length = label ? label_length + 1 : 0;
        if (label_length > 63)
            return false;
        letter = letter || isalpha(c) || c == '-' || c == '_';
    }
    return label && letter;
}

static bool is_port(const char *text)
{
    unsigned value = 0;

    if (*text < '1' || *text > '9')
        return false;
    for (; isdigit((unsigned char)*text) && value <= 65535; text++)
        value = value * 10 + (unsigned)(*text - '0');
    return *text == '\0' && value <= 65535;
}

bool config_address_valid(const char *text, bool port_needed, bool port_allowed)
{
    const char *close = strchr(text, ']'), *colon = strchr(text, ':');

    if (*text == '[')
        return close != NULL && is_address(AF_INET6, text + 1, (size_t)(close - text - 1)) &&
               (close[1] == '\0' ? !port_needed : port_allowed && close[1] == ':' && is_port(close + 2));
    if (colon != NULL && is_address(AF_INET, text, (size_t)(colon - text)))
        return port_allowed && is_port(colon + 1);
    return !port_needed &&
           (is_address(AF_INET, text, strlen(text)) || is_address(AF_INET6, text, strlen(text)));
}

static bool is_ascii(const char *text)
{
    while (*text != '\0' && (unsigned char)*text < 128)
        text++;
    return *text == '\0';
}

static bool is_in_brackets(const char *text, size_t length)
{
    return text[0] == '[' && length > 2 && text[length - 1] == ']' &&
           is_address(AF_INET6, text + 1, length - 2);
}

bool config_host_valid(const char *text)
{
    size_t length = strlen(text);

    return is_in_brackets(text, length) || is_address(AF_INET, text, length) ||
           is_address(AF_INET6, text, length) || is_name(text, length);
}

static bool fail_not_ascii(struct config_reader *reader, const struct config_place *place,
                           const yaml_node_t *node, const char *text)
{
    return config_fail(reader, place, node, "\"%.60s\" is not ASCII; write the xn-- form of the name", text);
}

CONFIG_READER(config_read_host)
{
    const char *text = config_yaml_text(reader, place, node);

    (void)key;
    if (text == NULL)
        return false;
    size_t length = strlen(text);
    if (is_in_brackets(text, length)) {
        *(char **)field = xstrndup(text + 1, length - 2);
        return true;
    }
    if (!config_host_valid(text)) {
        const char *colon = strrchr(text, ':');
        if (!is_ascii(text))
            return fail_not_ascii(reader, place, node, text);
        if (colon != NULL && is_port(colon + 1))
            return config_fail(reader, place, node,
                               "\"%.60s\" is no host; the port goes into a key of its own", text);
        return config_fail(reader, place, node, "\"%.60s\" is neither a host name nor an IP address", text);
    }
    *(char **)field = xstrdup(text);
    return true;
}

/* RFC 5321 section 4.1.2 and 4.1.3: Domain, or an address literal. */
CONFIG_READER(config_read_helo_name)
{
    const char *text = config_yaml_text(reader, place, node);

    (void)key;
    if (text == NULL)
        return false;
    if (!helo_name_valid(text))
        return config_fail(
            reader, place, node,
            "\"%.60s\" is no name for EHLO: mail.example.com (letters, digits, '-' inside a label, "
            "no dot at the end), or [192.0.2.1], [IPv6:2001:db8::1]",
            text);
    *(char **)field = xstrdup(text);
    return true;
}

CONFIG_READER(config_read_domain)
{
    const char *text = config_yaml_text(reader, place, node);

    (void)key;
    if (text == NULL)
        return false;
    if (text[0] == '.' || strncmp(text, "*.", 2) == 0)
        return config_fail(reader, place, node, "\"%.60s\": write the domain alone, subdomains are included",
                           text);
    if (!is_ascii(text))
        return fail_not_ascii(reader, place, node, text);
    if (!is_name(text, strlen(text)))
        return config_fail(reader, place, node, "\"%.60s\" is no domain name", text);
    *(char **)field = xstrdup(text);
    return true;
}

static bool is_loopback(const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           (strncmp(host, "127.", 4) == 0 && is_address(AF_INET, host, strlen(host)));
}

/*
 * The key goes with every request: https always, but for a receiver on this very machine. The URL itself is
 * not shown, somebody may have put a password into it.
 */
static bool read_url(struct config_reader *reader, const struct config_place *place, const yaml_node_t *node,
                     const char *text, const char *none, char **field)
{
    struct url url;

    switch (url_parse(text, &url)) {
    case URL_OK:
        break;
    case URL_SCHEME:
        return config_fail(reader, place, node, "must be an https:// URL%s", none);
    case URL_USER:
        return config_fail(reader, place, node,
                           "must not hold a user name or password; secrets go into files of their own");
    case URL_CHARACTERS:
        return config_fail(reader, place, node,
                           "is no URL: spaces, # and bytes above 127 must be %%-encoded");
    case URL_PLACE:
        *url.host = '\0';
    }
    size_t length = strlen(url.host);
    if (!is_name(url.host, length) && !is_address(AF_INET, url.host, length) &&
        !is_address(AF_INET6, url.host, length))
        return config_fail(reader, place, node,
                           "has no valid host name or port; the form is https://HOST[:PORT]/PATH");
    if (!url.tls && !is_loopback(url.host))
        return config_fail(
            reader, place, node,
            "would send the key unencrypted; write https:// (http:// is for loopback hosts only)");
    *field = xstrdup(text);
    return true;
}

CONFIG_READER(config_read_endpoint)
{
    const char *text = config_yaml_text(reader, place, node);

    (void)key;
    return text != NULL && (strcmp(text, "none") == 0 ||
                            read_url(reader, place, node, text, ", or the word none", (char **)field));
}

CONFIG_READER(config_read_url)
{
    const char *text = config_yaml_text(reader, place, node);

    (void)key;
    return text != NULL && read_url(reader, place, node, text, "", (char **)field);
}

CONFIG_READER(config_read_listen)
{
    const char *text = config_yaml_text(reader, place, node);

    (void)key;
    if (text == NULL)
        return false;
    if (strcmp(text, "none") == 0)
        return true;
    bool localhost = strncmp(text, "localhost:", 10) == 0 && is_port(text + 10);
    bool local =
        strncmp(text, "unix:/", 6) == 0 && strlen(text + 5) < sizeof((struct sockaddr_un *)NULL)->sun_path;
    if (!localhost && !local && !config_address_valid(text, true, true))
        return config_fail(reader, place, node,
                           "\"%.60s\" is not of the form 127.0.0.1:9113, [::1]:9113, unix:/PATH or none",
                           text);
    *(char **)field = xstrdup(text);
    return true;
}
