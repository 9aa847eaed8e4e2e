/* sendpost-agent: what the MTA did, reported from its log. See sendpost-agent(8). */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>

#include "agent/agent.h"
#include "base/log.h"
#include "net/sigpipe.h"

/* options without a letter */
enum { API_KEY = 256, MTA, ENDPOINT, LOG_PATH };

static const struct option long_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"once", no_argument, NULL, 'o'},
    {"from-start", no_argument, NULL, 's'},
    {"verbose", no_argument, NULL, 'v'},
    {"api-key", required_argument, NULL, API_KEY},
    {"mta", required_argument, NULL, MTA},
    {"endpoint", required_argument, NULL, ENDPOINT},
    {"log-path", required_argument, NULL, LOG_PATH},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static void print_help(FILE *stream)
{
    fputs(
        "Usage: sendpost-agent [-c FILE] [--once] [--from-start] [-v] [--log-path PATH …]\n"
        "Follow the Postfix log and report the fate of every message that carries a SendPost UUID.\n\n"
        "  -c, --config FILE  configuration (" SYSCONFDIR "/config.yaml)\n"
        "  -o, --once         process the log to its end, flush all events, and end: 0 when all were "
        "accepted, 75\n"
        "                     when some stay pending\n"
        "  -s, --from-start   without a stored position, begin at the top of the log instead of its end\n"
        "  -v, --verbose      log lines also on stderr, and more of them\n"
        "      --api-key KEY, --mta postfix, --endpoint URL, --log-path PATH\n"
        "                     instead of what the configuration says, as SendPost's own agent takes them;\n"
        "                     others can see a key among the arguments for a moment: api-key-file is better\n"
        "  -h, --help         print this\n"
        "  -V, --version      print the version\n\n"
        "SIGTERM ends it, SIGHUP makes it read the configuration again. sendpost-agent(8) tells all.\n",
        stream);
}

int main(int argc, char **argv)
{
    struct agent_options options = {.config_path = SYSCONFDIR "/config.yaml"};
    int letter;

    while ((letter = getopt_long(argc, argv, "c:osvhV", long_options, NULL)) != -1) {
        switch (letter) {
        case 'c':
            options.config_path = optarg;
            break;
        case 'o':
            options.once = true;
            break;
        case 's':
            options.from_start = true;
            break;
        case 'v':
            options.verbose = true;
            break;
        case API_KEY:
            overrides_take_key(&options.overrides, optarg);
            break;
        case MTA:
            options.overrides.mta = optarg;
            break;
        case ENDPOINT:
            options.overrides.endpoint = optarg;
            break;
        case LOG_PATH:
            options.overrides.log_path = optarg;
            break;
        case 'h':
            print_help(stdout);
            return EXIT_SUCCESS;
        case 'V':
            puts("sendpost-agent (postfix-sendpost) " PACKAGE_VERSION);
            return EXIT_SUCCESS;
        default:
            print_help(stderr);
            return EX_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "sendpost-agent: %s: no arguments are expected\n", argv[optind]);
        return EX_USAGE;
    }
    prctl(PR_SET_DUMPABLE, 0); /* no core file, no ptrace by peers of the same user: there are keys in here */
    sigpipe_ignore();
    log_open("agent", options.verbose);
    return agent_run(&options);
}
