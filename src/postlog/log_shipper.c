#include "postlog/log_shipper.h"

#include <stdlib.h>

#include "base/xalloc.h"
#include "postlog/log_cursor.h"
#include "postlog/log_stamp.h"

#define DEPTH_MAX 32

#define DOCKER_PART 16384 /* bytes of a line that json-file writes at a time */

enum part { PART_TEXT, PART_TAG, PART_HOST, PART_TIME, PART_STREAM, PART_LOGTAG, PART_COUNT };

/* In order of preference within a part. Sources: Docker's json-file driver, systemd.journal-fields(7),
 * Elastic Common Schema and Filebeat, Fluentd's in_syslog, Fluent Bit's cri parser, rsyslog's property
 * names. */
static const struct {
    const char *name;
    enum part part;
} known[] = {
    {"MESSAGE", PART_TEXT},
    {"log", PART_TEXT},
    {"message", PART_TEXT},
    {"msg", PART_TEXT},
    {"rawmsg", PART_TEXT},
    {"original", PART_TEXT},
    {"line", PART_TEXT},
    {"SYSLOG_IDENTIFIER", PART_TAG},
    {"syslogtag", PART_TAG},
    {"ident", PART_TAG},
    {"programname", PART_TAG},
    {"program", PART_TAG},
    {"app-name", PART_TAG},
    {"appname", PART_TAG},
    {"tag", PART_TAG},
    {"_HOSTNAME", PART_HOST},
    {"hostname", PART_HOST},
    {"host", PART_HOST},
    {"__REALTIME_TIMESTAMP", PART_TIME},
    {"@timestamp", PART_TIME},
    {"time", PART_TIME},
    {"timereported", PART_TIME},
    {"timestamp", PART_TIME},
    {"timegenerated", PART_TIME},
    {"date", PART_TIME},
    {"stream", PART_STREAM},
    {"logtag", PART_LOGTAG},
};

struct object {
    struct log_shipper *shipper;
    struct cursor cursor;
    size_t used; /* of the buffer */
    struct log_slice parts[PART_COUNT];
    size_t ranks[PART_COUNT]; /* place of the name in known[]; a smaller one is preferred */
};

static void skip_space(struct cursor *cursor)
{
    while (cursor->at < cursor->end && memchr(" \t\r\n", *cursor->at, 4) != NULL)
        cursor->at++;
}

