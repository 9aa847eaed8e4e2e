/* sendpostctl setup: from a few answers, asked for or given as options, to a configuration that has been
 * tested. See setup.h. */
#include "ctl/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/helo_name.h"
#include "base/xalloc.h"
#include "config/config_import.h"
#include "ctl/postfix_conf.h"

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

/* --- what is there already -------------------------------------------------------------------------- */

static char *read_text(const char *path)
{
    AUTO_FCLOSE FILE *stream = fopen(path, "re");
    struct stat status;

    if (stream == NULL || fstat(fileno(stream), &status) != 0)
        return NULL;
    char *text = xcalloc(1, (size_t)status.st_size + 1);
    if (fread(text, 1, (size_t)status.st_size, stream) == (size_t)status.st_size)
        return text;
    free(text);
    return NULL;
}

static void fill_in_tpsp(struct setup *setup, const struct config_tpsp *tpsp)
{
    static const char *const securities[] = {
        [SECURITY_NONE] = "none", [SECURITY_STARTTLS] = "starttls", [SECURITY_TLS] = "tls"};
    char **before = setup->before;

    before[SETUP_NAME] = xstrdup(tpsp->name);
    before[SETUP_TPSP_ID] = tpsp->id != 0 ? xasprintf("%lld", (long long)tpsp->id) : xstrdup("");
    before[SETUP_HOST] = xstrdup(tpsp->host);
    before[SETUP_PORT] = xasprintf("%u", (unsigned)tpsp->port);
    before[SETUP_SECURITY] = xstrdup(securities[tpsp->security]);
    before[SETUP_USERNAME] = xstrdup(tpsp->username != NULL ? tpsp->username : "");
    before[SETUP_PASSWORD] = tpsp->password != NULL || tpsp->oauth_token != NULL ? xstrdup("") : NULL;
    if (tpsp->oauth.token_endpoint != NULL)
        setup_oauth_fill_in(setup, &tpsp->oauth);
    before[SETUP_MAX_RATE] = xasprintf("%u", (unsigned)tpsp->global_rate.limit);
}

static void fill_in(struct setup *setup, const struct config_tpsp *tpsp)
{
    const struct config *old = setup->old;
    char **before = setup->before;

    before[SETUP_ACCOUNT_ID] = xasprintf("%lld", (long long)old->account_id);
    before[SETUP_SUBACCOUNT_ID] = xasprintf("%lld", (long long)old->subaccount_id);
    before[SETUP_API_KEY] = old->api_key != NULL ? xstrdup("") : NULL;
    before[SETUP_ENDPOINT] = xstrdup(old->endpoint != NULL ? old->endpoint : "none");
    before[SETUP_STATE_DIR] = xstrdup(old->state_dir);
    if (!setup->adds)
        fill_in_tpsp(setup, tpsp);
}

/* A configuration that is there is changed, where a person answers or a TPSP is added; else it is replaced,
 * if that is wanted. */
static enum ctl_status look_at_old(struct setup *setup)
{
    const char *path = setup->ctl->config_path, *name = ctl_option(setup->ctl, "name");
    bool there = access(path, F_OK) == 0, forced = ctl_option(setup->ctl, "force") != NULL;
    struct outcome error;

    if (!there && setup->adds)
        return ctl_fail(setup->ctl, "there is no %s to add to; sendpostctl setup makes one", path);
    if (!there || (forced && !setup->adds))
        return CTL_OK;
    if (setup->batch && !setup->adds)
        return ctl_fail(setup->ctl, "%s exists; it was left as it is (--force replaces it)", path);
    setup->old = config_load(path, &error);
    setup->old_text = setup->old != NULL ? read_text(path) : NULL;
    if (setup->old == NULL || setup->old_text == NULL) {
        printf("%s exists, but cannot be used: %s\nIt would be kept as %s.old.\n", path,
               setup->old == NULL ? error.text : strerror(errno), path);
        if (!setup->batch && setup_ask_yes("Replace it?", false)) {
            config_free(setup->old);
            setup->old = NULL;
            return CTL_OK;
        }
        return ctl_fail(setup->ctl, "%s was left as it is (--force replaces it)", path);
    }
    const struct config_tpsp *tpsp =
        name != NULL && !setup->adds ? config_tpsp_by_name(setup->old, name) : &setup->old->tpsps[0];
    if (tpsp == NULL)
        return ctl_usage(setup->ctl, "there is no tpsp \"%s\" in %s; --add adds one", name, path);
    fill_in(setup, tpsp);
    if (!setup->batch)
        printf(
            "%s is there: Enter keeps what stands in brackets, and what is not asked for stays as it is.\n\n",
            path);
    return CTL_OK;
}

