/* sendpostctl setup: from a few answers, asked for or given as options, to a configuration that has been
 * tested. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/address.h"
#include "base/helo_name.h"
#include "base/xalloc.h"
#include "config/config_import.h"
#include "ctl/postfix_conf.h"
#include "ctl/setup.h"

#define ANSWER_MAX 4096

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
    bool secret;
} questions[SETUP_COUNT] = {
    [SETUP_ACCOUNT_ID] = {"account-id", "SendPost account id", NULL, number, NULL, false},
    [SETUP_SUBACCOUNT_ID] = {"subaccount-id", "SendPost sub-account id", NULL, number, NULL, false},
    [SETUP_NAME] = {"name", "Name for this sending provider", "primary", name, NULL, false},
    [SETUP_TPSP_ID] = {"tpsp-id", "Its id in SendPost (empty: not known)", "", number, NULL, false},
    [SETUP_HOST] = {"host", "SMTP server", NULL, NULL, NULL, false},
    [SETUP_SECURITY] = {"security", "Security: starttls, tls or none", "starttls", NULL, security, false},
    [SETUP_PORT] = {"port", "Port", "587", number, NULL, false},
    [SETUP_USERNAME] = {"username", "Username (empty: no login)", "", NULL, NULL, false},
    [SETUP_PASSWORD] = {"password-file", "Password", NULL, NULL, NULL, true},
    [SETUP_MAX_RATE] = {"max-rate-per-hour", "Messages an hour at most (0: no limit)", "100", number, NULL,
                        false},
    [SETUP_API_KEY] = {"api-key-file", "Event API key (empty: none yet)", "", NULL, NULL, true},
    [SETUP_ENDPOINT] = {"endpoint", "Event endpoint, or none",
                        "https://events.sendpost.io/api/v1/tpsp/custom-smtp/events", NULL, NULL, false},
    [SETUP_STATE_DIR] = {"state-dir", "State directory", "/var/lib/postfix-sendpost", NULL, NULL, false},
};

static const char *fault(const struct question *question, const char *answer)
{
    if (*answer == '\0')
        return question->fallback != NULL && *question->fallback == '\0' ? NULL : "an answer is needed";
    for (const char *at = answer; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 127)
            return "control characters are not allowed";
    if (question->characters != NULL && strspn(answer, question->characters) != strlen(answer))
        return question->characters == number ? "a whole number is needed"
                                              : "letters, digits, '-', '_' and '.' make a name";
    if (question->words == NULL)
        return NULL;
    for (size_t i = 0; question->words[i] != NULL; i++)
        if (strcmp(question->words[i], answer) == 0)
            return NULL;
    return "one of starttls, tls and none is needed";
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

static void prompt(const struct question *question, const char *fallback)
{
    if (fallback != NULL && *fallback != '\0')
        printf("%s [%s]: ", question->text, fallback);
    else
        printf("%s: ", question->text);
    fflush(stdout);
}

/* Signals wait until the terminal echoes again. The prompt comes when it does not: a quick hand may follow at
 * once. */
static char *read_secret(const struct question *question)
{
    struct termios before, quiet;
    sigset_t all, old;
    bool terminal = tcgetattr(STDIN_FILENO, &before) == 0;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old);
    if (terminal) {
        quiet = before;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    }
    prompt(question, NULL);
    char *line = read_line();
    if (terminal) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        printf("\n");
    }
    sigprocmask(SIG_SETMASK, &old, NULL);
    return line;
}

static char *ask(const struct question *question, const char *fallback)
{
    for (;;) {
        if (!question->secret)
            prompt(question, fallback);
        char *answer = question->secret ? read_secret(question) : read_line();
        if (answer == NULL)
            return NULL;
        if (*answer == '\0' && fallback != NULL) {
            free(answer);
            answer = xstrdup(fallback);
        }
        const char *why = fault(question, answer);
        if (why == NULL)
            return answer;
        printf("  %s\n", why);
        secret_free(&answer);
    }
}

