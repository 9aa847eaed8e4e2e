#include "config/config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "suites.h"

static char directory[] = "/tmp/test-config-XXXXXX";

static void write_file(const char *name, const char *text, size_t length, mode_t mode)
{
    unlink(name);
    int file = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(write(file, text, length), (ssize_t)length);
    ck_assert_int_eq(fchmod(file, mode), 0);
    close(file);
}

/* Every test works in a directory of its own, so that messages begin with "config.yaml". */
static void enter_directory(void)
{
    memcpy(directory + sizeof directory - 7, "XXXXXX", 7);
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
}

static void leave_directory(void)
{
    static const char *const names[] = {"config.yaml", "secret"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unlink(names[i]);
    ck_assert_int_eq(chdir("/"), 0);
    rmdir(directory);
}

static struct config *load_text(const char *text, struct outcome *error)
{
    write_file("config.yaml", text, strlen(text), 0640);
    return config_load("config.yaml", error);
}

/* "$" in a text stands for the test's directory: secrets need absolute paths. */
static char *with_directory(const char *text)
{
    char *result = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&result, &size);

    for (; *text != '\0'; text++)
        if (*text == '$')
            fputs(directory, stream);
        else
            fputc(*text, stream);
    fclose(stream);
    return result;
}

static void expect_error(const char *text, const char *message)
{
    AUTO_FREE char *input = with_directory(text), *expected = with_directory(message);
    struct outcome error;
    struct config *config = load_text(input, &error);

    ck_assert_msg(config == NULL, "accepted:\n%s", input);
    ck_assert_str_eq(error.text, expected);
    ck_assert_str_eq(error.enhanced, "4.3.5");
    ck_assert_int_eq(error.class, OUTCOME_DEFERRED);
    ck_assert_int_eq(error.cause, CAUSE_OURS);
}

#define IDS "account-id: 1\nsubaccount-id: 2\n"
#define BASE IDS "tpsps: [{name: a, host: h.example}]\n" /* three lines: what follows is on line 4 */
#define TPSP(keys) IDS "tpsps:\n  - name: a\n    host: h.example\n" keys /* keys begin on line 6 */
#define TWO IDS "tpsps: [{name: one, host: a.example}, {name: two, host: b.example}]\n"

