#include "delivery/header_field.h"

#include <string.h>
#include <strings.h>

#include "base/xalloc.h"

/*
 * Length of the field name of a header line, 0 when the line is none (RFC 5322 section 2.2; white space
 * before the colon is the obsolete form of section 4.5).
 */
static size_t field_name_length(const char *line, size_t length)
{
    size_t name = 0, at;

    while (name < length && line[name] > ' ' && line[name] < 127 && line[name] != ':')
        name++;
    for (at = name; at < length && (line[at] == ' ' || line[at] == '\t'); at++)
        ;
    return name > 0 && at < length && line[at] == ':' ? name : 0;
}

bool header_field_belongs(const char *line, size_t length, bool first)
{
    if (first)
        return field_name_length(line, length) > 0 || (length >= 5 && memcmp(line, "From ", 5) == 0);
    return line[0] == ' ' || line[0] == '\t' || field_name_length(line, length) > 0;
}

size_t header_field_end(const char *header, size_t length, size_t offset)
{
    do {
        const char *end = memchr(header + offset, '\n', length - offset);
        offset = end == NULL ? length : (size_t)(end - header) + 1;
    } while (offset < length && (header[offset] == ' ' || header[offset] == '\t'));
    return offset;
}

bool header_field_is(const char *field, size_t length, const char *name)
{
    size_t wanted = strlen(name);

    return length > wanted && strncasecmp(field, name, wanted) == 0 &&
           field_name_length(field, length) == wanted;
}

char *header_field_value(const char *field, size_t length)
{
    const char *colon = memchr(field, ':', length);
    const char *at = colon + 1, *end = field + length;
    char *value = xmalloc(length + 1), *out = value;

    for (; at < end; at++)
        if (*at != '\r' && *at != '\n' && *at != '\0') /* RFC 5322 section 2.2.3; a C string ends at a NUL */
            *out++ = *at == '\t' ? ' ' : *at;
    while (out > value && out[-1] == ' ')
        out--;
    *out = '\0';
    size_t leading = strspn(value, " ");
    memmove(value, value + leading, (size_t)(out - value) - leading + 1);
    return value;
}
