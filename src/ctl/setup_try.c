/*
 * What was answered is tried before it is written: a test message, and the event API key. What fails leads
 * back to the answer in question; the others stay. See setup.h.
 */
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/xalloc.h"
#include "ctl/setup.h"
#include "event/event_report.h"

enum next { NEXT_AGAIN, NEXT_WRITE, NEXT_QUIT };

/* --- asking again ------------------------------------------------------------------------------------- */

static char suspect(const struct setup *setup, enum relay_stage stage)
{
    switch (stage) {
    case RELAY_AUTH:
        return setup_uses_oauth(setup) ? 'l' : 'p';
    case RELAY_MAIL:
        return 'u';
    case RELAY_RCPT:
        return 't';
    case RELAY_DATA:
        return 'a';
    case RELAY_RESOLVE:
        return 'h';
    case RELAY_TLS:
    case RELAY_STARTTLS:
        return 's';
    default:
        return 'o';
    }
}

static enum next ask_again(struct setup *setup, const enum setup_question which[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (setup_gather_again(setup, which[i]) != CTL_OK)
            return NEXT_QUIT;
    }
    return NEXT_AGAIN;
}

/* Security goes with the port: it is in question only where another is usual at the new one. */
static enum next ask_port_again(struct setup *setup)
{
    static const enum setup_question port[] = {SETUP_PORT}, security[] = {SETUP_SECURITY};
    bool implicit = strcmp(setup->answers[SETUP_PORT], "465") == 0;
    enum next next = ask_again(setup, port, 1);

    if (next != NEXT_AGAIN || implicit == (strcmp(setup->answers[SETUP_PORT], "465") == 0))
        return next;
    secret_free(&setup->answers[SETUP_SECURITY]); /* what is suggested is what goes with the port */
    return ask_again(setup, security, 1);
}

/* Provider and client of the tokens; what a login with others came to is of no use then. */
static enum next ask_provider_again(struct setup *setup)
{
    static const enum setup_question oauth[] = {
        SETUP_PROVIDER, SETUP_TENANT,    SETUP_TOKEN_ENDPOINT, SETUP_DEVICE_ENDPOINT,
        SETUP_SCOPE,    SETUP_CLIENT_ID, SETUP_CLIENT_SECRET,  SETUP_REFRESH_TOKEN};

    if (setup_can_log_in(setup))
        secret_free(&setup->answers[SETUP_REFRESH_TOKEN]);
    return ask_again(setup, oauth, sizeof oauth / sizeof oauth[0]);
}

static enum next ask_password_again(struct setup *setup, bool with_username)
{
    static const enum setup_question user[] = {SETUP_USERNAME, SETUP_PASSWORD};
    enum next next = with_username ? ask_again(setup, user, 2) : ask_again(setup, &user[1], 1);

    return next == NEXT_AGAIN ? ask_provider_again(setup) : next;
}

/* A new login, at the same provider. */
static enum next log_in_again(struct setup *setup)
{
    if (!setup_can_log_in(setup))
        return ask_provider_again(setup);
    setup->logs_in = true;
    secret_free(&setup->answers[SETUP_REFRESH_TOKEN]);
    setup->answers[SETUP_REFRESH_TOKEN] = xstrdup("");
    return NEXT_AGAIN;
}

static enum next ask_host_again(struct setup *setup)
{
    static const enum setup_question host[] = {SETUP_HOST};

    setup->tokens_only = false; /* another server may take a password */
    return ask_again(setup, host, 1);
}

static enum next after_test(struct setup *setup, enum relay_stage failed_at, char **to)
{
    static const enum setup_question security[] = {SETUP_SECURITY};
    char first = suspect(setup, failed_at);

    for (;;) {
        AUTO_FREE char *prompt = xasprintf(
            "What now? h host; o port; s security; u username and password; p password; %st another "
            "recipient; a again; w write it anyway; q quit [%c]",
            setup_uses_oauth(setup) ? "c provider and client of the tokens; l log in there again; " : "",
            first);
        AUTO_FREE char *answer = setup_ask_line(prompt);
        if (answer == NULL)
            return NEXT_QUIT;
        switch (*answer != '\0' ? *answer : first) {
        case 'h':
            return ask_host_again(setup);
        case 'o':
            return ask_port_again(setup);
        case 's':
            return ask_again(setup, security, 1);
        case 'u':
            return ask_password_again(setup, true);
        case 'p':
            return ask_password_again(setup, false);
        case 'c':
            return ask_provider_again(setup);
        case 'l':
            return log_in_again(setup);
        case 't':
            free(*to);
            *to = NULL;
            return NEXT_AGAIN;
        case 'a':
            return NEXT_AGAIN;
        case 'w':
            return NEXT_WRITE;
        case 'q':
            return NEXT_QUIT;
        default:
            printf("  one of these letters is needed\n");
        }
    }
}

static enum next after_login(struct setup *setup)
{
    for (;;) {
        AUTO_FREE char *answer =
            setup_ask_line("What now? c provider and client of the tokens; l log in there again; "
                           "p a password; w write it anyway; q quit [c]");
        if (answer == NULL || *answer == 'q')
            return NEXT_QUIT;
        if (*answer == 'c' || *answer == '\0')
            return ask_provider_again(setup);
        if (*answer == 'l')
            return log_in_again(setup);
        if (*answer == 'p')
            return ask_password_again(setup, false);
        if (*answer == 'w')
            return NEXT_WRITE;
        printf("  one of these letters is needed\n");
    }
}