static const struct {
    const char *text, *message;
} cases[] = {
    /* the file as a whole */
    {"", "config.yaml: is empty; start from config.yaml.example"},
    {"# nothing\n\n", "config.yaml: is empty; start from config.yaml.example"},
    {"just words\n", "config.yaml:1: does not begin with a key; write \"account-id: …\" and so on"},
    {"- a\n- b\n", "config.yaml:1: does not begin with a key; write \"account-id: …\" and so on"},
    {BASE "listen: \"none\n",
     "config.yaml:5: not YAML: found unexpected end of stream, while scanning a quoted "
     "scalar (column 1); look for a missing colon or quote and at the indentation"},
    {BASE "\tmta: postfix\n",
     "config.yaml:4: not YAML: found character that cannot start any token, while scanning "
     "for the next token (column 1); look for a missing colon or quote and at the "
     "indentation"},
    {BASE "mta: \xff\n",
     "config.yaml: not YAML: invalid leading UTF-8 octet at byte 72; the file must be UTF-8 text"},
    {BASE "---\nmta: postfix\n",
     "config.yaml:5: a second document begins here; one file holds one (remove the ---)"},
    {BASE "mta: *gone\n",
     "config.yaml:4: not YAML: found undefined alias (column 6); look for a missing colon or "
     "quote and at the indentation"},
    /* keys */
    {BASE "stat-dir: /x\n", "config.yaml:4: stat-dir: unknown key; did you mean \"state-dir\"?"},
    {BASE "State_Dir: /x\n", "config.yaml:4: State_Dir: unknown key; did you mean \"state-dir\"?"},
    {TPSP("    prot: 25\n"), "config.yaml:6: tpsps[0].prot: unknown key; did you mean \"port\"?"},
    {BASE "colour: red\n",
     "config.yaml:4: colour: unknown key; postfix-sendpost.yaml(5) lists the known ones"},
    {BASE "<<: {mta: postfix}\n",
     "config.yaml:4: ?: unknown key; postfix-sendpost.yaml(5) lists the known ones"},
    {BASE "[a, b]: c\n", "config.yaml:4: ?: unknown key; postfix-sendpost.yaml(5) lists the known ones"},
    {BASE "mta: postfix\nlisten: none\nmta: postfix\n",
     "config.yaml:6: mta: is given twice, first on line 4; remove one"},
    {"subaccount-id: 2\n", "config.yaml:1: account-id: is missing; give the number of your SendPost account"},
    {"\naccount-id: 2\n",
     "config.yaml:2: subaccount-id: is missing; give the number of your SendPost sub-account"},
    {IDS,
     "config.yaml:1: tpsps: is missing; give at least one server to relay to: - {name: primary, host: …}"},
    {IDS "tpsps:\n  - host: h.example\n",
     "config.yaml:4: tpsps[0].name: is missing; give it a name of its own, for logs and pools"},
    {IDS "tpsps:\n  - name: a\n",
     "config.yaml:4: tpsps[0].host: is missing; give the name or address of the SMTP server"},
    {IDS "tpsps: []\n",
     "config.yaml:3: tpsps: is empty; give at least one server to relay to: - {name: primary, host: …}"},
    {IDS "tpsps: {name: a}\n",
     "config.yaml:3: tpsps: must be a list: [one, two], or a line \"- …\" for each"},
    {IDS "tpsps: [a]\n", "config.yaml:3: tpsps[0]: must be a group of keys: \"key: value\" lines below it"},
    {BASE "trusted-senders: [192.0.2.7/24]\n",
     "config.yaml:4: trusted-senders[0]: \"192.0.2.7/24\" is no network: 192.0.2.0/24, 2001:db8::/32, or one "
     "address, and nothing set behind the prefix"},
    {BASE "report: 10s\n", "config.yaml:4: report: must be a group of keys: \"key: value\" lines below it"},
    {BASE "report:\n", "config.yaml:4: report: has no value; give one, or remove the key for its default"},
    {BASE "state-dir: ~\n",
     "config.yaml:4: state-dir: has no value; give one, or remove the key for its default"},
    {BASE "state-dir: [/x]\n", "config.yaml:4: state-dir: is a list where one value is wanted"},
    {BASE "state-dir: {a: b}\n", "config.yaml:4: state-dir: is a group of keys where one value is wanted"},
    /* numbers */
    {"account-id: 0\n", "config.yaml:1: account-id: \"0\" is no whole number of at least 1"},
    {"account-id: -4\n", "config.yaml:1: account-id: \"-4\" is no whole number of at least 1"},
    {"account-id: 0x10\n", "config.yaml:1: account-id: \"0x10\" is no whole number of at least 1"},
    {"account-id: 017\n", "config.yaml:1: account-id: \"017\" is no whole number of at least 1"},
    {"account-id: 1_000\n", "config.yaml:1: account-id: \"1_000\" is no whole number of at least 1"},
    {"account-id: 9223372036854775808\n",
     "config.yaml:1: account-id: \"9223372036854775808\" is no whole number of at least 1"},
    {TPSP("    port: 65536\n"), "config.yaml:6: tpsps[0].port: \"65536\" is no whole number from 1 to 65535"},
    {TPSP("    port: smtp\n"), "config.yaml:6: tpsps[0].port: \"smtp\" is no whole number from 1 to 65535"},
    {BASE "batch-size: 0\n", "config.yaml:4: batch-size: \"0\" is no whole number from 1 to 10000"},
    {BASE "report: {deferred: maybe}\n",
     "config.yaml:4: report.deferred: \"maybe\" is neither true nor false"},
    /* words */
    {TPSP("    security: ssl\n"), "config.yaml:6: tpsps[0].security: \"ssl\" is none of none, starttls, tls"},
    {TPSP("    auth: cram-md5\n"), "config.yaml:6: tpsps[0].auth: \"cram-md5\" is none of auto, none, plain, "
                                   "login, scram-sha-256, xoauth2, oauthbearer"},
    {TPSP("    max-connections: 1001\n"),
     "config.yaml:6: tpsps[0].max-connections: \"1001\" is no whole number from 0 to 1000"},
    {TPSP("    engine: smtp\n"),
     "config.yaml:6: tpsps[0].engine: \"smtp\" is none of auto, libesmtp, libcurl"},
    {BASE "mta: exim\n", "config.yaml:4: mta: \"exim\" is not postfix"},
    {BASE "return-path:\n  verify: always\n",
     "config.yaml:5: return-path.verify: \"always\" is none of off, static, dns, sendpost"},
    {BASE "pools:\n  - {name: default, members: [a], strategy: random}\n",
     "config.yaml:5: pools[0].strategy: \"random\" is none of failover, round-robin, weighted, "
     "by-provider, by-sender-domain"},
    /* durations, sizes, rates */
    {BASE "delivery-timeout: 10\n",
     "config.yaml:4: delivery-timeout: \"10\" is no duration; write 30s, 5m, 1h or 7d"},
    {BASE "delivery-timeout: 1h30m\n",
     "config.yaml:4: delivery-timeout: \"1h30m\" is no duration; write 30s, 5m, 1h or 7d"},
    {BASE "delivery-timeout: 9223372036854775807d\n",
     "config.yaml:4: delivery-timeout: \"9223372036854775807d\" is "
     "no duration; write 30s, 5m, 1h or 7d"},
    {BASE "delivery-timeout: 16m\n", "config.yaml:4: delivery-timeout: \"16m\" is out of range: 1s to 15m"},
    {BASE "retry: {schedule: [1h, soon]}\n",
     "config.yaml:4: retry.schedule[1]: \"soon\" is no duration; write 30s, 5m, 1h or 7d"},
    {BASE "validation: {max-message-size: 50MB}\n",
     "config.yaml:4: validation.max-message-size: \"50MB\" is no "
     "size; write 50M, 500K or a number of bytes"},
    {BASE "validation: {max-message-size: 9000000000G}\n",
     "config.yaml:4: validation.max-message-size: \"9000000000G\" is no size; write 50M, 500K or a number of "
     "bytes"},
    {TPSP("    rates: [10/m, 7/w]\n"),
     "config.yaml:6: tpsps[0].rates[1]: \"7/w\" is no rate; write 100/h, 10/m, 2000/d or 5/s"},
    {TPSP("    rates: [0/m]\n"), "config.yaml:6: tpsps[0].rates[0]: \"0/m\" limits nothing; remove it"},
    {TPSP("    rates: 10/m\n"),
     "config.yaml:6: tpsps[0].rates: must be a list: [one, two], or a line \"- …\" for each"},
    {TPSP("    max-rate-per-hour: 10/m\n"),
     "config.yaml:6: tpsps[0].max-rate-per-hour: \"10/m\" is no whole number (0 "
     "is unlimited); other windows go into rates: [10/m]"},
    {TPSP("    provider-rates: {gmial: 10}\n"),
     "config.yaml:6: tpsps[0].provider-rates.gmial: unknown key; did you mean \"gmail\"?"},
    {TPSP("    provider-rates: {gmail: lots}\n"),
     "config.yaml:6: tpsps[0].provider-rates.gmail: \"lots\" is no rate; "
     "write 100/h, 10/m, 2000/d or 5/s"},
    {TPSP("    shadow: [globl]\n"),
     "config.yaml:6: tpsps[0].shadow[0]: \"globl\" names no limit; global, rates, warm-up, or one of "
     "provider-rates is meant"},
    {TPSP("    warm-up: {plan: [1]}\n"),
     "config.yaml:6: tpsps[0].warm-up.start: is missing; give the date of the first day: 2026-12-01"},
    {TPSP("    warm-up: {start: 2026-13-01, plan: [1]}\n"),
     "config.yaml:6: tpsps[0].warm-up.start: \"2026-13-01\" is no date; write 2026-12-01"},
    {TPSP("    warm-up: {start: 2026-12-01, plan: [0]}\n"),
     "config.yaml:6: tpsps[0].warm-up.plan[0]: \"0\" is no whole number from 1 to 100000000"},
    {BASE "slow-down: {statistics: {deferred: 300}}\n",
     "config.yaml:4: slow-down.statistics.deferred: \"300\" is no share; write 0.5 or 50%, above 0 and at "
     "most "
     "1"},
    /* names, hosts, addresses */
    {IDS "tpsps: [{name: a b, host: h}]\n",
     "config.yaml:3: tpsps[0].name: \"a b\" is no name: 1 to 64 letters, "
     "digits, '-', '_' and '.' make one"},
    {IDS "tpsps: [{name: a, host: h}, {name: A, host: h}]\n",
     "config.yaml:3: tpsps[1].name: is the name of another tpsp already; choose another one"},
    {IDS "tpsps: [{name: a, host: \"h\\r\\nRSET\"}]\n",
     "config.yaml:3: tpsps[0].host: contains a line end or another control character; remove it"},
    {IDS "tpsps: [{name: a, host: \"h\\0x\"}]\n",
     "config.yaml:3: tpsps[0].host: contains a line end or another control character; remove it"},
    {IDS "tpsps: [{name: a, host: h .example}]\n",
     "config.yaml:3: tpsps[0].host: \"h .example\" is neither a host name nor an IP address"},
    {IDS "tpsps: [{name: a, host: 192.0.2.300}]\n",
     "config.yaml:3: tpsps[0].host: \"192.0.2.300\" is neither a host name nor an IP address"},
    {IDS "tpsps: [{name: a, host: 'h.example:587'}]\n",
     "config.yaml:3: tpsps[0].host: \"h.example:587\" is no host; the port goes into a key of its own"},
    {IDS "tpsps: [{name: a, host: b\xc3\xbc"
         "cher.example}]\n",
     "config.yaml:3: tpsps[0].host: \"b\xc3\xbc"
     "cher.example\" is not ASCII; write the xn-- form of the name"},
    {BASE "listen: 9113\n",
     "config.yaml:4: listen: \"9113\" is not of the form 127.0.0.1:9113, [::1]:9113, unix:/PATH or none"},
    {BASE "listen: '*:9113'\n",
     "config.yaml:4: listen: \"*:9113\" is not of the form 127.0.0.1:9113, [::1]:9113, unix:/PATH or none"},
    {BASE "listen: 127.0.0.1:0\n",
     "config.yaml:4: listen: \"127.0.0.1:0\" is not of the form 127.0.0.1:9113, [::1]:9113, unix:/PATH or "
     "none"},
    {BASE "log-path: mail.log\n",
     "config.yaml:4: log-path: \"mail.log\" is neither an absolute path nor the word journal"},
    {BASE "dns: {servers: [dns.example]}\n",
     "config.yaml:4: dns.servers[0]: \"dns.example\" is no address of a name "
     "server: 192.0.2.1, 192.0.2.1:53, [2001:db8::1]:53"},
    {BASE "return-path: {domains: ['*.example.com']}\n",
     "config.yaml:4: return-path.domains[0]: \"*.example.com\": "
     "write the domain alone, subdomains are included"},
    {BASE "return-path: {verify: static}\n",
     "config.yaml:4: return-path.domains: is empty, so that verify: static "
     "would drop every message; list the verified sender domains"},
    {BASE "state-dir: var/lib\n",
     "config.yaml:4: state-dir: must be an absolute path, one that begins with /"},
    /* the endpoint */
    {BASE "endpoint: http://events.example/x\n",
     "config.yaml:4: endpoint: would send the key unencrypted; write "
     "https:// (http:// is for loopback hosts only)"},
    {BASE "endpoint: http://127.evil.example/x\n",
     "config.yaml:4: endpoint: would send the key unencrypted; write "
     "https:// (http:// is for loopback hosts only)"},
    {BASE "endpoint: events.example\n", "config.yaml:4: endpoint: must be an https:// URL, or the word none"},
    {BASE "endpoint: https://user:hunter2@events.example\n",
     "config.yaml:4: endpoint: must not hold a user name or password; secrets go into files of their own"},
    {BASE "endpoint: https://events.example:0/x\n",
     "config.yaml:4: endpoint: has no valid host name or port; the "
     "form is https://HOST[:PORT]/PATH"},
    {BASE "endpoint: https://\n", "config.yaml:4: endpoint: has no valid host name or port; the form is "
                                  "https://HOST[:PORT]/PATH"},
    {BASE "endpoint: https://[::1/x\n",
     "config.yaml:4: endpoint: has no valid host name or port; the form is "
     "https://HOST[:PORT]/PATH"},
    /* pools */
    {BASE "pools: []\n", "config.yaml:4: pools: is empty; remove it, and all tpsps form the pool default"},
    {BASE "pools:\n  - name: default\n",
     "config.yaml:5: pools[0].members: is missing; give a list of tpsps: [{tpsp: primary}]"},
    {TWO "pools: [{name: default, members: [{tpsp: tow}]}]\n",
     "config.yaml:4: pools[0].members[0].tpsp: there is no tpsp \"tow\"; did you mean \"two\"?"},
    {TWO "pools: [{name: default, members: [nothing]}]\n",
     "config.yaml:4: pools[0].members[0]: there is no tpsp \"nothing\"; define it, or correct the name"},
    {TWO "pools: [{name: default, members: [one, {tpsp: one}]}]\n",
     "config.yaml:4: pools[0].members[1]: \"one\" is a member already; give it a weight instead"},
    {TWO "pools: [{name: default, members: [{tpsp: one, weight: 0}]}]\n",
     "config.yaml:4: pools[0].members[0].weight: \"0\" is no whole number from 1 to 1000000"},
    {TWO "pools: [{name: p, members: [one]}, {name: p, members: [two]}]\n",
     "config.yaml:4: pools[1].name: is the name of another pool already; choose another one"},
    {TWO "pools: [{name: p, members: [one], overflow: q}]\n",
     "config.yaml:4: pools[0].overflow: there is no pool \"q\"; did you mean \"p\"?"},
    {TWO "pools: [{name: p, members: [one], overflow: p}]\n",
     "config.yaml:4: pools[0].overflow: leads back to this pool in a circle; leave it out in one of them"},
    /* routes */
    {TWO "pools: [{name: p, members: [one], strategy: by-provider}]\n",
     "config.yaml:4: pools[0].routes: is missing; say who is first for whom: {gmail: MEMBER, default: "
     "MEMBER}"},
    {TWO "pools: [{name: p, members: [one], strategy: by-sender-domain}]\n",
     "config.yaml:4: pools[0].routes: is missing; say who is first for whom: {example.com: MEMBER, default: "
     "MEMBER}"},
    {TWO "pools: [{name: p, members: [one],\n  routes: {gmail: one}}]\n",
     "config.yaml:5: pools[0].routes: is of no use with strategy: failover; say by-provider or "
     "by-sender-domain"},
    {TWO "pools: [{name: p, members: [one], strategy: by-provider, routes: {}}]\n",
     "config.yaml:4: pools[0].routes: is empty; name a member for one of them, or for default"},
    {TWO "pools: [{name: p, members: [one], strategy: by-provider, routes: [one]}]\n",
     "config.yaml:4: pools[0].routes: must be a group of keys: \"key: value\" lines below it"},
    {TWO "pools: [{name: p, members: [one], strategy: by-provider,\n  routes: {gmial: one}}]\n",
     "config.yaml:5: pools[0].routes.gmial: unknown key; did you mean \"gmail\"?"},
    {TWO "pools: [{name: p, members: [one], strategy: by-provider, routes: {gmail: two}}]\n",
     "config.yaml:4: pools[0].routes.gmail: the pool has no member \"two\"; add it to members"},
    {TWO "pools: [{name: p, members: [one], strategy: by-provider, routes: {gmail: onne}}]\n",
     "config.yaml:4: pools[0].routes.gmail: the pool has no member \"onne\"; did you mean \"one\"?"},
    {TWO "pools: [{name: p, members: [one], strategy: by-provider, routes: {gmail: one, gmail: one}}]\n",
     "config.yaml:4: pools[0].routes.gmail: is given twice, first on line 4; remove one"},
    {TWO "pools: [{name: p, members: [one], strategy: by-sender-domain, routes: {'*.example.com': one}}]\n",
     "config.yaml:4: pools[0].routes.*.example.com: \"*.example.com\": write the domain alone, subdomains "
     "are "
     "included"},
    {TWO
     "pools: [{name: p, members: [one], strategy: by-sender-domain,\n routes: {a.example: one, A.example.: "
     "one}}]\n",
     "config.yaml:5: pools[0].routes.A.example.: is given twice; remove one"},
    {TWO "pools: [{name: p, members: [one], strategy: by-sender-domain, routes: {a.example: [one]}}]\n",
     "config.yaml:4: pools[0].routes.a.example: is a list where one value is wanted"},
    {TWO "pools:\n - {name: p, members: [one], overflow: q}\n - {name: q, members: [two], overflow: r}\n"
         " - {name: r, members: [two], overflow: p}\n",
     "config.yaml:7: pools[2].overflow: leads back to this pool in a circle; leave it out in one of them"},
    /* logins */
    {TPSP("    username: u\n"),
     "config.yaml:4: tpsps[0].password-file: is missing; the username needs it (or say auth: none)"},
    {TPSP("    password: hunter2\n"),
     "config.yaml:4: tpsps[0].username: is missing; a password or token is of no use without it"},
    {TPSP("    auth: plain\n"), "config.yaml:4: tpsps[0].username: is missing; this auth needs it"},
    {TPSP("    auth: login\n    username: u\n    oauth-token: hunter2\n"),
     "config.yaml:4: tpsps[0].password-file: is missing; the username needs it (or say auth: none)"},
    {TPSP("    auth: xoauth2\n    username: u\n    password: hunter2\n"),
     "config.yaml:4: tpsps[0].oauth-token-file: is missing; auth: xoauth2 needs it, or oauth"},
    {TPSP("    security: none\n    username: u\n    password: hunter2\n"),
     "config.yaml:6: tpsps[0].security: none would send the password in the clear; use starttls or tls, or "
     "say "
     "auth-without-tls: true"},
    /* files and timeouts */
    {TPSP("    tls-ca-path: $/config.yaml\n"),
     "config.yaml:6: tpsps[0].tls-ca-path: \"$/config.yaml\" is not a "
     "directory; a file goes into tls-ca-file"},
    {TPSP("    tls-ca-file: $\n"),
     "config.yaml:6: tpsps[0].tls-ca-file: \"$\" is not a file; a directory goes into tls-ca-path"},
    {TPSP("    tls-ca-file: $/gone\n"),
     "config.yaml:6: tpsps[0].tls-ca-file: cannot find \"$/gone\": No such file or directory"},
    {TPSP("    tls-ca-path: $\n    tls-ca-file: $/config.yaml\n"),
     "config.yaml:7: tpsps[0].tls-ca-file: tls-ca-path is given, too; keep one of the two"},
    {BASE "report: {timeout: 2m}\ndelivery-timeout: 1m\n",
     "config.yaml:4: report.timeout: must be shorter than delivery-timeout, which it is a part of"},
    {BASE "rate-limit-wait: 1m\ndelivery-timeout: 1m\n",
     "config.yaml:4: rate-limit-wait: must be shorter than delivery-timeout, which it is a part of"},
    /* secrets */
    {BASE "api-key-file: hunter2\n",
     "config.yaml:4: api-key-file: must be an absolute path, one that begins with /"},
    {BASE "api-key: [hunter2]\n", "config.yaml:4: api-key: is a list where one value is wanted"},
    {BASE "api-key: \"hunter2\\n\"\n",
     "config.yaml:4: api-key: contains a line end or another control character; remove it"},
    {BASE "api-key: ''\n", "config.yaml:4: api-key: is empty"},
    {BASE "api-key: hunter2\napi-key-file: /x\n",
     "config.yaml:5: api-key-file: the secret is given inline, too; keep one of the two"},
    {BASE "api-key-file: $/gone\n",
     "config.yaml:4: api-key-file: cannot open $/gone: No such file or directory"},
    {BASE "api-key-file: $\n", "config.yaml:4: api-key-file: $ is not a regular file"},
    {IDS "tpsps: [{name: a, host: h, username: u, password:hunter2}]\n",
     "config.yaml:3: tpsps[0]: \"password\" must be followed by a colon and a space"},
    {IDS "tpsps: [{name: a, host: h, username: u, password: hunter1,hunter2}]\n",
     "config.yaml:3: tpsps[0]: unknown key without value; quote a value that contains a comma, brace or "
     "colon"},
};

