#include "classify/echo.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/address.h"
#include "base/punycode.h"
#include "classify/classify_words.h"

#define FORMS_MAX 20

enum part { WHOLE, DOMAIN, LOCAL };

/* One way to write an address or a part of it. */
struct form {
    char token;
    enum part what;
    bool plain; /* a local part that could be a word of any sentence */
    size_t length;
    char text[ADDRESS_SIZE + 8];
};

struct forms {
    size_t count;
    struct form form[FORMS_MAX];
    bool begins[256];     /* some form does so with this byte, in either case */
    bool at_sign, scheme; /* the text has an '@', a "://": without, there is no address, no URL */
    bool any_address;     /* one of the two is not known */
    char token_of_any;
};

struct output {
    char *text;
    size_t length, size;
};

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80) != 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* --- the forms of the two addresses -------------------------------------------------------------- */

static void add(struct forms *forms, char token, enum part what, const char *local, size_t local_length,
                const char *domain)
{
    struct form *form = &forms->form[forms->count];
    size_t domain_length = domain != NULL ? strlen(domain) : 0;
    bool both = local_length > 0 && domain != NULL;

    if (forms->count == FORMS_MAX || local_length + domain_length + 2 > sizeof form->text ||
        local_length + domain_length == 0)
        return;
    form->token = token;
    form->what = what;
    memcpy(form->text, local, local_length);
    if (both)
        form->text[local_length] = '@';
    if (domain != NULL)
        memcpy(form->text + local_length + (both ? 1 : 0), domain, domain_length);
    form->length = local_length + domain_length + (both ? 1 : 0);
    form->text[form->length] = '\0';
    form->plain = true;
    for (size_t i = 0; i < form->length; i++)
        form->plain = form->plain && ((form->text[i] >= 'a' && form->text[i] <= 'z') ||
                                      (form->text[i] >= 'A' && form->text[i] <= 'Z') ||
                                      strchr(" ,;:!?-'", form->text[i]) != NULL);
    for (size_t i = 0; i < forms->count; i++)
        if (forms->form[i].token == token && strcasecmp(forms->form[i].text, form->text) == 0)
            return;
    forms->begins[(unsigned char)tolower((unsigned char)form->text[0])] = true;
    forms->begins[(unsigned char)toupper((unsigned char)form->text[0])] = true;
    forms->count++;
}

/* A quoted local part without its quotes and backslashes. */
static size_t unquote(const char *local, size_t length, char *out)
{
    size_t n = 0;
    bool quoted = length >= 2 && local[0] == '"' && local[length - 1] == '"';

    for (size_t i = quoted ? 1 : 0; i < length - (quoted ? 1 : 0); i++) {
        if (quoted && local[i] == '\\' && i + 2 < length)
            i++;
        out[n++] = local[i];
    }
    return n;
}

static void add_address(struct forms *forms, char token, const char *address)
{
    const char *domain = address_domain(address);
    char bare[ADDRESS_SIZE], other[ADDRESS_SIZE] = "";
    size_t local = domain != NULL ? (size_t)(domain - address) - 1 : 0, bare_length, tagless;
    const char *domains[2] = {domain, other};

    if (domain == NULL || strlen(address) >= ADDRESS_SIZE || local == 0)
        return;
    bare_length = unquote(address, local, bare);
    tagless = bare_length;
    for (size_t i = 1; i < bare_length && tagless == bare_length; i++)
        if (bare[i] == '+')
            tagless = i;
    if (!punycode_other_form(domain, other, sizeof other))
        domains[1] = NULL;
    for (size_t i = 0; i < 2 && domains[i] != NULL; i++) {
        add(forms, token, WHOLE, address, local, domains[i]);
        add(forms, token, WHOLE, bare, bare_length, domains[i]);
        add(forms, token, WHOLE, bare, tagless, domains[i]);
        if (strchr(domains[i], '.') != NULL)
            add(forms, token, DOMAIN, "", 0, domains[i]);
    }
    add(forms, token, LOCAL, bare, bare_length, NULL);
    add(forms, token, LOCAL, bare, tagless, NULL);
}

/* --- where one stands ---------------------------------------------------------------------------- */

/* What may go on an address or a host name on either side. */
static bool goes_on(char c)
{
    return is_alnum(c) || c == '-' || c == '_' || c == '+' || c == '@' || c == '%';
}

