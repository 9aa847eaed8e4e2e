/* The questions of setup: each answer is validated at its prompt. See setup.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/url.h"
#include "base/xalloc.h"
#include "config/config_values.h"
#include "ctl/setup.h"
#include "net/dns.h"

#define ANSWER_MAX 4096
#define LOOK_UP_MS 5000

/* --- the questions ----------------------------------------------------------------------------------- */

static const char number[] = "0123456789";
static const char name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
static const char *const security[] = {"starttls", "tls", "none", NULL};

static const struct question {
    const char *option; /* of a secret: the file that holds it, "-" for a line on stdin */
    const char *text;
    const char *fallback;   /* NULL: must be answered; "": may be empty */
    const char *characters; /* that it may have; NULL: any */
    const char *const *words;
    bool secret, of_tpsp;
} questions[SETUP_COUNT] = {
    [SETUP_ACCOUNT_ID] = {"account-id", "SendPost account id", NULL, number, NULL, false, false},
    [SETUP_SUBACCOUNT_ID] = {"subaccount-id", "SendPost sub-account id", NULL, number, NULL, false, false},
    [SETUP_NAME] = {"name", "Name for this sending provider", "primary", name, NULL, false, true},
    [SETUP_TPSP_ID] = {"tpsp-id", "Its id in SendPost (empty: not known)", "", number, NULL, false, true},
    [SETUP_HOST] = {"host", "SMTP server", NULL, NULL, NULL, false, true},
    [SETUP_PORT] = {"port", "Port", "587", number, NULL, false, true},
    [SETUP_SECURITY] = {"security", "Security: starttls, tls or none", "starttls", NULL, security, false,
                        true},
    [SETUP_USERNAME] = {"username", "Username (empty: no login)", "", NULL, NULL, false, true},
    [SETUP_PASSWORD] = {"password-file", "Password (empty: OAuth)", NULL, NULL, NULL, true, true},
    [SETUP_PROVIDER] = {"oauth-provider", "Who gives the OAuth tokens: microsoft, google or other", NULL,
                        NULL, NULL, false, true},
    [SETUP_TENANT] = {"oauth-tenant", "Directory (tenant) id, or a domain of it", NULL, name, NULL, false,
                      true},
    [SETUP_TOKEN_ENDPOINT] = {"oauth-token-endpoint", "Token endpoint", NULL, NULL, NULL, false, true},
    [SETUP_DEVICE_ENDPOINT] = {"oauth-device-endpoint", "Device authorization endpoint (empty: none)", "",
                               NULL, NULL, false, true},
    [SETUP_SCOPE] = {"oauth-scope", "Scope (empty: none)", "", NULL, NULL, false, true},
    [SETUP_CLIENT_ID] = {"oauth-client-id", "Client id of this installation there", NULL, NULL, NULL, false,
                         true},
    [SETUP_CLIENT_SECRET] = {"oauth-client-secret-file", "Client secret (empty: none)", "", NULL, NULL, true,
                             true},
    [SETUP_REFRESH_TOKEN] = {"oauth-refresh-token-file",
                             "Refresh token of a login made elsewhere (empty: none)", "", NULL, NULL, true,
                             true},
    [SETUP_MAX_RATE] = {"max-rate-per-hour", "Messages an hour at most (0: no limit)", "100", number, NULL,
                        false, true},
    [SETUP_API_KEY] = {"api-key-file", "Event API key (empty: none yet)", "", NULL, NULL, true, false},
    [SETUP_ENDPOINT] = {"endpoint", "Event endpoint, or none",
                        "https://events.sendpost.io/api/v1/tpsp/custom-smtp/events", NULL, NULL, false,
                        false},
    [SETUP_STATE_DIR] = {"state-dir", "State directory", "/var/lib/postfix-sendpost", NULL, NULL, false,
                         false},
};

