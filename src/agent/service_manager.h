/*
 * service_manager: what the service manager is told (sd_notify(3)); nothing where there is none.
 */
#ifndef SENDPOST_AGENT_SERVICE_MANAGER_H
#define SENDPOST_AGENT_SERVICE_MANAGER_H

void service_manager_ready(void);
void service_manager_reloading(void);
void service_manager_stopping(void);
void service_manager_alive(void); /* for WatchdogSec=; may be called as often as one likes */

#endif
