#include "postlog/log_prefix.h"

#include "postlog/log_level.h"
#include "postlog/log_stamp.h"

#define WORDS_MAX 2     /* behind a stamp, that are neither level nor tag: machine, and its address */
#define BRACKET_MAX 120 /* bytes of "[…]" before the tag */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void skip_blanks(struct cursor *cursor)
{
    while (cursor->at < cursor->end && is_blank(*cursor->at))
        cursor->at++;
}

/* --- the common shapes -------------------------------------------------------------------------------- */

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

/* Behind the app name of RFC 5424: "procid msgid structured-data message" */
static bool take_rfc5424_rest(struct cursor *cursor)
{
    struct log_slice procid, msgid;
    struct cursor probe = *cursor;

    if (!take_until(&probe, ' ', &procid) || !take_until(&probe, ' ', &msgid) ||
        !skip_structured_data(&probe) || !SKIP(&probe, " "))
        return false;
    *cursor = probe;
    return true;
}

/* "[pid]:", ":" or "[pid]" behind the tag; *colon_r: whether the colon was there. */
static bool take_pid(struct cursor *cursor, bool *colon_r)
{
    if (SKIP(cursor, "[")) {
        while (cursor->at < cursor->end && is_digit(*cursor->at))
            cursor->at++;
        if (!SKIP(cursor, "]"))
            return false;
        *colon_r = SKIP(cursor, ":");
        return true;
    }
    return *colon_r = SKIP(cursor, ":");
}

static struct log_slice word_at(const struct cursor *cursor)
{
    const char *at = cursor->at;

    while (at < cursor->end && *at != '[' && *at != ':' && !is_blank(*at))
        at++;
    return (struct log_slice){cursor->at, (size_t)(at - cursor->at)};
}

/* "tag[pid]: message" or "tag: message" (RFC 3164). 1: Postfix's, 0: another program's, -1: no tag. */
static int take_tag(struct cursor *cursor, struct log_slice *tag_r)
{
    bool colon;
    struct cursor probe = *cursor;

    *tag_r = word_at(cursor);
    probe.at += tag_r->length;
    if (tag_r->length == 0 || !take_pid(&probe, &colon) || !colon)
        return -1;
    if (!log_prefix_is_postfix(*tag_r)) /* a colon within a word is one of a time or an address */
        return probe.at == probe.end || is_blank(*probe.at) ? 0 : -1;
    *cursor = probe;
    return 1;
}

bool log_prefix_is_postfix(struct log_slice tag)
{
    const char *slash = tag.length > 0 ? memrchr(tag.at, '/', tag.length) : NULL;

    if (slash != NULL)
        return slash != tag.at && slash + 1 != tag.at + tag.length;
    return tag.length >= 7 && memcmp(tag.at, "postfix", 7) == 0 && (tag.length == 7 || tag.at[7] == '-');
}

/* --- the slow way ------------------------------------------------------------------------------------- */

static bool take_stamp(struct cursor *cursor, struct log_slice *stamp_r)
{
    struct log_stamp stamp;
    size_t length = log_stamp_take(cursor->at, cursor_left(cursor), &stamp);

    if (length == 0 || (length < cursor_left(cursor) && !is_blank(cursor->at[length]) &&
                        cursor->at[length] != ':' && cursor->at[length] != ']'))
        return false;
    *stamp_r = (struct log_slice){cursor->at, length};
    cursor->at += length;
    SKIP(cursor, ":");
    return true;
}

/* "<22>", and perhaps the version of RFC 5424 behind it */
static bool take_priority(struct cursor *cursor, bool *rfc5424_r)
{
    struct cursor probe = *cursor;

    if (!SKIP(&probe, "<"))
        return false;
    while (probe.at < probe.end && is_digit(*probe.at))
        probe.at++;
    if (!SKIP(&probe, ">"))
        return false;
    *cursor = probe;
    *rfc5424_r = SKIP(cursor, "1 ");
    return true;
}

/* "[2026-11-23 03:30:52]" is a stamp; "[ 1234.567890]", "[pod/mail-0/postfix]" and the like say nothing. */
static bool take_bracket(struct cursor *cursor, struct log_slice *stamp)
{
    struct cursor probe = *cursor, inner;
    struct log_slice text, found;

    if (!SKIP(&probe, "[") || !take_until(&probe, ']', &text) || text.length > BRACKET_MAX)
        return false;
    inner = (struct cursor){text.at, text.at + text.length};
    skip_blanks(&inner);
    if (take_stamp(&inner, &found))
        *stamp = found;
    SKIP(&probe, ":");
    *cursor = probe;
    return true;
}