static bool yes(const char *question, bool fallback)
{
    printf("%s [%s]: ", question, fallback ? "Y/n" : "y/N");
    fflush(stdout);
    AUTO_FREE char *answer = read_line();
    return answer == NULL ? false : *answer == '\0' ? fallback : *answer == 'y' || *answer == 'Y';
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

/* Without a login there is no password. */
static bool wanted(const struct setup *setup, size_t which)
{
    return which != SETUP_PASSWORD || *setup->answers[SETUP_USERNAME] != '\0';
}

/* What the configuration of SendPost's own agent has for it; NULL: nothing. */
static const char *imported(const struct setup *setup, size_t which)
{
    return which == SETUP_API_KEY    ? setup->import.api_key
           : which == SETUP_ENDPOINT ? setup->import.endpoint
                                     : NULL;
}

static enum ctl_status gather_one(struct setup *setup, size_t which, bool batch)
{
    const struct question *question = &questions[which];
    const char *given = ctl_option(setup->ctl, question->option), *fallback = question->fallback;

    if (which == SETUP_PORT && strcmp(setup->answers[SETUP_SECURITY], "tls") == 0)
        fallback = "465";
    if (!wanted(setup, which))
        setup->answers[which] = xstrdup("");
    else if (given == NULL && imported(setup, which) != NULL)
        setup->answers[which] = xstrdup(imported(setup, which));
    else if (given != NULL && question->secret)
        setup->answers[which] = read_secret_option(setup, question->option, given);
    else if (given != NULL)
        setup->answers[which] = xstrdup(given);
    else if (!batch && which != SETUP_ENDPOINT && which != SETUP_STATE_DIR)
        setup->answers[which] = ask(question, fallback);
    else if (fallback != NULL)
        setup->answers[which] = xstrdup(fallback);
    else
        return ctl_usage(setup->ctl, "--%s is needed with --batch", question->option);
    if (setup->answers[which] == NULL)
        return given != NULL ? CTL_TROUBLE : ctl_fail(setup->ctl, "the input has ended; nothing was written");
    const char *why = wanted(setup, which) ? fault(question, setup->answers[which]) : NULL;
    return why == NULL ? CTL_OK : ctl_usage(setup->ctl, "--%s: %s", question->option, why);
}

static enum ctl_status gather(struct setup *setup, bool batch)
{
    enum ctl_status status = CTL_OK;

    for (size_t i = 0; i < SETUP_COUNT && status == CTL_OK; i++)
        status = gather_one(setup, i, batch);
    return status;
}

/* --- the log that the agent is to follow ------------------------------------------------------------ */

static char *find_log(const char *directory)
{
    static const char *const usual[] = {"/var/log/mail.log", "/var/log/maillog"};
    char *own = postfix_parameter(directory, "maillog_file");

    if (own != NULL && *own == '/')
        return own;
    free(own);
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
        if (access(usual[i], F_OK) == 0)
            return xstrdup(usual[i]);
#ifdef HAVE_SYSTEMD
    if (access("/run/systemd/journal/socket", F_OK) == 0)
        return xstrdup("journal");
#endif
    return NULL;
}

/* --- the name that this machine's mail goes out under ------------------------------------------------- */

static char *find_helo_name(const char *directory)
{
    char *said = postfix_parameter(directory, "smtp_helo_name");

    if (said != NULL && helo_name_is_public(said))
        return said;
    free(said);
    return NULL;
}

/* --- the run ---------------------------------------------------------------------------------------- */

static bool may_replace(const struct setup *setup, bool batch)
{
    struct stat status;

    if (lstat(setup->ctl->config_path, &status) != 0 || ctl_option(setup->ctl, "force") != NULL)
        return true;
    if (!batch) {
        printf("%s exists; it would be kept as %s.old.\n", setup->ctl->config_path, setup->ctl->config_path);
        if (yes("Replace it?", false))
            return true;
    }
    ctl_fail(setup->ctl, "%s exists; it was left as it is (--force replaces it)", setup->ctl->config_path);
    return false;
}

/* What the server says decides, unless a person does. */
static bool try_connection(const struct setup *setup, const struct config *config, bool batch)
{
    const char *to = ctl_option(setup->ctl, "test-to");
    AUTO_FREE char *asked = NULL;

    if (ctl_option(setup->ctl, "no-test") != NULL)
        return true;
    if (to == NULL && !batch) {
        printf("Send a test message to (empty: to the login): ");
        fflush(stdout);
        asked = read_line();
        to = asked != NULL && *asked != '\0' ? asked : NULL;
    }
    const char *why;
    if (to != NULL && !address_valid(to, &why)) {
        ctl_fail(setup->ctl, "\"%s\" is no address: %s; nothing was written", to, why);
        return false;
    }
    printf("\n");
    enum relay_stage failed_at;
    if (ctl_test_config(setup->ctl, config, config->tpsps[0].name, to, NULL, &failed_at))
        return true;
    printf("\n");
    if (!batch && yes("The test failed. Write the configuration all the same?", false))
        return true;
    ctl_fail(setup->ctl, "nothing was written (--no-test writes without testing)");
    return false;
}

static enum ctl_status finish(const struct setup *setup, bool batch)
{
    const char *directory = ctl_option(setup->ctl, "postfix-config");
    enum ctl_status status = CTL_OK;

    printf("\n%s is written.\n", setup->ctl->config_path);
    if (setup->log_path != NULL)
        printf("The agent will follow %s.\n",
               strcmp(setup->log_path, "journal") == 0 ? "the journal" : setup->log_path);
    if (ctl_option(setup->ctl, "postfix") != NULL ||
        (!batch && yes("Add the transport to Postfix's main.cf and master.cf?", true)))
        status = ctl_postfix_install(setup->ctl, directory, setup->user);
    printf("Next: systemctl restart sendpost-agent, and sendpostctl check\n");
    return status;
}

static enum ctl_status carry_out(struct setup *setup, bool batch)
{
    enum ctl_status status = gather(setup, batch);
    struct config *config = status == CTL_OK ? setup_stage(setup) : NULL;

    if (config == NULL)
        return status == CTL_OK ? CTL_TROUBLE : status;
    bool ok = try_connection(setup, config, batch) && setup_commit(setup);
    config_free(config);
    if (ok)
        return finish(setup, batch);
    setup_discard(setup);
    return CTL_TROUBLE;
}

static bool read_import(struct setup *setup, const char *path)
{
    struct outcome error;

    if (path == NULL)
        return true;
    if (!config_import_read(&setup->import, path, &error)) {
        ctl_fail(setup->ctl, "--import: %s", error.text);
        return false;
    }
    if (setup->import.mta == NULL || strcmp(setup->import.mta, "postfix") == 0)
        return true;
    ctl_fail(setup->ctl, "--import: %s follows another mail server than Postfix", path);
    config_import_free(&setup->import);
    return false;
}

static enum ctl_status run(struct ctl *ctl)
{
    struct setup setup = {.ctl = ctl, .user = ctl_option(ctl, "user")};
    bool batch = ctl_option(ctl, "batch") != NULL;

    if (ctl->operand_count > 0)
        return ctl_usage(ctl, "takes no operands: \"%s\"", ctl->operands[0]);
    if (setup.user == NULL)
        setup.user = "sendpost";
    if (geteuid() == 0 && getpwnam(setup.user) == NULL)
        return ctl_fail(ctl, "there is no user \"%s\" to deliver as; create it, or name another with --user",
                        setup.user);
    if (ctl_option(ctl, "oauth") != NULL)
        return setup_oauth(&setup, ctl_option(ctl, "oauth"));
    if (!may_replace(&setup, batch))
        return CTL_TROUBLE;
    if (!read_import(&setup, ctl_option(ctl, "import")))
        return CTL_TROUBLE;
    setup.log_path = setup.import.log_path != NULL ? xstrdup(setup.import.log_path)
                                                   : find_log(ctl_option(ctl, "postfix-config"));
    setup.helo_name = find_helo_name(ctl_option(ctl, "postfix-config"));
    enum ctl_status status = carry_out(&setup, batch);
    for (size_t i = 0; i < SETUP_COUNT; i++)
        secret_free(&setup.answers[i]);
    free(setup.log_path);
    free(setup.helo_name);
    config_import_free(&setup.import);
    return status;
}

static const struct ctl_option options[] = {
    {"batch", 'b', NULL, "ask nothing"},
    {"account-id", 0, "N", "SendPost account"},
    {"subaccount-id", 0, "N", "SendPost sub-account"},
    {"name", 0, "NAME", "name of the TPSP (primary)"},
    {"tpsp-id", 0, "N", "its id in SendPost"},
    {"host", 0, "HOST", "SMTP server"},
    {"security", 0, "WORD", "starttls, tls or none (starttls)"},
    {"port", 0, "N", "587, or 465 with tls"},
    {"username", 0, "NAME", "login"},
    {"password-file", 0, "FILE", "read the password from here; - is standard input"},
    {"max-rate-per-hour", 0, "N", "messages an hour at most, 0 for no limit (100)"},
    {"api-key-file", 0, "FILE", "read the event API key from here; - is standard input"},
    {"endpoint", 0, "URL", "of the event API, or none"},
    {"state-dir", 0, "DIR", "state directory (/var/lib/postfix-sendpost)"},
    {"user", 0, "USER", "who delivers (sendpost)"},
    {"test-to", 0, "ADDRESS", "send the test message to"},
    {"no-test", 0, NULL, "do not test the connection"},
    {"import", 0, "FILE", "take key, endpoint and log from SendPost's own agent (" CONFIG_IMPORT_PATH ")"},
    {"force", 0, NULL, "replace an existing configuration"},
    {"oauth", 0, "TPSP", "first login at the provider of this TPSP's tokens, and nothing else"},
    {"postfix", 0, NULL, "add the transport to Postfix"},
    {"postfix-config", 0, "DIR", "Postfix's configuration directory"},
    {.name = NULL},
};

const struct ctl_command ctl_setup = {
    .name = "setup",
    .synopsis = "[OPTION…]",
    .summary = "Write a configuration from a few answers, and test it",
    .examples =
        "  sendpostctl setup\n"
        "  sendpostctl setup --import " CONFIG_IMPORT_PATH "\n"
        "  sendpostctl setup --oauth primary\n"
        "  sendpostctl setup --batch --account-id 117 --subaccount-id 4321 --host smtp.example.net \\\n"
        "      --username relay@example.net --password-file /root/password --api-key-file /root/key "
        "--postfix\n",
    .options = options,
    .stays_root = true,
    .run = run,
};
