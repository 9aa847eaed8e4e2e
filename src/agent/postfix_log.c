#include "agent/postfix_log.h"

#include <string.h>
#include <strings.h>

#include "agent/log_cursor.h"
#include "base/uuid.h"

/* "value, " or the rest of the line. */
static struct log_slice take_value(struct cursor *cursor)
{
    struct log_slice value = {cursor->at, 0};
    const char *stop = cursor->at;

    while ((stop = memchr(stop, ',', (size_t)(cursor->end - stop))) != NULL) {
        if (cursor->end - stop > 1 && stop[1] == ' ') {
            value.length = (size_t)(stop - value.at);
            cursor->at = stop + 2;
            return value;
        }
        stop++;
    }
    value.length = cursor_left(cursor);
    cursor->at = cursor->end;
    return value;
}

/*
 * "<address>", leaving the cursor behind the bracket. A quoted local part may hold anything, brackets and
 * commas too (info_log_address_format = external, since Postfix 3.5), so the closing bracket is looked for
 * outside of quotes.
 */
static bool take_address(struct cursor *cursor, struct log_slice *address_r)
{
    if (!SKIP(cursor, "<"))
        return false;
    const char *start = cursor->at, *at = start;
    bool quoted = false;

    for (; at < cursor->end; at++) {
        if (*at == '"')
            quoted = !quoted;
        else if (*at == '\\' && quoted && at + 1 < cursor->end)
            at++;
        else if (*at == '>' && !quoted)
            break;
    }
    if (at >= cursor->end) { /* an unbalanced quote: take the first bracket that ends a field */
        for (at = start;
             at < cursor->end && !(*at == '>' && (at + 1 == cursor->end || at[1] == ',' || at[1] == ' '));)
            at++;
        if (at >= cursor->end)
            return false;
    }
    *address_r = (struct log_slice){start, (size_t)(at - start)};
    cursor->at = at + 1;
    return true;
}

/*
 * Short queue ids are upper-case hex, long ones digits and consonants that begin with the high digit of the
 * time. None begins with a lower-case letter, which tells them from "warning: " and the like.
 */
static bool take_queue_id(struct cursor *cursor, struct log_slice *queue_id_r)
{
    const char *at = cursor->at;

    while (at < cursor->end && is_alphanumeric(*at))
        at++;
    size_t length = (size_t)(at - cursor->at);
    if (length < 5 || length > 31 || cursor->end - at < 2 || at[0] != ':' || at[1] != ' ' ||
        (cursor->at[0] >= 'a' && cursor->at[0] <= 'z') || memcmp(cursor->at, "NOQUEUE", 5) == 0)
        return false;
    *queue_id_r = (struct log_slice){cursor->at, length};
    cursor->at = at + 2;
    return true;
}

/* --- the messages, by their first word ---------------------------------------------------------- */

static enum postfix_log_status status_of(struct log_slice word)
{
    if (slice_is(word, "sent"))
        return POSTFIX_STATUS_SENT;
    if (slice_is(word, "bounced"))
        return POSTFIX_STATUS_BOUNCED;
    if (slice_is(word, "deferred") || slice_is(word, "SOFTBOUNCE"))
        return POSTFIX_STATUS_DEFERRED;
    return POSTFIX_STATUS_OTHER;
}

/* "status=word (reason)", to the end of the line. */
static void take_status(struct cursor *cursor, struct postfix_log_line *line)
{
    struct cursor rest = *cursor;

    if (!take_until(&rest, ' ', &line->status_word)) {
        line->status_word = (struct log_slice){cursor->at, cursor_left(cursor)};
        rest.at = rest.end;
    }
    line->status = status_of(line->status_word);
    if (SKIP(&rest, "("))
        line->reason = (struct log_slice){rest.at, cursor_left(&rest)};
    /* a line that was cut has lost its closing parenthesis */
    if (line->reason.length > 0 && line->reason.at[line->reason.length - 1] == ')')
        line->reason.length--;
}

static void take_field(struct cursor *cursor, struct log_slice key, struct postfix_log_line *line)
{
    struct log_slice value = {0};

    if (cursor->at < cursor->end && *cursor->at == '<' && take_address(cursor, &value))
        SKIP(cursor, ", ");
    else
        value = take_value(cursor);
    if (slice_is(key, "relay"))
        line->relay = value;
    else if (slice_is(key, "delay"))
        line->delay = value;
    else if (slice_is(key, "delays"))
        line->delays = value;
    else if (slice_is(key, "dsn"))
        line->dsn = value;
    else if (slice_is(key, "orig_to"))
        line->orig_to = value;
    else if (slice_is(key, "tls"))
        line->tls = value;
    else if (slice_is(key, "uuid") && uuid_valid(value.at, value.length))
        line->uuid = value;
}

/* log_adhoc() of Postfix: "to=<…>, [orig_to=<…>, ]relay=…, […] dsn=…, status=… (…)". Fields that later
 * versions add are passed over. */
