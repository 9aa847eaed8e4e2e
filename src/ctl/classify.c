/* sendpostctl classify: is a failure text hard or soft, and which rule says so? Or, of a TPSP's reply: whose
 * trouble is it? */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/redact.h"
#include "base/xalloc.h"
#include "classify/classify.h"
#include "classify/replies.h"
#include "ctl/ctl.h"

static const struct ctl_option options[] = {
    {"code", 0, "CODE", "reply code, where the text does not begin with it"},
    {"status", 0, "STATUS", "enhanced status code, likewise"},
    {"report", 0, "FILE", "add the text to FILE, addresses replaced, because it is misread"},
    {"should-be", 0, "WORD", "with --report: what it ought to be, hard or soft"},
    {"tpsp", 0, "NAME", "the text is a reply of this TPSP: tell whose trouble it is"},
    {"stage", 0, "STAGE",
     "what it answers: greeting, ehlo, starttls, auth, mail, rcpt, data or dot (the content)"},
    {"recipient", 0, "ADDRESS", "of the message that was refused"},
    {"host", 0, "NAME", "the mail server that said it, where a rule asks for its provider"},
    {"provider", 0, "CATEGORY",
     "instead of --tpsp: a mailbox provider said it behind a TPSP, in a log or a bounce"},
    {"sender", 0, "ADDRESS", "likewise"},
    {.name = NULL},
};

/* The operands as one text: quotation marks around it may be forgotten. */
static char *join(const struct ctl *ctl)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    if (out == NULL)
        return xstrdup("");
    for (size_t i = 0; i < ctl->operand_count; i++)
        fprintf(out, "%s%s", i > 0 ? " " : "", ctl->operands[i]);
    fclose(out);
    return text;
}

/* Why, and which rule says so; null: none does. */
static void add_rule(struct json_object *object, const char *reason, const char *rule, const char *file,
                     size_t line)
{
    bool known = *rule != '\0';

    json_add_text(object, "reason", reason);
    json_add_text(object, "rule", rule);
    json_add_text(object, "file", known ? file : NULL);
    json_object_object_add(object, "line", known ? json_object_new_int64((int64_t)line) : NULL);
}

static void print_json(const struct classify_result *result)
{
    struct json_object *object = json_object_new_object();

    json_object_object_add(object, "verdict", json_object_new_string(result->hard ? "hard" : "soft"));
    add_rule(object, result->reason, result->rule, result->file, result->line);
    if (result->smtp_code > 0)
        json_add_number(object, "smtp_code", result->smtp_code);
    if (result->status[0] != '\0')
        json_add_text(object, "smtp_enhanced_code", result->status);
    ctl_print_json(object);
}

static void print_text(const struct classify_result *result)
{
    AUTO_FREE char *rule = ctl_text(result->rule);

    printf("%s%s%s %s: ", ctl_colour(result->hard ? CTL_RED : CTL_YELLOW), result->hard ? "hard" : "soft",
           ctl_colour(CTL_PLAIN), result->reason);
    if (*rule != '\0')
        printf("rule \"%s\" (%s, line %zu)\n", rule, result->file, result->line);
    else
        printf("no rule fits, and what is not known to be hard is soft\n");
}

/* --- misread texts ----------------------------------------------------------------------------------- */

