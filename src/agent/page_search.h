/*
 * page_search: the story of a message (trace/trace.h) as a part of the status page, for who may see
 * addresses.
 */
#ifndef SENDPOST_AGENT_PAGE_SEARCH_H
#define SENDPOST_AGENT_PAGE_SEARCH_H

#include "config/config.h"

#define PAGE_SEARCH_MAX 512 /* bytes that can be asked for */

/* A section in HTML; takes PAGE_SEARCH_MS at most, or little more. The caller frees. */
#define PAGE_SEARCH_MS 2000
char *page_search(const struct config *config, const char *what) __attribute__((nonnull, returns_nonnull));

#endif
