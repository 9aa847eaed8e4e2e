#include "ctl/oauth_words.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "oauth/token_file.h"

#define DAY_MS 86400000LL
#define SOON_DAYS 14

char *oauth_words(const struct config *config, const struct config_tpsp *tpsp, bool *ok_r)
{
    struct token_state state;
    int64_t now_ms = clock_realtime_ms();

    token_file_read(config->state_dir, tpsp, &state);
    int64_t left_ms = state.access_token != NULL ? state.expires_ms - now_ms : 0;
    int64_t days = state.refresh_expires_ms > 0 ? (state.refresh_expires_ms - now_ms) / DAY_MS : -1;
    AUTO_FREE char *token = left_ms > 0 ? xasprintf("a token for %" PRId64 " min more", left_ms / 60000)
                                        : xstrdup("no token now, the next delivery fetches one");
    AUTO_FREE char *login =
        days >= 0 ? xasprintf("; a new login is needed in %" PRId64 " days", days) : xstrdup("");
    char *words = xasprintf("%s%s%s%s", token, login,
                            state.error[0] != '\0' ? "; the last renewal failed: " : "", state.error);

    *ok_r = state.error[0] == '\0' && (days < 0 || days >= SOON_DAYS);
    token_state_clear(&state);
    return words;
}
