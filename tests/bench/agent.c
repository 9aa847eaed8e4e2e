/*
 * How fast the agent reads a log, in relation to what reads the same file in the same run: a plain read(2)
 * and grep -c 'status='.
 *
 *   agent [--lines N] [--open N] [--post PROGRAM] [--keep]
 *
 * --lines N        lines of the log (200,000); the figures that count are those of 5,000,000
 * --open N         messages that stay in the queue to the end, at the top of the log (lines / 50)
 * --post PROGRAM   sendpost-agent: also end to end, with an event API on loopback: once, then as the daemon
 * that finds all of the log unread, then as one that is started anew with --open messages in its memory
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/ingest.h"
#include "base/clock.h"
#include "base/uuid.h"
#include "base/xalloc.h"
#include "postlog/log_time.h"

static char directory[] = "/tmp/sendpost-bench-XXXXXX";
static char *log_path;

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static long resident_kb(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long kb = 0;

    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "VmRSS: %ld", &kb) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return kb;
}

/* --- a log ---------------------------------------------------------------------------------------- */

#define WINDOW 2000 /* messages in delivery at the same time: their lines are interleaved */

struct message {
    unsigned long number;
    int stage; /* 0: not begun */
};

static unsigned long lines_written, messages_begun;

static void line(FILE *file, const char *program, unsigned long number, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void line(FILE *file, const char *program, unsigned long number, const char *format, ...)
{
    unsigned long second = lines_written / 2000 % 86400;
    va_list arguments;

    fprintf(file, "Nov 22 %02lu:%02lu:%02lu mx1 postfix/%s[%lu]: 4%09lXz9rN8: ", second / 3600,
            second / 60 % 60, second % 60, program, 1000 + number % 97, number);
    va_start(arguments, format);
    vfprintf(file, format, arguments);
    va_end(arguments);
    putc('\n', file);
    lines_written++;
}

static void uuid_line(FILE *file, unsigned long number)
{
    line(file, "cleanup", number,
         "info: header X-Sendpost-Message-UUID: %08lx-5a76-4b8d-9a80-%012lx from "
         "app.example.com[192.0.2.%lu]; "
         "from=<news@shop%lu.example.com> to=<user%lu@example%lu.net> proto=ESMTP helo=<app.example.com>",
         number * 2654435761u & 0xffffffff, number, number % 250, number % 13, number, number % 500);
}

static void delivery(FILE *file, unsigned long n)
{
    if (n % 20 == 0)
        line(file, "smtp", n,
             "to=<user%lu@example%lu.net>, relay=mx.example%lu.net[198.51.100.%lu]:25, delay=0.8, "
             "delays=0.05/0.01/0.3/0.44, dsn=5.1.1, status=bounced (host mx.example%lu.net[198.51.100.%lu] "
             "said: 550 "
             "5.1.1 <user%lu@example%lu.net>: Recipient address rejected: User unknown in virtual mailbox "
             "table (in "
             "reply to RCPT TO command))",
             n, n % 500, n % 500, n % 250, n % 500, n % 250, n, n % 500);
    else if (n % 50 == 1)
        line(file, "smtp", n,
             "to=<user%lu@example%lu.net>, relay=none, delay=30, delays=0.05/0.01/30/0, dsn=4.4.1, "
             "status=deferred "
             "(connect to mx.example%lu.net[198.51.100.%lu]:25: Connection timed out)",
             n, n % 500, n % 500, n % 250);
    else
        line(file, "smtp", n,
             "to=<user%lu@example%lu.net>, relay=mx.example%lu.net[198.51.100.%lu]:25, delay=0.57, "
             "delays=0.05/0.01/0.18/0.33, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4cYt%08lXz)",
             n, n % 500, n % 500, n % 250, n);
}

static bool next_line(FILE *file, struct message *message)
{
    unsigned long n = message->number;

    switch (message->stage++) {
    case 0:
        line(file, "smtpd", n, "client=app.example.com[192.0.2.%lu]", n % 250);
        break;
    case 1:
        uuid_line(file, n);
        break;
    case 2:
        line(file, "cleanup", n, "message-id=<%lu.%lu@shop%lu.example.com>", n, n * 7, n % 13);
        break;
    case 3:
        line(file, "qmgr", n, "from=<news@shop%lu.example.com>, size=%lu, nrcpt=1 (queue active)", n % 13,
             2000 + n % 9000);
        break;
    case 4:
        fprintf(file,
                "Nov 22 00:00:00 mx1 postfix/smtp[%lu]: Trusted TLS connection established to "
                "mx.example%lu.net[198.51.100.%lu]:25: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 "
                "bits)\n",
                1000 + n % 97, n % 500, n % 250);
        lines_written++;
        break;
    case 5:
        delivery(file, n);
        break;
    case 6:
        line(file, "qmgr", n, "removed");
        return true;
    }
    return false;
}

static void write_log(unsigned long lines, unsigned long open)
{
    static struct message window[WINDOW];
    FILE *file = fopen(log_path, "w");

    if (file == NULL)
        exit(EXIT_FAILURE);
    for (unsigned long i = 0; i < open; i++)
        uuid_line(file, ++messages_begun);
    for (unsigned long i = 0; i < WINDOW; i++)
        window[i].number = ++messages_begun;
    while (lines_written < lines) {
        struct message *message = &window[(unsigned long)random() % WINDOW];
        if (next_line(file, message))
            *message = (struct message){.number = ++messages_begun};
    }
    fclose(file);
}

/* --- stages --------------------------------------------------------------------------------------- */

static double bytes, grep_time;

static void say(const char *what, double seconds)
{
    printf("%-34s %8.3f s %8.2f M lines/s %7.0f MB/s", what, seconds, (double)lines_written / seconds / 1e6,
           bytes / seconds / 1e6);
    if (grep_time > 0)
        printf("   %5.2f x grep", seconds / grep_time);
    printf("\n");
    fflush(stdout);
}

static double read_plainly(void)
{
    static char buffer[1024 * 1024];
    int descriptor = open(log_path, O_RDONLY);
    double begun = now();
    ssize_t length;

    while ((length = read(descriptor, buffer, sizeof buffer)) > 0)
        ;
    close(descriptor);
    return now() - begun;
}

/* Its output goes to a pipe: into /dev/null GNU grep stops at the first match. */
static double grep(void)
{
    double begun = now();
    int status = 0, ends[2];
    char count[32];

    if (pipe(ends) != 0)
        return 0;
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execlp("grep", "grep", "-c", "status=", log_path, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    while (read(ends[0], count, sizeof count) > 0)
        ;
    close(ends[0]);
    waitpid(child, &status, 0);
    return status == 0 ? now() - begun : 0;
}

static uint64_t notes;

static bool count_note(void *context, const struct track_note *note)
{
    (void)context;
    notes += note->verb < TRACK_OWN_DEFERRED;
    return true;
}

/* In pieces as tail hands them out; track NULL: parse only. */
static double parse(struct track *track)
{
    AUTO_FREE char *buffer = xmalloc(TAIL_PIECE_MAX);
    struct log_time time = {.reference_ms = clock_realtime_ms()};
    int descriptor = open(log_path, O_RDONLY);
    size_t filled = 0;
    ssize_t length;
    double begun = now();

    while ((length = read(descriptor, buffer + filled, TAIL_PIECE_MAX - filled)) > 0) {
        filled += (size_t)length;
        char *at = buffer, *end = buffer + filled, *newline;
        while ((newline = memchr(at, '\n', (size_t)(end - at))) != NULL) {
            struct postfix_log_line parsed;
            postfix_log_parse(at, (size_t)(newline - at), &parsed);
            if (track != NULL)
                track_line(track, &parsed,
                           parsed.kind > POSTFIX_LOG_OTHER ? log_time_parse(&time, parsed.stamp)
                                                           : time.last_ms);
            at = newline + 1;
        }
        if (track != NULL)
            track_bury(track, time.last_ms);
        filled = (size_t)(end - at);
        memmove(buffer, at, filled);
    }
    close(descriptor);
    return now() - begun;
}

static void measure_track(void)
{
    long before = resident_kb();
    struct config config = {.account_id = 1};
    struct mta mta = {.known = true};
    struct trust trust = {.config = &config, .mta = &mta};
    networks_read(&mta.networks, &mta.tables, "192.0.2.0/24 127.0.0.0/8 [::1]/128 10.0.0.0/8");
    struct track track = {.trust = &trust,
                          .table = correlation_open(CORRELATION_LIMIT),
                          .senders = xcalloc(1, sizeof *track.senders),
                          .note = count_note};
    double seconds = parse(&track);

    say("parse and correlate", seconds);
    printf("  %llu fates, %u messages followed, %llu evicted, resident %ld MB (%ld MB before)\n",
           (unsigned long long)notes, correlation_count(track.table),
           (unsigned long long)correlation_evicted(track.table), resident_kb() / 1024, before / 1024);
    correlation_close(track.table);
    free(track.senders);
}

static void measure_ingest(void)
{
    struct config config = {.log_path = log_path, .state_dir = directory, .report = {.deferred = true}};
    struct outcome error;
    struct store *store = NULL;
    struct ingest_status status;
    struct classify_rules *rules = classify_open(NULL, &error);

    if (!store_open(&store, directory, &error)) {
        fprintf(stderr, "%s\n", error.text);
        exit(EXIT_FAILURE);
    }
    double begun = now();
    struct ingest *ingest = ingest_open(&config, store, rules, true, &error);
    while (ingest_step(ingest, &error) == INGEST_WORKED)
        ;
    double seconds = now() - begun;
    ingest_status(ingest, &status);
    uint64_t events = 0;
    for (size_t i = 0; i < sizeof status.events / sizeof *status.events; i++)
        events += status.events[i];
    say("with events and position stored", seconds);
    printf("  %llu events, %.0f a second, resident %ld MB\n", (unsigned long long)events,
           (double)events / seconds, resident_kb() / 1024);
    ingest_close(ingest);
    classify_close(rules);
    store_close(store);
}

/* --- end to end ----------------------------------------------------------------------------------- */

/* What the stand-in for the API has seen; shared with its process. */
struct seen {
    volatile unsigned long events;
    volatile double first; /* when; 0: nothing yet */
};

static struct seen *seen;

static void count_events(const char *body, size_t length)
{
    static const char key[] = "\"event_id\"";
    const char *end = body + length;

    if (seen->first == 0)
        seen->first = now();
    while ((body = memmem(body, (size_t)(end - body), key, sizeof key - 1)) != NULL) {
        seen->events++;
        body += sizeof key - 1;
    }
}

/* A stand-in that does nothing but count, so that the agent is what is measured: one connection at a time. */
static void serve(int connection)
{
    static const char answer[] = "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}";
    static char buffer[1024 * 1024];
    size_t filled = 0;
    ssize_t length;

    while ((length = read(connection, buffer + filled, sizeof buffer - 1 - filled)) > 0) {
        filled += (size_t)length;
        buffer[filled] = '\0';
        const char *end = strstr(buffer, "\r\n\r\n"), *size = strcasestr(buffer, "\r\nContent-Length: ");
        if (end == NULL || size == NULL)
            continue;
        size_t body = (size_t)(end + 4 - buffer), whole = body + strtoul(size + 18, NULL, 10);
        if (whole >= sizeof buffer)
            break;
        while (filled < whole && (length = read(connection, buffer + filled, whole - filled)) > 0)
            filled += (size_t)length;
        count_events(buffer + body, filled - body);
        filled = 0;
        if (length <= 0 || write(connection, answer, sizeof answer - 1) < 0)
            break;
    }
    close(connection);
}

static pid_t start_api(int *port_r)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    if (bind(listener, (struct sockaddr *)&address, length) != 0 || listen(listener, 16) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) != 0)
        exit(EXIT_FAILURE);
    *port_r = ntohs(address.sin_port);
    pid_t child = fork();
    if (child == 0) {
        for (;;)
            serve(accept(listener, NULL, NULL));
    }
    close(listener);
    return child;
}