START_TEST(every_mistake_is_named_with_file_line_key_and_remedy)
{
    expect_error(cases[_i].text, cases[_i].message);
}
END_TEST

START_TEST(no_message_shows_a_secret)
{
    ck_assert_ptr_null(strstr(cases[_i].message, "hunter"));
}
END_TEST

static const struct {
    const char *content;
    size_t length;
    mode_t mode;
    const char *message;
} secrets[] = {
    {"hunter2\n", 8, 0644, "is open to others (mode 0644); chmod o= $/secret"},
    {"hunter2\n", 8, 0641, "is open to others (mode 0641); chmod o= $/secret"},
    {"", 0, 0600, "is empty; write the secret into it"},
    {"\n", 1, 0600, "is empty; write the secret into it"},
    {"hunter2\r\n", 9, 0600,
     "holds a carriage return inside the secret; it must be one line with a plain line end"},
    {"hunter2\n\n", 9, 0600,
     "holds a second line inside the secret; it must be one line with a plain line end"},
    {"hun\0ter2", 8, 0600,
     "holds a control character inside the secret; it must be one line with a plain line end"},
};

START_TEST(a_secret_file_that_is_open_or_garbled_is_refused)
{
    AUTO_FREE char *message = xasprintf("config.yaml:4: api-key-file: $/secret %s", secrets[_i].message);

    write_file("secret", secrets[_i].content, secrets[_i].length, secrets[_i].mode);
    expect_error(BASE "api-key-file: $/secret\n", message);
}
END_TEST