static int hex(char c)
{
    if (is_digit(c))
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Four hexadecimal digits at the cursor; -1 when they are none. */
static int take_unit(struct cursor *cursor)
{
    int unit = 0;

    if (cursor_left(cursor) < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex(cursor->at[i]);

        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    cursor->at += 4;
    return unit;
}

/* U+0000 to U+FFFF as UTF-8; three bytes never outgrow the six of "\uXXXX". */
static size_t put_utf8(char *out, int unit)
{
    if (unit < 0x80) {
        out[0] = (char)unit;
        return 1;
    }
    if (unit < 0x800) {
        out[0] = (char)(0xc0 | unit >> 6);
        out[1] = (char)(0x80 | (unit & 0x3f));
        return 2;
    }
    out[0] = (char)(0xe0 | unit >> 12);
    out[1] = (char)(0x80 | (unit >> 6 & 0x3f));
    out[2] = (char)(0x80 | (unit & 0x3f));
    return 3;
}

/* RFC 8259 section 7. What is no valid escape is left out; a character beyond U+FFFF is a '?'. */
static bool take_string(struct object *object, struct log_slice *string_r)
{
    static const char plain[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    struct cursor *cursor = &object->cursor;
    char *out = object->shipper->buffer + object->used;
    size_t length = 0;

    if (!SKIP(cursor, "\""))
        return false;
    while (cursor->at < cursor->end && *cursor->at != '"') {
        char c = *cursor->at++;

        if (c != '\\') {
            out[length++] = c;
            continue;
        }
        if (cursor->at == cursor->end)
            return false;
        c = *cursor->at++;
        const char *escape = c != '\0' ? strchr(plain, c) : NULL;
        if (escape != NULL) {
            out[length++] = meant[escape - plain];
        } else if (c == 'u') {
            int unit = take_unit(cursor);

            if (unit >= 0xd800 && unit <= 0xdbff)
                out[length++] = '?';
            else if (unit >= 0 && (unit < 0xdc00 || unit > 0xdfff))
                length += put_utf8(out + length, unit);
        }
    }
    if (!SKIP(cursor, "\""))
        return false;
    *string_r = (struct log_slice){out, length};
    object->used += length;
    return true;
}

static void take_part(struct object *object, struct log_slice name, struct log_slice value)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        enum part part = known[i].part;

        if (!slice_is(name, known[i].name))
            continue;
        if (value.length > 0 && (object->parts[part].length == 0 || i < object->ranks[part])) {
            object->parts[part] = value;
            object->ranks[part] = i;
        }
        return;
    }
}

/* A number, true, false, null: as it is written. */
static struct log_slice take_bare(struct cursor *cursor)
{
    const char *begin = cursor->at;

    while (cursor->at < cursor->end && memchr(",]} \t\r\n", *cursor->at, 7) == NULL)
        cursor->at++;
    return (struct log_slice){begin, (size_t)(cursor->at - begin)};
}

/* All names and values of the object at the cursor, and of those within it. */
static bool take_object(struct object *object)
{
    struct cursor *cursor = &object->cursor;
    bool in_list[DEPTH_MAX] = {false};
    size_t depth = 0;

    do {
        struct log_slice name = {NULL, 0}, value;

        skip_space(cursor);
        if (SKIP(cursor, ","))
            continue;
        if (SKIP(cursor, "}") || SKIP(cursor, "]")) {
            depth -= depth > 0;
            continue;
        }
        if (depth > 0 && !in_list[depth]) {
            if (!take_string(object, &name))
                return false;
            skip_space(cursor);
            if (!SKIP(cursor, ":"))
                return false;
            skip_space(cursor);
        }
        if (cursor->at == cursor->end)
            return false;
        if (*cursor->at == '{' || *cursor->at == '[') {
            if (++depth == DEPTH_MAX)
                return false;
            in_list[depth] = *cursor->at++ == '[';
            continue;
        }
        if (*cursor->at == '"') {
            if (!take_string(object, &value))
                return false;
        } else {
            value = take_bare(cursor);
            if (value.length == 0)
                return false;
        }
        if (name.length > 0)
            take_part(object, name, value);
    } while (depth > 0 && cursor->at < cursor->end);
    return depth == 0;
}

/* Where the object begins: at once, behind "STAMP stdout F ", or behind Fluentd's "STAMP<TAB>tag<TAB>". */
static bool find_object(struct cursor *cursor)
{
    struct log_stamp stamp;
    struct log_slice tag;

    while (cursor->at < cursor->end && (*cursor->at == '\0' || *cursor->at == ' '))
        cursor->at++;
    if (cursor->at < cursor->end && *cursor->at == '{')
        return true;
    cursor->at += log_stamp_take(cursor->at, cursor_left(cursor), &stamp);
    if (SKIP(cursor, "\t")) {
        if (!take_until(cursor, '\t', &tag))
            return false;
    } else if (!SKIP(cursor, " stdout F ") && !SKIP(cursor, " stderr F ") && !SKIP(cursor, " stdout P ") &&
               !SKIP(cursor, " stderr P ")) { /* P: the first of parts that were joined */
        return false;
    }
    return cursor->at < cursor->end && *cursor->at == '{';
}

static struct log_slice without_line_end(struct log_slice text)
{
    while (text.length > 0 && memchr("\r\n", text.at[text.length - 1], 2) != NULL)
        text.length--;
    return text;
}

/* "postfix/smtp[10]:" to "postfix/smtp" */
static struct log_slice without_pid(struct log_slice tag)
{
    for (size_t i = 0; i < tag.length; i++)
        if (tag.at[i] == '[' || tag.at[i] == ':')
            tag.length = i;
    return tag;
}

void log_shipper_free(struct log_shipper *shipper)
{
    free(shipper->buffer);
    *shipper = (struct log_shipper){NULL, 0, false};
}

/* Whether more of the text follows in the next object of the same stream. */
static bool is_part(const struct object *object)
{
    struct log_slice text = object->parts[PART_TEXT], logtag = object->parts[PART_LOGTAG];

    if (logtag.length > 0)
        return slice_is(logtag, "P");
    if (strcmp(known[object->ranks[PART_TEXT]].name, "log") != 0 || text.length == 0)
        return false;
    if (text.at[text.length - 1] != '\n')
        return object->shipper->ends_lines || text.length >= DOCKER_PART;
    object->shipper->ends_lines = true;
    return false;
}

bool log_shipper_parse(struct log_shipper *shipper, struct log_pieces *pieces, const char *line,
                       size_t length, struct postfix_log_line *line_r)
{
    struct object object = {.shipper = shipper, .cursor = {line, line + length}};

    *line_r = (struct postfix_log_line){.kind = POSTFIX_LOG_FOREIGN};
    if (!find_object(&object.cursor))
        return true;
    if (shipper->size < length) { /* no string is longer than it is written */
        free(shipper->buffer);
        shipper->size = length;
        shipper->buffer = xmalloc(length);
    }
    if (!take_object(&object) || object.parts[PART_TEXT].at == NULL)
        return true;
    struct log_slice text = object.parts[PART_TEXT], tag = without_pid(object.parts[PART_TAG]);
    if (!log_pieces_join(pieces, slice_is(object.parts[PART_STREAM], "stderr"), !is_part(&object), &text))
        return false;
    text = without_line_end(text);
    postfix_log_parse(text.at, text.length, line_r);
    if (line_r->kind == POSTFIX_LOG_FOREIGN && tag.length > 0)
        postfix_log_parse_message(tag.at, tag.length, text.at, text.length, line_r);
    if (line_r->stamp.length == 0)
        line_r->stamp = object.parts[PART_TIME];
    if (line_r->host.length == 0)
        line_r->host = object.parts[PART_HOST];
    return true;
}
