#include "bounce/mime.h"

#include <ctype.h>
#include <gmime/gmime.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "bounce/html.h"

#define DEPTH_MAX 16

struct walk {
    struct mime_report *report;
    GString *notice, *html, *fields, *feedback, *returned;
    unsigned parts;
};

/* --- character sets ------------------------------------------------------------------------------- */

void mime_load_charsets(void)
{
    static const char *const names[] = {
        "iso-8859-1",   "iso-8859-2",   "iso-8859-5",   "iso-8859-7",   "iso-8859-9",   "iso-8859-13",
        "iso-8859-15",  "windows-1250", "windows-1251", "windows-1252", "windows-1253", "windows-1254",
        "windows-1255", "windows-1256", "windows-1257", "koi8-r",       "koi8-u",       "iso-2022-jp",
        "euc-jp",       "shift_jis",    "gb2312",       "gbk",          "gb18030",      "big5",
        "big5-hkscs",   "cp932",        "cp949",        "hz",           "euc-kr",       "tis-620",
        "utf-16",       "utf-16le",     "utf-16be",     "utf-7"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)!g_mime_iconv_open("utf-8", names[i]); /* never closed: the C library keeps what it loaded */
}

/* --- texts ---------------------------------------------------------------------------------------- */

static void append(GString *text, const char *bytes, size_t length)
{
    if (text->len >= MIME_TEXT_MAX)
        return;
    if (length > MIME_TEXT_MAX - text->len)
        length = MIME_TEXT_MAX - text->len;
    for (size_t i = 0; i < length; i++)
        if (bytes[i] != '\r' && bytes[i] != '\0')
            g_string_append_c(text, bytes[i]);
    g_string_append_c(text, '\n');
}

/* What mail systems call a charset, and what they mean by it: the wider one that holds all of it. */
static const char *real_charset(const char *name)
{
    static const char *const wider[][2] = {
        {"gb2312", "gb18030"},
        {"gbk", "gb18030"},
        {"gb_2312-80", "gb18030"},
        {"x-gbk", "gb18030"},
        {"hz-gb-2312", "hz"},
        {"big5", "big5-hkscs"},
        {"shift_jis", "cp932"},
        {"shift-jis", "cp932"},
        {"x-sjis", "cp932"},
        {"ks_c_5601-1987", "cp949"},
        {"ks_c_5601", "cp949"},
        {"euc-kr", "cp949"},
        {"iso-8859-1", "windows-1252"},
        {"latin1", "windows-1252"},
        {"iso-8859-9", "windows-1254"},
        {"iso-8859-8-i", "iso-8859-8"},
        {"unicode-1-1-utf-7", "utf-7"},
    };

    for (size_t i = 0; i < sizeof wider / sizeof wider[0]; i++)
        if (g_ascii_strcasecmp(name, wider[i][0]) == 0)
            return wider[i][1];
    return name;
}

/* The content of a leaf, decoded and in UTF-8, as far as its charset is known. */
static void append_part(GString *text, GMimePart *part)
{
    GMimeDataWrapper *content = g_mime_part_get_content(part);
    const char *charset = g_mime_object_get_content_type_parameter(GMIME_OBJECT(part), "charset");
    GMimeStream *memory, *stream;
    GMimeFilter *filter = NULL;
    GByteArray *bytes;

    if (content == NULL)
        return;
    memory = g_mime_stream_mem_new();
    stream = g_mime_stream_filter_new(memory);
    if (charset != NULL && g_ascii_strcasecmp(charset, "utf-8") != 0 &&
        g_ascii_strcasecmp(charset, "us-ascii") != 0)
        filter = g_mime_filter_charset_new(real_charset(charset), "utf-8");
    if (filter == NULL && charset != NULL && strcmp(real_charset(charset), charset) != 0)
        filter = g_mime_filter_charset_new(charset, "utf-8");
    if (filter != NULL) {
        g_mime_stream_filter_add(GMIME_STREAM_FILTER(stream), filter);
        g_object_unref(filter);
    }
    g_mime_data_wrapper_write_to_stream(content, stream);
    g_mime_stream_flush(stream);
    bytes = g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(memory));
    if (bytes != NULL)
        append(text, (const char *)bytes->data, bytes->len);
    g_object_unref(stream);
    g_object_unref(memory);
}

