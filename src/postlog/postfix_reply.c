/* What the remote end said: the text in parentheses at the end of a delivery line. */
#include <string.h>

#include "postlog/log_cursor.h"

/* "550 5.1.1 …", "421-4.7.0 …", "250" */
static int take_code(struct cursor *cursor)
{
    const char *at = cursor->at;

    if (cursor_left(cursor) < 3 || at[0] < '2' || at[0] > '5' || !is_digit(at[1]) || !is_digit(at[2]) ||
        (cursor_left(cursor) > 3 && at[3] != ' ' && at[3] != '-'))
        return 0;
    cursor->at += cursor_left(cursor) > 3 ? 4 : 3;
    return (at[0] - '0') * 100 + (at[1] - '0') * 10 + (at[2] - '0');
}

static bool skip_past(struct cursor *cursor, const char *word)
{
    const char *found = memmem(cursor->at, cursor_left(cursor), word, strlen(word));

    if (found != NULL)
        cursor->at = found + strlen(word);
    return found != NULL;
}

/* Only where Postfix itself announces a reply: "host NAME[ADDRESS] said: …", perhaps behind "delivery
 * temporarily suspended: ". */
static int find_reply(struct cursor *cursor)
{
    int code = take_code(cursor);

    if (code > 0)
        return code;
    struct cursor probe = *cursor;
    SKIP(&probe, "delivery temporarily suspended: ");
    if (!SKIP(&probe, "host ") ||
        (!skip_past(&probe, "] said: ") && !skip_past(&probe, "] refused to talk to me: ")))
        return 0;
    code = take_code(&probe);
    if (code > 0)
        *cursor = probe;
    return code;
}

void postfix_log_reply(const struct postfix_log_line *line, struct postfix_log_reply *reply_r)
{
    static const char remark[] = " (in reply to ";
    const char *reason = line->reason.at != NULL ? line->reason.at : "";
    struct cursor cursor = {reason, reason + line->reason.length};

    *reply_r = (struct postfix_log_reply){.code = 0};
    reply_r->code = find_reply(&cursor);
    reply_r->text = (struct log_slice){cursor.at, cursor_left(&cursor)};
    /* the remark is Postfix's, so it is the last one, whatever the reply says before */
    if (reply_r->code > 0 && reply_r->text.length > 0 && cursor.end[-1] == ')') {
        const char *open = memrchr(cursor.at, '(', cursor_left(&cursor));
        if (open != NULL && open > cursor.at && (size_t)(cursor.end - open) >= sizeof remark - 2 &&
            memcmp(open - 1, remark, sizeof remark - 1) == 0)
            reply_r->text.length = (size_t)(open - 1 - cursor.at);
    }
    struct log_slice enhanced = line->dsn;
    if (reply_r->text.length > 0) {
        size_t length = outcome_enhanced_length(reply_r->text.at, reply_r->text.length);
        if (length > 0 && (reply_r->code == 0 || reply_r->text.at[0] == (char)('0' + reply_r->code / 100)))
            enhanced = (struct log_slice){reply_r->text.at, length};
    }
    if (enhanced.length > 0 && enhanced.length < sizeof reply_r->enhanced &&
        outcome_enhanced_length(enhanced.at, enhanced.length) == enhanced.length)
        memcpy(reply_r->enhanced, enhanced.at, enhanced.length);
}

struct log_slice postfix_log_queued_as(const struct postfix_log_line *line)
{
    const char *reason = line->reason.at != NULL ? line->reason.at : "";
    struct cursor cursor = {reason, reason + line->reason.length};
    struct log_slice id = {0};

    bool forwarded = slice_is(line->program, "local") && SKIP(&cursor, "forwarded as ");
    if (!forwarded) {
        const char *found = NULL;
        if (take_code(&cursor) == 0)
            return id;
        /* a filter may put its own words before those of the MTA behind it: the last one counts */
        while (skip_past(&cursor, "ueued as "))
            found = cursor.at;
        if (found == NULL)
            return id;
        cursor.at = found;
    }
    id.at = cursor.at;
    while (cursor.at < cursor.end && is_alphanumeric(*cursor.at))
        cursor.at++;
    id.length = (size_t)(cursor.at - id.at);
    return id;
}
