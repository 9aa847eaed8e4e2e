#include "base/map_guard.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>

static struct {
    _Atomic uintptr_t base; /* 0: free */
    _Atomic size_t length;
} guarded[MAP_GUARD_MAX];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* among writers; the handler reads without */
static struct sigaction previous;
static bool installed;

static void pass_on(int number, siginfo_t *info, void *context)
{
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(number, info, context);
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(number);
    } else {
        /* the faulting instruction runs again, and this time the process dies of it */
        struct sigaction plain = {.sa_handler = SIG_DFL};
        sigaction(SIGBUS, &plain, NULL);
    }
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
    uintptr_t at = (uintptr_t)info->si_addr;

    for (size_t i = 0; i < MAP_GUARD_MAX; i++) {
        uintptr_t base = atomic_load(&guarded[i].base);
        size_t length = atomic_load(&guarded[i].length);
        if (base == 0 || at < base || at - base >= length)
            continue;
        /* mmap() is no more than its system call, hence safe here */
        if (mmap((void *)base, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                 0) != MAP_FAILED)
            return;
    }
    pass_on(number, info, context);
}

bool map_guard_add(void *base, size_t length)
{
    bool added = false;

    pthread_mutex_lock(&lock);
    if (!installed) {
        struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_RESTART};
        sigemptyset(&action.sa_mask);
        installed = sigaction(SIGBUS, &action, &previous) == 0;
    }
    for (size_t i = 0; installed && !added && i < MAP_GUARD_MAX; i++)
        if (atomic_load(&guarded[i].base) == 0) {
            atomic_store(&guarded[i].length, length);
            atomic_store(&guarded[i].base, (uintptr_t)base);
            added = true;
        }
    pthread_mutex_unlock(&lock);
    return added;
}

void map_guard_remove(void *base)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < MAP_GUARD_MAX; i++)
        if (atomic_load(&guarded[i].base) == (uintptr_t)base)
            atomic_store(&guarded[i].base, 0);
    pthread_mutex_unlock(&lock);
}
