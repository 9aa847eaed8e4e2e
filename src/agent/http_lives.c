#include "agent/http_lives.h"

#include <pthread.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/xalloc.h"

struct http_lives {
    pthread_mutex_t lock;
    struct life {
        int descriptor; /* -1: free */
        int64_t until_ms;
    } lives[HTTP_CONNECTIONS];
};

struct http_lives *http_lives_new(void)
{
    struct http_lives *lives = xcalloc(1, sizeof *lives);

    pthread_mutex_init(&lives->lock, NULL);
    for (size_t i = 0; i < HTTP_CONNECTIONS; i++)
        lives->lives[i].descriptor = -1;
    return lives;
}

/* The place of one descriptor is for another from now on. */
static void change(struct http_lives *lives, int from, int to, int64_t life_ms)
{
    pthread_mutex_lock(&lives->lock);
    for (size_t i = 0; i < HTTP_CONNECTIONS; i++)
        if (lives->lives[i].descriptor == from) {
            lives->lives[i] = (struct life){to, clock_monotonic_ms() + life_ms};
            break;
        }
    pthread_mutex_unlock(&lives->lock);
}

void http_lives_begin(struct http_lives *lives, int descriptor)
{
    change(lives, -1, descriptor, HTTP_LIFE_MS);
}

void http_lives_end(struct http_lives *lives, int descriptor)
{
    change(lives, descriptor, -1, 0);
}

void http_lives_grant(struct http_lives *lives, int descriptor, int64_t life_ms)
{
    change(lives, descriptor, descriptor, life_ms);
}

void http_lives_tick(struct http_lives *lives)
{
    int64_t now_ms = clock_monotonic_ms();

    pthread_mutex_lock(&lives->lock);
    for (size_t i = 0; i < HTTP_CONNECTIONS; i++)
        if (lives->lives[i].descriptor >= 0 && now_ms > lives->lives[i].until_ms)
            shutdown(lives->lives[i].descriptor, SHUT_RDWR);
    pthread_mutex_unlock(&lives->lock);
}
