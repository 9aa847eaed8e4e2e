#include "agent/service_manager.h"

#ifdef HAVE_SYSTEMD

#include <stdint.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "base/clock.h"

void service_manager_ready(void)
{
    sd_notify(0, "READY=1");
}

void service_manager_reloading(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now); /* Type=notify-reload wants to know since when */
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

void service_manager_stopping(void)
{
    sd_notify(0, "STOPPING=1");
}

void service_manager_alive(void)
{
    static int64_t last_ms;
    static int64_t interval_ms = -1;
    uint64_t watchdog_us = 0;
    int64_t now_ms = clock_monotonic_ms();

    if (interval_ms < 0)
        interval_ms = sd_watchdog_enabled(0, &watchdog_us) > 0 ? (int64_t)(watchdog_us / 4000) : 0;
    if (interval_ms == 0 || now_ms < last_ms + interval_ms)
        return;
    last_ms = now_ms;
    sd_notify(0, "WATCHDOG=1");
}

#else

void service_manager_ready(void)
{
}

void service_manager_reloading(void)
{
}

void service_manager_stopping(void)
{
}

void service_manager_alive(void)
{
}

#endif
