#include "classify/replies.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "classify/classify_rules.h"
#include "classify/echo.h"

/* As sections name them. What is the recipient's is told as the message's. */
enum section_verdict { OF_MESSAGE, OF_RECIPIENT, OF_ACCOUNT, OF_HOST, OF_SESSION, OFF };

static const char *const verdicts[] = {"message", "recipient", "account", "host", "session", "off"};

static const char *const stages[REPLY_STAGES + 1] = {
    [REPLY_GREETING] = "greeting", [REPLY_EHLO] = "ehlo", [REPLY_STARTTLS] = "starttls",
    [REPLY_AUTH] = "auth",         [REPLY_MAIL] = "mail", [REPLY_RCPT] = "rcpt",
    [REPLY_DATA] = "data",         [REPLY_DOT] = "dot",   [REPLY_STAGES] = NULL};

const struct classify_kind classify_kind_replies = {.verdicts = verdicts,
                                                    .verdict_list =
                                                        "message, recipient, account, host, session, off, "
                                                        "or an action (slower, pause, connections, close, "
                                                        "hold)",
                                                    .verdict_count = sizeof verdicts / sizeof verdicts[0],
                                                    .off = OFF,
                                                    .stages = stages};

/* A name of our own for the same table. */
struct replies {
    struct classify_rules *rules;
};

const char *reply_stage_name(enum reply_stage stage)
{
    return (unsigned)stage < REPLY_STAGES ? stages[stage] : "unknown";
}

bool reply_stage_by_name(const char *name, enum reply_stage *stage_r)
{
    for (unsigned i = 0; i < REPLY_STAGES; i++)
        if (strcmp(stages[i], name) == 0) {
            *stage_r = (enum reply_stage)i;
            return true;
        }
    return false;
}

const char *reply_whose_name(enum reply_whose whose)
{
    static const char *const names[] = {[REPLY_OF_MESSAGE] = "message",
                                        [REPLY_OF_ACCOUNT] = "account",
                                        [REPLY_OF_HOST] = "host",
                                        [REPLY_OF_SESSION] = "session"};

    return names[whose];
}

char *replies_path(const char *config_path)
{
    return classify_file(config_path, "replies");
}

static struct replies *wrap(struct classify_rules *rules)
{
    struct replies *replies = rules != NULL ? xmalloc(sizeof *replies) : NULL;

    if (replies != NULL)
        replies->rules = rules;
    return replies;
}

struct replies *replies_open(const char *path, struct outcome *error_r)
{
    return wrap(classify_load(&classify_kind_replies, path, data_replies, data_replies_count, error_r));
}

struct replies *replies_open_beside(const char *config_path)
{
    AUTO_FREE char *path = replies_path(config_path);
    struct outcome error;
    struct replies *replies = replies_open(path, &error);

    if (replies != NULL)
        return replies;
    log_line(LOG_ERR, "%s; the built-in rules alone are used", error.text);
    return replies_open(NULL, &error);
}

struct replies *replies_parse(const char *name, const char *text, size_t length, struct outcome *error_r)
{
    return wrap(
        classify_join(&classify_kind_replies, name, text, length, data_replies, data_replies_count, error_r));
}

void replies_close(struct replies *replies)
{
    if (replies == NULL)
        return;
    classify_close(replies->rules);
    free(replies);
}

static const struct classify_service *service_named(const struct classify_rules *rules, const char *name)
{
    for (size_t i = 0; i < rules->service_count; i++)
        if (strcmp(rules->services[i].name, name) == 0)
            return &rules->services[i];
    return NULL;
}

bool replies_know_service(const struct replies *replies, const char *name)
{
    return service_named(replies->rules, name) != NULL;
}

const char *replies_service(const struct replies *replies, const char *configured, const char *host)
{
    uint64_t services;

    if (strcmp(configured, "none") == 0)
        return "";
    if (strcmp(configured, "auto") != 0)
        return configured;
    services = classify_services_of(replies->rules, host, strlen(host));
    return services != 0 ? replies->rules->services[__builtin_ctzll(services)].name : "";
}

