#include "net/dns.h"

#include <ares.h>
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "net/dns_address.h"
#include "net/dns_message.h"

/* Rounds over all servers. c-ares doubles the wait at each, so three rounds and up to two servers fit into
 * the timeout: a server that never answers for AAAA must not cost us the A record that is there. */
#define ROUNDS 3
#define ROUND_SHARES (2 * (1 + 2 + 4))

/* c-ares 1.28 (Debian 13 has 1.34) has other words for what it deprecates. */
#define ARES_HAS_RECORDS (ARES_VERSION >= 0x011c00)

struct dns_resolver {
    ares_channel channel;   /* NULL until the first lookup, and again after trouble */
    struct pollfd *sockets; /* what the channel waits for */
    nfds_t socket_count;
    const char *const *servers;
    size_t server_count;
    int timeout_ms;
    char reason[160];
};

/* One lookup in flight: filled by the callback of c-ares. */
struct lookup {
    struct dns_resolver *resolver;
    bool done;
    int status;
    unsigned char *packet; /* of send_query(); a copy */
    size_t packet_length;
    struct ares_addrinfo *addresses; /* of ares_getaddrinfo() */
};

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void library_init(void)
{
    ares_library_init(ARES_LIB_INIT_ALL); /* only Windows can fail here */
}

struct dns_resolver *dns_open(const char *const *servers, size_t server_count, int timeout_ms)
{
    struct dns_resolver *resolver = xcalloc(1, sizeof *resolver);

    resolver->servers = servers;
    resolver->server_count = servers == NULL ? 0 : server_count;
    resolver->timeout_ms = timeout_ms;
    return resolver;
}

static void channel_close(struct dns_resolver *resolver)
{
    if (resolver->channel != NULL)
        ares_destroy(resolver->channel);
    resolver->channel = NULL;
    free(resolver->sockets);
    resolver->sockets = NULL;
    resolver->socket_count = 0;
}

void dns_close(struct dns_resolver *resolver)
{
    if (resolver != NULL)
        channel_close(resolver);
    free(resolver);
}

const char *dns_reason(const struct dns_resolver *resolver)
{
    return resolver->reason;
}

static void __attribute__((format(printf, 2, 3)))
set_reason(struct dns_resolver *resolver, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(resolver->reason, sizeof resolver->reason, format, arguments);
    va_end(arguments);
}

static bool channel_set_servers(struct dns_resolver *resolver)
{
    char *list AUTO_FREE = xstrdup("");
    int status;

    for (size_t i = 0; i < resolver->server_count; i++) {
        char *longer = xasprintf("%s%s%s", list, i > 0 ? "," : "", resolver->servers[i]);
        free(list);
        list = longer;
    }
    status = ares_set_servers_ports_csv(resolver->channel, list);
    if (status != ARES_SUCCESS)
        set_reason(resolver, "dns.servers \"%s\": %s", list, ares_strerror(status));
    return status == ARES_SUCCESS;
}

/* What c-ares wants to know of a socket from now on; nothing: it closes it. */
static void note_socket(void *context, ares_socket_t socket, int readable, int writable)
{
    struct dns_resolver *resolver = context;
    nfds_t i = 0;

    while (i < resolver->socket_count && resolver->sockets[i].fd != socket)
        i++;
    if (!readable && !writable) {
        if (i < resolver->socket_count)
            resolver->sockets[i] = resolver->sockets[--resolver->socket_count];
        return;
    }
    if (i == resolver->socket_count)
        resolver->sockets = xrealloc(resolver->sockets, ++resolver->socket_count * sizeof *resolver->sockets);
    resolver->sockets[i] =
        (struct pollfd){.fd = socket, .events = (short)((readable ? POLLIN : 0) | (writable ? POLLOUT : 0))};
}

static bool channel_open(struct dns_resolver *resolver)
{
    char lookups[] = "fb"; /* hosts file, then DNS */
    int round_ms = resolver->timeout_ms / ROUND_SHARES;
    struct ares_options options = {.flags = ARES_FLAG_NOALIASES,
                                   .timeout = round_ms > 10 ? round_ms : 10,
                                   .tries = ROUNDS,
                                   .lookups = lookups,
                                   .sock_state_cb = note_socket,
                                   .sock_state_cb_data = resolver};
    int wanted =
        ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
    int status;

    if (resolver->channel != NULL)
        return true;
    pthread_once(&library_once, library_init);
#if ARES_HAS_RECORDS
    wanted |= ARES_OPT_QUERY_CACHE; /* none: qcache_max_ttl is 0. What is kept is kept in the store */
#endif
    status = ares_init_options(&resolver->channel, &options, wanted);
    if (status != ARES_SUCCESS) {
        resolver->channel = NULL;
        set_reason(resolver, "c-ares cannot start: %s", ares_strerror(status));
        return false;
    }
    if (resolver->server_count > 0 && !channel_set_servers(resolver)) {
        channel_close(resolver);
        return false;
    }
    return true;
}

