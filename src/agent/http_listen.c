#include "agent/http_listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/http_guard.h"
#include "base/xalloc.h"

#define BACKLOG 32
#define SOCKET_FLAGS (SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
#define UNIX_MODE 0660

/* "127.0.0.1:9113", "[::1]:9113" */
static struct addrinfo *address_of(const char *listen_on, const char **why_r)
{
    const char *colon = strrchr(listen_on, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    struct addrinfo *address = NULL;

    *why_r = "it is not ADDRESS:PORT";
    if (colon == NULL)
        return NULL;
    size_t length = (size_t)(colon - listen_on);
    bool bracketed = length >= 2 && listen_on[0] == '[' && colon[-1] == ']';
    AUTO_FREE char *host = bracketed ? xstrndup(listen_on + 1, length - 2) : xstrndup(listen_on, length);
    int result =
        getaddrinfo(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, colon + 1, &hints, &address);
    if (result != 0)
        *why_r = gai_strerror(result);
    return address;
}

static int listen_on_network(const char *listen_on, const char **why_r)
{
    struct addrinfo *address = address_of(listen_on, why_r);
    int one = 1, descriptor = -1;

    if (address == NULL)
        return -1;
    descriptor = socket(address->ai_family, SOCKET_FLAGS, 0);
    if (descriptor < 0 || setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(descriptor, address->ai_addr, address->ai_addrlen) != 0 || listen(descriptor, BACKLOG) != 0) {
        *why_r = strerror(errno);
        if (descriptor >= 0)
            close(descriptor);
        descriptor = -1;
    }
    freeaddrinfo(address);
    return descriptor;
}

/* A socket at which nobody listens any more. */
static bool is_left_over(const struct sockaddr_un *address)
{
    struct stat status;
    AUTO_CLOSE int probe = socket(AF_UNIX, SOCKET_FLAGS, 0);

    return probe >= 0 && lstat(address->sun_path, &status) == 0 && S_ISSOCK(status.st_mode) &&
           connect(probe, (const struct sockaddr *)address, sizeof *address) != 0 && errno == ECONNREFUSED;
}

static int listen_on_unix(const char *path, const char **why_r)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    *why_r = "the path is too long";
    if (snprintf(address.sun_path, sizeof address.sun_path, "%s", path) >= (int)sizeof address.sun_path)
        return -1;
    int descriptor = socket(AF_UNIX, SOCKET_FLAGS, 0);
    if (descriptor >= 0 && is_left_over(&address))
        unlink(path);
    /* until its mode is set nobody can connect, for nobody listens */
    if (descriptor >= 0 && bind(descriptor, (const struct sockaddr *)&address, sizeof address) == 0 &&
        chmod(path, UNIX_MODE) == 0 && listen(descriptor, BACKLOG) == 0)
        return descriptor;
    *why_r = strerror(errno);
    if (descriptor >= 0)
        close(descriptor);
    return -1;
}

int http_listen_at(const char *listen_on, struct outcome *error_r)
{
    const char *path = http_guard_unix_path(listen_on), *why;
    int descriptor = path != NULL ? listen_on_unix(path, &why) : listen_on_network(listen_on, &why);

    if (descriptor < 0)
        outcome_local(
            error_r, "4.3.5",
            "cannot listen on %s: %s; correct listen, or set it to 'none'; sendpostctl check says who has it",
            listen_on, why);
    return descriptor;
}

void http_listen_end(const char *listen_on)
{
    const char *path = http_guard_unix_path(listen_on);

    if (path != NULL)
        unlink(path);
}
