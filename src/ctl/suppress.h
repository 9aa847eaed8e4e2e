/* suppress: what the files of `sendpostctl suppress` share. */
#ifndef SENDPOST_CTL_SUPPRESS_H
#define SENDPOST_CTL_SUPPRESS_H

#include "ctl/ctl.h"
#include "policy/suppression.h"

/* --reason; what *reason_r was where it is not given. False, said already, when it is none. */
bool suppress_reason(const struct ctl *ctl, enum suppression_reason *reason_r) __attribute__((nonnull));

/* name: a file, or "-". suppress_import.c */
enum ctl_status suppress_import(struct ctl *ctl, const char *name) __attribute__((nonnull));

#endif
