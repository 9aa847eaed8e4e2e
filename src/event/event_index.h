/*
 * event_index: where the events of a word are: a queue id, a recipient, its domain, a Message-ID, a message
 * UUID or its beginning. Table event_words.
 *
 * It is made behind the events, in blocks of their row ids, and not with them: at a random place of an index
 * every word of every event would touch a page of its own while a delivery waits. So a delivery pays nothing,
 * and a question costs a look into each block; what is not in the index yet is read through.
 */
#ifndef SENDPOST_EVENT_EVENT_INDEX_H
#define SENDPOST_EVENT_EVENT_INDEX_H

#include <sys/types.h>

#include "event/event_store.h"

enum event_word {
    EVENT_WORD_QUEUE_ID,
    EVENT_WORD_RECIPIENT, /* without regard to case, as its domain is */
    EVENT_WORD_DOMAIN,
    EVENT_WORD_HEADER_MESSAGE_ID, /* with its angle brackets or without */
    EVENT_WORD_UUID,              /* EVENT_WORD_UUID_MIN characters of it or more */
};
#define EVENT_WORD_UUID_MIN 8

/* A block has so many row ids: those that are the same above so many bits. */
#define EVENT_BLOCK_BITS 12
#define EVENT_BLOCK_ROWS (1 << EVENT_BLOCK_BITS)

/* Puts what is missing into the index, in transactions of its own, until until_ms (clock_monotonic_ms()).
 * False with *error_r set. */
bool event_index_catch_up(struct store *store, int64_t until_ms, struct outcome *error_r)
    __attribute__((nonnull));

/* Deletes what belongs to events that are gone, until until_ms. */
bool event_index_sweep(struct store *store, int64_t until_ms, struct outcome *error_r)
    __attribute__((nonnull));

/*
 * The events of a word, the latest first, until see() returns false or until_ms. Nothing is held open while
 * see() runs. Writes nothing, so that a connection that can only read will do. *complete_r (may be NULL): not
 * so when the time was up, or too many events were in no index yet.
 */
bool event_index_each(struct store *store, enum event_word word, const char *text, int64_t until_ms,
                      bool (*see)(void *context, const struct event *event, enum event_state state,
                                  const struct event_mail *mail),
                      void *context, bool *complete_r, struct outcome *error_r)
    __attribute__((nonnull(1, 3, 5, 8)));

/*
 * For who goes from block to block: the last row in the index, -1 with *error_r set; and the rows of a block
 * that may have the word, in order, into an array of EVENT_BLOCK_ROWS. Their number, or -1.
 */
int64_t event_index_end(struct store *store, struct outcome *error_r) __attribute__((nonnull));
ssize_t event_index_block(struct store *store, enum event_word word, const char *text, int64_t block,
                          int64_t *rows_r, struct outcome *error_r) __attribute__((nonnull));

#endif
