/* Every suite of the unit tests, one a module; unit_tests.c runs them all. */
#ifndef SENDPOST_SUITES_H
#define SENDPOST_SUITES_H

#include <check.h>

Suite *address_suite(void);
Suite *breaker_suite(void);
Suite *bounce_report_suite(void);
Suite *classify_suite(void);
Suite *config_suite(void);
Suite *dns_suite(void);
Suite *engine_suite(void);
Suite *event_suite(void);
Suite *event_outbox_suite(void);
Suite *event_store_suite(void);
Suite *from_header_suite(void);
Suite *http_suite(void);
Suite *judge_suite(void);
Suite *ingest_suite(void);
Suite *log_time_suite(void);
Suite *message_suite(void);
Suite *outcome_suite(void);
Suite *pool_suite(void);
Suite *postfix_log_suite(void);
Suite *provider_suite(void);
Suite *rate_file_suite(void);
Suite *rate_limit_suite(void);
Suite *rate_table_suite(void);
Suite *rendezvous_suite(void);
Suite *reply_suite(void);
Suite *request_suite(void);
Suite *retry_suite(void);
Suite *return_path_suite(void);
Suite *status_suite(void);
Suite *store_suite(void);
Suite *suppression_suite(void);
Suite *stall_suite(void);
Suite *tail_suite(void);
Suite *track_suite(void);
Suite *suppression_file_suite(void);
Suite *uuid_suite(void);

#endif