static const char *fault_of_value(const struct setup *setup, enum setup_question which, const char *answer)
{
    struct url url;

    switch (which) {
    case SETUP_NAME:
        return setup->adds && config_tpsp_by_name(setup->old, answer) != NULL
                   ? "there is one of this name already; choose another"
                   : NULL;
    case SETUP_HOST:
        return config_host_valid(answer) ? NULL : "neither a host name nor an IP address";
    case SETUP_PORT:
        return strlen(answer) > 5 || atoi(answer) < 1 || atoi(answer) > 65535
                   ? "a port is a number from 1 to 65535"
                   : NULL;
    case SETUP_ENDPOINT:
        return strcmp(answer, "none") == 0 || url_parse(answer, &url) == URL_OK
                   ? NULL
                   : "a URL is needed (https://…), or none";
    case SETUP_STATE_DIR:
        return *answer == '/' ? NULL : "a path is needed that begins with /";
    default:
        return questions[which].characters == number && strlen(answer) > 18
                   ? "this number is too large"
                   : setup_oauth_fault(which, answer);
    }
}

/* A login without a password is one with OAuth, but not by the slip of a script. Google's device login gives
 * no token for mail. */
static bool may_be_empty(const struct setup *setup, enum setup_question which)
{
    const char *fallback = questions[which].fallback;

    if (setup->before[which] != NULL || (which == SETUP_PASSWORD && !setup->batch))
        return true;
    if (which == SETUP_REFRESH_TOKEN && *setup->answers[SETUP_CLIENT_SECRET] != '\0' &&
        strcmp(setup->answers[SETUP_PROVIDER], "google") != 0)
        return true; /* by client credentials */
    return which != SETUP_REFRESH_TOKEN && fallback != NULL && *fallback == '\0';
}

static const char *fault(const struct setup *setup, enum setup_question which, const char *answer)
{
    const struct question *question = &questions[which];

    if (*answer == '\0')
        return may_be_empty(setup, which) ? NULL : "an answer is needed";
    for (const char *at = answer; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 127)
            return "control characters are not allowed";
    if (question->characters != NULL && strspn(answer, question->characters) != strlen(answer))
        return question->characters == number ? "a whole number is needed"
                                              : "letters, digits, '-', '_' and '.' make a name";
    for (size_t i = 0; question->words != NULL && question->words[i] != NULL; i++)
        if (strcmp(question->words[i], answer) == 0)
            return NULL;
    return question->words != NULL ? "one of starttls, tls and none is needed"
                                   : fault_of_value(setup, which, answer);
}

/* What a look shows: said once, for the name may be good from where mail is sent later. */
static bool exists(const char *host)
{
    struct dns_resolver *resolver = dns_open(NULL, 0, LOOK_UP_MS);
    struct dns_address *addresses = NULL;
    size_t count = 0;
    enum dns_result result =
        dns_addresses(resolver, host, 587, clock_monotonic_ms() + LOOK_UP_MS, &addresses, &count);

    free(addresses);
    dns_close(resolver);
    return result != DNS_NOT_FOUND;
}

/* --- reading answers ----------------------------------------------------------------------------------- */

/* Byte by byte, so that nothing of a secret stays in a buffer of stdio. NULL at the end of the input. */
static char *read_line(void)
{
    char *line = xcalloc(1, ANSWER_MAX);
    size_t length = 0;
    ssize_t got = 0;
    char c;

    while ((got = read(STDIN_FILENO, &c, 1)) != 0 && (got > 0 || errno == EINTR))
        if (got > 0 && c == '\n')
            break;
        else if (got > 0 && length < ANSWER_MAX - 1)
            line[length++] = c;
    if (got <= 0 && length == 0) {
        secret_free(&line);
        return NULL;
    }
    return line;
}

char *setup_ask_line(const char *prompt)
{
    printf("%s: ", prompt);
    fflush(stdout);
    return read_line();
}

bool setup_ask_yes(const char *prompt, bool fallback)
{
    printf("%s [%s]: ", prompt, fallback ? "Y/n" : "y/N");
    fflush(stdout);
    AUTO_FREE char *answer = read_line();
    return answer == NULL ? false : *answer == '\0' ? fallback : *answer == 'y' || *answer == 'Y';
}

