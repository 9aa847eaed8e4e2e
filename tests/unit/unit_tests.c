/* Runs every suite in this one process group; CK_FORK=no and CK_RUN_SUITE=name help with a debugger. */
#include <stdlib.h>

#include "suites.h"

int main(void)
{
    SRunner *runner = srunner_create(NULL);

    srunner_add_suite(runner, address_suite());
    srunner_add_suite(runner, breaker_suite());
    srunner_add_suite(runner, bounce_report_suite());
    srunner_add_suite(runner, classify_suite());
    srunner_add_suite(runner, config_suite());
    srunner_add_suite(runner, dns_suite());
    srunner_add_suite(runner, engine_suite());
    srunner_add_suite(runner, event_suite());
    srunner_add_suite(runner, event_outbox_suite());
    srunner_add_suite(runner, event_store_suite());
    srunner_add_suite(runner, from_header_suite());
    srunner_add_suite(runner, http_suite());
    srunner_add_suite(runner, judge_suite());
    srunner_add_suite(runner, ingest_suite());
    srunner_add_suite(runner, log_time_suite());
    srunner_add_suite(runner, message_suite());
    srunner_add_suite(runner, outcome_suite());
    srunner_add_suite(runner, pool_suite());
    srunner_add_suite(runner, postfix_log_suite());
    srunner_add_suite(runner, provider_suite());
    srunner_add_suite(runner, rate_file_suite());
    srunner_add_suite(runner, rate_limit_suite());
    srunner_add_suite(runner, rate_table_suite());
    srunner_add_suite(runner, rendezvous_suite());
    srunner_add_suite(runner, reply_suite());
    srunner_add_suite(runner, request_suite());
    srunner_add_suite(runner, retry_suite());
    srunner_add_suite(runner, return_path_suite());
    srunner_add_suite(runner, status_suite());
    srunner_add_suite(runner, store_suite());
    srunner_add_suite(runner, suppression_suite());
    srunner_add_suite(runner, stall_suite());
    srunner_add_suite(runner, tail_suite());
    srunner_add_suite(runner, track_suite());
    srunner_add_suite(runner, suppression_file_suite());
    srunner_add_suite(runner, uuid_suite());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