static enum postfix_log_kind parse_delivery(struct cursor *cursor, struct postfix_log_line *line)
{
    if (take_address(cursor, &line->to)) {
        if (!SKIP(cursor, ", "))
            return POSTFIX_LOG_BROKEN;
    } else {
        line->to = take_value(cursor);
    }
    while (cursor->at < cursor->end) {
        struct log_slice key;
        if (SKIP(cursor, "status=")) {
            take_status(cursor, line);
            return POSTFIX_LOG_DELIVERY;
        }
        if (!take_until(cursor, '=', &key))
            break;
        take_field(cursor, key, line);
    }
    return POSTFIX_LOG_BROKEN;
}

/* "from=<…>, size=…, nrcpt=… (queue active)" or "from=<…>, status=expired, returned to sender" */
static enum postfix_log_kind parse_qmgr(struct cursor *cursor, struct postfix_log_line *line)
{
    if (!take_address(cursor, &line->from) || !SKIP(cursor, ", "))
        return POSTFIX_LOG_OTHER;
    if (SKIP(cursor, "size="))
        return POSTFIX_LOG_ACTIVE;
    if (!SKIP(cursor, "status="))
        return POSTFIX_LOG_OTHER;
    line->status_word = take_value(cursor);
    return slice_is(line->status_word, "expired") || slice_is(line->status_word, "force-expired")
               ? POSTFIX_LOG_EXPIRED
               : POSTFIX_LOG_OTHER;
}

/* "uid=0 from=<…>[ orig_id=…]" */
static enum postfix_log_kind parse_pickup(struct cursor *cursor, struct postfix_log_line *line)
{
    struct log_slice uid;

    if (take_until(cursor, ' ', &uid) && SKIP(cursor, "from=") && take_address(cursor, &line->from) &&
        SKIP(cursor, " orig_id="))
        line->orig_id = (struct log_slice){cursor->at, cursor_left(cursor)};
    return POSTFIX_LOG_BORN;
}

/*
 * cleanup_act_log(): "header X-Sendpost-Message-UUID: UUID from client[address]; from=<…> to=<…> …", or "from
 * local;". The value must be a UUID and nothing else.
 */
static enum postfix_log_kind parse_header(struct cursor *cursor, struct postfix_log_line *line)
{
    static const char header[] = "X-Sendpost-Message-UUID:";
    struct log_slice client;

    if (!SKIP(cursor, "header ") || cursor_left(cursor) < sizeof header - 1 ||
        strncasecmp(cursor->at, header, sizeof header - 1) != 0)
        return POSTFIX_LOG_OTHER;
    cursor->at += sizeof header - 1;
    while (cursor->at < cursor->end && (*cursor->at == ' ' || *cursor->at == '\t'))
        cursor->at++;
    if (cursor_left(cursor) < UUID_SIZE - 1 || !uuid_valid(cursor->at, UUID_SIZE - 1))
        return POSTFIX_LOG_OTHER;
    line->uuid = (struct log_slice){cursor->at, UUID_SIZE - 1};
    cursor->at += UUID_SIZE - 1;
    if (!SKIP(cursor, " from ") || !take_until(cursor, ';', &client))
        return POSTFIX_LOG_OTHER;
    if (SKIP(cursor, " from="))
        take_address(cursor, &line->from);
    return POSTFIX_LOG_UUID;
}

static enum postfix_log_kind parse_message(struct cursor cursor, struct postfix_log_line *line)
{
    if (!take_queue_id(&cursor, &line->queue_id))
        return POSTFIX_LOG_OTHER;
    if (cursor_left(&cursor) < 4)
        return POSTFIX_LOG_OTHER;
    switch (*cursor.at) {
    case 't':
        return SKIP(&cursor, "to=") ? parse_delivery(&cursor, line) : POSTFIX_LOG_OTHER;
    case 'f':
        return SKIP(&cursor, "from=") ? parse_qmgr(&cursor, line) : POSTFIX_LOG_OTHER;
    case 'c':
        if (!SKIP(&cursor, "client="))
            return POSTFIX_LOG_OTHER;
        line->client = take_value(&cursor);
        return POSTFIX_LOG_BORN;
    case 'm':
        return SKIP(&cursor, "message-id=") ? POSTFIX_LOG_CLEANUP : POSTFIX_LOG_OTHER;
    case 'r':
        return SKIP(&cursor, "removed") && cursor_left(&cursor) == 0 ? POSTFIX_LOG_REMOVED
                                                                     : POSTFIX_LOG_OTHER;
    case 'u':
        return SKIP(&cursor, "uid=") ? parse_pickup(&cursor, line) : POSTFIX_LOG_OTHER;
    case 'i':
        return SKIP(&cursor, "info: ") ? parse_header(&cursor, line) : POSTFIX_LOG_OTHER;
    case 'w':
        return SKIP(&cursor, "warning: ") ? parse_header(&cursor, line) : POSTFIX_LOG_OTHER;
    default:
        return POSTFIX_LOG_OTHER;
    }
}

/* --- the prefix --------------------------------------------------------------------------------- */

