/* sendpostctl: what a person asks of postfix-sendpost. See ctl.h for the frame, and sendpostctl(8). */
#include <getopt.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/nearest.h"
#include "base/state_dir.h"
#include "base/xalloc.h"
#include "ctl/ctl.h"
#include "ctl/postfix_conf.h"

/* In the order of --help. A subcommand stands here once it works. */
static const struct ctl_command *const commands[] = {
    /* one a line, so that changes merge */
    /* clang-format off */
    &ctl_setup,
    &ctl_check,
    &ctl_test,
    &ctl_trace,
    &ctl_status_command,
    &ctl_top,
    &ctl_events,
    &ctl_deliveries,
    &ctl_retry,
    &ctl_suspend,
    &ctl_resume,
    &ctl_suppress,
    &ctl_sync,
    &ctl_rates,
    &ctl_explain,
    &ctl_rehearse,
    &ctl_classify,
    &ctl_postfix,
    &ctl_ui,
    /* clang-format on */
};

#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static const struct ctl_option common[] = {
    {"config", 'c', "FILE", "configuration (" SYSCONFDIR "/config.yaml)"},
    {"json", 0, NULL, "print JSON"},
    {"verbose", 'v', NULL, "say more on stderr"},
    {"help", 'h', NULL, "print this"},
    {"version", 'V', NULL, "print the version"},
    {.name = NULL},
};

/* --- help and errors ------------------------------------------------------------------------- */

static void print_options(const struct ctl_option *options)
{
    for (; options != NULL && options->name != NULL; options++) {
        char left[40];
        snprintf(left, sizeof left, "%s%s%s", options->name, options->argument != NULL ? " " : "",
                 options->argument != NULL ? options->argument : "");
        printf("  %c%c%c --%-20s %s\n", options->letter ? '-' : ' ', options->letter ? options->letter : ' ',
               options->letter ? ',' : ' ', left, options->help);
    }
}

static void print_overview(FILE *stream)
{
    fprintf(stream, "Usage: sendpostctl [-c FILE] [-v] COMMAND [OPTION…] [--json]\n\nCommands:\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(stream, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(stream,
            "\n\"sendpostctl help COMMAND\" tells more; sendpostctl(8) tells all.\n"
            "Exit status: 0 when well, 1 when what was asked about is not well, 64 for wrong usage.\n");
}

static void print_help(const struct ctl_command *command)
{
    printf("Usage: sendpostctl %s%s%s\n%s.\n\n", command->name, *command->synopsis ? " " : "",
           command->synopsis, command->summary);
    if (command->options != NULL && command->options->name != NULL) {
        printf("Options:\n");
        print_options(command->options);
        printf("\n");
    }
    printf("Options of every command:\n");
    print_options(common);
    printf("\nExamples:\n%s", command->examples);
}

__attribute__((format(printf, 2, 0))) static void complain(const struct ctl *ctl, const char *format,
                                                           va_list arguments)
{
    char text[2048];

    fflush(stdout);
    fprintf(stderr, "sendpostctl%s%s: ", ctl->command != NULL ? " " : "",
            ctl->command != NULL ? ctl->command->name : "");
    vsnprintf(text, sizeof text, format, arguments);
    fprintf(stderr, "%s\n", text);
    ctl_json_complaint(text);
}

enum ctl_status ctl_usage(const struct ctl *ctl, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    complain(ctl, format, arguments);
    va_end(arguments);
    fprintf(stderr, "Try: sendpostctl%s%s --help\n", ctl->command != NULL ? " " : "",
            ctl->command != NULL ? ctl->command->name : "");
    return CTL_USAGE;
}

enum ctl_status ctl_fail(const struct ctl *ctl, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    complain(ctl, format, arguments);
    va_end(arguments);
    return CTL_TROUBLE;
}

/* --- configuration and store ----------------------------------------------------------------- */

void ctl_ask_queue(struct ctl *ctl)
{
    if (ctl->queue != NULL)
        run_free(ctl->queue);
    else
        ctl->queue = xcalloc(1, sizeof *ctl->queue);
    int patience_ms = ctl->command->queue_patience_ms;
    int64_t until_ms = patience_ms > 0 ? clock_monotonic_ms() + patience_ms : INT64_MAX;
    if (!run_program_until(ctl->queue, (const char *const[]){"postqueue", "-j", NULL}, until_ms) &&
        ctl->queue->status == 0)
        ctl->queue->status = 1; /* not all of it is here */
}

