/* What sendpostctl prints: tables for people, JSON for programs, colour on a terminal that wants it. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "base/json.h"
#include "base/utf8.h"
#include "base/xalloc.h"
#include "ctl/ctl.h"
#include "ctl/people.h"

const char *ctl_colour(enum ctl_colour colour)
{
    static const char *const sequences[] = {
        [CTL_PLAIN] = "\033[0m",   [CTL_BOLD] = "\033[1m", [CTL_GREEN] = "\033[32m",
        [CTL_YELLOW] = "\033[33m", [CTL_RED] = "\033[31m", [CTL_DIM] = "\033[2m",
    };
    const char *terminal = getenv("TERM"), *refused = getenv("NO_COLOR");

    if (!isatty(STDOUT_FILENO) || terminal == NULL || strcmp(terminal, "dumb") == 0 ||
        (refused != NULL && *refused != '\0'))
        return "";
    return sequences[colour];
}

/* Bytes of what may be shown of text: a character, and no control character (C0, DEL, C1). */
static size_t shown(const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;

    if (bytes[0] < ' ' || bytes[0] == 127 || (bytes[0] == 0xc2 && length > 1 && bytes[1] < 0xa0))
        return 0;
    return utf8_sequence(text, length);
}

char *ctl_text(const char *text)
{
    size_t left = strlen(text);
    char *clean = xmalloc(left + 1), *to = clean;

    while (left > 0) {
        size_t length = shown(text, left);
        if (length == 0) {
            *to++ = '?';
            length = 1;
        } else {
            memcpy(to, text, length);
            to += length;
        }
        text += length;
        left -= length;
    }
    *to = '\0';
    return clean;
}

/* Characters, not bytes: good enough for what our tables hold. */
static size_t width(const char *text)
{
    size_t count = 0;

    for (; *text != '\0'; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

struct ctl_table {
    size_t columns, rows; /* the header is row 0 */
    char **cells;
    bool *right;
    bool whole;     /* not cut */
    size_t *widths; /* so far */
    bool begun;     /* the header is printed */
};

struct ctl_table *ctl_table_new(size_t columns, const char *const headers[])
{
    struct ctl_table *table = xcalloc(1, sizeof *table);

    table->columns = columns;
    table->right = xcalloc(columns, sizeof table->right[0]);
    table->widths = xcalloc(columns, sizeof table->widths[0]);
    AUTO_FREE const char **names = xcalloc(columns, sizeof names[0]);
    for (size_t i = 0; i < columns; i++) {
        table->right[i] = headers[i][0] == '>';
        names[i] = headers[i] + (table->right[i] ? 1 : 0);
    }
    ctl_table_row(table, names);
    return table;
}

void ctl_table_row(struct ctl_table *table, const char *const cells[])
{
    table->cells = xrealloc(table->cells, (table->rows + 1) * table->columns * sizeof table->cells[0]);
    for (size_t i = 0; i < table->columns; i++)
        table->cells[table->rows * table->columns + i] = ctl_text(cells[i] != NULL ? cells[i] : "");
    table->rows++;
}

size_t ctl_table_rows(const struct ctl_table *table)
{
    return table->rows - 1;
}

void ctl_table_whole(struct ctl_table *table)
{
    table->whole = true;
}

/* The first so many characters of text. */
static int bytes_of(const char *text, size_t characters)
{
    const char *at = text;

    for (; *at != '\0'; at++)
        if (((unsigned char)*at & 0xc0) != 0x80 && characters-- == 0)
            break;
    return (int)(at - text);
}

/* What a person's terminal shows in a line; 0: no bound. */
static size_t line_width(const struct ctl_table *table)
{
    struct winsize size;

    if (table->whole || !isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
        return 0;
    return size.ws_col;
}

static void print_row(const struct ctl_table *table, size_t row, const size_t *widths, size_t room)
{
    size_t used = 0;

    for (size_t i = 0; i < table->columns && (room == 0 || used < room); i++) {
        const char *cell = table->cells[row * table->columns + i];
        size_t characters = width(cell), pad = widths[i] - characters;
        bool last = i + 1 == table->columns;
        if (room > 0 && characters > room - used)
            characters = room - used;
        const char *colour = row > 0 ? ctl_colour(people_colour(cell)) : "";
        bool plain = row == 0 || people_colour(cell) == CTL_PLAIN;
        printf("%*s%s%.*s%s", table->right[i] ? (int)pad : 0, "", plain ? "" : colour,
               bytes_of(cell, characters), cell, plain ? "" : ctl_colour(CTL_PLAIN));
        used += widths[i] + 2;
        if (!last && (room == 0 || used < room))
            printf("%*s", (table->right[i] ? 0 : (int)pad) + 2, "");
    }
}

static void forget_rows(struct ctl_table *table, size_t from)
{
    for (size_t i = from * table->columns; i < table->rows * table->columns; i++)
        free(table->cells[i]);
    table->rows = from;
}

void ctl_table_flush(struct ctl_table *table)
{
    for (size_t i = 0; i < table->rows * table->columns; i++)
        if (width(table->cells[i]) > table->widths[i % table->columns])
            table->widths[i % table->columns] = width(table->cells[i]);
    for (size_t row = table->begun ? 1 : 0; row < table->rows; row++) {
        fputs(row == 0 ? ctl_colour(CTL_BOLD) : "", stdout);
        print_row(table, row, table->widths, line_width(table));
        printf("%s\n", row == 0 ? ctl_colour(CTL_PLAIN) : "");
    }
    table->begun = true;
    forget_rows(table, 1);
}

void ctl_table_free(struct ctl_table *table)
{
    forget_rows(table, 0);
    free(table->cells);
    free(table->right);
    free(table->widths);
    free(table);
}

void ctl_table_print(struct ctl_table *table)
{
    ctl_table_flush(table);
    ctl_table_free(table);
}

static bool json_has_begun;

void ctl_json_begins(void)
{
    json_has_begun = true;
}

bool ctl_json_has_begun(void)
{
    return json_has_begun;
}

static char complaint[2048];

void ctl_json_complaint(const char *text)
{
    snprintf(complaint, sizeof complaint, "%s", text);
}

/* A program that reads our JSON finds the reason where it looks. */
struct json_object *ctl_json_trouble(void)
{
    struct json_object *object = json_object_new_object();
    AUTO_FREE char *error = ctl_text(complaint);

    json_add_flag(object, "ok", false);
    json_add_text(object, "error", error);
    return object;
}

void ctl_json_row(struct ctl_json_rows *rows, struct json_object *row)
{
    if (rows->stream == stdout)
        ctl_json_begins();
    fputs(rows->count++ == 0 ? "[" : ",\n", rows->stream);
    fputs(json_object_to_json_string_ext(row, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
          rows->stream);
    json_object_put(row);
}

void ctl_json_rows_end(struct ctl_json_rows *rows, bool whole)
{
    if (!whole && rows->count == 0 && rows->stream == stdout)
        return; /* main() prints it */
    if (!whole)
        ctl_json_row(rows, ctl_json_trouble());
    fputs(rows->count == 0 ? "[]\n" : "]\n", rows->stream);
    if (rows->stream == stdout)
        ctl_json_begins();
}

void ctl_print_json(struct json_object *value)
{
    ctl_json_begins();
    puts(json_object_to_json_string_ext(value, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(value);
}