static bool ends_here(const char *text, size_t at, size_t length)
{
    return at >= length ||
           (!goes_on(text[at]) && !(text[at] == '.' && at + 1 < length && is_alnum(text[at + 1])));
}

static bool begins_here(const char *text, size_t at, bool domain)
{
    return at == 0 || (!goes_on(text[at - 1]) && text[at - 1] != '.') || (domain && text[at - 1] == '@');
}

/* The word before at says that a local part follows. */
static bool named_before(const char *text, size_t at)
{
    static const char *const nouns[] = {
        "user",        "mailbox",  "recipient", "account", "address",      "alias",        "username",
        "utilisateur", "benutzer", "usuario",   "utente",  "destinataire", "empfänger",    "postfach",
        "for",         "to",       "login",     "inbox",   "buzón",        "destinatario", "casella"};
    size_t end = at, begin;

    while (end > 0 && (text[end - 1] == ' ' || text[end - 1] == ':'))
        end--;
    begin = end;
    while (begin > 0 && is_alnum(text[begin - 1]))
        begin--;
    for (size_t i = 0; i < sizeof nouns / sizeof nouns[0]; i++)
        if (end - begin == strlen(nouns[i]) && strncasecmp(text + begin, nouns[i], end - begin) == 0)
            return true;
    return false;
}

/* A local part that stands alone is one only where its surroundings say so, unless it is no plain word. */
static bool is_local_part(const struct form *form, const char *text, size_t at, size_t length)
{
    size_t end = at + form->length;
    char before = at > 0 ? text[at - 1] : ' ', after = end < length ? text[end] : ' ';

    if ((before == '<' && after == '>') || (before == '(' && after == ')') ||
        (before == '[' && after == ']') || (strchr("'\"`", before) != NULL && strchr("'\"`", after) != NULL))
        return true;
    if (length - end >= 3 && memcmp(text + end, "...", 3) == 0)
        return true;
    return !form->plain || named_before(text, at);
}

static const struct form *form_at(const struct forms *forms, const char *text, size_t at, size_t length)
{
    const struct form *best = NULL;

    for (size_t i = 0; i < forms->count; i++) {
        const struct form *form = &forms->form[i];
        size_t end = at + form->length;

        if (form->length > length - at || (best != NULL && form->length <= best->length) ||
            ((form->text[0] ^ text[at]) & 0xdf) != 0 || strncasecmp(form->text, text + at, form->length) != 0)
            continue;
        if (form->what == LOCAL && end + 2 < length && memcmp(text + end, "...", 3) == 0 &&
            begins_here(text, at, false))
            best = form;
        else if (ends_here(text, end, length) && begins_here(text, at, form->what == DOMAIN) &&
                 (form->what != LOCAL || is_local_part(form, text, at, length)))
            best = form;
    }
    return best;
}

/* --- what else stands in a reply ------------------------------------------------------------------ */

static void put(struct output *out, char c)
{
    if (out->length + 1 < out->size)
        out->text[out->length++] = c;
}

static void put_token(struct output *out, char token)
{
    put(out, ' ');
    put(out, token);
    put(out, ' ');
}

/* "https://…" at the start of a word: its length. */
static size_t url_at(const char *text, size_t at, size_t length)
{
    size_t end = at;

    while (end < length && end - at < 8 && ((text[end] | 0x20) >= 'a' && (text[end] | 0x20) <= 'z'))
        end++;
    if (end == at || length - end < 3 || memcmp(text + end, "://", 3) != 0)
        return 0;
    while (end < length && (unsigned char)text[end] > ' ' && strchr("<>\")]", text[end]) == NULL)
        end++;
    return end - at;
}

/* An IPv4 address, or what has the look of an IPv6 one: its length. */
static size_t ip_at(const char *text, size_t at, size_t length)
{
    size_t end = at, dots = 0, colons = 0, digits = 0;

    if (!is_digit(text[at]) && text[at] != ':' && ((text[at] | 0x20) < 'a' || (text[at] | 0x20) > 'f'))
        return 0;
    for (; end < length && end - at < 45; end++) {
        char c = text[end];
        bool hex = is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');

        if (c == '.')
            dots++;
        else if (c == ':')
            colons++;
        else if (hex)
            digits++;
        else
            break;
    }
    while (end > at &&
           (text[end - 1] == '.' || (text[end - 1] == ':' && (end < at + 2 || text[end - 2] != ':')))) {
        dots -= text[end - 1] == '.';
        colons -= text[end - 1] == ':';
        end--;
    }
    if (end < length && is_alnum(text[end]))
        return 0;
    if (dots == 3 && colons <= 1 && is_digit(text[at])) { /* a port may follow */
        size_t size = strspn(text + at, "0123456789.");
        return size <= end - at && size >= 7 && size <= 15 ? end - at : 0;
    }
    return dots == 0 && colons >= 2 && digits >= 1 ? end - at : 0;
}