/* A Postfix to be asked: where there is none, postconf(1) takes a second to say so. */
static void configure_postfix(void)
{
    static const char *const names[] = {"main.cf", "master.cf"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        AUTO_FREE char *path = xasprintf("%s/%s", directory, names[i]);
        FILE *file = fopen(path, "w");
        if (file == NULL)
            exit(EXIT_FAILURE);
        fputs(i == 0 ? "mynetworks = 192.0.2.0/24 127.0.0.0/8 [::1]/128 10.0.0.0/8\n" : "", file);
        fclose(file);
    }
    setenv("MAIL_CONFIG", directory, 1);
}

static void write_config(const char *path, const char *state, int port, int batch_size)
{
    FILE *file = fopen(path, "w");

    fprintf(file,
            "account-id: 1\nsubaccount-id: 2\nstate-dir: %s\nendpoint: http://127.0.0.1:%d/events\napi-key: "
            "bench\n"
            "log-path: %s\nlisten: none\nbatch-size: %d\ntpsps: [{name: x, id: 1, host: localhost}]\n",
            state, port, log_path, batch_size);
    fclose(file);
    chmod(path, 0600);
}

static void measure_end_to_end(const char *program, int batch_size)
{
    AUTO_FREE char *config_path = xasprintf("%s/config-%d.yaml", directory, batch_size);
    AUTO_FREE char *state = xasprintf("%s/state-%d", directory, batch_size);
    char what[64];
    int port, status = 0;
    pid_t api = start_api(&port);

    mkdir(state, 0750);
    write_config(config_path, state, port, batch_size);
    double begun = now();
    pid_t agent = fork();
    if (agent == 0) {
        execl(program, program, "-c", config_path, "--once", "--from-start", (char *)NULL);
        _exit(127);
    }
    waitpid(agent, &status, 0);
    double seconds = now() - begun;
    kill(api, SIGKILL);
    waitpid(api, NULL, 0);
    snprintf(what, sizeof what, "stored and posted, batches of %d", batch_size);
    say(what, seconds);
    printf("  exit status %d, %.0f events a second\n", WEXITSTATUS(status), (double)notes / seconds);
}