START_TEST(a_secret_file_gives_its_one_line)
{
    AUTO_FREE char *text = with_directory(BASE "api-key-file: $/secret\n");
    struct outcome error;

    write_file("secret", " hunter 2\xc3\xa9\n", 12, 0640);
    struct config *config = load_text(text, &error);
    ck_assert_msg(config != NULL, "%s", error.text);
    ck_assert_str_eq(config->api_key, " hunter 2\xc3\xa9");
    config_free(config);
}
END_TEST

#define UUID_KEY "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"

static const struct {
    const char *content;
    mode_t mode;
    const char *message;
} key_files[] = {
    {UUID_KEY "\n", 0644, "$/secret is open to others (mode 0644); chmod o= $/secret"},
    {"", 0640, "$/secret holds no key; sendpostctl setup makes keys"},
    {UUID_KEY "\nhunter2\n", 0640,
     "$/secret, line 2 is not 64 hexadecimal digits; sendpostctl setup makes keys"},
};

START_TEST(a_key_file_that_is_open_or_garbled_is_refused)
{
    AUTO_FREE char *message = xasprintf("config.yaml:4: uuid-key-file: %s", key_files[_i].message);

    write_file("secret", key_files[_i].content, strlen(key_files[_i].content), key_files[_i].mode);
    expect_error(BASE "uuid-key-file: $/secret\n", message);
}
END_TEST