static void prompt(const struct question *question, const char *fallback)
{
    if (question->secret && fallback != NULL)
        printf("%s [kept as it is%s]: ", question->text,
               question == &questions[SETUP_PASSWORD] ? "; -: OAuth" : "");
    else if (fallback != NULL && *fallback != '\0' && question->fallback != NULL &&
             *question->fallback == '\0')
        printf("%s [%s, - for none]: ", question->text, fallback);
    else if (fallback != NULL && *fallback != '\0')
        printf("%s [%s]: ", question->text, fallback);
    else
        printf("%s: ", question->text);
    fflush(stdout);
}

/* Signals that stop us wait until the terminal echoes again. The prompt comes when it does not: a quick hand
 * may follow at once. */
static char *read_secret(const struct question *question, const char *fallback)
{
    sigset_t stop, before;

    sigemptyset(&stop);
    sigaddset(&stop, SIGTSTP);
    sigprocmask(SIG_BLOCK, &stop, &before);
    bool terminal = setup_interrupt_quiet();
    prompt(question, fallback);
    char *line = read_line();
    if (terminal) {
        setup_interrupt_echo();
        printf("\n");
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return line;
}

/* fallback: NULL where there is none; of a secret "" where one is kept. */
static char *ask(const struct setup *setup, enum setup_question which, const char *fallback)
{
    const struct question *question = &questions[which];
    char doubted[ANSWER_MAX] = "";

    for (;;) {
        if (!question->secret)
            prompt(question, fallback);
        char *answer = question->secret ? read_secret(question, fallback) : read_line();
        if (answer == NULL)
            return NULL;
        if (*answer == '\0' && fallback != NULL) {
            free(answer);
            answer = xstrdup(fallback);
        }
        if (strcmp(answer, "-") == 0 && question->fallback != NULL && *question->fallback == '\0')
            *answer = '\0';
        const char *why = fault(setup, which, answer);
        if (why == NULL && which == SETUP_HOST && strcmp(answer, doubted) != 0 && !exists(answer)) {
            snprintf(doubted, sizeof doubted, "%s", answer);
            why = "there is no such name in the DNS; the same once more keeps it";
        }
        if (why == NULL)
            return answer;
        printf("  %s\n", why);
        secret_free(&answer);
    }
}

/* The first line of the file that an option names. Secrets come this way, as arguments everybody could see
 * them. */
static char *read_secret_option(const struct setup *setup, const char *option, const char *path)
{
    if (strcmp(path, "-") == 0)
        return read_line();
    AUTO_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC);
    char *text = xcalloc(1, ANSWER_MAX);
    ssize_t got = file < 0 ? -1 : read(file, text, ANSWER_MAX - 1);
    if (got < 0) {
        ctl_fail(setup->ctl, "--%s: cannot read %s: %s", option, path, strerror(errno));
        secret_free(&text);
        return NULL;
    }
    text[strcspn(text, "\n")] = '\0';
    return text;
}

/* --- gathering ----------------------------------------------------------------------------------------- */

static bool is_of_oauth(enum setup_question which)
{
    return which >= SETUP_PROVIDER && which <= SETUP_REFRESH_TOKEN;
}

/* Without a login there is no password. */
static bool wanted(const struct setup *setup, enum setup_question which)
{
    if (which == SETUP_PASSWORD)
        return *setup->answers[SETUP_USERNAME] != '\0' && !setup->tokens_only &&
               ctl_option(setup->ctl, "oauth-provider") == NULL;
    return !is_of_oauth(which) || setup_oauth_wants(setup, which);
}

/* What there is of a secret already. One that was found wrong is not suggested again. */
static const char *kept(const struct setup *setup, enum setup_question which)
{
    const char *answer = setup->answers[which];
    bool of_oauth = which == SETUP_CLIENT_SECRET || which == SETUP_REFRESH_TOKEN;

    return of_oauth && answer != NULL && *answer != '\0' ? answer : setup->before[which];
}

