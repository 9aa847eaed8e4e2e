/*
 * relay_probe: one message, or the same one many times, through relay_send() with the TPSP given by options;
 * prints the result of each as one JSON line. The integration tests drive it.
 *
 *     relay_probe --host H --port N [options] SENDER RECIPIENT MESSAGE-FILE
 */
#include <err.h>
#include <fcntl.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "relay/relay.h"

#define HEADER_MAX (2u << 20)

struct probe {
    struct config_tpsp tpsp;
    struct relay_message message;
    int descriptor;
    int64_t deadline_ms, answer_ms;
    char *state_dir, *dns_server;
    bool trace, observe, quiet;
    bool keep; /* connections, from one message to the next */
    int64_t count;
    json_object *steps;
    bool accepted_called;
};

static int word_index(const char *word, const char *const *words)
{
    for (int i = 0; words[i] != NULL; i++)
        if (strcmp(word, words[i]) == 0)
            return i;
    errx(64, "%s is not known here", word);
}

static char *read_secret(const char *path)
{
    char *line = NULL;
    size_t size = 0;
    AUTO_FCLOSE FILE *file = fopen(path, "re");

    if (file == NULL || getline(&line, &size, file) < 0)
        err(66, "%s", path);
    line[strcspn(line, "\n")] = '\0';
    return line;
}

static bool take_text(const char *name, char *value, struct probe *probe)
{
    struct config_tpsp *tpsp = &probe->tpsp;
    const struct {
        const char *name;
        char **target;
    } texts[] = {{"host", &tpsp->host},
                 {"username", &tpsp->username},
                 {"tls-ca-file", &tpsp->tls.ca_file},
                 {"tls-ca-path", &tpsp->tls.ca_path},
                 {"tls-cert-file", &tpsp->tls.cert_file},
                 {"tls-key-file", &tpsp->tls.key_file},
                 {"helo-name", &tpsp->helo_name},
                 {"dns", &probe->dns_server},
                 {"state-dir", &probe->state_dir}};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(name, texts[i].name) == 0) {
            *texts[i].target = value;
            return true;
        }
    return false;
}

static bool take_number(const char *name, const char *value, struct probe *probe)
{
    const struct {
        const char *name;
        int64_t *target;
    } numbers[] = {{"connect-timeout", &probe->tpsp.connect_timeout_ms},
                   {"command-timeout", &probe->tpsp.command_timeout_ms},
                   {"deadline", &probe->deadline_ms},
                   {"answer", &probe->answer_ms},
                   {"count", &probe->count}};

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strcmp(name, numbers[i].name) == 0) {
            *numbers[i].target = atoll(value);
            return true;
        }
    return false;
}

static bool take_flag(const char *name, struct probe *probe)
{
    const struct {
        const char *name;
        bool *target, value;
    } flags[] = {{"no-verify", &probe->tpsp.tls.verify, false},
                 {"auth-without-tls", &probe->tpsp.auth_without_tls, true},
                 {"trace", &probe->trace, true},
                 {"observe", &probe->observe, true},
                 {"quiet", &probe->quiet, true},
                 {"keep", &probe->keep, true}};

    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (strcmp(name, flags[i].name) == 0) {
            *flags[i].target = flags[i].value;
            return true;
        }
    return false;
}

static void take_word(const char *name, const char *value, struct probe *probe)
{
    static const char *const securities[] = {"none", "starttls", "tls", NULL};
    static const char *const auths[] = {"auto", "none", "plain", "login", "xoauth2", NULL};
    static const char *const engines[] = {"auto", "libesmtp", "libcurl", NULL};
    struct config_tpsp *tpsp = &probe->tpsp;

    if (strcmp(name, "port") == 0)
        tpsp->port = (uint16_t)atoi(value);
    else if (strcmp(name, "security") == 0)
        tpsp->security = (enum config_security)word_index(value, securities);
    else if (strcmp(name, "auth") == 0)
        tpsp->auth = (enum config_auth)word_index(value, auths);
    else if (strcmp(name, "engine") == 0)
        tpsp->engine = (enum config_engine)word_index(value, engines);
    else if (strcmp(name, "password-file") == 0)
        tpsp->password = read_secret(value);
    else if (strcmp(name, "oauth-token-file") == 0)
        tpsp->oauth_token = read_secret(value);
    else
        errx(64, "no option --%s", name);
}

static ssize_t read_at(void *context, uint64_t offset, char *buffer, size_t size)
{
    const struct probe *probe = context;

    return pread(probe->descriptor, buffer, size, (off_t)offset);
}

static void open_message(struct probe *probe, const char *path)
{
    static char buffer[65536];
    struct stat status;
    char *header = xmalloc(HEADER_MAX), *blank;
    ssize_t got;

    probe->descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (probe->descriptor < 0 || fstat(probe->descriptor, &status) < 0)
        err(66, "%s", path);
    probe->message =
        (struct relay_message){.read_at = read_at, .context = probe, .size = (uint64_t)status.st_size};
    for (uint64_t at = 0; (got = read_at(probe, at, buffer, sizeof buffer)) > 0; at += (uint64_t)got)
        for (ssize_t i = 0; i < got; i++)
            probe->message.eight_bit |= (unsigned char)buffer[i] > 127;
    got = read_at(probe, 0, header, HEADER_MAX);
    if (got < 0)
        err(66, "%s", path);
    blank = memmem(header, (size_t)got, "\r\n\r\n", 4);
    probe->message.header_length = blank != NULL ? (size_t)(blank - header) + 4 : (size_t)got;
    if (got >= 2 && memcmp(header, "\r\n", 2) == 0)
        probe->message.header_length = 2;
    probe->message.header = xrealloc(header, probe->message.header_length + 1);
}