START_TEST(a_key_file_that_is_named_and_missing_is_an_error)
{
    expect_error(BASE "uuid-key-file: $/gone\n",
                 "config.yaml:4: uuid-key-file: cannot open $/gone: No such file or directory");
    expect_error(BASE "uuid-key-file: uuid-key\n",
                 "config.yaml:4: uuid-key-file: must be an absolute path, one that begins with /");
}
END_TEST

START_TEST(a_key_file_gives_its_keys_and_its_change_is_noticed)
{
    AUTO_FREE char *text = with_directory(BASE "uuid-key-file: $/secret\n");
    struct outcome error;

    write_file("secret", UUID_KEY "\n" UUID_KEY "\n", 130, 0640);
    struct config *config = load_text(text, &error);
    ck_assert_msg(config != NULL, "%s", error.text);
    ck_assert_uint_eq(config->uuid_keys.count, 2);
    ck_assert_uint_eq(config->uuid_keys.keys[1][1], 0x23);
    ck_assert(config_is_current(config));
    write_file("secret", UUID_KEY "\n", 65, 0640);
    ck_assert(!config_is_current(config));
    config_free(config);
}
END_TEST

START_TEST(a_change_of_the_file_or_of_a_secret_is_noticed)
{
    AUTO_FREE char *text = with_directory(BASE "api-key-file: $/secret\n");
    struct outcome error;

    write_file("secret", "one\n", 4, 0640);
    struct config *config = load_text(text, &error);
    ck_assert_ptr_nonnull(config);
    ck_assert(config_is_current(config));
    write_file("secret", "two\n", 4, 0640);
    ck_assert(!config_is_current(config));
    config_free(config);

    config = load_text(text, &error);
    ck_assert_ptr_nonnull(config);
    ck_assert(config_is_current(config));
    ck_assert_int_eq(chmod("config.yaml", 0600), 0);
    ck_assert(!config_is_current(config));
    config_free(config);
}
END_TEST

START_TEST(a_configuration_with_a_secret_must_not_be_open_to_others)
{
    static const char text[] = BASE "api-key: hunter2\n";
    struct outcome error;

    write_file("config.yaml", text, strlen(text), 0644);
    ck_assert_ptr_null(config_load("config.yaml", &error));
    ck_assert_str_eq(
        error.text,
        "config.yaml:4: a secret in a file that is open to others (mode 0644); chmod o= config.yaml, or "
        "move the secret into a file of its own (api-key-file, password-file)");
    write_file("config.yaml", BASE, strlen(BASE), 0644);
    struct config *config = config_load("config.yaml", &error);
    ck_assert_msg(config != NULL, "%s", error.text);
    config_free(config);
}
END_TEST

START_TEST(what_is_no_file_is_an_error)
{
    struct outcome error;

    ck_assert_ptr_null(config_load("gone.yaml", &error));
    ck_assert_str_eq(error.text, "gone.yaml: the configuration file does not exist; sendpostctl setup writes "
                                 "one, or name it with -c FILE");
    ck_assert_ptr_null(config_load(directory, &error));
    ck_assert_ptr_nonnull(strstr(error.text, ": is a directory; name the file in it with -c FILE"));
    ck_assert_ptr_null(config_load("/dev/null", &error));
    ck_assert_str_eq(error.text, "/dev/null: is not a regular file");
    write_file("config.yaml", BASE, strlen(BASE), 0640);
    ck_assert_int_eq(truncate("config.yaml", (1 << 20) + 1), 0);
    ck_assert_ptr_null(config_load("config.yaml", &error));
    ck_assert_str_eq(error.text, "config.yaml: is larger than 1 MB: this is no configuration file");
}
END_TEST

