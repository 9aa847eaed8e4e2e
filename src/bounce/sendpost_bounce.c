/*
 * sendpost-bounce: the program that Postfix's pipe(8) starts for what comes to a bounce address. It reads its
 * options and runs sendpost-record, which has it judged and records what it says, under the same supervision
 * as a delivery: a report that crashes a library, or a library that is missing, must not make Postfix bounce
 * a bounce and lose it. Exit status 0 or 75 and nothing else; see sendpost-bounce(8).
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/log.h"
#include "supervisor/front.h"
#include "supervisor/request.h"
#include "supervisor/supervise.h"

#define DEADLINE_S 300 /* reading, judging, storing and reporting take seconds */

static const char usage[] =
    "usage: sendpost-bounce [-c FILE] [-q QUEUE_ID] [-n] [-v] [-f SENDER] [--] RECIPIENT < report\n"
    "\n"
    "  -f, --sender SENDER      envelope sender of the report; '' or '<>' is the null sender\n"
    "  -q, --queue-id ID        queue id, for the log\n"
    "  -n, --dry-run            print a JSON object for each failed recipient; store and report nothing\n"
    "  -c, --config FILE        configuration (default " SYSCONFDIR "/config.yaml)\n"
    "  -v, --verbose            what was judged by which rule, and the HTTP dialogue, on stderr\n"
    "  -h, --help               this text\n"
    "  -V, --version            version\n"
    "\n"
    "Exit status: 0 the event is on disk, or the message is no bounce; 75 try again later.\n";

static const struct option options[] = {
    {"sender", required_argument, NULL, 'f'}, {"queue-id", required_argument, NULL, 'q'},
    {"dry-run", no_argument, NULL, 'n'},      {"config", required_argument, NULL, 'c'},
    {"verbose", no_argument, NULL, 'v'},      {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},      {NULL, 0, NULL, 0},
};

static int finish_wrong(const char *what)
{
    char text[512];

    snprintf(
        text, sizeof text,
        "4.3.5 sendpost-bounce: %s; see the sendpost-bounce entry in master.cf and sendpost-bounce --help",
        what);
    log_open_later("bounce");
    log_line(LOG_ERR, "%s", text);
    return front_finish(EX_TEMPFAIL, text);
}

static int run(const struct delivery_request *request)
{
    static struct delivery_result result;
    struct supervision supervision = {.program = "sendpost-record", .deadline_s = DEADLINE_S};

    log_open_later("bounce");
    front_supervise(&supervision, request, false, &result);
    if (result.status != EX_OK && result.status != EX_TEMPFAIL) { /* 69 would bounce the bounce */
        result.status = EX_TEMPFAIL;
        snprintf(result.text, sizeof result.text, "4.3.0 sendpost-record gave an answer that makes no sense");
    }
    if (result.status != EX_OK)
        log_line(LOG_ERR, "%s: report to <%s> deferred: %s",
                 *request->queue_id ? request->queue_id : "NOQUEUE", request->recipient, result.text);
    if (!request->dry_run || result.status != EX_OK)
        front_finish(result.status, result.text);
    front_print(&supervision);
    return result.status;
}

int main(int argc, char **argv)
{
    struct delivery_request request = {.config_path = SYSCONFDIR "/config.yaml",
                                       .sender = "",
                                       .pool = "",
                                       .queue_id = "",
                                       .uuid = "",
                                       .size = ""};
    int option;

    front_settle_descriptors();
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":f:q:nc:vhV", options, NULL)) != -1) {
        switch (option) {
        case 'h':
            fputs(usage, stdout);
            return EXIT_SUCCESS;
        case 'V':
            puts("sendpost-bounce " PACKAGE_VERSION);
            return EXIT_SUCCESS;
        default:
            if (!front_option(option, optarg, &request))
                return finish_wrong(option == ':' ? "an option lacks its argument" : "an option is unknown");
        }
    }
    if (argc - optind != 1)
        return finish_wrong(argc == optind ? "no recipient"
                                           : "more than one recipient: set "
                                             "sendpost-bounce_destination_recipient_limit = 1");
    request.recipient = argv[optind];
    return run(&request);
}
