#include "agent/transport_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/redact.h"
#include "base/xalloc.h"
#include "postlog/log_cursor.h"

#define OURS "sendpost"              /* the name in postfix-conf/master.cf */
#define IN_A_ROW 2                   /* one may have been a deliverer that was killed */
#define SILENT_MS (80 * 60 * 1000LL) /* maximal_backoff_time is 4,000 s */

/* Behind "postfix/qmgr[123]: "; of a journal's entry the message is all there is. */
static struct cursor message_of(const struct postfix_log_line *line, const char *text, size_t length)
{
    const char *end = text + length;
    const char *from = line->program.at >= text && line->program.at < end ? line->program.at : NULL;
    const char *tag_end = from != NULL ? memmem(from, (size_t)(end - from), ": ", 2) : NULL;

    return (struct cursor){tag_end != NULL ? tag_end + 2 : text, end};
}

static void say(struct transport_watch *watch, struct log_slice name, int64_t now_ms, const char *what,
                const char *said, size_t length)
{
    AUTO_FREE char *clean = redact_log_line(said, length);

    bool again = slice_is(name, watch->name);

    if (name.length >= sizeof watch->name)
        return;
    memcpy(watch->name, name.at, name.length);
    watch->name[name.length] = '\0';
    watch->said_ms = now_ms;
    snprintf(watch->text, sizeof watch->text,
             "Postfix's transport %s %s: %.200s; sendpostctl check says what mends it", watch->name, what,
             clean);
    if (!again)
        log_line(LOG_ERR, "%s", watch->text);
}

/* "connect to transport private/NAME: WHY", "private/NAME socket: malformed response" */
static void look_warning(struct transport_watch *watch, struct cursor *message, int64_t now_ms)
{
    struct log_slice name;
    bool connects = SKIP(message, "connect to transport ");

    if (!SKIP(message, "private/"))
        return;
    if (connects && take_until(message, ':', &name)) {
        SKIP(message, " ");
        say(watch, name, now_ms, "is not there, its mail stays in the queue", message->at,
            cursor_left(message));
    } else if (!connects && take_until(message, ' ', &name) && SKIP(message, "socket: ")) {
        const char *why =
            watch->fatal[0] != '\0' ? watch->fatal : "see the lines of postfix/master in the log";
        say(watch, name, now_ms, "ends as soon as it is started, its mail stays in the queue", why,
            strlen(why));
    }
}

/*
 * 4.3.0 and 4.3.5 are our codes for it (state, configuration), and may be a server's, too: its words
 * come as "host X said: …" or "… refused by X". A message that another process has in hand is no trouble.
 */
static bool is_our_trouble(const struct postfix_log_line *line)
{
    static const char *const others[] = {" said: ", " refused by ", "another process is delivering"};

    if (line->status != POSTFIX_STATUS_DEFERRED ||
        (!slice_is(line->dsn, "4.3.0") && !slice_is(line->dsn, "4.3.5")))
        return false;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (memmem(line->reason.at, line->reason.length, others[i], strlen(others[i])) != NULL)
            return false;
    return true;
}

static void look_delivery(struct transport_watch *watch, const struct postfix_log_line *line, int64_t now_ms)
{
    bool ours = slice_is(line->program, "pipe") && slice_is(line->relay, OURS);

    if (ours && is_our_trouble(line)) {
        if (++watch->deferred >= IN_A_ROW)
            say(watch, line->relay, now_ms, "keeps all mail in the queue", line->reason.at,
                line->reason.length);
        return;
    }
    if (ours)
        watch->deferred = 0;
    if (watch->name[0] != '\0' && slice_is(line->relay, watch->name))
        watch->name[0] = watch->fatal[0] = '\0';
}

void transport_watch_look(struct transport_watch *watch, const struct postfix_log_line *line,
                          const char *text, size_t length, int64_t now_ms)
{
    if (line->kind == POSTFIX_LOG_DELIVERY) {
        look_delivery(watch, line, now_ms);
        return;
    }
    if (line->kind != POSTFIX_LOG_OTHER)
        return;
    struct cursor message = message_of(line, text, length);
    if (slice_is(line->program, "qmgr") && SKIP(&message, "warning: ")) {
        look_warning(watch, &message, now_ms);
    } else if (slice_is(line->program, "pipe") && SKIP(&message, "fatal: ")) {
        AUTO_FREE char *clean = redact_log_line(message.at, cursor_left(&message));
        snprintf(watch->fatal, sizeof watch->fatal, "%.200s", clean);
    }
}

const char *transport_watch_trouble(const struct transport_watch *watch, int64_t now_ms)
{
    return watch->name[0] != '\0' && now_ms - watch->said_ms < SILENT_MS ? watch->text : "";
}