START_TEST(a_file_that_may_not_be_read_is_named_with_the_user)
{
    struct outcome error;

    write_file("config.yaml", BASE, strlen(BASE), 0000);
    if (geteuid() == 0 && seteuid(65534) != 0)
        return;
    if (chdir(directory) == 0 || geteuid() != 0) {
        ck_assert_ptr_null(config_load("config.yaml", &error));
        ck_assert_ptr_nonnull(strstr(error.text, "cannot be read by uid "));
    }
    if (getuid() == 0)
        ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(the_defaults_are_those_of_the_manual)
{
    struct outcome error;
    struct config *config = load_text(BASE, &error);

    ck_assert_msg(config != NULL, "%s", error.text);
    ck_assert_str_eq(config->path, "config.yaml");
    ck_assert_int_eq(config->account_id, 1);
    ck_assert_int_eq(config->subaccount_id, 2);
    ck_assert_str_eq(config->state_dir, "/var/lib/postfix-sendpost");
    ck_assert_str_eq(config->endpoint, "https://events.sendpost.io/api/v1/tpsp/custom-smtp/events");
    ck_assert_ptr_null(config->api_key);
    ck_assert_int_eq(config->report.accepted_as, ACCEPTED_AS_DELIVERED);
    ck_assert_int_eq(config->report.dropped_as, DROPPED_AS_AUTO);
    ck_assert_int_eq(config->report.deferred, DEFERRED_AUTO);
    ck_assert_int_eq(config->report.deferred_interval_ms, 0);
    ck_assert_int_eq(config->report.timeout_ms, 10000);
    ck_assert(config->report.tls.verify);
    ck_assert_str_eq(config->report.tls.ca_path, "/etc/ssl/certs");
    ck_assert_ptr_null(config->report.tls.ca_file);
    ck_assert_str_eq(config->mta, "postfix");
    ck_assert_str_eq(config->log_path, "/var/log/mail.log");
    ck_assert_str_eq(config->listen, "127.0.0.1:9113");
    ck_assert_uint_eq(config->batch_size, 100);
    ck_assert_int_eq(config->flush_interval_ms, 5000);
    ck_assert_int_eq(config->return_path.verify, VERIFY_OFF);
    ck_assert(config->return_path.rewrite);
    ck_assert_str_eq(config->return_path.bounce_prefix, "sp-bounce");
    ck_assert_str_eq(config->return_path.cname_target, "sp.sendpost.info");
    ck_assert_int_eq(config->validation.max_message_size, 50 << 20);
    ck_assert(config->validation.require_from);
    ck_assert(config->suppression.enabled);
    ck_assert(!config->suppression.on_hard_bounce);
    ck_assert(!config->suppression.sub_address);
    ck_assert_uint_eq(config->retry.schedule_count, 5);
    for (size_t i = 0; i < 5; i++)
        ck_assert_int_eq(config->retry.schedule_ms[i], (int64_t)(i + 1) * 3600000);
    ck_assert_int_eq(config->delivery_timeout_ms, 600000);
    ck_assert_int_eq(config->rate_limit_wait_ms, 2000);
    ck_assert_uint_eq(config->rate_burst, 10);
    ck_assert_int_eq(config->provider_lookup, PROVIDER_LOOKUP_DOMAIN);
    ck_assert_uint_eq(config->dns.servers.count, 0);
    ck_assert_int_eq(config->dns.timeout_ms, 5000);
    ck_assert_int_eq(config->events_retention_ms, 7 * 86400000LL);
    ck_assert_uint_eq(config->uuid_keys.count, 0);
    ck_assert_uint_eq(config->trusted_senders.count, 0);
    config_free(config);
}
END_TEST

START_TEST(the_defaults_of_a_tpsp_are_those_of_the_manual)
{
    struct outcome error;
    struct config *config = load_text(
        IDS "tpsps: [{name: a, host: '[2001:db8::1]'}, {name: b, host: h, security: tls}]\n", &error);

    ck_assert_msg(config != NULL, "%s", error.text);
    const struct config_tpsp *tpsp = &config->tpsps[0];
    ck_assert_int_eq(tpsp->id, 0);
    ck_assert_str_eq(tpsp->host, "2001:db8::1");
    ck_assert_uint_eq(tpsp->port, 587);
    ck_assert_uint_eq(config->tpsps[1].port, 465);
    ck_assert_int_eq(tpsp->security, SECURITY_STARTTLS);
    ck_assert_int_eq(tpsp->auth, AUTH_AUTO);
    ck_assert(!tpsp->auth_without_tls);
    ck_assert_ptr_null(tpsp->username);
    ck_assert_int_eq(tpsp->engine, ENGINE_AUTO);
    ck_assert(tpsp->tls.verify);
    ck_assert_str_eq(tpsp->tls.ca_path, "/etc/ssl/certs");
    ck_assert_int_eq(tpsp->connect_timeout_ms, 30000);
    ck_assert_int_eq(tpsp->command_timeout_ms, 300000);
    ck_assert_uint_eq(tpsp->global_rate.limit, 100);
    ck_assert_int_eq(tpsp->global_rate.window_ms, 3600000);
    ck_assert_uint_eq(tpsp->rate_count, 0);
    for (size_t i = 0; i < PROVIDER_COUNT; i++) {
        ck_assert_uint_eq(tpsp->provider_rates[i].limit, 0);
        ck_assert_int_eq(tpsp->provider_rates[i].window_ms, 3600000);
    }
    ck_assert_uint_eq(config->pool_count, 1);
    ck_assert_str_eq(config->pools[0].name, "default");
    ck_assert_int_eq(config->pools[0].strategy, STRATEGY_FAILOVER);
    ck_assert_uint_eq(config->pools[0].member_count, 2);
    ck_assert_uint_eq(config->pools[0].members[1].tpsp, 1);
    ck_assert_uint_eq(config->pools[0].members[1].weight, 1);
    ck_assert_int_eq(config->pools[0].overflow, -1);
    config_free(config);
}
END_TEST

START_TEST(every_key_is_read)
{
    struct outcome error;
    AUTO_FREE char *text = with_directory(
        "%YAML 1.1\n---\n"
        "account-id: '117'\nsubaccount-id: \"4321\"\nstate-dir: $\nendpoint: http://[::1]:8080/x\napi-key: "
        "key\n"
        "report: {accepted-as: sent, dropped-as: bounced, deferred: No, deferred-interval: 1h, timeout: 3s, "
        "tls-ca-file: "
        "$/config.yaml}\n"
        "mta: postfix\nlog-path: journal\nlisten: none\nbatch-size: 7\nflush-interval: 1m\n"
        "tpsps:\n"
        "  - {name: one, id: 12, host: smtp.example.net, port: 2525, security: tls, auth: login, username: "
        "u,\n"
        "     password: 0123, engine: libcurl, tls-verify: off, tls-ca-path: &ca $, connect-timeout: 1s,\n"
        "     command-timeout: 2m, max-rate-per-hour: 0, rates: [10/m, 2000/d, 5/s, 70],\n"
        "     provider-rates: {gmail: 1000, yahoo: 60/m, default: 10000}, api-key: other}\n"
        "  - {name: two, host: 192.0.2.7, security: none, auth-without-tls: yes, auth: xoauth2, username: "
        "u,\n"
        "     oauth-token: token, tls-ca-path: *ca}\n"
        "pools:\n"
        "  - {name: bulk, strategy: weighted, members: [{tpsp: two, weight: 3}, one], overflow: default}\n"
        "  - {name: default, strategy: round-robin, members: [one]}\n"
        "  - {name: far, strategy: by-sender-domain, members: [one, two], routes: {B.Example.: two, default: "
        "one}}\n"
        "  - {name: near, strategy: by-provider, members: [one, two], routes: {default: two, gmail: one}}\n"
        "return-path: {verify: static, domains: [example.com, b.example], rewrite: false, bounce-prefix: b,\n"
        "  cname-target: c.example}\n"
        "validation: {max-message-size: 10K, require-from: false}\n"
        "suppression: {enabled: false, on-hard-bounce: true, sub-address: on}\n"
        "retry: {schedule: [5s, 2d]}\ndelivery-timeout: 15m\nrate-limit-wait: 0s\nrate-burst: 3\n"
        "provider-lookup: mx\ndns: {servers: [192.0.2.1, '[2001:db8::1]:5353', '2001:db8::2'], timeout: 2s}\n"
        "events-retention: 1h\ntrusted-senders: [192.0.2.0/24, '2001:db8::1']\n");
    struct config *config = load_text(text, &error);

    ck_assert_msg(config != NULL, "%s", error.text);
    ck_assert_int_eq(config->account_id, 117);
    ck_assert_int_eq(config->subaccount_id, 4321);
    ck_assert_str_eq(config->state_dir, directory);
    ck_assert_str_eq(config->endpoint, "http://[::1]:8080/x");
    ck_assert_str_eq(config->api_key, "key");
    ck_assert_int_eq(config->report.accepted_as, ACCEPTED_AS_SENT);
    ck_assert_int_eq(config->report.dropped_as, DROPPED_AS_BOUNCED);
    ck_assert_int_eq(config->report.deferred, DEFERRED_FALSE);
    ck_assert_int_eq(config->report.deferred_interval_ms, 3600000);
    ck_assert_int_eq(config->report.timeout_ms, 3000);
    ck_assert_ptr_null(config->report.tls.ca_path);
    ck_assert_ptr_nonnull(config->report.tls.ca_file);
    ck_assert_str_eq(config->log_path, "journal");
    ck_assert_ptr_null(config->listen);
    ck_assert_uint_eq(config->batch_size, 7);
    ck_assert_int_eq(config->flush_interval_ms, 60000);

    const struct config_tpsp *one = config_tpsp_by_name(config, "one"),
                             *two = config_tpsp_by_name(config, "two");
    ck_assert_ptr_null(config_tpsp_by_name(config, "three"));
    ck_assert_int_eq(one->id, 12);
    ck_assert_str_eq(one->host, "smtp.example.net");
    ck_assert_uint_eq(one->port, 2525);
    ck_assert_int_eq(one->security, SECURITY_TLS);
    ck_assert_int_eq(one->auth, AUTH_LOGIN);
    ck_assert_str_eq(one->username, "u");
    ck_assert_str_eq(one->password, "0123");
    ck_assert_int_eq(one->engine, ENGINE_LIBCURL);
    ck_assert(!one->tls.verify);
    ck_assert_str_eq(one->tls.ca_path, directory);
    ck_assert_int_eq(one->connect_timeout_ms, 1000);
    ck_assert_int_eq(one->command_timeout_ms, 120000);
    ck_assert_uint_eq(one->global_rate.limit, 0);
    static const struct config_rate rates[] = {{10, 60000}, {2000, 86400000}, {5, 1000}, {70, 3600000}};
    ck_assert_uint_eq(one->rate_count, 4);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_uint_eq(one->rates[i].limit, rates[i].limit);
        ck_assert_int_eq(one->rates[i].window_ms, rates[i].window_ms);
    }
    ck_assert_uint_eq(one->provider_rates[PROVIDER_GMAIL].limit, 1000);
    ck_assert_uint_eq(one->provider_rates[PROVIDER_YAHOO].limit, 60);
    ck_assert_int_eq(one->provider_rates[PROVIDER_YAHOO].window_ms, 60000);
    ck_assert_uint_eq(one->provider_rates[PROVIDER_AOL].limit, 10000);
    ck_assert_uint_eq(one->provider_rates[PROVIDER_DEFAULT].limit, 10000);
    ck_assert_str_eq(one->api_key, "other");
    ck_assert_int_eq(two->auth, AUTH_XOAUTH2);
    ck_assert_str_eq(two->oauth_token, "token");
    ck_assert(two->auth_without_tls);
    ck_assert_str_eq(two->tls.ca_path, directory);
    ck_assert_ptr_null(two->api_key);

    const struct config_pool *bulk = config_pool_for(config, "bulk", "user@example.org");
    ck_assert_int_eq(bulk->strategy, STRATEGY_WEIGHTED);
    ck_assert_uint_eq(bulk->member_count, 2);
    ck_assert_uint_eq(bulk->members[0].tpsp, 1);
    ck_assert_uint_eq(bulk->members[0].weight, 3);
    ck_assert_uint_eq(bulk->members[1].tpsp, 0);
    ck_assert_uint_eq(bulk->members[1].weight, 1);
    ck_assert_int_eq(bulk->overflow, 1);
    ck_assert_uint_eq(bulk->route_count, 0);
    const struct config_pool *far = config_pool_for(config, "far", "user@example.org");
    ck_assert_int_eq(far->strategy, STRATEGY_BY_SENDER_DOMAIN);
    ck_assert_uint_eq(far->route_count, 2);
    ck_assert_str_eq(far->routes[0].key, "b.example");
    ck_assert_uint_eq(far->routes[0].member, 1);
    ck_assert_str_eq(far->routes[1].key, "default");
    ck_assert_uint_eq(far->routes[1].member, 0);
    const struct config_pool *near = config_pool_for(config, "near", "user@example.org");
    ck_assert_int_eq(near->strategy, STRATEGY_BY_PROVIDER);
    ck_assert_uint_eq(near->route_count, 2);
    ck_assert_str_eq(near->routes[0].key, "gmail");
    ck_assert_uint_eq(near->routes[0].member, 0);
    ck_assert_uint_eq(near->routes[1].member, 1);

    ck_assert_int_eq(config->return_path.verify, VERIFY_STATIC);
    ck_assert_uint_eq(config->return_path.domains.count, 2);
    ck_assert_str_eq(config->return_path.domains.items[1], "b.example");
    ck_assert(!config->return_path.rewrite);
    ck_assert_str_eq(config->return_path.bounce_prefix, "b");
    ck_assert_str_eq(config->return_path.cname_target, "c.example");
    ck_assert_int_eq(config->validation.max_message_size, 10240);
    ck_assert(!config->validation.require_from);
    ck_assert(!config->suppression.enabled && config->suppression.on_hard_bounce &&
              config->suppression.sub_address);
    ck_assert_uint_eq(config->retry.schedule_count, 2);
    ck_assert_int_eq(config->retry.schedule_ms[1], 2 * 86400000);
    ck_assert_int_eq(config->delivery_timeout_ms, 900000);
    ck_assert_int_eq(config->rate_limit_wait_ms, 0);
    ck_assert_uint_eq(config->rate_burst, 3);
    ck_assert_int_eq(config->provider_lookup, PROVIDER_LOOKUP_MX);
    ck_assert_uint_eq(config->dns.servers.count, 3);
    ck_assert_str_eq(config->dns.servers.items[1], "[2001:db8::1]:5353");
    ck_assert_int_eq(config->dns.timeout_ms, 2000);
    ck_assert_int_eq(config->events_retention_ms, 3600000);
    ck_assert_uint_eq(config->trusted_senders.count, 2);
    ck_assert(networks_hold(&config->trusted_senders, "192.0.2.9", 9));
    config_free(config);
}
END_TEST

