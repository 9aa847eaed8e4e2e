#include "policy/slow_down_behind.h"

#include <string.h>

#include "base/xalloc.h"

/* Where Postfix says what was answered: "(in reply to MAIL FROM command)". */
static enum reply_stage stage_of(const char *text, size_t length)
{
    static const struct {
        const char *words;
        enum reply_stage stage;
    } stages[] = {{"in reply to HELO", REPLY_EHLO},
                  {"in reply to EHLO", REPLY_EHLO},
                  {"in reply to MAIL", REPLY_MAIL},
                  {"in reply to RCPT", REPLY_RCPT},
                  {"refused to talk to me", REPLY_GREETING}};

    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++)
        if (memmem(text, length, stages[i].words, strlen(stages[i].words)) != NULL)
            return stages[i].stage;
    return REPLY_DOT;
}

void slow_down_hear_behind(const struct config *config, struct rate_table *table,
                           const struct replies *replies, const struct slow_down_said *said, int64_t now_ms)
{
    enum provider_category provider = PROVIDER_DEFAULT;
    const struct config_tpsp *tpsp = config_tpsp_by_name(config, said->sent->tpsp);
    struct reply_verdict verdict;

    if (!config->slow_down.enabled || tpsp == NULL || said->time_ms < now_ms - SLOW_DOWN_RECENT_MS ||
        said->time_ms > now_ms + SLOW_DOWN_RECENT_MS)
        return;
    provider_category_by_name(said->sent->provider, &provider);
    const struct slow_down slow_down = {.config = config, .table = table, .tpsp = tpsp, .provider = provider};
    const struct reply_facts facts = {.stage = stage_of(said->text, said->length),
                                      .code = said->code,
                                      .status = said->status,
                                      .recipient = said->recipient,
                                      .sender = said->sent->sender,
                                      .service = "",
                                      .provider = &provider};
    AUTO_FREE char *text = xstrndup(said->text, said->length);
    if (slow_down_is_our_own(text))
        return;
    replies_judge(replies, &facts, said->text, said->length, &verdict);
    /* an address that does not exist is no verdict on how we send: but too many of them are */
    if (said->bounced || !verdict.of_recipient)
        slow_down_note(&slow_down, said->bounced ? SLOW_DOWN_BOUNCED : SLOW_DOWN_DEFERRED, false, NULL);
    verdict.action.of_provider = true;
    if (verdict.action.kind == REPLY_CONNECTIONS || verdict.action.kind == REPLY_CLOSE)
        return; /* those of the MTA there, which are its own to number */
    slow_down_hear(&slow_down,
                   &(struct slow_down_heard){.action = &verdict.action,
                                             .recipient = said->recipient,
                                             .text = text,
                                             .trusted = !said->in_bounce && provider != PROVIDER_DEFAULT,
                                             .by_recipient = said->in_bounce});
}
