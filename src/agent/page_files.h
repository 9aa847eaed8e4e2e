/*
 * page_files: the status page's parts as they stand in src/agent/page, compiled in.
 */
#ifndef SENDPOST_AGENT_PAGE_FILES_H
#define SENDPOST_AGENT_PAGE_FILES_H

extern const char page_file_page[]; /* page.html, with {{NAME}} where page_html.c fills in */
extern const char page_file_script[];
extern const char page_file_style[];
extern const char page_file_icon[];

#endif
