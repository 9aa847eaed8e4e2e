/*
 * supervisor: what the service manager is told (sd_notify(3)); nothing where there is none.
 */
#ifndef SENDPOST_SUPERVISOR_H
#define SENDPOST_SUPERVISOR_H

void supervisor_ready(void);
void supervisor_reloading(void);
void supervisor_stopping(void);
void supervisor_alive(void); /* for WatchdogSec=; may be called as often as one likes */

#endif