/* What looks well to root and keeps all mail waiting. */
static void tell_rights(const struct ctl *ctl, const struct config *config)
{
    struct stat status;

    if (geteuid() == 0 && stat(config->state_dir, &status) == 0 && status.st_uid == 0)
        ctl_fail(
            ctl,
            "%s belongs to root, so mail waits: chown -R sendpost: %s (or whom user= in master.cf names); "
            "sendpostctl check tells more",
            config->state_dir, config->state_dir);
    else if (access(ctl->config_path, R_OK) != 0)
        ctl_fail(
            ctl,
            "%s cannot be read by user id %ld, so mail waits: chgrp it and its directory to the group of "
            "that user, and chmod g+r; sendpostctl check tells more",
            ctl->config_path, (long)geteuid());
}

/* What is said of rights is said of whom pipe(8) makes of the owner, whose group may be another there. */
static bool become_owner(const struct ctl *ctl, const struct config *config, struct outcome *error_r)
{
    const char *groups = ctl->command->reads_log ? AGENT_GROUPS : NULL;
    struct postfix_user deliverer = {0};
    struct stat status;

    if (geteuid() == 0 && ctl->command->tells_rights && postfix_user(NULL, &deliverer)) {
        const struct passwd *user = getpwnam(deliverer.name);
        bool owns = user != NULL && stat(config->state_dir, &status) == 0 && status.st_uid == user->pw_uid;
        free(deliverer.name);
        if (owns)
            return state_dir_become_owner_with(config->state_dir, deliverer.group, groups, error_r);
    }
    return state_dir_become_owner(config->state_dir, groups, error_r);
}

const struct config *ctl_config(struct ctl *ctl)
{
    struct outcome error;

    if (ctl->config != NULL)
        return ctl->config;
    struct config *config = config_load(ctl->config_path, &error);
    if (config != NULL && ctl->command->asks_queue)
        ctl_ask_queue(ctl);
    if (config == NULL) {
        ctl_fail(ctl, "%s; mail waits until this is corrected: editor %s, then: sendpostctl check",
                 error.text, ctl->config_path);
    } else if (!ctl->command->stays_root && !become_owner(ctl, config, &error)) {
        ctl_fail(ctl, "%s", error.text);
        config_free(config);
    } else {
        ctl->config = config;
        if (ctl->command->tells_rights)
            tell_rights(ctl, config);
    }
    return ctl->config;
}

struct store *ctl_store(struct ctl *ctl)
{
    struct outcome error;

    if (ctl->store == NULL && ctl_config(ctl) != NULL &&
        !store_open(&ctl->store, ctl->config->state_dir, &error))
        ctl_fail(ctl, "%s", error.text);
    return ctl->store;
}

/* --- options --------------------------------------------------------------------------------- */

#define OPTIONS_MAX 64
#define LONG_ONLY 256 /* getopt value of an option without letter: this and its row */

struct parser {
    struct option longs[OPTIONS_MAX + 1];
    char letters[3 * OPTIONS_MAX];
    size_t count;
};

static void add_options(struct parser *parser, const struct ctl_option *options)
{
    for (; options != NULL && options->name != NULL; options++) {
        if (parser->count == OPTIONS_MAX)
            abort(); /* a subcommand declares more than there is room for */
        size_t row = parser->count++, length = strlen(parser->letters);
        parser->longs[row] =
            (struct option){.name = options->name,
                            .has_arg = options->argument != NULL ? required_argument : no_argument,
                            .val = options->letter ? options->letter : LONG_ONLY + (int)row};
        if (options->letter)
            snprintf(parser->letters + length, sizeof parser->letters - length, "%c%s", options->letter,
                     options->argument != NULL ? ":" : "");
    }
}

/* False when the program is to end with *status_r. */
static bool take_common(struct ctl *ctl, const char *name, const char *value, enum ctl_status *status_r)
{
    *status_r = CTL_OK;
    if (strcmp(name, "config") == 0)
        ctl->config_path = value;
    else if (strcmp(name, "json") == 0)
        ctl->json = true;
    else if (strcmp(name, "verbose") == 0)
        ctl->verbose = true;
    else if (strcmp(name, "version") == 0) {
        printf("sendpostctl (postfix-sendpost) %s\n", PACKAGE_VERSION);
        return false;
    } else {
        if (ctl->command != NULL)
            print_help(ctl->command);
        else
            print_overview(stdout);
        return false;
    }
    return true;
}

