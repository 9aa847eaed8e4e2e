/*
 * login: AUTH (RFC 4954) over the wire, with SCRAM-SHA-256 (RFC 7677), PLAIN (RFC 4616), LOGIN, OAUTHBEARER
 * (RFC 7628) and XOAUTH2.
 * It is ours and not the engines': both would need the same choice among mechanisms, neither can try a second
 * one in the same session, libESMTP loads plug-ins for it and copies into fixed buffers, and a login without
 * an engine is what the check of a session needs.
 *
 * In this order, of those that are offered and allowed: SCRAM-SHA-256, PLAIN, LOGIN. A mechanism that is
 * refused as such (502, 503, 504; over TLS also 534) gives way to the next; after 538, which asks for
 * encryption, no password is sent any more.
 */
#ifndef SENDPOST_RELAY_LOGIN_H
#define SENDPOST_RELAY_LOGIN_H

#include "relay/wire.h"

/* The wire has said EHLO. True when no login is wanted, too. False: the stage has failed. */
bool login_make(struct wire *wire) __attribute__((nonnull));

/* Whether this TPSP is to be logged in to. */
bool login_is_wanted(const struct config_tpsp *tpsp) __attribute__((nonnull));

#endif