/* Let c-ares work on its sockets for at most wait_ms, or as long as it wants to sleep. */
static void channel_work(struct dns_resolver *resolver, int wait_ms)
{
    ares_channel channel = resolver->channel;
    nfds_t count = resolver->socket_count;
    AUTO_FREE struct pollfd *polled = xcalloc(count + 1, sizeof *polled);
    struct timeval limit = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000}, chosen;
    struct timeval *sleep = ares_timeout(channel, &limit, &chosen);

    /* a copy: what is processed opens and closes others */
    if (count > 0)
        memcpy(polled, resolver->sockets, count * sizeof *polled);
    int ready = poll(polled, count, (int)(sleep->tv_sec * 1000 + (sleep->tv_usec + 999) / 1000));
    for (nfds_t i = 0; ready > 0 && i < count; i++)
        if (polled[i].revents != 0)
            ares_process_fd(channel, polled[i].revents & ~POLLOUT ? polled[i].fd : ARES_SOCKET_BAD,
                            polled[i].revents & POLLOUT ? polled[i].fd : ARES_SOCKET_BAD);
    ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD); /* timeouts */
}

/* Run until the lookup is done or its time is over; true when there is an answer, of whatever kind. */
static bool lookup_wait(struct lookup *lookup, int64_t deadline_ms)
{
    struct dns_resolver *resolver = lookup->resolver;
    int64_t start_ms = clock_monotonic_ms(), now_ms = start_ms;

    if (deadline_ms > start_ms + resolver->timeout_ms)
        deadline_ms = start_ms + resolver->timeout_ms;
    while (!lookup->done && now_ms < deadline_ms) {
        channel_work(resolver, (int)(deadline_ms - now_ms));
        now_ms = clock_monotonic_ms();
    }
    if (!lookup->done) {
        ares_cancel(resolver->channel); /* calls back with ARES_ECANCELLED */
        lookup->status = ARES_ETIMEOUT;
    }
    switch (lookup->status) {
    case ARES_SUCCESS:
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
        return true;
    case ARES_ETIMEOUT:
        set_reason(resolver, "timeout after %.1f s", (double)(now_ms - start_ms) / 1000);
        break;
    case ARES_ECONNREFUSED: /* what c-ares says of all three */
        set_reason(resolver, "SERVFAIL, REFUSED or no answer from every DNS server");
        break;
    default:
        set_reason(resolver, "%s", ares_strerror(lookup->status));
    }
    channel_close(resolver); /* so that the next lookup sees a changed resolv.conf */
    return false;
}

/* --- addresses --------------------------------------------------------------------------------- */

static void addresses_callback(void *context, int status, int timeouts, struct ares_addrinfo *result)
{
    struct lookup *lookup = context;

    (void)timeouts;
    lookup->done = true;
    lookup->status = status;
    lookup->addresses = result;
}

static size_t addresses_collect(const struct ares_addrinfo *result, uint16_t port,
                                struct dns_address **addresses_r)
{
    struct dns_address *addresses = NULL;
    size_t count = 0;

    for (const struct ares_addrinfo_node *node = result->nodes; node != NULL; node = node->ai_next) {
        bool known = false;
        addresses = xrealloc(addresses, (count + 1) * sizeof *addresses);
        if (!dns_address_from(&addresses[count], node->ai_addr, (socklen_t)node->ai_addrlen, port))
            continue;
        for (size_t i = 0; i < count && !known; i++) /* a hosts file may name one twice */
            known = strcmp(addresses[i].text, addresses[count].text) == 0;
        if (!known)
            count++;
    }
    if (count == 0) {
        free(addresses);
        addresses = NULL;
    }
    *addresses_r = addresses;
    return count;
}

