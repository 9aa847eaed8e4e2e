#include "agent/page_findings.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/health.h"
#include "base/xalloc.h"

#define DISK_LOW 0.05
#define CERTIFICATE_SOON_MS (7 * 86400000LL)
#define TOKEN_SOON_MS (3 * 86400000LL)

/* command: NULL where the text says what to do. */
__attribute__((format(printf, 4, 5))) static void find(struct page_facts *facts, bool grave,
                                                       const char *command, const char *format, ...)
{
    va_list arguments;

    if (facts->finding_count == PAGE_FINDINGS)
        return;
    struct page_finding *finding = &facts->findings[facts->finding_count++];
    finding->grave = grave;
    snprintf(finding->command, sizeof finding->command, "%s", command != NULL ? command : "");
    va_start(arguments, format);
    vsnprintf(finding->text, sizeof finding->text, format, arguments);
    va_end(arguments);
}

static void find_held(struct page_facts *facts)
{
    for (size_t i = 0; i < facts->board.held_count; i++) {
        const struct board_held *held = &facts->board.held[i];
        AUTO_FREE char *command = xasprintf("sendpostctl test %s", held->tpsp);
        find(facts, true, command, "%" PRId64 " message%s for %s: %s", held->messages,
             held->messages == 1 ? " waits" : "s wait", held->tpsp, held->text);
    }
}

static void find_agent(struct page_facts *facts)
{
    const struct board_facts *board = &facts->board;
    const char *cluster = health_cluster_trouble(&board->cluster);
    AUTO_FREE char *log = health_log_trouble(board), *clock = health_clock_trouble(board);

    if (board->ingest.transport[0] != '\0')
        find(facts, true, "sendpostctl check", "%s", board->ingest.transport);
    if (log != NULL)
        find(facts, true, "sendpostctl check", "The mail log: %s", log);
    if (cluster != NULL)
        find(facts, true, "sendpostctl check", "The cluster: %s", cluster);
    if (board->report_error[0] != '\0')
        find(facts, true, "sendpostctl events flush", "Events are not reported: %s", board->report_error);
    if (clock != NULL)
        find(facts, true, "timedatectl set-ntp true", "Events: %s", clock);
    if (board->rejected > 0)
        find(facts, false, "sendpostctl events --state rejected",
             "%" PRId64 " events were refused by the event API for good", board->rejected);
    if (board->corrupt_stores > 0)
        find(facts, true, "sendpostctl check", "%s", BOARD_STORE_REMEDY);
    if (board->ingest.counts.uncorrelated > 0)
        find(facts, false, "sendpostctl check", "%s", BOARD_CORRELATION_REMEDY);
    if (board->ingest.counts.untrusted > 0)
        find(facts, false, NULL, "%s", BOARD_TRUST_REMEDY);
    if (facts->config->uuid_keys.count == 0)
        find(facts, false, "sendpostctl setup", "%s", BOARD_KEY_REMEDY);
    if (board->sync_error[0] != '\0')
        find(facts, false, "sendpostctl sync", "SendPost's lists: %s", board->sync_error);
    if (board->sync_gone > 0)
        find(facts, false, "sendpostctl sync --confirm",
             "%" PRId64 " suppressed addresses are gone at SendPost, and wait for a confirmation here",
             board->sync_gone);
}

static void find_tokens(struct page_facts *facts)
{
    for (size_t i = 0; i < facts->board.token_count; i++) {
        const struct board_token *token = &facts->board.tokens[i];
        AUTO_FREE char *command = xasprintf("sendpostctl test %s", token->tpsp);
        if (token->error[0] != '\0')
            find(facts, true, command, "The login token for %s: %s", token->tpsp, token->error);
        else if (token->refresh_expires_ms > 0 && token->refresh_expires_ms < facts->now_ms + TOKEN_SOON_MS)
            find(facts, false, "sendpostctl setup", "The login at %s ends soon: a new one will be needed",
                 token->tpsp);
    }
}

static void find_suspended(struct page_facts *facts)
{
    for (size_t i = 0; i < facts->suspension_count; i++) {
        const struct page_suspension *one = &facts->suspensions[i];
        find(facts, false, one->command, "%s", one->text);
    }
}

static void find_tpsps(struct page_facts *facts)
{
    for (size_t i = 0; i < facts->config->tpsp_count; i++) {
        const char *name = facts->config->tpsps[i].name;
        AUTO_FREE char *command = xasprintf("sendpostctl test %s", name);
        if (facts->tpsps[i].breaker.state != BREAKER_CLOSED)
            find(facts, true, command, "%s is left alone after %u failures in a row%s, and tried again %s",
                 name, facts->tpsps[i].breaker.failures, breaker_whose(&facts->tpsps[i].breaker),
                 facts->tpsps[i].breaker.state == BREAKER_TRY ? "with the next message" : "soon");
        if (facts->tpsps[i].certificate_ms > 0 &&
            facts->tpsps[i].certificate_ms < facts->now_ms + CERTIFICATE_SOON_MS)
            find(facts, false, NULL, "The certificate of %s ends soon, and its provider has not renewed it",
                 name);
    }
}

static int compare(const void *one, const void *other)
{
    const struct page_finding *first = one, *second = other;

    return second->grave - first->grave;
}

void page_findings(struct page_facts *facts)
{
    facts->finding_count = 0;
    find_held(facts);
    find_tpsps(facts);
    find_suspended(facts);
    find_tokens(facts);
    find_agent(facts);
    if (!facts->store_known)
        find(facts, true, "sendpostctl check", "The store cannot be read now");
    if (facts->disk_free >= 0 && facts->disk_free < DISK_LOW)
        find(facts, true, NULL,
             "The disk of %s is almost full: %.1f %% is free; no message is sent when it is full",
             facts->config->state_dir, 100 * facts->disk_free);
    qsort(facts->findings, facts->finding_count, sizeof *facts->findings, compare);
}