/* --- the run ---------------------------------------------------------------------------------------- */

/* Before the first question: nobody is to answer twelve of them for nothing. */
static bool may_write(const struct setup *setup)
{
    AUTO_FREE char *copy = xstrdup(setup->ctl->config_path);
    const char *directory = dirname(copy);

    if (geteuid() == 0 || access(directory, W_OK) == 0 ||
        (errno == ENOENT && strncmp(directory, "/etc", 4) != 0))
        return true;
    ctl_fail(setup->ctl, "only root may write to %s: run it with sudo", directory);
    return false;
}

static bool is_in_a_pool(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->pool_count; i++)
        for (size_t j = 0; j < config->pools[i].member_count; j++)
            if (strcmp(config->tpsps[config->pools[i].members[j].tpsp].name, name) == 0)
                return true;
    return false;
}

/* Where pools are named, a further TPSP is in none of them by itself. */
static void tell_pool(const struct setup *setup)
{
    const char *name = setup->answers[SETUP_NAME];
    struct outcome ignored;
    struct config *config = config_load(setup->ctl->config_path, &ignored);

    if (config != NULL && !is_in_a_pool(config, name))
        printf("No mail goes through %s yet, for it is in no pool: add {tpsp: %s} to the members of one in "
               "%s.\n",
               name, name, setup->ctl->config_path);
    config_free(config);
}

static enum ctl_status carry_out(struct setup *setup)
{
    enum ctl_status status = setup_gather(setup);

    if (status != CTL_OK)
        return status;
    setup_settle_login(setup);
    bool written = setup_try(setup) && setup_commit(setup);
    setup_settle_login(setup);
    if (!written)
        return CTL_TROUBLE;
    printf("\n%s is written.\n", setup->ctl->config_path);
    if (setup->log_path != NULL && setup->old == NULL)
        printf("The agent will follow %s.\n",
               strcmp(setup->log_path, "journal") == 0 ? "the journal" : setup->log_path);
    tell_pool(setup);
    bool usable = setup_open_to_user(setup);
    status = setup_finish(setup);
    return usable ? status : CTL_TROUBLE;
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

static void give_up(struct setup *setup)
{
    for (size_t i = 0; i < SETUP_COUNT; i++) {
        secret_free(&setup->answers[i]);
        free(setup->before[i]);
    }
    free(setup->user);
    free(setup->log_path);
    free(setup->helo_name);
    free(setup->old_text);
    config_free(setup->old);
    config_import_free(&setup->import);
    if (setup->lock >= 0)
        close(setup->lock);
}

static enum ctl_status make(struct setup *setup)
{
    enum ctl_status status = look_at_old(setup);

    return status == CTL_OK ? carry_out(setup) : status;
}

/* What is for people goes to standard error meanwhile; one JSON object is what is left to print. */
static enum ctl_status run_for_programs(struct setup *setup)
{
    fflush(stdout);
    int own = dup(STDOUT_FILENO);
    if (own < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        return ctl_fail(setup->ctl, "cannot print: %s", strerror(errno));
    const char *oauth = ctl_option(setup->ctl, "oauth");
    enum ctl_status status = oauth != NULL ? setup_oauth(setup, oauth) : make(setup);
    fflush(stdout);
    dup2(own, STDOUT_FILENO);
    close(own);
    struct json_object *object = json_object_new_object();
    json_object_object_add(object, "ok", json_object_new_boolean(status == CTL_OK));
    json_object_object_add(object, "config", json_object_new_string(setup->ctl->config_path));
    const char *tpsp = oauth != NULL ? oauth : setup->answers[SETUP_NAME];
    json_object_object_add(object, "tpsp", tpsp != NULL ? json_object_new_string(tpsp) : NULL);
    json_object_object_add(object, "log_path",
                           setup->log_path != NULL ? json_object_new_string(setup->log_path) : NULL);
    json_object_object_add(object, "test", setup->test);
    ctl_print_json(object);
    return status;
}

static enum ctl_status run(struct ctl *ctl)
{
    struct setup setup = {.ctl = ctl,
                          .batch = ctl_option(ctl, "batch") != NULL,
                          .adds = ctl_option(ctl, "add") != NULL,
                          .lock = -1};
    const char *directory = ctl_option(ctl, "postfix-config");
    enum ctl_status status;

