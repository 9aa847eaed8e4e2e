/*
 * curl: libcurl, loaded when it is first needed. Linked, it and its thirty libraries would take 4 ms at the
 * start of every process, which is more than everything else that a cold delivery does on the CPU, also of
 * one that relays nothing or reports nothing. One that will need it begins to load it while it waits for
 * others (http_client_prepare()). It is loaded by its soname: packages name it as a dependency by hand, and a
 * library that is missing or broken is an error in words, not a loader that ends with status 127.
 */
#ifndef SENDPOST_NET_CURL_H
#define SENDPOST_NET_CURL_H

#include <curl/curl.h>
#include <stdbool.h>

/* What is used of it. */
struct curl_library {
    __typeof__(&curl_global_init) global_init;
    __typeof__(&curl_easy_init) easy_init;
    __typeof__(&curl_easy_setopt) easy_setopt;
    __typeof__(&curl_easy_perform) easy_perform;
    __typeof__(&curl_easy_getinfo) easy_getinfo;
    __typeof__(&curl_easy_cleanup) easy_cleanup;
    __typeof__(&curl_easy_strerror) easy_strerror;
    __typeof__(&curl_slist_append) slist_append;
    __typeof__(&curl_slist_free_all) slist_free_all;
};

/* Append a copy of text to a list, empty as NULL. False: no memory, and the list is as it was. */
bool curl_library_append(const struct curl_library *library, struct curl_slist **list, const char *text)
    __attribute__((nonnull));

/* NULL: it cannot be had, *why_r says why and what to do. From any thread; loaded once. */
const struct curl_library *curl_library(const char **why_r) __attribute__((nonnull));

#endif