/* "name/program" at the last slash; without one it is no Postfix. */
static bool split_tag(struct log_slice tag, struct postfix_log_line *line)
{
    const char *slash = tag.length > 0 ? memrchr(tag.at, '/', tag.length) : NULL;

    if (slash == NULL || slash == tag.at || slash + 1 == tag.at + tag.length)
        return false;
    line->name = (struct log_slice){tag.at, (size_t)(slash - tag.at)};
    line->program = (struct log_slice){slash + 1, tag.length - line->name.length - 1};
    return true;
}

static void parse_tagged(struct log_slice tag, struct cursor message, struct postfix_log_line *line)
{
    if (!split_tag(tag, line))
        return;
    line->kind = parse_message(message, line);
    if (slice_is(line->name, "postfix-sendpost"))
        line->kind = line->kind == POSTFIX_LOG_DELIVERY ? POSTFIX_LOG_OWN : POSTFIX_LOG_OTHER;
}

/* "tag[pid]: message" or "tag: message" (RFC 3164) */
static void parse_bsd(struct cursor cursor, struct postfix_log_line *line)
{
    struct log_slice tag;

    for (tag = (struct log_slice){cursor.at, 0}; cursor.at < cursor.end; cursor.at++, tag.length++)
        if (*cursor.at == '[' || *cursor.at == ':' || *cursor.at == ' ')
            break;
    if (SKIP(&cursor, "[")) {
        while (cursor.at < cursor.end && is_digit(*cursor.at))
            cursor.at++;
        if (!SKIP(&cursor, "]"))
            return;
    }
    if (SKIP(&cursor, ": "))
        parse_tagged(tag, cursor, line);
}

/* RFC 5424 section 6.3: "-" or "[id name="value" …]…"; in a value, \ escapes the next character. */
static bool skip_structured_data(struct cursor *cursor)
{
    if (SKIP(cursor, "-"))
        return true;
    if (cursor_left(cursor) == 0 || *cursor->at != '[')
        return false;
    bool quoted = false;
    for (; cursor->at < cursor->end; cursor->at++) {
        if (*cursor->at == '"')
            quoted = !quoted;
        else if (*cursor->at == '\\' && quoted && cursor_left(cursor) > 1)
            cursor->at++;
        else if (*cursor->at == ']' && !quoted && (cursor_left(cursor) == 1 || cursor->at[1] != '[')) {
            cursor->at++;
            return true;
        }
    }
    return false;
}

/* "app procid msgid structured-data message", the message perhaps with a byte order mark */
static void parse_rfc5424(struct cursor cursor, struct postfix_log_line *line)
{
    struct log_slice tag, procid, msgid;

    if (!take_until(&cursor, ' ', &tag) || !take_until(&cursor, ' ', &procid) ||
        !take_until(&cursor, ' ', &msgid) || !skip_structured_data(&cursor) || !SKIP(&cursor, " "))
        return;
    SKIP(&cursor, "\xef\xbb\xbf");
    parse_tagged(tag, cursor, line);
}

/* "Nov 23 05:29:37 " */
static bool take_classic_stamp(struct cursor *cursor, struct log_slice *stamp_r)
{
    const char *at = cursor->at;

    if (cursor_left(cursor) < 16 || at[3] != ' ' || at[6] != ' ' || at[9] != ':' || at[12] != ':' ||
        at[15] != ' ')
        return false;
    *stamp_r = (struct log_slice){at, 15};
    cursor->at += 16;
    return true;
}

/* "2026-11-23T05:29:37[.123456][Z|+01:00] " */
static bool take_rfc3339_stamp(struct cursor *cursor, struct log_slice *stamp_r)
{
    const char *at = cursor->at;

    return cursor_left(cursor) >= 20 && at[4] == '-' && at[7] == '-' && at[10] == 'T' && at[13] == ':' &&
           at[16] == ':' && take_until(cursor, ' ', stamp_r);
}

static void skip_priority(struct cursor *cursor)
{
    struct cursor probe = *cursor;

    if (!SKIP(&probe, "<"))
        return;
    while (probe.at < probe.end && is_digit(*probe.at))
        probe.at++;
    if (SKIP(&probe, ">"))
        *cursor = probe;
}

void postfix_log_parse(const char *line, size_t length, struct postfix_log_line *line_r)
{
    struct cursor cursor = {line, line + length};

    *line_r = (struct postfix_log_line){.kind = POSTFIX_LOG_FOREIGN};
    skip_priority(&cursor);
    bool rfc5424 = SKIP(&cursor, "1 ");
    if (!take_rfc3339_stamp(&cursor, &line_r->stamp) &&
        (rfc5424 || !take_classic_stamp(&cursor, &line_r->stamp)))
        return;
    if (!take_until(&cursor, ' ', &line_r->host))
        return;
    if (rfc5424)
        parse_rfc5424(cursor, line_r);
    else
        parse_bsd(cursor, line_r);
}

void postfix_log_parse_message(const char *tag, size_t tag_length, const char *message, size_t length,
                               struct postfix_log_line *line_r)
{
    *line_r = (struct postfix_log_line){.kind = POSTFIX_LOG_FOREIGN};
    parse_tagged((struct log_slice){tag, tag_length}, (struct cursor){message, message + length}, line_r);
}