/* RFC 5322 atext and '.', beside letters and digits */
static const bool in_local_part[256] = {
    ['!'] = true, ['#'] = true, ['$'] = true, ['%'] = true, ['&'] = true, ['\''] = true, ['*'] = true,
    ['+'] = true, ['-'] = true, ['/'] = true, ['='] = true, ['?'] = true, ['^'] = true,  ['_'] = true,
    ['`'] = true, ['{'] = true, ['|'] = true, ['}'] = true, ['~'] = true, ['.'] = true,
};

/* An address that is neither of the two: its length, when one begins at at. */
static size_t address_at(const char *text, size_t at, size_t length)
{
    size_t end = at;

    if (text[at] == '"') {
        for (end = at + 1; end < length && text[end] != '"'; end++)
            if (text[end] == '\\' && end + 1 < length)
                end++;
        end++;
    } else {
        while (end < length && (is_alnum(text[end]) || in_local_part[(unsigned char)text[end]]))
            end++;
    }
    if (end == at || end >= length || text[end] != '@')
        return 0;
    size_t domain = ++end;
    while (end < length && (is_alnum(text[end]) || ((text[end] == '.' || text[end] == '-') &&
                                                    end + 1 < length && is_alnum(text[end + 1]))))
        end++;
    return end > domain ? end - at : 0;
}

/* Something that is replaced as a whole: its length, 0 when there is none; *token_r 0: by nothing. */
static size_t replaceable(const struct forms *forms, const char *text, size_t at, size_t length,
                          char *token_r)
{
    const struct form *form =
        forms->begins[(unsigned char)text[at]] ? form_at(forms, text, at, length) : NULL;
    bool start = at == 0 || !is_alnum(text[at - 1]);
    size_t size;

    *token_r = form != NULL ? form->token : '\0';
    if (form != NULL)
        return form->length;
    if (!start)
        return 0;
    if (forms->scheme && (size = url_at(text, at, length)) > 0)
        return size;
    if ((size = ip_at(text, at, length)) > 0) {
        *token_r = CLASSIFY_IP;
        return size;
    }
    size = forms->at_sign ? address_at(text, at, length) : 0;
    *token_r = forms->any_address ? forms->token_of_any : '@';
    return size;
}

size_t echo_replace(const struct echo_addresses *addresses, const char *text, size_t length, char *out,
                    size_t size)
{
    struct forms forms; /* large: the forms are not cleared */
    struct output output = {.text = out, .size = size};

    if (length > CLASSIFY_TEXT_MAX)
        length = CLASSIFY_TEXT_MAX;
    forms.count = 0;
    memset(forms.begins, 0, sizeof forms.begins);
    if (addresses->recipient != NULL)
        add_address(&forms, CLASSIFY_RECIPIENT, addresses->recipient);
    if (addresses->sender != NULL)
        add_address(&forms, CLASSIFY_SENDER, addresses->sender);
    forms.at_sign = memchr(text, '@', length) != NULL;
    forms.scheme = memmem(text, length, "://", 3) != NULL;
    forms.any_address = addresses->recipient == NULL || addresses->sender == NULL;
    forms.token_of_any = addresses->recipient == NULL ? CLASSIFY_RECIPIENT : CLASSIFY_SENDER;
    for (size_t at = 0; at < length;) {
        char token;
        size_t replaced = replaceable(&forms, text, at, length, &token);

        if (replaced == 0) {
            put(&output, (unsigned char)text[at] < ' ' || text[at] == 127 ? ' ' : text[at]);
            at++;
            continue;
        }
        if (token == '@') /* as an address, which is the word "@" */
            for (const char *other = " x@x "; *other != '\0'; other++)
                put(&output, *other);
        else if (token != '\0')
            put_token(&output, token);
        at += replaced;
    }
    out[output.length] = '\0';
    return output.length;
}