/* A daemon, ended when the API has so many events. */
static void run_daemon(const char *program, const char *config_path, unsigned long events)
{
    double patience = now() + 120;
    pid_t agent = fork();

    if (agent == 0) {
        execl(program, program, "-c", config_path, "--from-start", (char *)NULL);
        _exit(127);
    }
    while (seen->events < events && now() < patience && waitpid(agent, NULL, WNOHANG) == 0)
        usleep(1000);
    kill(agent, SIGTERM);
    waitpid(agent, NULL, 0);
}

static void measure_daemon(const char *program, unsigned long open_messages, int batch_size)
{
    AUTO_FREE char *config_path = xasprintf("%s/config-daemon-%d.yaml", directory, batch_size);
    AUTO_FREE char *state = xasprintf("%s/state-daemon-%d", directory, batch_size);
    char what[64];
    int port;

    *seen = (struct seen){0};
    pid_t api = start_api(&port);
    mkdir(state, 0750);
    write_config(config_path, state, port, batch_size);
    double begun = now();
    run_daemon(program, config_path, notes);
    double seconds = now() - begun;
    snprintf(what, sizeof what, "by the daemon, batches of %d", batch_size);
    say(what, seconds);
    printf("  %lu events, %.0f a second, the first after %.2f s\n", seen->events,
           (double)seen->events / seconds, seen->first - begun);

    off_t length = (off_t)bytes;
    FILE *file = fopen(log_path, "a");
    if (file == NULL)
        return;
    for (unsigned long i = 1; i <= 1000; i++)
        delivery(file, open_messages > 0 ? 1 + i % open_messages : i);
    fclose(file);
    *seen = (struct seen){0};
    begun = now();
    run_daemon(program, config_path, 1);
    printf("started anew with %lu messages open: first event after %.2f s\n", open_messages,
           seen->first - begun);
    if (truncate(log_path, length) != 0)
        exit(EXIT_FAILURE);
    kill(api, SIGKILL);
    waitpid(api, NULL, 0);
}

