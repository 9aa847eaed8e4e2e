#include "net/curl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

static struct curl_library library;
static bool loaded;
static char load_error[160];

static void *symbol(void *handle, const char *name, bool *found)
{
    void *address = dlsym(handle, name);

    *found = *found && address != NULL;
    return address;
}

static void load(void)
{
    /* it brings two dozen libraries for protocols that nobody here speaks, and many of them are content to
     * have their symbols found when they are called */
    void *handle = dlopen("libcurl.so.4", RTLD_LAZY | RTLD_LOCAL);
    bool found = handle != NULL;

    if (found) {
        library.global_init = symbol(handle, "curl_global_init", &found);
        library.easy_init = symbol(handle, "curl_easy_init", &found);
        library.easy_setopt = symbol(handle, "curl_easy_setopt", &found);
        library.easy_perform = symbol(handle, "curl_easy_perform", &found);
        library.easy_getinfo = symbol(handle, "curl_easy_getinfo", &found);
        library.easy_cleanup = symbol(handle, "curl_easy_cleanup", &found);
        library.easy_strerror = symbol(handle, "curl_easy_strerror", &found);
        library.slist_append = symbol(handle, "curl_slist_append", &found);
        library.slist_free_all = symbol(handle, "curl_slist_free_all", &found);
    }
    const char *why = found ? NULL : dlerror();
    loaded = found && library.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    if (!loaded)
        snprintf(load_error, sizeof load_error, "cannot load libcurl, install it: %.120s",
                 why != NULL ? why : "it does not start");
}

bool curl_library_append(const struct curl_library *lib, struct curl_slist **list, const char *text)
{
    struct curl_slist *longer = lib->slist_append(*list, text);

    *list = longer != NULL ? longer : *list;
    return longer != NULL;
}

const struct curl_library *curl_library(const char **why_r)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, load);
    *why_r = load_error;
    return loaded ? &library : NULL;
}
