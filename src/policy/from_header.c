#include "policy/from_header.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/idn.h"

#define DOMAIN_MAX 253 /* RFC 1035 section 2.3.4, in text form */
#define LABEL_MAX 63
#define VALUE_MAX 65536 /* bytes of a field that are looked at: bounds the time that a hostile one takes */

struct scanner {
    const char *at, *end;
    /* a parenthesis was met that nothing closes: from there on it is a letter like others */
    bool open_comment;
    bool open_quote;
};

/* --- a domain ------------------------------------------------------------------------------------------ */

static bool labels_valid(const char *domain, size_t length)
{
    size_t label = 0;

    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)domain[i];
        if (c == '.' ? label == 0 : !isalnum(c) && c != '-' && c != '_')
            return false;
        label = c == '.' ? 0 : label + 1;
        if (label > LABEL_MAX)
            return false;
    }
    return label > 0 && length <= DOMAIN_MAX;
}

static bool is_ascii(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] > 127)
            return false;
    return true;
}

/* "[192.0.2.1]", "[ipv6:2001:db8::1]": brackets, and letters that an address has. */
static bool literal_valid(const char *literal, size_t length)
{
    for (size_t i = 1; i + 1 < length; i++)
        if (!isalnum((unsigned char)literal[i]) && (literal[i] == '\0' || strchr(".:-", literal[i]) == NULL))
            return false;
    return length > 2 && literal[0] == '[' && literal[length - 1] == ']';
}

static enum from_domain to_ascii(const char *domain, char domain_r[FROM_DOMAIN_SIZE])
{
    char ascii[IDN_SIZE];
    enum idn_answer answer = idn_to_ascii(domain, ascii);

    if (answer == IDN_TROUBLE)
        return FROM_DOMAIN_UNKNOWN;
    if (answer != IDN_CONVERTED || !labels_valid(ascii, strlen(ascii)))
        return FROM_DOMAIN_NONE;
    memcpy(domain_r, ascii, strlen(ascii) + 1);
    return FROM_DOMAIN_FOUND;
}

enum from_domain from_header_normalise(const char *domain, size_t length, char domain_r[FROM_DOMAIN_SIZE])
{
    char copy[4 * FROM_DOMAIN_SIZE];

    if (length > 0 && domain[length - 1] == '.')
        length--;
    if (length == 0 || length >= sizeof copy)
        return FROM_DOMAIN_NONE;
    for (size_t i = 0; i < length; i++)
        copy[i] = (char)tolower((unsigned char)domain[i]);
    copy[length] = '\0';
    if (!is_ascii(copy, length))
        return to_ascii(copy, domain_r);
    if (length >= FROM_DOMAIN_SIZE ||
        !(copy[0] == '[' ? literal_valid(copy, length) : labels_valid(copy, length)))
        return FROM_DOMAIN_NONE;
    memcpy(domain_r, copy, length + 1);
    return FROM_DOMAIN_FOUND;
}

/* --- tokens ----------------------------------------------------------------------------------------- */

/* Behind the comment, or the quoted string, that begins at the scanner; NULL when it is never closed. */
static const char *comment_end(const struct scanner *scanner)
{
    size_t depth = 0;

    for (const char *at = scanner->at; at < scanner->end; at++) {
        if (*at == '\\')
            at++;
        else if (*at == '(')
            depth++;
        else if (*at == ')' && --depth == 0)
            return at + 1;
    }
    return NULL;
}

static const char *quote_end(const struct scanner *scanner)
{
    for (const char *at = scanner->at + 1; at < scanner->end; at++) {
        if (*at == '\\')
            at++;
        else if (*at == '"')
            return at + 1;
    }
    return NULL;
}

/* Skip a comment or quoted string at the scanner; false when there is none that is closed. */
static bool skip_bracketed(struct scanner *scanner, char opening, bool *open,
                           const char *(*find_end)(const struct scanner *))
{
    const char *end;

    if (scanner->at >= scanner->end || *scanner->at != opening || *open)
        return false;
    end = find_end(scanner);
    *open = end == NULL;
    if (end != NULL)
        scanner->at = end;
    return end != NULL;
}

