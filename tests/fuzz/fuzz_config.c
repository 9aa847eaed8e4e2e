/* Any bytes as configuration file: a tree whose promises hold, or one message. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool truth)
{
    if (!truth)
        abort();
}

static void check(const struct config *config)
{
    expect(config->account_id > 0 && config->subaccount_id > 0 && config->tpsp_count > 0 &&
           config->pool_count > 0);
    expect(config->delivery_timeout_ms <= 900000 && config->report.timeout_ms < config->delivery_timeout_ms);
    expect((config->report.tls.ca_path == NULL) != (config->report.tls.ca_file == NULL));
    expect(config->retry.schedule_count > 0);
    for (size_t i = 0; i < config->tpsp_count; i++) {
        const struct config_tpsp *tpsp = &config->tpsps[i];
        expect(tpsp->name != NULL && tpsp->host != NULL && tpsp->port > 0);
        expect((tpsp->tls.ca_path == NULL) != (tpsp->tls.ca_file == NULL));
        expect(config_tpsp_by_name(config, tpsp->name) == tpsp);
    }
    for (size_t i = 0; i < config->pool_count; i++) {
        size_t steps = 0;
        for (ptrdiff_t at = (ptrdiff_t)i; at >= 0; at = config->pools[at].overflow)
            expect(steps++ <= config->pool_count);
        for (size_t j = 0; j < config->pools[i].member_count; j++)
            expect(config->pools[i].members[j].tpsp < config->tpsp_count &&
                   config->pools[i].members[j].weight > 0);
        expect(config_pool_for(config, config->pools[i].name, "user@example.org") == &config->pools[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[64];
    static int file = -1;
    struct outcome error;

    if (file < 0) {
        file = memfd_create("config.yaml", MFD_CLOEXEC);
        expect(file >= 0 && fchmod(file, 0600) == 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    expect(ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
    struct config *config = config_load(path, &error);
    if (config != NULL)
        check(config);
    else
        expect(error.class == OUTCOME_DEFERRED && error.text[0] != '\0');
    config_free(config);
    return 0;
}