START_TEST(a_nexthop_names_a_pool_or_means_the_default)
{
    struct outcome error;
    struct config *config =
        load_text(TWO "pools: [{name: default, members: [one]}, {name: bulk, members: [two]}]\n", &error);

    ck_assert_msg(config != NULL, "%s", error.text);
    ck_assert_str_eq(config_pool_for(config, "bulk", "a@example.com")->name, "bulk");
    ck_assert_str_eq(config_pool_for(config, NULL, "a@example.com")->name, "default");
    ck_assert_str_eq(config_pool_for(config, "", "a@example.com")->name, "default");
    ck_assert_str_eq(config_pool_for(config, "Example.COM", "a@example.com")->name, "default");
    ck_assert_str_eq(config_pool_for(config, "bulk", "a@bulk")->name, "bulk");
    ck_assert_ptr_null(config_pool_for(config, "bukl", "a@example.com"));
    config_free(config);
}
END_TEST

START_TEST(a_short_delivery_timeout_shortens_what_was_not_said)
{
    struct outcome error;
    struct config *config = load_text(BASE "delivery-timeout: 2s\n", &error);

    ck_assert_msg(config != NULL, "%s", error.text);
    ck_assert_int_eq(config->report.timeout_ms, 1000);
    ck_assert_int_eq(config->rate_limit_wait_ms, 1000);
    config_free(config);
}
END_TEST