/* What log shippers and AIX put between one prefix and the next. */
static bool take_filler(struct cursor *cursor)
{
    static const char *const fillers[] = {"stdout F ", "stderr F ", "stdout P ",
                                          "stderr P ", /* the kubelet's CRI */
                                          "| ",        "- ",        "-- "};

    for (size_t i = 0; i < sizeof fillers / sizeof fillers[0]; i++)
        if (cursor_skip(cursor, fillers[i], strlen(fillers[i])))
            return true;
    return false;
}

/* The colours of a terminal (ECMA-48, SGR): "\033[36m", or "|\033[0m" as docker-compose ends them */
static bool take_colour(struct cursor *cursor)
{
    struct cursor probe = *cursor;

    SKIP(&probe, "|");
    if (!SKIP(&probe, "\033["))
        return false;
    while (probe.at < probe.end && (is_digit(*probe.at) || *probe.at == ';'))
        probe.at++;
    if (!SKIP(&probe, "m"))
        return false;
    *cursor = probe;
    return true;
}

/* metalog: "[postfix/smtp] " */
static bool take_tag_in_brackets(struct cursor *cursor, struct log_slice *tag_r)
{
    struct cursor probe = *cursor;

    if (!SKIP(&probe, "[postfix") || !take_until(&probe, ']', tag_r))
        return false;
    *tag_r = (struct log_slice){cursor->at + 1, (size_t)(probe.at - cursor->at) - 2};
    if (memchr(tag_r->at, ' ', tag_r->length) != NULL || !log_prefix_is_postfix(*tag_r) ||
        probe.at == probe.end || !is_blank(*probe.at))
        return false;
    *cursor = probe;
    return true;
}

/* A name or address of a machine, or the name of a container; a colon stands in an IPv6 address alone. */
static bool take_host(struct cursor *cursor, struct log_slice *host_r)
{
    const char *at = cursor->at;
    bool colon = false, hexadecimal = true;

    for (; at < cursor->end && !is_blank(*at); at++) {
        if (!is_alphanumeric(*at) && memchr("._-:@/", *at, 6) == NULL && (unsigned char)*at < 0x80)
            return false;
        colon = colon || *at == ':';
        hexadecimal = hexadecimal && memchr("0123456789abcdefABCDEF:.", *at, 24) != NULL;
    }
    if (colon && !hexadecimal)
        return false;
    if (at == cursor->at || at == cursor->end || at - cursor->at > 255)
        return false;
    *host_r = (struct log_slice){cursor->at, (size_t)(at - cursor->at)};
    cursor->at = at;
    return at[-1] != ':'; /* that would be a program's tag */
}

/* AIX: "Message forwarded from host: " */
static bool take_forwarder(struct cursor *cursor, struct log_slice *host_r)
{
    struct cursor probe = *cursor;

    if (!SKIP(&probe, "Message forwarded from ") || !take_until(&probe, ':', host_r))
        return false;
    *cursor = probe;
    return true;
}

static bool is_address(struct log_slice host)
{
    return memchr(host.at, '.', host.length) != NULL || memchr(host.at, ':', host.length) != NULL;
}

/* A tag without its colon: "postfix/smtp 10 - - message" as RFC 5424 has it, or "postfix/smtp[10] message".
 */
static bool take_bare_tag(struct cursor *cursor, bool rfc5424, struct log_slice *tag_r)
{
    struct cursor probe = *cursor;
    bool colon = false;

    *tag_r = word_at(cursor);
    if (!log_prefix_is_postfix(*tag_r) || (!rfc5424 && memchr(tag_r->at, '/', tag_r->length) == NULL))
        return false;
    probe.at += tag_r->length;
    if (take_pid(&probe, &colon) || (is_blank(probe.at < probe.end ? *probe.at : 'x') && !rfc5424)) {
        skip_blanks(&probe);
        struct cursor rest = probe;
        if (take_rfc5424_rest(&rest)) /* its second field is "-" in all that is known */
            probe = rest;
        *cursor = probe;
        return true;
    }
    if (!SKIP(&probe, " ") || !take_rfc5424_rest(&probe))
        return false;
    *cursor = probe;
    return true;
}