static bool skip_comment(struct scanner *scanner)
{
    return skip_bracketed(scanner, '(', &scanner->open_comment, comment_end);
}

static bool at_one_of(const struct scanner *scanner, const char *letters)
{
    return scanner->at < scanner->end && *scanner->at != '\0' && strchr(letters, *scanner->at) != NULL;
}

static void skip_blanks(struct scanner *scanner)
{
    do {
        while (at_one_of(scanner, " \t\r\n"))
            scanner->at++;
    } while (skip_comment(scanner));
}

static bool is_domain_letter(unsigned char c)
{
    return isalnum(c) || c == '-' || c == '_' || c > 127;
}

/*
 * domain = dot-atom / domain-literal / obs-domain, where obs-domain = atom *("." atom) with comments and
 * blanks between them. Leaves the scanner behind it.
 */
static enum from_domain read_domain(struct scanner *scanner, char domain_r[FROM_DOMAIN_SIZE])
{
    char text[4 * FROM_DOMAIN_SIZE];
    size_t length = 0;

    skip_blanks(scanner);
    if (at_one_of(scanner, "[")) {
        const char *close = memchr(scanner->at, ']', (size_t)(scanner->end - scanner->at));
        const char *start = scanner->at;
        if (close == NULL)
            return FROM_DOMAIN_NONE;
        scanner->at = close + 1;
        return from_header_normalise(start, (size_t)(close + 1 - start), domain_r);
    }
    for (bool more = true; more;) {
        while (scanner->at < scanner->end && is_domain_letter((unsigned char)*scanner->at)) {
            if (length < sizeof text)
                text[length++] = *scanner->at;
            scanner->at++;
        }
        skip_blanks(scanner);
        more = at_one_of(scanner, ".");
        if (more) {
            if (length < sizeof text)
                text[length++] = '.';
            scanner->at++;
            skip_blanks(scanner);
        }
    }
    /* another character of an atom would belong to the domain: then it is none */
    if (length >= sizeof text || at_one_of(scanner, "!#$%&'*+/=?^`{|}~\\"))
        return FROM_DOMAIN_NONE;
    return from_header_normalise(text, length, domain_r);
}

/* obs-route = "@" domain *("," "@" domain) ":", only inside angle brackets: the route is not the mailbox. */
static void skip_route(struct scanner *scanner)
{
    const char *close, *colon;

    skip_blanks(scanner);
    if (!at_one_of(scanner, "@"))
        return;
    close = memchr(scanner->at, '>', (size_t)(scanner->end - scanner->at));
    colon = memchr(scanner->at, ':', (size_t)((close ? close : scanner->end) - scanner->at));
    if (colon != NULL)
        scanner->at = colon + 1;
}

/* --- the field -------------------------------------------------------------------------------------- */

enum from_domain from_header_domain(const char *value, size_t length, char domain_r[FROM_DOMAIN_SIZE])
{
    struct scanner scanner = {.at = value, .end = value + (length < VALUE_MAX ? length : VALUE_MAX)};
    bool local_part = false;                   /* a word stands before the scanner */
    enum from_domain found = FROM_DOMAIN_NONE; /* that of a mailbox that may be complete */

    for (;;) {
        skip_blanks(&scanner);
        if (scanner.at >= scanner.end)
            return found;
        if (skip_bracketed(&scanner, '"', &scanner.open_quote, quote_end)) {
            local_part = true;
            continue;
        }
        switch (*scanner.at++) {
        case '<': /* all before it was the display name */
            found = FROM_DOMAIN_NONE;
            local_part = false;
            skip_route(&scanner);
            break;
        case '@':
            found = local_part ? read_domain(&scanner, domain_r) : FROM_DOMAIN_NONE;
            break;
        case '>':
        case ',':
        case ';':
            if (found != FROM_DOMAIN_NONE)
                return found;
            local_part = false;
            break;
        case ':': /* all before it was the name of a group */
            found = FROM_DOMAIN_NONE;
            local_part = false;
            break;
        default:
            local_part = true;
        }
    }
}
