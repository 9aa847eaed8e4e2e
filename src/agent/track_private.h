/* track_private: what track.c, the message as a whole, and track_delivery.c, each recipient of it, share. */
#ifndef SENDPOST_AGENT_TRACK_PRIVATE_H
#define SENDPOST_AGENT_TRACK_PRIVATE_H

#include "agent/track.h"

/* One line on its way through the rules. */
struct track_step {
    struct track *track;
    const struct postfix_log_line *line;
    int64_t time_ms;
    uint16_t instance;
    bool withheld; /* the UUID is not told: whether it counts is not known yet */
};

/* "host[127.0.0.1]", "host[::1]:10024" */
bool track_is_loopback(struct log_slice peer);

/* The same, or an address of a private network (RFC 1918, RFC 4193) or of this link. */
bool track_is_near(struct log_slice peer);

/* What is remembered of a peer's address, 8 bytes; never all zero but for no address. */
void track_hash_peer(unsigned char hash_r[8], struct log_slice peer) __attribute__((nonnull));

/* Tell the ledger of the message in this slot, by the line at hand. This and the following: false when a note
 * was not taken. */
bool track_tell(const struct track_step *step, uint32_t slot, enum track_verb verb) __attribute__((nonnull));

/* A new message under the line's queue id. */
bool track_add(const struct track_step *step, uint32_t *slot_r) __attribute__((nonnull));

/* The message of a line that only a living message can cause: known, new, or anew under a used queue id. */
bool track_living(const struct track_step *step, uint32_t *slot_r) __attribute__((nonnull));

/* Its UUID, unless a better source has told one. */
bool track_learn(const struct track_step *step, uint32_t slot, enum correlation_source source,
                 const unsigned char uuid[16]) __attribute__((nonnull));

/* track_delivery.c: the message in the next slot is what became of another one, or of none: whoever handed in
 * that has handed in this. Fates that have waited for it are told. */
bool track_pass_origin(const struct track_step *step, uint32_t next, enum trust_origin origin)
    __attribute__((nonnull));

/* track_delivery.c: a line of sendpost-pipe, and one of any delivery agent of Postfix. */
bool track_on_own(const struct track_step *step) __attribute__((nonnull));
bool track_on_delivery(const struct track_step *step) __attribute__((nonnull));

#endif