/* A row as tools/evaluate reads them, at the end of the file. */
static bool append(const char *path, struct json_object *row)
{
    AUTO_FREE char *line = xasprintf(
        "%s\n", json_object_to_json_string_ext(row, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    AUTO_CLOSE int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    size_t length = strlen(line);

    return file >= 0 && write(file, line, length) == (ssize_t)length;
}

/* Only what is misread is of use, and no address has to leave the house for it. */
static enum ctl_status report(struct ctl *ctl, const char *path, const char *text, bool hard,
                              const struct classify_result *result)
{
    AUTO_FREE char *clean = redact_numbered(text, strlen(text)), *code = xasprintf("%d", result->smtp_code);

    if (result->hard == hard) {
        fprintf(stderr, "it is judged so already; nothing was added to %s\n", path);
        return CTL_OK;
    }
    struct json_object *row = json_object_new_object();
    json_object_object_add(row, "smtp_description", json_object_new_string(clean));
    json_object_object_add(row, "reply_code", json_object_new_string(result->smtp_code > 0 ? code : ""));
    json_object_object_add(row, "status", json_object_new_string(result->status));
    json_object_object_add(row, "hard", json_object_new_boolean(hard));
    json_object_object_add(row, "kind", json_object_new_string("bounce"));
    json_object_object_add(row, "source", json_object_new_string("sendpostctl " PACKAGE_VERSION));
    bool ok = append(path, row);
    if (!ok)
        ctl_fail(ctl, "cannot add it to %s: %s", path, strerror(errno));
    else
        fprintf(stderr, "added to %s: %s\n", path, clean);
    json_object_put(row);
    return ok ? CTL_OK : CTL_TROUBLE;
}

/* --- whose trouble a reply is --------------------------------------------------------------------- */

static struct json_object *action_json(const struct reply_action *action)
{
    char text[REPLY_ACTION_TEXT_SIZE];

    if (action->kind == REPLY_NO_ACTION)
        return NULL;
    struct json_object *object = json_object_new_object();
    json_add_text(object, "what", reply_action_text(action, text));
    add_rule(object, action->reason, action->rule, action->file, action->line);
    json_add_text(object, "source", action->source);
    return object;
}

static void print_verdict(const struct ctl *ctl, const struct reply_verdict *verdict)
{
    const char *whose = reply_whose_name(verdict->whose);
    char text[REPLY_ACTION_TEXT_SIZE];

    if (ctl->json) {
        struct json_object *object = json_object_new_object();
        json_object_object_add(object, "verdict", json_object_new_string(whose));
        json_add_flag(object, "of_recipient", verdict->of_recipient);
        add_rule(object, verdict->reason, verdict->rule, verdict->file, verdict->line);
        json_object_object_add(object, "action", action_json(&verdict->action));
        ctl_print_json(object);
        return;
    }
    AUTO_FREE char *rule = ctl_text(verdict->rule);
    printf("%s%s%s %s: rule \"%s\" (%s, line %zu)\n",
           ctl_colour(verdict->whose == REPLY_OF_MESSAGE ? CTL_RED : CTL_YELLOW), whose,
           ctl_colour(CTL_PLAIN), verdict->reason, rule, verdict->file, verdict->line);
    if (verdict->action.kind == REPLY_NO_ACTION)
        return;
    AUTO_FREE char *does = ctl_text(verdict->action.rule);
    printf("%s %s: rule \"%s\" (%s, line %zu%s%s)\n", reply_action_text(&verdict->action, text),
           verdict->action.reason, does, verdict->action.file, verdict->action.line,
           *verdict->action.source != '\0' ? "; " : "", verdict->action.source);
}

/* Who says it: a TPSP that answers us, or a mailbox provider behind one. */
static enum ctl_status judge_reply(struct ctl *ctl, struct reply_facts *facts, const char *text)
{
    const char *stage = ctl_option(ctl, "stage"), *name = ctl_option(ctl, "tpsp"),
               *category = ctl_option(ctl, "provider");
    AUTO_FREE char *path = replies_path(ctl->config_path);
    const struct config_tpsp *tpsp = NULL;
    enum provider_category provider;
    struct reply_verdict verdict;
    struct replies *replies;
    struct outcome error;

    if (name != NULL && category != NULL)
        return ctl_usage(ctl, "--tpsp and --provider exclude each other: one of them said it");
    if (stage == NULL && name != NULL)
        return ctl_usage(ctl, "--tpsp needs --stage, the command that was answered");
    if (!reply_stage_by_name(stage != NULL ? stage : "dot", &facts->stage))
        return ctl_usage(ctl, "--stage %s is none of greeting, ehlo, starttls, auth, mail, rcpt, data, dot",
                         stage);
    if (category != NULL && !provider_category_by_name(category, &provider))
        return ctl_usage(ctl, "--provider %s is none of those in postfix-sendpost-policy(7)", category);
    if (name != NULL && ctl_config(ctl) == NULL)
        return CTL_TROUBLE;
    if (name != NULL && (tpsp = config_tpsp_by_name(ctl_config(ctl), name)) == NULL)
        return ctl_fail(ctl, "there is no TPSP \"%s\" in %s", name, ctl->config_path);
    replies = replies_open(path, &error);
    if (replies == NULL)
        return ctl_fail(ctl, "%s", error.text);
    facts->service = tpsp != NULL ? replies_service(replies, tpsp->service, tpsp->host) : "";
    facts->provider = category != NULL ? &provider : NULL;
    facts->logged_in = tpsp != NULL && tpsp->auth != AUTH_NONE && tpsp->username != NULL;
    facts->recipient = ctl_option(ctl, "recipient");
    facts->sender = ctl_option(ctl, "sender");
    replies_judge(replies, facts, text, strlen(text), &verdict);
    verdict.action.of_provider |= category != NULL; /* what is said behind a TPSP slows no others */
    print_verdict(ctl, &verdict);
    replies_close(replies);
    return CTL_OK;
}

static enum ctl_status run(struct ctl *ctl)
{
    const char *path_of_report = ctl_option(ctl, "report"), *word = ctl_option(ctl, "should-be");
    const char *code = ctl_option(ctl, "code"), *status = ctl_option(ctl, "status");
    AUTO_FREE char *path = classify_path(ctl->config_path), *text = join(ctl);
    struct classify_rules *rules;
    struct classify_result result;
    struct outcome error;
    char *end = NULL;
    long number = code != NULL && *code != '\0' ? strtol(code, &end, 10) : 0;

    if (ctl->operand_count == 0)
        return ctl_usage(ctl, "no text to classify");
    if ((path_of_report == NULL) != (word == NULL))
        return ctl_usage(ctl, "--report FILE and --should-be WORD go together");
    if (word != NULL && strcmp(word, "hard") != 0 && strcmp(word, "soft") != 0)
        return ctl_usage(ctl, "--should-be %s: hard or soft is meant", word);
    if (end != NULL && (*end != '\0' || number < 200 || number > 599))
        return ctl_usage(ctl, "--code %s is no reply code", code);
    if (ctl_option(ctl, "tpsp") != NULL || ctl_option(ctl, "provider") != NULL) {
        struct reply_facts facts = {.code = (int)number, .status = status != NULL ? status : ""};
        return judge_reply(ctl, &facts, text);
    }
    if (ctl_option(ctl, "stage") != NULL)
        return ctl_usage(ctl, "--stage needs --tpsp or --provider, the one that answered");
    rules = classify_open(path, &error);
    if (rules == NULL)
        return ctl_fail(ctl, "%s", error.text);
    const char *host = ctl_option(ctl, "host"), *recipient = ctl_option(ctl, "recipient");
    uint64_t speaker = classify_speaker(rules, host != NULL ? host : "", host != NULL ? strlen(host) : 0,
                                        recipient != NULL ? recipient : "");
    classify_said(rules, speaker, (int)number, status != NULL ? status : "", text, strlen(text), &result);
    if (ctl->json)
        print_json(&result);
    else
        print_text(&result);
    enum ctl_status outcome = path_of_report == NULL
                                  ? CTL_OK
                                  : report(ctl, path_of_report, text, strcmp(word, "hard") == 0, &result);
    classify_close(rules);
    return outcome;
}

const struct ctl_command ctl_classify = {
    .name = "classify",
    .synopsis =
        "[--code CODE] [--status STATUS] [--tpsp NAME --stage STAGE | --provider CATEGORY [--stage STAGE]] "
        "[--report FILE --should-be WORD] TEXT",
    .summary = "Tell whether a failure text is hard or soft, or whose trouble a TPSP's reply is",
    .examples =
        "  sendpostctl classify '550 5.1.1 <a@example.com>: user unknown'\n"
        "  sendpostctl classify --code 552 --status 5.2.2 'Mailbox is full'\n"
        "  sendpostctl classify --report misread.jsonl --should-be hard '550 kein solcher Nutzer'\n"
        "  sendpostctl classify --tpsp primary --stage rcpt '550 5.4.5 Daily sending quota exceeded'\n"
        "  sendpostctl classify --provider yahoo '421 4.7.0 [TSS04] Messages temporarily deferred'\n",
    .options = options,
    .run = run,
};