static void clean_up(void)
{
    pid_t child = fork();

    if (child == 0) {
        execlp("rm", "rm", "-rf", directory, (char *)NULL);
        _exit(127);
    }
    waitpid(child, NULL, 0);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"lines", required_argument, NULL, 'l'},
                                            {"open", required_argument, NULL, 'o'},
                                            {"post", required_argument, NULL, 'p'},
                                            {"keep", no_argument, NULL, 'k'},
                                            {NULL, 0, NULL, 0}};
    unsigned long lines = 200000, open_messages = 0;
    const char *program = NULL;
    bool keep = false, open_given = false;
    int letter;

    while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (letter == 'l') {
            lines = strtoul(optarg, NULL, 10);
        } else if (letter == 'o') {
            open_messages = strtoul(optarg, NULL, 10);
            open_given = true;
        } else if (letter == 'p') {
            program = optarg;
        } else if (letter == 'k') {
            keep = true;
        } else {
            return EXIT_FAILURE;
        }
    }
    seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (seen == MAP_FAILED || mkdtemp(directory) == NULL)
        return EXIT_FAILURE;
    log_path = xasprintf("%s/mail.log", directory);
    configure_postfix();
    if (!open_given)
        open_messages = lines / 50;
    write_log(lines, open_messages);
    struct stat status;
    if (stat(log_path, &status) != 0)
        return EXIT_FAILURE;
    bytes = (double)status.st_size;
    printf("%lu lines, %.0f MB\n", lines_written, bytes / 1e6);
    read_plainly(); /* into the cache, for all that follows */
    say("plain read", read_plainly());
    double seconds = grep();
    say("grep -c 'status='", seconds);
    grep_time = seconds;
    say("parse", parse(NULL));
    measure_track();
    measure_ingest();
    if (program != NULL) {
        measure_end_to_end(program, 100);
        measure_end_to_end(program, 1000);
        measure_daemon(program, open_messages, 100);
        measure_daemon(program, open_messages, 1000);
    }
    if (!keep)
        clean_up();
    free(log_path);
    return EXIT_SUCCESS;
}
