#include "postlog/postfix_log.h"

#include <string.h>
#include <strings.h>

#include "base/uuid.h"
#include "postlog/log_level.h"
#include "postlog/log_prefix.h"

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

/*
 * "client=host[address][, sasl_method=…, sasl_username=…][, sasl_sender=…][, orig_queue_id=…]
 * [, orig_client=…]". The host is a valid name, or "unknown", so no client can invent a field behind it; and
 * the fields that follow are there only for one that has logged in, or may use XFORWARD.
 */
static enum postfix_log_kind parse_client(struct cursor *cursor, struct postfix_log_line *line)
{
    struct log_slice key;

    line->client = take_value(cursor);
    while (take_until(cursor, '=', &key)) {
        struct log_slice value = take_value(cursor);
        if (slice_is(key, "sasl_username"))
            line->sasl = value;
        else if (slice_is(key, "orig_queue_id"))
            line->before = value;
        else if (slice_is(key, "orig_client"))
            line->passed = value;
    }
    return POSTFIX_LOG_BORN;
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

/* Blanks; what Postfix makes of the line break of a folded header and of a tab (printable(): "?"); and what
 * syslog daemons make of them ("#012", "#011"). */
static void skip_folding(struct cursor *cursor)
{
    while (SKIP(cursor, " ") || SKIP(cursor, "\t") || SKIP(cursor, "?") || SKIP(cursor, "#012") ||
           SKIP(cursor, "#015") || SKIP(cursor, "#011"))
        ;
}

/*
 * cleanup_act_log(): "header X-Sendpost-Message-UUID: UUID from client[address]; from=<…> to=<…> …", or "from
 * local;". The value must be a UUID and nothing else.
 */
static enum postfix_log_kind parse_header(struct cursor *cursor, struct postfix_log_line *line)
{
    static const char header[] = "X-Sendpost-Message-UUID";

    if (!SKIP(cursor, "header ") || cursor_left(cursor) < sizeof header - 1 ||
        strncasecmp(cursor->at, header, sizeof header - 1) != 0)
        return POSTFIX_LOG_OTHER;
    cursor->at += sizeof header - 1;
    skip_folding(cursor);
    if (!SKIP(cursor, ":"))
        return POSTFIX_LOG_OTHER;
    skip_folding(cursor);
    if (cursor_left(cursor) < UUID_SIZE - 1 || !uuid_valid(cursor->at, UUID_SIZE - 1))
        return POSTFIX_LOG_OTHER;
    line->uuid = (struct log_slice){cursor->at, UUID_SIZE - 1};
    cursor->at += UUID_SIZE - 1;
    skip_folding(cursor);
    if (cursor->at[-1] != ' ' || !SKIP(cursor, "from ") || !take_until(cursor, ';', &line->client))
        return POSTFIX_LOG_OTHER;
    if (SKIP(cursor, " from="))
        take_address(cursor, &line->from);
    /* what follows the value is cleanup's word and stands once; twice, the value brought its own */
    static const char second[] = "; from=<";
    return memmem(cursor->at, cursor_left(cursor), second, sizeof second - 1) == NULL ? POSTFIX_LOG_UUID
                                                                                      : POSTFIX_LOG_OTHER;
}

static enum postfix_log_kind parse_message(struct cursor cursor, struct postfix_log_line *line)
{
    if (!take_queue_id(&cursor, &line->queue_id))
        return POSTFIX_LOG_OTHER;
    line->words = (struct log_slice){cursor.at, cursor_left(&cursor)};
    if (cursor_left(&cursor) < 4)
        return POSTFIX_LOG_OTHER;
    switch (*cursor.at) {
    case 't':
        return SKIP(&cursor, "to=") ? parse_delivery(&cursor, line) : POSTFIX_LOG_OTHER;
    case 'f':
        return SKIP(&cursor, "from=") ? parse_qmgr(&cursor, line) : POSTFIX_LOG_OTHER;
    case 'c':
        return SKIP(&cursor, "client=") ? parse_client(&cursor, line) : POSTFIX_LOG_OTHER;
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

/* --- the line ------------------------------------------------------------------------------------- */

/* "name/program" at the last slash (NULL: not looked for yet); a syslog daemon may have cut it there. */
static bool split_tag(struct log_slice tag, const char *slash, struct postfix_log_line *line)
{
    line->name = tag;
    if (slash == NULL) {
        if (!log_prefix_is_postfix(tag))
            return false;
        slash = memrchr(tag.at, '/', tag.length);
    }
    if (slash == NULL)
        return true;
    line->name.length = (size_t)(slash - tag.at);
    line->program = (struct log_slice){slash + 1, tag.length - line->name.length - 1};
    return true;
}

static void parse_tagged(struct log_slice tag, const char *slash, struct cursor message,
                         struct postfix_log_line *line)
{
    if (!split_tag(tag, slash, line)) {
        line->name = (struct log_slice){NULL, 0};
        return;
    }
    SKIP(&message, " ");
    if (message.at == message.end || !is_alphanumeric(*message.at) || *message.at >= 'a')
        log_level_skip(&message); /* else a queue id: nearly always */
    line->kind = parse_message(message, line);
    if (slice_is(line->name, "postfix-sendpost"))
        line->kind = line->kind == POSTFIX_LOG_DELIVERY ? POSTFIX_LOG_OWN : POSTFIX_LOG_OTHER;
}

void postfix_log_parse(const char *line, size_t length, struct postfix_log_line *line_r)
{
    struct cursor cursor = {line, line + length};
    struct log_prefix prefix;

    *line_r = (struct postfix_log_line){.kind = POSTFIX_LOG_FOREIGN};
    while (cursor.at < cursor.end &&
           *cursor.at == '\0') /* a crash, or a log that was truncated under its writer */
        cursor.at++;
    if (!log_prefix_take(&cursor, &prefix))
        return;
    line_r->stamp = prefix.stamp;
    line_r->host = prefix.host;
    parse_tagged(prefix.tag, prefix.slash, cursor, line_r);
}

void postfix_log_parse_message(const char *tag, size_t tag_length, const char *message, size_t length,
                               struct postfix_log_line *line_r)
{
    *line_r = (struct postfix_log_line){.kind = POSTFIX_LOG_FOREIGN};
    parse_tagged((struct log_slice){tag, tag_length}, NULL, (struct cursor){message, message + length},
                 line_r);
}