enum dns_result dns_addresses(struct dns_resolver *resolver, const char *host, uint16_t port,
                              int64_t deadline_ms, struct dns_address **addresses_r, size_t *count_r)
{
    struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct lookup lookup = {.resolver = resolver};
    struct dns_address literal;
    int is_literal = dns_address_literal(host, port, &literal);

    *addresses_r = NULL;
    *count_r = 0;
    resolver->reason[0] = '\0';
    if (is_literal > 0) {
        *addresses_r = xmalloc(sizeof literal);
        **addresses_r = literal;
        *count_r = 1;
        return DNS_OK;
    }
    if (is_literal < 0) {
        set_reason(resolver, "not an IP address");
        return DNS_NOT_FOUND;
    }
    if (!channel_open(resolver))
        return DNS_TROUBLE;
    ares_getaddrinfo(resolver->channel, host, NULL, &hints, addresses_callback, &lookup);
    if (!lookup_wait(&lookup, deadline_ms))
        return DNS_TROUBLE;
    if (lookup.status == ARES_SUCCESS)
        *count_r = addresses_collect(lookup.addresses, port, addresses_r);
    if (lookup.addresses != NULL)
        ares_freeaddrinfo(lookup.addresses);
    if (*count_r > 0)
        return DNS_OK;
    set_reason(resolver, "%s", lookup.status == ARES_ENOTFOUND ? "NXDOMAIN" : "no address record");
    return DNS_NOT_FOUND;
}

void dns_addresses_free(struct dns_address *addresses)
{
    free(addresses);
}

/* --- CNAME and MX ------------------------------------------------------------------------------ */

static void note_answer(struct lookup *lookup, int status, const unsigned char *packet, size_t length)
{
    lookup->done = true;
    lookup->status = status;
    if (packet != NULL && length > 0) {
        lookup->packet = xmalloc(length);
        memcpy(lookup->packet, packet, length);
        lookup->packet_length = length;
    }
}

#if ARES_HAS_RECORDS
static void record_callback(void *context, ares_status_t status, size_t timeouts,
                            const ares_dns_record_t *record)
{
    unsigned char *packet = NULL;
    size_t length = 0;

    (void)timeouts;
    if (record != NULL && ares_dns_write(record, &packet, &length) != ARES_SUCCESS)
        length = 0;
    note_answer(context, (int)status, packet, length);
    ares_free_string(packet);
}

static void send_query(struct lookup *lookup, const char *name, int type)
{
    ares_query_dnsrec(lookup->resolver->channel, name, ARES_CLASS_IN, (ares_dns_rec_type_t)type,
                      record_callback, lookup, NULL);
}
#else
static void record_callback(void *context, int status, int timeouts, unsigned char *packet, int length)
{
    (void)timeouts;
    note_answer(context, status, packet, length > 0 ? (size_t)length : 0);
}

static void send_query(struct lookup *lookup, const char *name, int type)
{
    ares_query(lookup->resolver->channel, name, ns_c_in, type, record_callback, lookup);
}
#endif

/* Ask for the records of one type; the answer is the caller's to free when DNS_OK is returned. */
static enum dns_result query(struct dns_resolver *resolver, const char *name, int type, int64_t deadline_ms,
                             struct dns_answer *answer_r)
{
    struct lookup lookup = {.resolver = resolver};
    enum dns_result result = DNS_TROUBLE;

    *answer_r = (struct dns_answer){0};
    resolver->reason[0] = '\0';
    if (!channel_open(resolver))
        return DNS_TROUBLE;
    send_query(&lookup, name, type);
    if (lookup.status == ARES_EBADNAME) { /* never sent */
        set_reason(resolver, "not a domain name");
        return DNS_NOT_FOUND;
    }
    if (lookup_wait(&lookup, deadline_ms)) {
        result = dns_message_parse(lookup.packet, lookup.packet_length, name, type, answer_r);
        if (result != DNS_OK)
            set_reason(resolver, "%s", answer_r->reason);
    }
    free(lookup.packet);
    return result;
}

enum dns_result dns_cname(struct dns_resolver *resolver, const char *name, int64_t deadline_ms,
                          char **target_r, uint32_t *ttl_r)
{
    struct dns_answer answer;
    enum dns_result result = query(resolver, name, ns_t_cname, deadline_ms, &answer);

    *target_r = result == DNS_OK ? xstrdup(answer.records[0].host) : NULL;
    *ttl_r = answer.ttl;
    dns_mx_free(answer.records, answer.count);
    return result;
}

enum dns_result dns_mx(struct dns_resolver *resolver, const char *domain, int64_t deadline_ms,
                       struct dns_mx **records_r, size_t *count_r, uint32_t *ttl_r)
{
    struct dns_answer answer;
    enum dns_result result = query(resolver, domain, ns_t_mx, deadline_ms, &answer);

    *records_r = answer.records;
    *count_r = answer.count;
    *ttl_r = answer.ttl;
    return result;
}

void dns_mx_free(struct dns_mx *records, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(records[i].host);
    free(records);
}