/*
 * One run of getopt: the common options up to the subcommand's name, then common and own options among its
 * operands.
 */
static bool parse(struct ctl *ctl, int argc, char **argv, enum ctl_status *status_r)
{
    const struct ctl_option *own = ctl->command != NULL ? ctl->command->options : NULL;
    struct parser parser = {.letters = "+:"};
    int got;

    if (ctl->command != NULL)
        memcpy(parser.letters, ":", 2);
    add_options(&parser, common);
    size_t common_count = parser.count;
    add_options(&parser, own);
    ctl->values = xcalloc(parser.count - common_count + 1, sizeof ctl->values[0]);
    optind = 0; /* glibc: start afresh */
    opterr = 0;
    while ((got = getopt_long(argc, argv, parser.letters, parser.longs, NULL)) != -1) {
        size_t row = 0;
        while (row < parser.count && parser.longs[row].val != got)
            row++;
        if (row == parser.count) {
            *status_r = ctl_usage(ctl, got == ':' ? "option %s needs a value" : "unknown option %s",
                                  argv[optind - 1]);
            return false;
        }
        if (row >= common_count)
            ctl->values[row - common_count] = optarg != NULL ? optarg : "";
        else if (!take_common(ctl, parser.longs[row].name, optarg, status_r))
            return false;
    }
    ctl->operands = argv + optind;
    ctl->operand_count = (size_t)(argc - optind);
    return true;
}

const char *ctl_option(const struct ctl *ctl, const char *name)
{
    for (size_t i = 0; ctl->command->options != NULL && ctl->command->options[i].name != NULL; i++)
        if (strcmp(ctl->command->options[i].name, name) == 0)
            return ctl->values[i];
    abort(); /* a subcommand asks for an option that it has not declared */
}

static const char *name_of(const void *context, size_t index)
{
    (void)context;
    return commands[index]->name;
}

static const struct ctl_command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static enum ctl_status no_command(const struct ctl *ctl, const char *name)
{
    const char *near = nearest_name(name, name_of, NULL, COMMAND_COUNT);

    return near != NULL ? ctl_usage(ctl, "there is no command \"%s\"; did you mean %s?", name, near)
                        : ctl_usage(ctl, "there is no command \"%s\"", name);
}

/* "help", "help COMMAND" */
static enum ctl_status help(const struct ctl *ctl)
{
    const struct ctl_command *command = ctl->operand_count > 1 ? find_command(ctl->operands[1]) : NULL;

    if (ctl->operand_count > 1 && command == NULL)
        return no_command(ctl, ctl->operands[1]);
    if (command != NULL)
        print_help(command);
    else
        print_overview(stdout);
    return CTL_OK;
}

static enum ctl_status dispatch(struct ctl *ctl, int argc, char **argv)
{
    enum ctl_status status;

    if (!parse(ctl, argc, argv, &status))
        return status;
    if (ctl->operand_count == 0) {
        print_overview(stderr);
        return CTL_USAGE;
    }
    char **rest = ctl->operands;
    int rest_count = (int)ctl->operand_count;
    if (strcmp(rest[0], "help") == 0)
        return help(ctl);
    ctl->command = find_command(rest[0]);
    if (ctl->command == NULL)
        return no_command(ctl, rest[0]);
    free(ctl->values);
    if (!parse(ctl, rest_count, rest, &status))
        return status;
    log_open("ctl", ctl->verbose);
    return ctl->command->run(ctl);
}

int main(int argc, char **argv)
{
    struct ctl ctl = {.config_path = SYSCONFDIR "/config.yaml"};

    enum ctl_status status = dispatch(&ctl, argc, argv);
    if (ctl.json && status == CTL_TROUBLE && !ctl_json_has_begun())
        ctl_print_json(ctl_json_trouble());
    store_close(ctl.store);
    config_free(ctl.config);
    free(ctl.values);
    if (ctl.queue != NULL)
        run_free(ctl.queue);
    free(ctl.queue);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("sendpostctl: cannot write the result");
        return CTL_TROUBLE;
    }
    return (int)status;
}
