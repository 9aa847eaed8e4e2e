/*
 * sendpost-pipe: the program that Postfix's pipe(8) starts, once for each message and recipient. It reads its
 * options, runs sendpost-deliver under supervision, and tells Postfix what became of the message. Exit status
 * 0, 75 or 69 and nothing else; see sendpost-pipe(8).
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/log.h"
#include "supervisor/front.h"
#include "supervisor/request.h"
#include "supervisor/supervise.h"

static const char usage[] =
    "usage: sendpost-pipe [-c FILE] [-p POOL] [-q QUEUE_ID] [-u UUID] [-n] [-v] -f SENDER [--] RECIPIENT < "
    "message\n"
    "\n"
    "  -f, --sender SENDER      envelope sender; '' or '<>' is the null sender\n"
    "  -p, --pool POOL          pool of TPSPs to route by (Postfix: ${nexthop})\n"
    "  -q, --queue-id ID        queue id: makes a retry recognisable\n"
    "  -s, --size BYTES         the message is no smaller than this (Postfix: ${size})\n"
    "  -u, --uuid UUID          use this message UUID\n"
    "  -n, --dry-run            print envelope and message as they would be sent; contact nobody\n"
    "  -c, --config FILE        configuration (default " SYSCONFDIR "/config.yaml)\n"
    "  -v, --verbose            SMTP and HTTP dialogue on stderr, secrets masked\n"
    "  -h, --help               this text\n"
    "  -V, --version            version\n"
    "\n"
    "Exit status: 0 the TPSP has the message, 75 try again later, 69 dropped for good.\n";

static const struct option options[] = {
    {"sender", required_argument, NULL, 'f'},
    {"pool", required_argument, NULL, 'p'},
    {"queue-id", required_argument, NULL, 'q'},
    {"uuid", required_argument, NULL, 'u'},
    {"size", required_argument, NULL, 's'},
    {"dry-run", no_argument, NULL, 'n'},
    {"config", required_argument, NULL, 'c'},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static int finish_wrong(const char *what)
{
    char text[512];

    snprintf(text, sizeof text,
             "4.3.5 sendpost-pipe: %s; see the sendpost entry in master.cf and sendpost-pipe --help", what);
    log_open_later("pipe");
    log_line(LOG_ERR, "%s", text);
    return front_finish(EX_TEMPFAIL, text);
}

static int run(const struct delivery_request *request)
{
    static struct delivery_result result;
    struct supervision supervision = {.program = "sendpost-deliver", .deadline_s = DELIVERY_DEADLINE_S};

    log_open_later("pipe");
    front_supervise(&supervision, request, true, &result);
    front_finish(result.status, result.text);
    front_print(&supervision); /* behind the status line, which comes first always */
    return result.status;
}

int main(int argc, char **argv)
{
    struct delivery_request request = {
        .config_path = SYSCONFDIR "/config.yaml", .pool = "", .queue_id = "", .uuid = "", .size = ""};
    int option;

    front_settle_descriptors();
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":f:p:q:s:u:nc:vhV", options, NULL)) != -1) {
        switch (option) {
        case 'p':
            request.pool = optarg;
            break;
        case 's':
            request.size = optarg;
            break;
        case 'u':
            request.uuid = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_SUCCESS;
        case 'V':
            puts("sendpost-pipe " PACKAGE_VERSION);
            return EXIT_SUCCESS;
        default:
            if (!front_option(option, optarg, &request))
                return finish_wrong(option == ':' ? "an option lacks its argument" : "an option is unknown");
        }
    }
    if (request.sender == NULL)
        return finish_wrong("no sender: -f is missing");
    if (argc - optind != 1)
        return finish_wrong(argc == optind
                                ? "no recipient"
                                : "more than one recipient: set sendpost_destination_recipient_limit = 1");
    request.recipient = argv[optind];
    return run(&request);
}
