/* A log of a few lines, and what reads it into the temporary store. */
#ifndef TESTS_UNIT_AGENT_SMALL_LOG_H
#define TESTS_UNIT_AGENT_SMALL_LOG_H

#include <stdio.h>

#include "agent/ingest.h"
#include "temporary_store.h"

static char log_path[128];
static struct config config;
static struct classify_rules *rules;
static struct ingest *ingest;

static void open_ingest(void)
{
    ingest = ingest_open(&config, store, rules, true, &error);
    ck_assert_msg(ingest != NULL, "%s", error.text);
}

static void small_log_begin(struct config settings)
{
    temporary_store_open();
    snprintf(log_path, sizeof log_path, "%s/mail.log", temporary_directory);
    config = settings;
    config.log_path = log_path;
    config.state_dir = temporary_directory;
    rules = classify_open(NULL, &error);
    open_ingest();
}

static void small_log_end(void)
{
    ingest_close(ingest);
    classify_close(rules);
    temporary_store_close();
}

/* Append to the log, and read on to its end. */
static void reads(const char *text)
{
    FILE *file = fopen(log_path, "a");

    fputs(text, file);
    fclose(file);
    while (ingest_step(ingest, &error) == INGEST_WORKED)
        ;
}

#endif