static enum next after_key(struct setup *setup)
{
    static const enum setup_question key[] = {SETUP_API_KEY};

    for (;;) {
        AUTO_FREE char *answer = setup_ask_line("What now? k another key; w write it anyway; q quit [k]");
        if (answer == NULL || *answer == 'q')
            return NEXT_QUIT;
        if (*answer == 'k' || *answer == '\0')
            return ask_again(setup, key, 1);
        if (*answer == 'w')
            return NEXT_WRITE;
        printf("  one of these letters is needed\n");
    }
}

/* --- trying -------------------------------------------------------------------------------------------- */

/* Where to: asked once. False at the end of the input. */
static bool find_recipient(const struct setup *setup, char **to)
{
    const char *given = ctl_option(setup->ctl, "test-to"), *why;

    while (*to == NULL) {
        *to = given != NULL || setup->batch ? xstrdup(given != NULL ? given : "")
                                            : setup_ask_line("Send a test message to (empty: to the login)");
        if (*to == NULL || **to == '\0' || address_valid(*to, &why))
            break;
        if (given != NULL) {
            ctl_fail(setup->ctl, "\"%s\" is no address: %s; nothing was written", given, why);
            return false;
        }
        printf("  that is no address: %s\n", why);
        cleanup_free(to);
        *to = NULL;
    }
    return *to != NULL;
}

static enum next try_tpsp(struct setup *setup, const struct config *config, char **to)
{
    struct ctl_test_end end = {.failed_at = RELAY_CONNECT};

    if (!setup->batch && (setup->logs_in || setup_needs_login(setup))) {
        setup->logs_in = false;
        printf("\n");
        return setup_log_in(setup, config) ? NEXT_AGAIN : after_login(setup);
    }
    if (!find_recipient(setup, to))
        return NEXT_QUIT;
    printf("\n");
    if (setup->ctl->json) {
        json_object_put(setup->test);
        setup->test = json_object_new_array();
    }
    /* tokens are kept in the state directory, where nothing may be root's */
    setup_become_user(setup);
    bool passed = ctl_test_config(setup->ctl, config, setup->answers[SETUP_NAME], **to != '\0' ? *to : NULL,
                                  setup->test, &end);
    setup_become_root();
    if (passed)
        return NEXT_WRITE;
    printf("\n");
    if (setup->batch)
        return NEXT_QUIT;
    if (end.failed_at == RELAY_AUTH && end.tokens_only && !setup_uses_oauth(setup)) {
        printf("This server takes OAuth tokens, and no password.\n");
        setup->tokens_only = true;
        return ask_provider_again(setup);
    }
    return after_test(setup, end.failed_at, to);
}

static enum next try_key(struct setup *setup, const struct config *config)
{
    if (config->endpoint == NULL || config->api_key == NULL)
        return NEXT_WRITE;
    struct config without_state = *config; /* nothing is to be opened in the state directory by root */
    without_state.state_dir = NULL;
    struct event_reporter *reporter =
        event_reporter_open(&without_state, NULL, &(struct event_reporter_options){.trace = NULL});
    enum event_answer answer = event_reporter_probe(reporter, config->api_key);
    AUTO_FREE char *words = ctl_text(event_reporter_last_error(reporter));
    event_reporter_close(reporter);
    switch (answer) {
    case EVENT_ANSWER_ACCEPTED:
    case EVENT_ANSWER_REFUSED:
        printf("SendPost takes the event API key.\n");
        return NEXT_WRITE;
    case EVENT_ANSWER_KEY_REFUSED:
        printf("SendPost refuses the event API key: %s\n", words);
        return setup->batch ? NEXT_QUIT : after_key(setup);
    default:
        printf("The event API key cannot be tried now: %s. Events are kept until it can.\n", words);
        return NEXT_WRITE;
    }
}

/* What the configuration refuses can be mended, too; written anyway it cannot be. */
static enum next after_refusal(struct setup *setup, char **to)
{
    if (setup->batch || ctl_option(setup->ctl, "no-test") != NULL)
        return NEXT_QUIT;
    for (;;) {
        enum next next = after_test(setup, RELAY_CONNECT, to);
        if (next != NEXT_WRITE)
            return next;
        printf("  no program of ours would load it\n");
    }
}

bool setup_try(struct setup *setup)
{
    bool tests = ctl_option(setup->ctl, "no-test") == NULL, tpsp_passed = !tests;
    char *to = NULL;
    enum next next = NEXT_AGAIN;

    while (next == NEXT_AGAIN) {
        struct config *config = setup_stage(setup);
        if (config == NULL) {
            next = after_refusal(setup, &to);
            continue;
        }
        next = tpsp_passed ? NEXT_WRITE : try_tpsp(setup, config, &to);
        if (next == NEXT_WRITE && tests) {
            tpsp_passed = true; /* or a person says that it does not matter */
            next = try_key(setup, config);
        }
        config_free(config);
        if (next != NEXT_WRITE)
            setup_discard(setup);
    }
    free(to);
    if (next == NEXT_QUIT)
        ctl_fail(setup->ctl, "nothing was written%s", tests ? " (--no-test writes without testing)" : "");
    return next == NEXT_WRITE;
}