static void observe(void *context, const struct relay_step *step)
{
    struct probe *probe = context;
    json_object *object = json_object_new_object();

    json_object_object_add(object, "stage", json_object_new_string(relay_stage_name(step->stage)));
    json_object_object_add(object, "ok", json_object_new_boolean(step->ok));
    json_object_object_add(object, "us", json_object_new_int64(step->duration_us));
    json_object_object_add(object, "smtp_code", json_object_new_int(step->smtp_code));
    json_object_object_add(object, "detail", json_object_new_string(step->detail));
    json_object_array_add(probe->steps, object);
}

static void accepted(void *context, const struct outcome *outcome)
{
    struct probe *probe = context;

    probe->accepted_called = outcome->class == OUTCOME_DELIVERED;
}

/* ru_maxrss would begin with what the parent had when it forked. */
static int64_t peak_memory_kb(void)
{
    char line[256];
    long kilobytes = 0;
    AUTO_FCLOSE FILE *status = fopen("/proc/self/status", "re");

    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (sscanf(line, "VmHWM: %ld kB", &kilobytes) == 1)
            break;
    return kilobytes;
}

static void print_result(struct probe *probe, const struct relay_result *result, int64_t duration_ms)
{
    static const char *const classes[] = {"delivered", "deferred", "dropped"};
    static const char *const causes[] = {"none",    "ours",    "unreachable", "account", "host",
                                         "session", "message", "policy",      "rate",    "in-doubt"};
    json_object *object = json_object_new_object();
    json_object_object_add(object, "class", json_object_new_string(classes[result->outcome.class]));
    json_object_object_add(object, "cause", json_object_new_string(causes[result->outcome.cause]));
    json_object_object_add(object, "smtp_code", json_object_new_int(result->outcome.smtp_code));
    json_object_object_add(object, "enhanced", json_object_new_string(result->outcome.enhanced));
    json_object_object_add(object, "text", json_object_new_string(result->outcome.text));
    json_object_object_add(object, "stage", json_object_new_string(relay_stage_name(result->stage)));
    json_object_object_add(object, "engine", json_object_new_string(result->engine));
    json_object_object_add(object, "contacted", json_object_new_boolean(result->contacted));
    json_object_object_add(object, "peer", json_object_new_string(result->peer));
    json_object_object_add(object, "tls", json_object_new_string(result->tls));
    json_object_object_add(object, "accepted_called", json_object_new_boolean(probe->accepted_called));
    json_object_object_add(object, "ms", json_object_new_int64(duration_ms));
    json_object_object_add(object, "peak_kb", json_object_new_int64(peak_memory_kb()));
    json_object_object_add(object, "steps", json_object_get(probe->steps));
    puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
    json_object_put(object);
}

static bool send_once(struct probe *probe, struct relay_session *session, const char *sender,
                      const char *recipient)
{
    int64_t begin = clock_monotonic_ms();
    struct relay_request request = {.tpsp = &probe->tpsp,
                                    .sender = sender,
                                    .recipient = recipient,
                                    .message = &probe->message,
                                    .deadline_ms = begin + probe->deadline_ms,
                                    .answer_ms = probe->answer_ms,
                                    .trace = probe->trace ? stderr : NULL,
                                    .observe = probe->observe ? observe : NULL,
                                    .observe_context = probe,
                                    .accepted = accepted,
                                    .context = probe};
    struct relay_result result;

    probe->steps = json_object_new_array();
    probe->accepted_called = false;
    relay_send(session, &request, &result);
    if (!probe->quiet)
        print_result(probe, &result, clock_monotonic_ms() - begin);
    json_object_put(probe->steps);
    return result.outcome.class == OUTCOME_DELIVERED;
}

int main(int argc, char **argv)
{
    static char localhost[] = "127.0.0.1";
    struct probe probe = {.tpsp = {.host = localhost,
                                   .tls = {.verify = true},
                                   .connect_timeout_ms = 30000,
                                   .command_timeout_ms = 300000},
                          .deadline_ms = 600000,
                          .count = 1};
    struct dns_resolver *resolver;
    struct relay_session *session;
    int at = 1;
    bool ok = true;

    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
        const char *name = argv[at] + 2;
        if (take_flag(name, &probe))
            continue;
        if (++at == argc)
            errx(64, "--%s needs a value", name);
        if (!take_text(name, argv[at], &probe) && !take_number(name, argv[at], &probe))
            take_word(name, argv[at], &probe);
    }
    if (argc - at != 3)
        errx(64, "usage: relay_probe --host H --port N [options] SENDER RECIPIENT MESSAGE-FILE");
    log_open("relay_probe", true);
    open_message(&probe, argv[at + 2]);
    resolver = dns_open((const char *const *)&probe.dns_server, probe.dns_server != NULL, 5000);
    session = relay_open(probe.state_dir, NULL, resolver);
    relay_keep_connections(session, probe.keep ? 60000 : 0);
    for (int64_t i = 0; i < probe.count; i++)
        ok = send_once(&probe, session, argv[at], argv[at + 1]) && ok;
    relay_close(session);
    dns_close(resolver);
    close(probe.descriptor);
    free((char *)probe.message.header);
    secret_free(&probe.tpsp.password);
    secret_free(&probe.tpsp.oauth_token);
    return ok ? 0 : 1;
}
