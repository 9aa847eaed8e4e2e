/* sendpostctl classify: is a failure text hard or soft, and which rule says so? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "classify/classify.h"
#include "ctl/ctl.h"

static const struct ctl_option options[] = {
    {"code", 0, "CODE", "reply code, where the text does not begin with it"},
    {"status", 0, "STATUS", "enhanced status code, likewise"},
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

static void print_json(const struct classify_result *result)
{
    struct json_object *object = json_object_new_object();

    json_object_object_add(object, "verdict", json_object_new_string(result->hard ? "hard" : "soft"));
    json_object_object_add(object, "reason", json_object_new_string(result->reason));
    json_object_object_add(object, "rule", json_object_new_string(result->rule));
    json_object_object_add(object, "file", json_object_new_string(result->file));
    json_object_object_add(object, "line", json_object_new_int64((int64_t)result->line));
    json_object_object_add(object, "smtp_code", json_object_new_int(result->smtp_code));
    json_object_object_add(object, "smtp_enhanced_code", json_object_new_string(result->status));
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

static enum ctl_status run(struct ctl *ctl)
{
    const char *code = ctl_option(ctl, "code"), *status = ctl_option(ctl, "status");
    AUTO_FREE char *path = classify_path(ctl->config_path), *text = join(ctl);
    struct classify_rules *rules;
    struct classify_result result;
    struct outcome error;
    char *end = NULL;
    long number = code != NULL && *code != '\0' ? strtol(code, &end, 10) : 0;

    if (ctl->operand_count == 0)
        return ctl_usage(ctl, "no text to classify");
    if (end != NULL && (*end != '\0' || number < 200 || number > 599))
        return ctl_usage(ctl, "--code %s is no reply code", code);
    rules = classify_open(path, &error);
    if (rules == NULL)
        return ctl_fail(ctl, "%s", error.text);
    classify_text(rules, (int)number, status != NULL ? status : "", text, strlen(text), &result);
    if (ctl->json)
        print_json(&result);
    else
        print_text(&result);
    classify_close(rules);
    return CTL_WELL;
}

const struct ctl_command ctl_classify = {
    .name = "classify",
    .synopsis = "[--code CODE] [--status STATUS] TEXT",
    .summary = "Tell whether a failure text is hard or soft, and by which rule",
    .examples = "  sendpostctl classify '550 5.1.1 <a@example.com>: user unknown'\n"
                "  sendpostctl classify --code 552 --status 5.2.2 'Mailbox is full'\n",
    .options = options,
    .run = run,
};