static bool take_slowly(struct cursor *cursor, struct log_prefix *prefix)
{
    bool rfc5424 = SKIP(cursor, "1 "), stamped = false;
    int words = 0;

    *prefix = (struct log_prefix){.stamp = {NULL, 0}};
    for (;;) {
        int tag;

        skip_blanks(cursor);
        if (cursor->at == cursor->end)
            return false;
        if (take_priority(cursor, &rfc5424))
            continue;
        if (take_stamp(cursor, &prefix->stamp)) { /* the innermost prefix is that of the machine itself */
            prefix->host = (struct log_slice){NULL, 0};
            stamped = true;
            words = 0;
            continue;
        }
        if (stamped && take_tag_in_brackets(cursor, &prefix->tag))
            return true;
        if (take_colour(cursor) || log_level_take(cursor) || take_bracket(cursor, &prefix->stamp) ||
            take_filler(cursor) || take_forwarder(cursor, &prefix->host))
            continue;
        tag = take_tag(cursor, &prefix->tag);
        if (tag > 0)
            return true;
        if ((words > 0 || !stamped) && take_bare_tag(cursor, rfc5424, &prefix->tag))
            return true;
        struct log_slice host;
        if (words++ >= WORDS_MAX || !take_host(cursor, &host))
            return false;
        /* one name is a machine's; of two one must be an address, or anybody's words would do */
        if (stamped && prefix->host.length > 0 && !is_address(host) && !is_address(prefix->host))
            return false;
        if (prefix->host.length == 0)
            prefix->host = host;
    }
}

/* "name/program[pid]:" and nothing else, in one pass: nearly every line has it. */
static bool take_common_tag(struct cursor *cursor, struct log_prefix *prefix)
{
    static const unsigned char kinds[256] = {['/'] = 1, ['['] = 2, [':'] = 2, [' '] = 2};
    const char *at = cursor->at;

    prefix->slash = NULL;
    for (; at < cursor->end; at++) {
        unsigned char kind = kinds[(unsigned char)*at];

        if (kind == 2)
            break;
        if (kind == 1)
            prefix->slash = at;
    }
    prefix->tag = (struct log_slice){cursor->at, (size_t)(at - cursor->at)};
    if (at == cursor->end || *at != '[' || prefix->slash == NULL || prefix->slash == cursor->at ||
        prefix->slash + 1 == at)
        return false;
    for (at++; at < cursor->end && is_digit(*at);)
        at++;
    if (cursor->end - at < 2 || at[0] != ']' || at[1] != ':')
        return false;
    cursor->at = at + 2;
    return true;
}

bool log_prefix_take(struct cursor *cursor, struct log_prefix *prefix_r)
{
    struct cursor probe = *cursor;
    struct log_prefix prefix = {.stamp = {NULL, 0}};
    bool rfc5424 = false;

    if (probe.at < probe.end && (*probe.at == '<' || *probe.at == '1')) {
        take_priority(&probe, &rfc5424);
        rfc5424 = rfc5424 || SKIP(&probe, "1 ");
    }
    if ((take_rfc3339_stamp(&probe, &prefix.stamp) ||
         (!rfc5424 && take_classic_stamp(&probe, &prefix.stamp))) &&
        take_until(&probe, ' ', &prefix.host) && prefix.host.length > 0 && prefix.host.at[0] != '[' &&
        prefix.host.at[prefix.host.length - 1] != ':') {
        if (rfc5424) {
            if (take_until(&probe, ' ', &prefix.tag) && take_rfc5424_rest(&probe)) {
                prefix.slash = NULL;
                *cursor = probe;
                *prefix_r = prefix;
                return log_prefix_is_postfix(prefix.tag);
            }
        } else if (take_common_tag(&probe, &prefix)) {
            *cursor = probe;
            *prefix_r = prefix;
            return true;
        } else {
            int tag = take_tag(&probe, &prefix.tag);

            if (tag > 0) {
                prefix.slash = NULL;
                *cursor = probe;
                *prefix_r = prefix;
                return true;
            }
            if (tag == 0 && !log_level_is(prefix.tag)) /* another program's */
                return false;
        }
    }
    return take_slowly(cursor, prefix_r);
}
