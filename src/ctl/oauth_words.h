/* oauth_words: how the tokens for a TPSP are, in words for a person. */
#ifndef SENDPOST_CTL_OAUTH_WORDS_H
#define SENDPOST_CTL_OAUTH_WORDS_H

#include <stdbool.h>

#include "config/config.h"

/* "a token for 52 min more; a new login is needed in 80 days". malloc'd; *ok_r: nothing is wrong with it. */
char *oauth_words(const struct config *config, const struct config_tpsp *tpsp, bool *ok_r)
    __attribute__((nonnull, returns_nonnull));

#endif
