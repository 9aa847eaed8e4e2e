/*
 * no_memory: for LD_PRELOAD: the allocation FAULT_ALLOCATION of a process, counted from its start, fails;
 * with FAULT_SIZE, of those of exactly so many bytes. How many there were is counted in the file FAULT_LOG (8
 * bytes), which stays right when the process ends by _exit(). What it starts is left alone.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *pointer, size_t size);

static _Atomic uint64_t *counter;
static uint64_t fails_at, of_size; /* 0: of any */

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
    if (map != MAP_FAILED)
        counter = map;
}

static int fails(size_t size)
{
    if (counter == NULL || (of_size != 0 && size != of_size) || ++*counter != fails_at)
        return 0;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    return fails(size) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails(count * size) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *pointer, size_t size)
{
    return fails(size) ? NULL : __libc_realloc(pointer, size);
}