START_TEST(aliases_do_not_expand)
{
    char *text = NULL;
    size_t size = 0;
    struct outcome error;
    FILE *stream = open_memstream(&text, &size);

    /* nine levels of ten references each: a thousand million entries, were they copied */
    fputs(BASE "mta: [&a0 x, ", stream);
    for (int level = 1; level < 10; level++) {
        fprintf(stream, "&a%d [", level);
        for (int i = 0; i < 10; i++)
            fprintf(stream, "*a%d,", level - 1);
        fputs("],", stream);
    }
    fputs("]\n", stream);
    fclose(stream);
    ck_assert_ptr_null(load_text(text, &error));
    ck_assert_str_eq(error.text, "config.yaml:4: mta: is a list where one value is wanted");
    free(text);
}
END_TEST

START_TEST(a_list_has_an_end)
{
    char *text = NULL;
    size_t size = 0;
    struct outcome error;
    FILE *stream = open_memstream(&text, &size);

    fputs(BASE "return-path: {domains: [", stream);
    for (int i = 0; i < 1001; i++)
        fputs("a.example,", stream);
    fputs("]}\n", stream);
    fclose(stream);
    ck_assert_ptr_null(load_text(text, &error));
    ck_assert_str_eq(error.text, "config.yaml:4: return-path.domains: has more than 1000 entries");
    free(text);
}
END_TEST

UNIT_SUITE(config_suite)
{
    Suite *suite = suite_create("config");
    TCase *tcase = tcase_create("config");

    tcase_add_checked_fixture(tcase, enter_directory, leave_directory);
    tcase_add_loop_test(tcase, every_mistake_is_named_with_file_line_key_and_remedy, 0,
                        sizeof cases / sizeof cases[0]);
    tcase_add_loop_test(tcase, no_message_shows_a_secret, 0, sizeof cases / sizeof cases[0]);
    tcase_add_loop_test(tcase, a_secret_file_that_is_open_or_garbled_is_refused, 0,
                        sizeof secrets / sizeof secrets[0]);
    tcase_add_test(tcase, a_secret_file_gives_its_one_line);
    tcase_add_loop_test(tcase, a_key_file_that_is_open_or_garbled_is_refused, 0,
                        sizeof key_files / sizeof key_files[0]);
    tcase_add_test(tcase, a_key_file_that_is_named_and_missing_is_an_error);
    tcase_add_test(tcase, a_key_file_gives_its_keys_and_its_change_is_noticed);
    tcase_add_test(tcase, a_change_of_the_file_or_of_a_secret_is_noticed);
    tcase_add_test(tcase, a_configuration_with_a_secret_must_not_be_open_to_others);
    tcase_add_test(tcase, what_is_no_file_is_an_error);
    tcase_add_test(tcase, a_file_that_may_not_be_read_is_named_with_the_user);
    tcase_add_test(tcase, the_defaults_are_those_of_the_manual);
    tcase_add_test(tcase, the_defaults_of_a_tpsp_are_those_of_the_manual);
    tcase_add_test(tcase, every_key_is_read);
    tcase_add_test(tcase, a_nexthop_names_a_pool_or_means_the_default);
    tcase_add_test(tcase, a_short_delivery_timeout_shortens_what_was_not_said);
    tcase_add_test(tcase, aliases_do_not_expand);
    tcase_add_test(tcase, a_list_has_an_end);
    suite_add_tcase(suite, tcase);
    return suite;
}