/* --- structure -------------------------------------------------------------------------------------- */

static void append_headers(GString *text, GMimeObject *object)
{
    char *headers = g_mime_object_get_headers(object, NULL);

    if (headers != NULL)
        append(text, headers, strlen(headers));
    g_free(headers);
}

static bool is_report(GMimeObject *part)
{
    const char *type;

    if (part == NULL ||
        !g_mime_content_type_is_type(g_mime_object_get_content_type(part), "multipart", "report"))
        return false;
    type = g_mime_object_get_content_type_parameter(part, "report-type");
    return type != NULL && g_ascii_strcasecmp(type, "delivery-status") == 0;
}

static void walk_leaf(struct walk *walk, GMimeObject *object)
{
    GMimeContentType *type = g_mime_object_get_content_type(object);
    const char *media = g_mime_content_type_get_media_type(type);
    const char *sub = g_mime_content_type_get_media_subtype(type);
    bool message = media != NULL && g_ascii_strcasecmp(media, "message") == 0;
    bool text = media != NULL && g_ascii_strcasecmp(media, "text") == 0;

    if (!GMIME_IS_PART(object) || sub == NULL)
        return;
    if (strstr(sub, "delivery-status") != NULL ||
        (message && g_ascii_strcasecmp(sub, "delivery-status") == 0))
        append_part(walk->fields, GMIME_PART(object));
    else if (message && g_ascii_strcasecmp(sub, "feedback-report") == 0) {
        walk->report->is_feedback = true;
        append_part(walk->feedback, GMIME_PART(object));
    } else if (message && strstr(sub, "disposition-notification") != NULL)
        walk->report->is_disposition = true;
    else if (message || (text && g_ascii_strcasecmp(sub, "rfc822-headers") == 0))
        append_part(walk->returned, GMIME_PART(object));
    else if (text && g_ascii_strcasecmp(sub, "html") == 0)
        append_part(walk->html, GMIME_PART(object));
    else if (text && walk->returned->len == 0)
        append_part(walk->notice, GMIME_PART(object));
}

static void walk_part(struct walk *walk, GMimeObject *object, unsigned depth)
{
    if (object == NULL || depth > DEPTH_MAX || ++walk->parts > MIME_PARTS_MAX)
        return;
    if (GMIME_IS_MULTIPART(object)) {
        int count = g_mime_multipart_get_count(GMIME_MULTIPART(object));

        for (int i = 0; i < count && walk->parts <= MIME_PARTS_MAX; i++)
            walk_part(walk, g_mime_multipart_get_part(GMIME_MULTIPART(object), i), depth + 1);
    } else if (GMIME_IS_MESSAGE_PART(object)) {
        GMimeMessage *message = g_mime_message_part_get_message(GMIME_MESSAGE_PART(object));

        if (message == NULL)
            return;
        /* a report that somebody forwarded as an attachment */
        if (is_report(g_mime_message_get_mime_part(message)) && walk->fields->len == 0)
            walk_part(walk, g_mime_message_get_mime_part(message), depth + 1);
        else
            append_headers(walk->returned, GMIME_OBJECT(message));
    } else {
        walk_leaf(walk, object);
    }
}

/* What follows the first empty line. */
static const char *body_of(const char *bytes, size_t length, size_t *body_length_r)
{
    for (size_t i = 0; i + 1 < length; i++) {
        size_t next = i + 1 + (bytes[i + 1] == '\r' && i + 2 < length);

        if (bytes[i] == '\n' && bytes[next] == '\n') {
            *body_length_r = length - next - 1;
            return bytes + next + 1;
        }
    }
    *body_length_r = 0;
    return bytes;
}

static char *header(GMimeMessage *message, const char *name)
{
    const char *value = g_mime_object_get_header(GMIME_OBJECT(message), name);

    return xstrdup(value ? value : "");
}

static void read_headers(struct mime_report *report, GMimeMessage *message)
{
    GDateTime *date = g_mime_message_get_date(message);
    const char *subject = g_mime_message_get_subject(message);

    report->subject = xstrdup(subject ? subject : "");
    report->from = header(message, "From");
    report->to = header(message, "To");
    report->return_path = header(message, "Return-Path");
    report->failed_recipients = header(message, "X-Failed-Recipients");
    report->auto_submitted = header(message, "Auto-Submitted");
    report->date_ms = date ? g_date_time_to_unix(date) * 1000 : 0;
}

