#include "ctl/setup_edit.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

/* A part of the text, from one line to before another. */
struct part {
    char *begin, *end;
    size_t indent; /* of its keys */
};

static char *next_line(char *line)
{
    char *end = strchr(line, '\n');

    return end != NULL ? end + 1 : line + strlen(line);
}

static size_t indent_of(const char *line)
{
    return strspn(line, " ");
}

static bool is_blank(const char *line)
{
    const char *at = line + strspn(line, " \t\r");

    return *at == '\n' || *at == '\0' || *at == '#';
}

/* Whether the key stands at this place, with its colon. */
static bool has_key(const char *at, const char *key)
{
    size_t length = strlen(key);

    return strncmp(at, key, length) == 0 && at[length] == ':' && strchr(" \n\r", at[length + 1]) != NULL;
}

/* The line of a key of the part; NULL: none. */
static char *find_key(const struct part *part, const char *key)
{
    for (char *line = part->begin; line < part->end; line = next_line(line)) {
        size_t indent = indent_of(line);
        const char *at = line + indent;
        if (at[0] == '-' && at[1] == ' ') { /* the first key of an item */
            size_t more = 1 + strspn(at + 1, " ");
            at += more;
            indent += more;
        }
        if (indent == part->indent && has_key(at, key))
            return line;
    }
    return NULL;
}

static char *replace(char *text, const char *from, const char *to, const char *by)
{
    return xasprintf("%.*s%s%s", (int)(from - text), text, by, to);
}

/* Behind the last line of the part that says something. */
static char *end_of(const struct part *part)
{
    char *end = part->begin;

    for (char *line = part->begin; line < part->end; line = next_line(line))
        if (!is_blank(line))
            end = next_line(line);
    return end;
}

/* Where the value ends and a comment begins, with the blanks before it; the line end where there is none. */
static const char *comment_of(const char *value)
{
    const char *at = value + strspn(value, " "), *end = at + strcspn(at, "\r\n");

    if (*at == '"' || *at == '\'') {
        char quote = *at++;
        for (; at < end && *at != quote; at++)
            at += quote == '"' && *at == '\\' && at + 1 < end;
    }
    for (; at < end; at++)
        if (*at == '#' && at[-1] == ' ') {
            while (at > value && at[-1] == ' ')
                at--;
            return at;
        }
    return end;
}

/* A value that goes on in the lines below: a mapping, a folded text. */
static bool goes_on(const struct part *part, char *line)
{
    for (line = next_line(line); line < part->end && is_blank(line);)
        line = next_line(line);
    return line < part->end && indent_of(line) > part->indent;
}

static bool set_key(char **text, const struct part *part, const char *key, const char *value)
{
    char *line = find_key(part, key), *changed;

    if (line != NULL && goes_on(part, line))
        return false;
    if (value == NULL) {
        if (line != NULL && line[indent_of(line)] == '-')
            return false; /* the dash is the item's */
        changed = line != NULL ? replace(*text, line, next_line(line), "") : xstrdup(*text);
    } else if (line != NULL) {
        const char *at = strstr(line, key), *old = at + strlen(key) + 1;
        AUTO_FREE char *by = xasprintf("%s: %s", key, value);
        changed = replace(*text, at, comment_of(old), by);
    } else {
        const char *end = end_of(part);
        bool open = end > *text && end[-1] != '\n';
        AUTO_FREE char *by = xasprintf("%s%*s%s: %s\n", open ? "\n" : "", (int)part->indent, "", key, value);
        changed = replace(*text, end, end, by);
    }
    free(*text);
    *text = changed;
    return true;
}

/* The list of TPSPs: what follows "tpsps:". indent: of its items' dashes. */
static bool find_list(char *text, struct part *list_r)
{
    char *line = text;

    while (*line != '\0' && !has_key(line, "tpsps"))
        line = next_line(line);
    const char *rest = line + strlen("tpsps:");
    if (*line == '\0' || !is_blank(rest))
        return false;
    list_r->begin = next_line(line);
    for (line = list_r->begin; *line != '\0' && is_blank(line); line = next_line(line))
        ;
    list_r->indent = indent_of(line);
    if (line[list_r->indent] != '-')
        return false;
    while (*line != '\0' && (is_blank(line) || indent_of(line) > list_r->indent ||
                             (indent_of(line) == list_r->indent && line[list_r->indent] == '-')))
        line = next_line(line);
    list_r->end = line;
    return true;
}

static bool is_named(const struct part *item, const char *name)
{
    const char *line = find_key(item, "name");

    if (line == NULL)
        return false;
    const char *value = strchr(line, ':') + 1;
    value += strspn(value, " \"'");
    size_t length = strlen(name);
    return strncmp(value, name, length) == 0 && strchr(" \"'\r\n", value[length]) != NULL;
}

static bool find_item(char *text, const char *name, struct part *item_r)
{
    struct part list;

    if (!find_list(text, &list))
        return false;
    for (char *line = list.begin; line < list.end;) {
        if (is_blank(line) || indent_of(line) != list.indent) {
            line = next_line(line);
            continue;
        }
        item_r->begin = line;
        item_r->indent = list.indent + 1 + strspn(line + list.indent + 1, " ");
        do
            line = next_line(line);
        while (line < list.end && (is_blank(line) || indent_of(line) > list.indent));
        item_r->end = line;
        if (is_named(item_r, name))
            return true;
    }
    return false;
}

bool setup_edit_top(char **text, const char *key, const char *value)
{
    struct part whole = {*text, *text + strlen(*text), 0};

    if (strncmp(*text + strspn(*text, " \r\n"), "{", 1) == 0)
        return false;
    return set_key(text, &whole, key, value);
}

bool setup_edit_tpsp(char **text, const char *name, const char *key, const char *value)
{
    struct part item;

    if (!find_item(*text, name, &item))
        return false;
    return set_key(text, &item, key, value);
}

bool setup_edit_add_tpsp(char **text, const char *lines)
{
    struct part list;

    if (!find_list(*text, &list))
        return false;
    char *end = end_of(&list), *by = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&by, &size);
    if (stream == NULL)
        return false;
    if (end > *text && end[-1] != '\n')
        fputc('\n', stream);
    for (const char *line = lines; *line != '\0'; line += strcspn(line, "\n") + 1)
        fprintf(stream, "%*s%s%.*s\n", (int)list.indent, "", line == lines ? "- " : "  ",
                (int)strcspn(line, "\n"), line);
    fclose(stream);
    char *changed = replace(*text, end, end, by);
    free(by);
    free(*text);
    *text = changed;
    return true;
}
