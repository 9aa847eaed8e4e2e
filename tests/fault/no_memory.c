/*
 * no_memory: for LD_PRELOAD: the allocation FAULT_ALLOCATION of a process, counted from its start, fails;
 * with FAULT_SIZE, of those of exactly so many bytes; with FAULT_CALLER, of those that a library with this in
 * its name asks for. How many there were is counted in the file FAULT_LOG (8 bytes), which stays right when
 * the process ends by _exit(). What it starts is left alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *pointer, size_t size);

static _Atomic uint64_t *counter;
static uint64_t fails_at, of_size; /* 0: of any */
static const char *of_caller;      /* NULL: of any */

__attribute__((constructor)) static void begin(void)
{
    const char *number = getenv("FAULT_ALLOCATION"), *path = getenv("FAULT_LOG"),
               *size = getenv("FAULT_SIZE");
    int file = path != NULL ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;

    unsetenv("LD_PRELOAD");
    if (file < 0 || number == NULL || ftruncate(file, sizeof *counter) != 0)
        return;
    void *map = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    fails_at = strtoull(number, NULL, 10);
    of_size = size != NULL ? strtoull(size, NULL, 10) : 0;
    of_caller = getenv("FAULT_CALLER");
    if (map != MAP_FAILED)
        counter = map;
}

static int is_called_by(const void *address)
{
    Dl_info library;

    return of_caller == NULL ||
           (dladdr(address, &library) != 0 && strstr(library.dli_fname, of_caller) != NULL);
}

static int fails(size_t size, const void *caller)
{
    if (counter == NULL || (of_size != 0 && size != of_size) || !is_called_by(caller) ||
        ++*counter != fails_at)
        return 0;
    errno = ENOMEM;
    return 1;
}

#define CALLER __builtin_return_address(0)

void *malloc(size_t size)
{
    return fails(size, CALLER) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails(count * size, CALLER) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *pointer, size_t size)
{
    return fails(size, CALLER) ? NULL : __libc_realloc(pointer, size);
}

char *strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = fails(size, CALLER) ? NULL : __libc_malloc(size);

    return copy != NULL ? memcpy(copy, text, size) : NULL;
}