/* What the configuration of SendPost's own agent has for it; NULL: nothing. */
static const char *imported(const struct setup *setup, enum setup_question which)
{
    return which == SETUP_API_KEY    ? setup->import.api_key
           : which == SETUP_ENDPOINT ? setup->import.endpoint
                                     : NULL;
}

/* What goes with the port, and the port that goes with what was asked for. */
static const char *fallback_for(const struct setup *setup, enum setup_question which)
{
    const char *wanted_security = ctl_option(setup->ctl, "security");

    const char *answer = setup->answers[which];

    if (answer != NULL && !questions[which].secret && (*answer != '\0' || !is_of_oauth(which)))
        return answer;
    if (which == SETUP_SECURITY && (setup->before[SETUP_PORT] == NULL ||
                                    strcmp(setup->before[SETUP_PORT], setup->answers[SETUP_PORT]) != 0))
        return strcmp(setup->answers[SETUP_PORT], "465") == 0 ? "tls" : "starttls";
    if (which == SETUP_PORT && wanted_security != NULL && setup->before[which] == NULL)
        return strcmp(wanted_security, "tls") == 0 ? "465" : "587";
    if (which == SETUP_NAME && setup->adds)
        return config_tpsp_by_name(setup->old, "backup") == NULL ? "backup" : NULL;
    if (setup->before[which] == NULL && (which == SETUP_PROVIDER || which == SETUP_TENANT))
        return setup_oauth_suggestion(setup, which);
    return setup->before[which] != NULL ? setup->before[which] : questions[which].fallback;
}

/* Of a further TPSP the account is no question; where it was asked, endpoint and state directory never are.
 */
static bool is_asked(const struct setup *setup, enum setup_question which)
{
    return !setup->batch && which != SETUP_ENDPOINT && which != SETUP_STATE_DIR &&
           (questions[which].of_tpsp || !setup->adds) &&
           (which != SETUP_NAME || setup->old == NULL || setup->adds);
}

static enum ctl_status gather_one(struct setup *setup, enum setup_question which, const char *given)
{
    const struct question *question = &questions[which];
    const char *fallback = wanted(setup, which) ? fallback_for(setup, which) : NULL;
    char *answer = NULL;

    if (!wanted(setup, which))
        answer = xstrdup("");
    else if (given == NULL && imported(setup, which) != NULL)
        answer = xstrdup(imported(setup, which));
    else if (given != NULL && question->secret)
        answer = read_secret_option(setup, question->option, given);
    else if (given != NULL)
        answer = xstrdup(given);
    else if (is_asked(setup, which))
        answer = ask(setup, which, question->secret ? kept(setup, which) : fallback);
    else if (fallback != NULL)
        answer = xstrdup(fallback);
    else
        return ctl_usage(setup->ctl, "--%s is needed with --batch", question->option);
    if (which == SETUP_PASSWORD && answer != NULL && strcmp(answer, "-") == 0 &&
        setup->before[which] != NULL) {
        *answer = '\0';
        free(setup->before[which]);
        setup->before[which] = NULL;
    }
    secret_free(&setup->answers[which]);
    setup->answers[which] = answer;
    if (answer == NULL)
        return given != NULL ? CTL_TROUBLE : ctl_fail(setup->ctl, "the input has ended; nothing was written");
    const char *why = wanted(setup, which) ? fault(setup, which, answer) : NULL;
    return why == NULL ? CTL_OK : ctl_usage(setup->ctl, "--%s: %s", question->option, why);
}

enum ctl_status setup_gather(struct setup *setup)
{
    enum ctl_status status = CTL_OK;

    for (size_t i = 0; i < SETUP_COUNT && status == CTL_OK; i++)
        status = gather_one(setup, (enum setup_question)i, ctl_option(setup->ctl, questions[i].option));
    return status;
}

enum ctl_status setup_gather_again(struct setup *setup, enum setup_question which)
{
    return gather_one(setup, which, NULL);
}
