#include "cluster/hiredis_library.h"

#include <dlfcn.h>
#include <pthread.h>

#define TEXT_OF(value) #value
#define TEXT(value) TEXT_OF(value)
#define FILE_NAME "libhiredis.so." TEXT(HIREDIS_SONAME)

static struct {
    pthread_once_t once;
    struct hiredis_library functions;
    const char *why;
} library = {.once = PTHREAD_ONCE_INIT};

static void load(void)
{
    static const struct {
        const char *name;
        size_t offset;
    } symbols[] = {
        {"redisFormatCommandArgv", offsetof(struct hiredis_library, format_command)},
        {"redisFreeCommand", offsetof(struct hiredis_library, free_command)},
        {"redisReaderCreate", offsetof(struct hiredis_library, reader_create)},
        {"redisReaderFree", offsetof(struct hiredis_library, reader_free)},
        {"redisReaderFeed", offsetof(struct hiredis_library, reader_feed)},
        {"redisReaderGetReply", offsetof(struct hiredis_library, reader_get_reply)},
        {"freeReplyObject", offsetof(struct hiredis_library, free_reply)},
    };
    void *handle = dlopen(FILE_NAME, RTLD_NOW | RTLD_LOCAL);

    library.why = FILE_NAME " cannot be loaded; cluster needs it: apt install libhiredis0.14 (Debian 12), "
                            "libhiredis1.1.0 (Debian 13), or dnf install hiredis";
    if (handle == NULL)
        return;
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        void *symbol = dlsym(handle, symbols[i].name);
        if (symbol == NULL)
            return;
        *(void **)(void *)((char *)&library.functions + symbols[i].offset) = symbol;
    }
    library.why = NULL;
}

const struct hiredis_library *hiredis_library_load(const char **why_r)
{
    pthread_once(&library.once, load);
    *why_r = library.why;
    return library.why == NULL ? &library.functions : NULL;
}