    if (ctl->operand_count > 0)
        return ctl_usage(ctl, "takes no operands: \"%s\"", ctl->operands[0]);
    if (!may_write(&setup) || !setup_lock(&setup)) {
        give_up(&setup);
        return CTL_TROUBLE;
    }
    setup_interrupt_begin();
    setup_interrupt_sweep(&setup);
    if (!setup_find_user(&setup) || !read_import(&setup, ctl_option(ctl, "import"))) {
        give_up(&setup);
        return CTL_TROUBLE;
    }
    setup.log_path = setup.import.log_path != NULL ? xstrdup(setup.import.log_path) : find_log(directory);
    setup.helo_name = find_helo_name(directory);
    if (ctl->json)
        status = run_for_programs(&setup);
    else
        status =
            ctl_option(ctl, "oauth") != NULL ? setup_oauth(&setup, ctl_option(ctl, "oauth")) : make(&setup);
    give_up(&setup);
    return status;
}

static const struct ctl_option options[] = {
    {"add", 'a', NULL, "add a TPSP to the configuration that is there"},
    {"batch", 'b', NULL, "ask nothing"},
    {"account-id", 0, "N", "SendPost account"},
    {"subaccount-id", 0, "N", "SendPost sub-account"},
    {"name", 0, "NAME", "name of the TPSP (primary)"},
    {"tpsp-id", 0, "N", "its id in SendPost"},
    {"host", 0, "HOST", "SMTP server"},
    {"port", 0, "N", "587, or 465 with tls"},
    {"security", 0, "WORD", "starttls, tls or none (tls on port 465, else starttls)"},
    {"username", 0, "NAME", "login"},
    {"password-file", 0, "FILE", "read the password from here; - is standard input"},
    {"oauth-provider", 0, "WORD", "log in with tokens of microsoft, google or other, instead of a password"},
    {"oauth-tenant", 0, "ID", "directory at microsoft (the domain of the login)"},
    {"oauth-token-endpoint", 0, "URL", "of another provider"},
    {"oauth-device-endpoint", 0, "URL", "of another provider: where a first login begins"},
    {"oauth-scope", 0, "TEXT", "of another provider"},
    {"oauth-client-id", 0, "ID", "of this installation there"},
    {"oauth-client-secret-file", 0, "FILE", "read the client secret from here; - is standard input"},
    {"oauth-refresh-token-file", 0, "FILE", "read a refresh token of a login made elsewhere from here"},
    {"max-rate-per-hour", 0, "N", "messages an hour at most, 0 for no limit (100)"},
    {"api-key-file", 0, "FILE", "read the event API key from here; - is standard input"},
    {"endpoint", 0, "URL", "of the event API, or none"},
    {"state-dir", 0, "DIR", "state directory (/var/lib/postfix-sendpost)"},
    {"user", 0, "USER", "who delivers (whom master.cf names, else sendpost)"},
    {"test-to", 0, "ADDRESS", "send the test message to"},
    {"no-test", 0, NULL, "do not test the connection"},
    {"import", 0, "FILE", "take key, endpoint and log from SendPost's own agent (" CONFIG_IMPORT_PATH ")"},
    {"force", 0, NULL, "replace an existing configuration"},
    {"oauth", 0, "TPSP", "first login at the provider of this TPSP's tokens, and nothing else"},
    {"postfix", 0, NULL, "add the transport to Postfix"},
    {"route-all", 0, NULL, "and route all mail to other places to it (default_transport)"},
    {"postfix-config", 0, "DIR", "Postfix's configuration directory"},
    {.name = NULL},
};

const struct ctl_command ctl_setup = {
    .name = "setup",
    .synopsis = "[OPTION…]",
    .summary = "Write a configuration from a few answers, and test it",
    .examples =
        "  sendpostctl setup                        # again: what is there is filled in\n"
        "  sendpostctl setup --add\n"
        "  sendpostctl setup --import " CONFIG_IMPORT_PATH "\n"
        "  sendpostctl setup --oauth primary\n"
        "  sendpostctl setup --batch --account-id 117 --subaccount-id 4321 --host smtp.example.net \\\n"
        "      --username relay@example.net --password-file /root/password --api-key-file /root/key "
        "--postfix\n",
    .options = options,
    .stays_root = true,
    .run = run,
};