static char *take(GString *text)
{
    char *copy = xstrdup(text->str);

    g_string_free(text, TRUE);
    return copy;
}

static void silence(const char *domain, GLogLevelFlags level, const char *message, void *data)
{
    (void)domain, (void)level, (void)message, (void)data;
}

void mime_init(void)
{
    g_mime_init();
    /* it complains about what it reads, on the descriptor that pipe(8) reads */
    g_log_set_default_handler(silence, NULL);
}

void mime_read(struct mime_report *report_r, const char *bytes, size_t length)
{
    struct walk walk = {.report = report_r,
                        .notice = g_string_new(NULL),
                        .html = g_string_new(NULL),
                        .fields = g_string_new(NULL),
                        .feedback = g_string_new(NULL),
                        .returned = g_string_new(NULL)};
    GMimeStream *stream;
    GMimeParser *parser;
    GMimeMessage *message;

    memset(report_r, 0, sizeof *report_r);
    if (length > MIME_MESSAGE_MAX)
        length = MIME_MESSAGE_MAX;
    if (length > 5 && memcmp(bytes, "From ", 5) == 0) { /* the separator line of a mailbox file */
        const char *end = memchr(bytes, '\n', length);
        size_t line = end ? (size_t)(end + 1 - bytes) : length;

        bytes += line;
        length -= line;
    }
    stream = g_mime_stream_mem_new_with_buffer(bytes, length);
    parser = g_mime_parser_new_with_stream(stream);
    message = g_mime_parser_construct_message(parser, NULL);
    if (message != NULL) {
        read_headers(report_r, message);
        report_r->is_report = is_report(g_mime_message_get_mime_part(message));
        walk_part(&walk, g_mime_message_get_mime_part(message), 0);
        g_object_unref(message);
    } else {
        report_r->subject = xstrdup("");
        report_r->from = xstrdup("");
        report_r->to = xstrdup("");
        report_r->return_path = xstrdup("");
        report_r->failed_recipients = xstrdup("");
        report_r->auto_submitted = xstrdup("");
    }
    g_object_unref(parser);
    g_object_unref(stream);

    if (strspn(walk.notice->str, " \t\n") == walk.notice->len)
        html_append(walk.notice, walk.html->str, MIME_TEXT_MAX);
    if (walk.notice->len + walk.fields->len == 0) { /* multipart without a part, for one */
        size_t body_length;
        const char *body = body_of(bytes, length, &body_length);

        append(walk.notice, body, body_length);
    }
    g_string_free(walk.html, TRUE);
    report_r->notice = take(walk.notice);
    report_r->fields = take(walk.fields);
    report_r->feedback = take(walk.feedback);
    report_r->returned = take(walk.returned);
}

void mime_clear(struct mime_report *report)
{
    char **texts[] = {&report->notice,
                      &report->fields,
                      &report->feedback,
                      &report->returned,
                      &report->subject,
                      &report->from,
                      &report->to,
                      &report->return_path,
                      &report->failed_recipients,
                      &report->auto_submitted};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        free(*texts[i]);
        *texts[i] = NULL;
    }
}

bool mime_field(const char *header, const char *name, char *value_r, size_t size)
{
    size_t name_length = strlen(name);

    for (const char *line = header; line != NULL && *line != '\0';
         line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        const char *at = line + name_length;
        size_t length = 0;

        if (g_ascii_strncasecmp(line, name, name_length) != 0 || *at != ':')
            continue;
        for (at++; *at != '\0' && length + 1 < size; at++) {
            if (*at == '\n' && at[1] != ' ' && at[1] != '\t')
                break;
            if ((*at == '\n' || *at == ' ' || *at == '\t') && (length == 0 || value_r[length - 1] == ' '))
                continue;
            value_r[length++] = *at == '\n' || *at == '\t' ? ' ' : *at;
        }
        while (length > 0 && value_r[length - 1] == ' ')
            length--;
        value_r[length] = '\0';
        return true;
    }
    return false;
}
