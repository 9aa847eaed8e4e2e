/*
 * told: what the hosts of a cluster tell each other of a TPSP, so that what one of them was told slows down
 * all. The server holds one text with a version for each TPSP; every host has what it says in its own table,
 * where a delivery finds it at no cost, and names the version that it knows in the call that decides about
 * its rates. Is there another by now, then that comes back instead of a slot, is taken into the table, and
 * the delivery asks again: nobody is let through who has not heard.
 *
 * What changes here is told in a call of its own, after the delivery in which it did; that is rare. A host
 * that could not tell, or that meets another server or one with an older text, has something that may not be
 * known there: then both are merged, and the stricter counts until the other side is quiet.
 *
 * In the table, "told" of the TPSP: the version, and the mark of what was told or heard last. A kill between
 * the two makes a host tell once more what is known.
 */
#ifndef SENDPOST_POLICY_TOLD_H
#define SENDPOST_POLICY_TOLD_H

#include "policy/admission.h"

/* The version that this host knows; 0: none. */
int64_t told_version(const struct admission_gate *gate, const struct config_tpsp *tpsp)
    __attribute__((nonnull));

/* CLUSTER_NEWS came: into the table with it. Where the server has lost what is known here, both are merged.
 * False with *error_r set when it cannot be. */
bool told_hear(const struct admission_gate *gate, const struct config_tpsp *tpsp,
               const struct cluster_reply *reply, struct outcome *error_r) __attribute__((nonnull));

/* Tell the others what has changed here, if anything has. Without a cluster nothing happens. */
void told_tell(const struct admission_gate *gate, const struct config_tpsp *tpsp) __attribute__((nonnull));

/* Tell that it is this host that tries a TPSP which is left alone (breaker_share.h): claim, as it has just
 * been put into the table. False: another is faster, and that is known here now, perhaps since before this
 * call. With the server away each host is the one. */
struct breaker_words;
bool told_claim(const struct admission_gate *gate, const struct config_tpsp *tpsp,
                const struct breaker_words *claim) __attribute__((nonnull));

/* The same as told_tell(), and nothing that the others know is merged: for `rates reset`. False: the server
 * is away. */
bool told_overrule(const struct admission_gate *gate, const struct config_tpsp *tpsp)
    __attribute__((nonnull));

/* Hear what there is. True: there was something. */
bool told_refresh(const struct admission_gate *gate, const struct config_tpsp *tpsp) __attribute__((nonnull));

/* Hear what there is, and tell: for the agent. */
void told_exchange(const struct admission_gate *gate, const struct config_tpsp *tpsp)
    __attribute__((nonnull));

/* It is another server, which may have lost what it was told: what is known here may be news there. */
void told_doubt(const struct admission_gate *gate) __attribute__((nonnull));

#endif
