#include "bounce/html.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A tag that ends a line in a browser ends it here; the others leave nothing. */
static bool breaks_line(const char *tag)
{
    static const char *const names[] = {"br", "p",   "/p", "div", "/div", "tr", "/tr",
                                        "td", "/td", "li", "/h",  "hr",   "pre"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (g_ascii_strncasecmp(tag, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* "&#233;" or "&#xe9;": its length, 0 when it is none. */
static size_t append_numeric_entity(GString *text, const char *from)
{
    bool hexadecimal = from[2] == 'x' || from[2] == 'X';
    char *end;
    unsigned long number = strtoul(from + (hexadecimal ? 3 : 2), &end, hexadecimal ? 16 : 10);

    if (*end != ';' || end - from > 10 || number < ' ' || number > 0x10ffff ||
        !g_unichar_validate((gunichar)number))
        return 0;
    g_string_append_unichar(text, (gunichar)number);
    return (size_t)(end + 1 - from);
}

static size_t append_entity(GString *text, const char *from)
{
    /* letters of the languages that write them as entities; HTML 4.01 section 24 */
    static const struct {
        const char *name, *plain;
    } entities[] = {
        {"&lt;", "<"},     {"&gt;", ">"},     {"&amp;", "&"},    {"&nbsp;", " "},   {"&quot;", "\""},
        {"&apos;", "'"},   {"&rsquo;", "'"},  {"&lsquo;", "'"},  {"&auml;", "ä"},   {"&ouml;", "ö"},
        {"&uuml;", "ü"},   {"&Auml;", "Ä"},   {"&Ouml;", "Ö"},   {"&Uuml;", "Ü"},   {"&szlig;", "ß"},
        {"&eacute;", "é"}, {"&egrave;", "è"}, {"&ecirc;", "ê"},  {"&agrave;", "à"}, {"&acirc;", "â"},
        {"&ccedil;", "ç"}, {"&icirc;", "î"},  {"&ocirc;", "ô"},  {"&ugrave;", "ù"}, {"&ucirc;", "û"},
        {"&Eacute;", "É"}, {"&Egrave;", "È"}, {"&Agrave;", "À"}, {"&aacute;", "á"}, {"&iacute;", "í"},
        {"&oacute;", "ó"}, {"&uacute;", "ú"}, {"&ntilde;", "ñ"}, {"&iquest;", "¿"}, {"&atilde;", "ã"},
        {"&otilde;", "õ"}, {"&igrave;", "ì"}, {"&ograve;", "ò"}, {"&aring;", "å"},  {"&Aring;", "Å"},
        {"&aelig;", "æ"},  {"&oslash;", "ø"}, {"&AElig;", "Æ"},  {"&Oslash;", "Ø"}, {"&yacute;", "ý"}};
    size_t length = from[1] == '#' ? append_numeric_entity(text, from) : 0;

    if (length > 0)
        return length;
    for (size_t i = 0; i < sizeof entities / sizeof entities[0]; i++)
        if (strncmp(from, entities[i].name, strlen(entities[i].name)) == 0 ||
            (i < 5 && g_ascii_strncasecmp(from, entities[i].name, strlen(entities[i].name)) == 0)) {
            g_string_append(text, entities[i].plain);
            return strlen(entities[i].name);
        }
    g_string_append_c(text, '&');
    return 1;
}

/* "a@b" where a tag should stand */
static bool is_address(const char *from, const char *end)
{
    return memchr(from, '@', (size_t)(end - from)) != NULL &&
           memchr(from, ' ', (size_t)(end - from)) == NULL && memchr(from, '=', (size_t)(end - from)) == NULL;
}

/* HTML becomes lines of plain text: enough to find words and addresses, no more. */
void html_append(GString *text, const char *html, size_t max)
{
    while (*html != '\0' && text->len < max) {
        if (*html == '<') {
            const char *end = strchr(html, '>');

            if (end == NULL)
                return;
            if (is_address(html + 1, end)) { /* somebody has not escaped it */
                g_string_append_len(text, html, end + 1 - html);
                html = end + 1;
                continue;
            }
            if (breaks_line(html + 1))
                g_string_append_c(text, '\n');
            if (g_ascii_strncasecmp(html + 1, "style", 5) == 0 ||
                g_ascii_strncasecmp(html + 1, "script", 6) == 0) {
                end = strstr(end, "</");
                if (end == NULL)
                    return;
                end--;
            }
            html = end + 1;
        } else if (*html == '&') {
            html += append_entity(text, html);
        } else {
            g_string_append_c(text, *html == '\n' ? ' ' : *html);
            html++;
        }
    }
}