static void tell(struct reply_verdict *verdict, enum section_verdict said)
{
    static const enum reply_whose whose[] = {[OF_MESSAGE] = REPLY_OF_MESSAGE,
                                             [OF_RECIPIENT] = REPLY_OF_MESSAGE,
                                             [OF_ACCOUNT] = REPLY_OF_ACCOUNT,
                                             [OF_HOST] = REPLY_OF_HOST,
                                             [OF_SESSION] = REPLY_OF_SESSION};

    verdict->whose = whose[said];
    verdict->of_recipient = said == OF_RECIPIENT;
}

/* A rule of the postmaster's, or one with words or an enhanced code, knows what it speaks of. */
static bool tells_by_stage_alone(const struct classify_rules *rules, const struct classify_rule *rule)
{
    return strncmp(rules->sections[rule->section].reason, "default", 7) == 0;
}

/* The other table of the file: what is to be done besides. */
static void advise(const struct classify_rules *rules, const struct classify_words *words,
                   struct classify_facts *facts, struct reply_action *action_r)
{
    facts->action = true;
    const struct classify_rule *rule = classify_first(rules, words, facts);
    facts->action = false;
    *action_r = (struct reply_action){.reason = "", .source = "", .rule = "", .file = CLASSIFY_BUILTIN};
    if (rule == NULL)
        return;
    *action_r = rules->sections[rule->section].action;
    action_r->by_service = rule->condition.services != 0;
    action_r->rule = rule->written;
    action_r->file = rule->file;
    action_r->line = rule->line;
}

/* FNV-1a */
static uint64_t hash_of(const struct classify_words *words)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < words->length; i++)
        hash = (hash ^ (unsigned char)words->text[i]) * UINT64_C(1099511628211);
    return hash;
}

void replies_judge(const struct replies *replies, const struct reply_facts *reply, const char *text,
                   size_t length, struct reply_verdict *verdict_r)
{
    const struct classify_rules *rules = replies->rules;
    bool before_recipient = reply->stage <= REPLY_MAIL;
    /* Before RCPT nobody has heard of the recipient: an address of which we are not told is the sender. */
    struct echo_addresses addresses = {
        .recipient = reply->recipient == NULL && before_recipient ? "" : reply->recipient,
        .sender = reply->sender == NULL && !before_recipient ? "" : reply->sender};
    const struct classify_service *service = service_named(rules, reply->service);
    struct classify_facts facts = {.stage = UINT32_C(1) << reply->stage, .logged_in = reply->logged_in};
    AUTO_FREE struct classify_words *words = xmalloc(sizeof *words);
    char plain[CLASSIFY_TEXT_MAX + 1];
    const struct classify_rule *rule;

    length = echo_replace(&addresses, text, length, plain, sizeof plain);
    classify_words(words, plain, length);
    facts.status = classify_choose_status(reply->status, words);
    classify_set_code(&facts, reply->code > 0 ? reply->code : words->smtp_code);
    if (service != NULL)
        facts.service = UINT64_C(1) << (service - rules->services);
    if (reply->provider != NULL)
        facts.provider = UINT64_C(1) << *reply->provider;
    *verdict_r = (struct reply_verdict){.whose = REPLY_OF_MESSAGE,
                                        .by_default = true,
                                        .reason = "default",
                                        .rule = "",
                                        .file = CLASSIFY_BUILTIN};
    verdict_r->words = hash_of(words);
    advise(rules, words, &facts, &verdict_r->action);
    rule = classify_first(rules, words, &facts);
    if (rule == NULL)
        return;
    tell(verdict_r, (enum section_verdict)rules->sections[rule->section].verdict);
    verdict_r->by_default = tells_by_stage_alone(rules, rule);
    verdict_r->reason = rules->sections[rule->section].reason;
    verdict_r->rule = rule->written;
    verdict_r->file = rule->file;
    verdict_r->line = rule->line;
}
