#include "bounce/failure.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "bounce/notice.h"
#include "classify/classify_words.h"

#define STATEMENT_MAX 1000 /* bytes of a sentence that are looked at */

/* What is being judged. */
struct judging {
    const struct classify_rules *rules;
    bool after_data; /* the notice shows that the remote end spoke in reply to DATA */
    int smtp_code;
    const char *status;
    uint64_t speaker;
};

/* Whether words decided, rather than a code alone or nothing. */
static bool by_words(const struct classify_result *result)
{
    size_t length = strlen(result->rule);

    return length > 0 && result->rule[length - 1] != '}';
}

/* Judge words, with the stage at which they were said where only the notice around shows it. */
static struct classify_result classify(const struct judging *judging, const char *words)
{
    AUTO_FREE char *text =
        xasprintf("%s%s", words, judging->after_data ? " (in reply to end of DATA command)" : "");
    struct classify_result result;

    classify_said(judging->rules, judging->speaker, judging->smtp_code, judging->status, text, strlen(text),
                  &result);
    return result;
}

/* Reasons that footers and hints name, too. */
static bool may_be_an_aside(const char *reason)
{
    static const char *const firm[] = {"quota",   "greylisted", "suspended", "expired",
                                       "network", "filtered",   "unknown"};

    for (size_t i = 0; i < sizeof firm / sizeof firm[0]; i++)
        if (strcmp(reason, firm[i]) == 0)
            return false;
    return true;
}

/* --- statements: sentences of a notice, across its line breaks --------------------------------------- */

static bool ends_statement(const char *at)
{
    if (at[0] == '\n') {
        size_t blanks = strspn(at + 1, " \t");

        return at[1 + blanks] == '\n' || at[1 + blanks] == '\0';
    }
    return strchr(".!?;", at[0]) != NULL && (at[1] == ' ' || at[1] == '\n') &&
           !isdigit((unsigned char)at[-1]);
}

/* The next statement of *text into words_r, as one line; moves on. False at the end. */
static bool next_statement(const char **text, char words_r[STATEMENT_MAX])
{
    const char *at = *text;
    size_t length = 0;

    at += strspn(at, " \t\n");
    if (*at == '\0')
        return false;
    for (const char *begin = at; *at != '\0'; at++) {
        if (at > begin && ends_statement(at)) {
            at++;
            break;
        }
        if (length + 1 < STATEMENT_MAX)
            words_r[length++] = *at == '\n' ? ' ' : *at;
    }
    words_r[length] = '\0';
    *text = at;
    return true;
}

/* The first statement whose words mean something; false when there is none. */
static bool first_statement(const struct judging *judging, const char *text, struct classify_result *result_r)
{
    char words[STATEMENT_MAX];

    while (next_statement(&text, words)) {
        *result_r = classify(judging, words);
        if (by_words(result_r))
            return true;
    }
    return false;
}

/* --- the verdict ---------------------------------------------------------------------------------------- */

/* RFC 3463 section 3.2: a Status that speaks of the address itself, and of no sender. */
static bool says_bad_address(const char *status)
{
    struct classify_code code;

    return classify_code_parse(&code, status, strlen(status)) > 0 && code.class == 5 && code.subject == 1 &&
           code.detail != 0 && code.detail != 5 && code.detail != 7 && code.detail != 8;
}

void failure_judge(const struct classify_rules *rules, struct dsn_recipient *recipient,
                   const char *diagnostic, const char *about)
{
    struct judging judging = {
        .rules = rules,
        .after_data = notice_after_data(about),
        .status = recipient->status,
        .speaker = classify_speaker(rules, recipient->remote, strlen(recipient->remote), recipient->final)};
    struct classify_result result, other;
    char words[EVENT_DESCRIPTION_SIZE];
    bool theirs = *diagnostic != '\0'; /* the remote end's own words decided */

    notice_words(about, words, sizeof words);
    snprintf(recipient->text, sizeof recipient->text, "%.*s", (int)sizeof recipient->text - 1,
             theirs ? diagnostic : words);
    result = classify(&judging, recipient->text);
    if (!by_words(&result)) {
        other = classify(&judging, words);
        if (by_words(&other)) {
            result = other;
            theirs = false;
        }
    }
    if (*result.rule == '\0') {
        other = classify(&judging, about);
        if (by_words(&other)) {
            result = other;
            theirs = false;
        }
    }
    if (!theirs && !result.hard && may_be_an_aside(result.reason)) {
        judging.smtp_code = result.smtp_code;
        if (first_statement(&judging, about, &other) && other.hard)
            result = other;
        else if (says_bad_address(recipient->status))
            result = classify(&judging, "");
    }
    recipient->hard = result.hard && !recipient->delayed;
    recipient->smtp_code = result.smtp_code;
    memmove(recipient->status, result.status, sizeof recipient->status);
    recipient->reason = result.reason;
    recipient->rule = result.rule;
}
