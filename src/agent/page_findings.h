/*
 * page_findings: of all that is known, what is wrong now, the gravest first, each with what mends it.
 */
#ifndef SENDPOST_AGENT_PAGE_FINDINGS_H
#define SENDPOST_AGENT_PAGE_FINDINGS_H

#include "agent/page_facts.h"

/* Fills findings and their number. */
void page_findings(struct page_facts *facts) __attribute__((nonnull));

#endif
