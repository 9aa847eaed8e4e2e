#include "policy/slow_down_share.h"

#include <inttypes.h>
#include <string.h>

#include "base/utf8.h"
#include "policy/slow_down_private.h"
#include "policy/told_text.h"

#define CONNECTIONS_SAID_MAX 10000
#define BEGAN_MAX_MS (INT64_C(1) << 48) /* years that a page can show */

static const char *provider_of(size_t scope)
{
    return scope == 0 ? NULL : provider_category_name((enum provider_category)(scope - 1));
}

static bool is_empty(const struct slow_down_words *words)
{
    return words->state == 0 && words->paused_until == 0 && words->connections_until == 0;
}

void slow_down_picture(const struct slow_down *slow_down, struct slow_down_picture *picture_r)
{
    memset(picture_r, 0, sizeof *picture_r);
    if (rate_table_kept_stamp(slow_down->table) == 0)
        return;
    for (size_t i = 0; i < SLOW_DOWN_SCOPES; i++) {
        const struct rate_entry *entry = slow_down_entry(slow_down, provider_of(i), false);
        if (entry == NULL)
            continue;
        picture_r->scopes[i] = (struct slow_down_words){
            .state = atomic_load(&entry->words[SLOW_DOWN_STATE]),
            .base = atomic_load(&entry->words[SLOW_DOWN_BASE]),
            .began_ms = atomic_load(&entry->words[SLOW_DOWN_BEGAN_MS]),
            .paused_until = atomic_load(&entry->words[SLOW_DOWN_PAUSED_UNTIL]),
            .connections = atomic_load(&entry->words[SLOW_DOWN_CONNECTIONS]),
            .connections_until = atomic_load(&entry->words[SLOW_DOWN_CONNECTIONS_UNTIL])};
    }
}

int64_t slow_down_picture_mark(const struct slow_down_picture *picture)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < SLOW_DOWN_SCOPES; i++) {
        const struct slow_down_words *words = &picture->scopes[i];
        const int64_t told[] = {words->state, words->paused_until, words->connections,
                                words->connections_until};
        for (size_t k = 0; k < sizeof told / sizeof told[0] && !is_empty(words); k++) {
            hash = (hash ^ (uint64_t)told[k] ^ (uint64_t)i << 56) * UINT64_C(0x100000001b3);
            hash ^= hash >> 29;
        }
    }
    return (int64_t)(hash | 1);
}

/* --- to text ---------------------------------------------------------------------------------------------
 */

/* slow-down SCOPE RATE REFUSED CHANGED PASSED BLOCKED ACCEPTED BASE BEGAN PAUSED CONNECTIONS UNTIL SAID */
void slow_down_write(const struct slow_down *slow_down, const struct slow_down_picture *picture,
                     int64_t ahead_us, FILE *out)
{
    int64_t now = rate_table_now(slow_down->table);
    char said[SLOW_DOWN_SAID_SIZE];

    for (size_t i = 0; i < SLOW_DOWN_SCOPES; i++) {
        const struct slow_down_words *words = &picture->scopes[i];
        if (words->state == 0 && words->paused_until <= now && words->connections_until <= now)
            continue;
        struct slow_down_state state = slow_down_unpack(words->state, now);
        slow_down_said(slow_down, provider_of(i), said);
        for (char *at = said; *at != '\0'; at++)
            if ((unsigned char)*at < ' ')
                *at = ' ';
        fprintf(out,
                "slow-down %s %" PRId64 " %" PRId64 " %" PRId64 " %u %u %d %" PRId64 " %" PRId64 " %" PRId64
                " %" PRId64 " %" PRId64 " %s\n",
                slow_down_scope(provider_of(i)), state.rate, state.refused,
                told_text_there(state.changed_ns, ahead_us), state.passed, state.blocked, state.accepted,
                words->base, words->began_ms, told_text_there(words->paused_until, ahead_us),
                words->connections, told_text_there(words->connections_until, ahead_us), said);
    }
}

/* --- from text -------------------------------------------------------------------------------------------
 */

static int64_t until(int64_t time_us, int64_t ahead_us, int64_t now)
{
    int64_t time_ns = told_text_here(time_us, ahead_us);

    return time_ns > now && time_ns <= now + SLOW_DOWN_PAUSE_MAX_NS ? time_ns : 0;
}

static bool read_scope(const char **line, size_t *scope_r)
{
    for (*scope_r = 0; *scope_r < SLOW_DOWN_SCOPES; ++*scope_r)
        if (told_text_word(line, slow_down_scope(provider_of(*scope_r))))
            return true;
    return false;
}

static bool read_state(const char **line, int64_t ahead_us, int64_t now, int64_t *word_r)
{
    struct slow_down_state state = {0};
    int64_t changed_us, passed, blocked, accepted;

    if (!told_text_number(line, 0, SLOW_DOWN_RATE_MAX, &state.rate) ||
        !told_text_number(line, 0, SLOW_DOWN_RATE_MAX, &state.refused) ||
        !told_text_number(line, INT64_MIN, INT64_MAX, &changed_us) ||
        !told_text_number(line, 0, SLOW_DOWN_COUNT_MAX, &passed) ||
        !told_text_number(line, 0, SLOW_DOWN_COUNT_MAX, &blocked) || !told_text_number(line, 0, 1, &accepted))
        return false;
    state.changed_ns = told_text_here(changed_us, ahead_us);
    if (state.changed_ns > now)
        state.changed_ns = now;
    state.passed = (unsigned)passed;
    state.blocked = (unsigned)blocked;
    state.accepted = accepted != 0;
    *word_r = slow_down_pack(&state);
    return true;
}

/* What follows "slow-down". said_r: where the words begin. */
static bool read_fields(const char *line, int64_t ahead_us, int64_t now, size_t *scope_r,
                        struct slow_down_words *words_r, const char **said_r)
{
    int64_t paused_us, until_us;

    if (!read_scope(&line, scope_r) || !read_state(&line, ahead_us, now, &words_r->state) ||
        !told_text_number(&line, 0, SLOW_DOWN_RATE_MAX, &words_r->base) ||
        !told_text_number(&line, 0, BEGAN_MAX_MS, &words_r->began_ms) ||
        !told_text_number(&line, INT64_MIN, INT64_MAX, &paused_us) ||
        !told_text_number(&line, 0, CONNECTIONS_SAID_MAX, &words_r->connections) ||
        !told_text_number(&line, INT64_MIN, INT64_MAX, &until_us))
        return false;
    words_r->paused_until = until(paused_us, ahead_us, now);
    words_r->connections_until = until(until_us, ahead_us, now);
    *said_r = line;
    return true;
}

/* Theirs becomes what counts when both have something new. True: some of it is theirs. */
static bool merge_words(const struct slow_down_words *ours, struct slow_down_words *theirs, int64_t now)
{
    struct slow_down_state mine = slow_down_unpack(ours->state, now);
    struct slow_down_state other = slow_down_unpack(theirs->state, now);
    bool is_theirs = other.rate > 0 && (mine.rate == 0 || other.rate < mine.rate ||
                                        (other.rate == mine.rate && other.changed_ns > mine.changed_ns));

    if (!is_theirs) {
        theirs->state = ours->state;
        theirs->base = ours->base;
        theirs->began_ms = ours->began_ms;
    }
    if (ours->paused_until > theirs->paused_until)
        theirs->paused_until = ours->paused_until;
    if (ours->connections_until > now &&
        (theirs->connections_until == 0 || ours->connections < theirs->connections)) {
        theirs->connections = ours->connections;
        theirs->connections_until = ours->connections_until;
    }
    return is_theirs;
}

static void put(_Atomic int64_t *word, int64_t before, int64_t value)
{
    if (before != value)
        atomic_compare_exchange_strong(word, &before, value);
}

static void apply(const struct slow_down *slow_down, size_t scope, const struct slow_down_words *before,
                  const struct slow_down_words *words)
{
    struct rate_entry *entry = slow_down_entry(slow_down, provider_of(scope), !is_empty(words));

    if (entry == NULL)
        return;
    /* for people first: a kill in between leaves a limit that is right and a text that may be old */
    put(&entry->words[SLOW_DOWN_BASE], before->base, words->base);
    put(&entry->words[SLOW_DOWN_BEGAN_MS], before->began_ms, words->began_ms);
    put(&entry->words[SLOW_DOWN_CONNECTIONS], before->connections, words->connections);
    put(&entry->words[SLOW_DOWN_CONNECTIONS_UNTIL], before->connections_until, words->connections_until);
    put(&entry->words[SLOW_DOWN_PAUSED_UNTIL], before->paused_until, words->paused_until);
    put(&entry->words[SLOW_DOWN_STATE], before->state, words->state);
    rate_table_kept_changed(slow_down->table);
}

/* The words of a TPSP, as another host passed them on. */
static void say(const struct slow_down *slow_down, size_t scope, const char *words)
{
    char said[SLOW_DOWN_SAID_SIZE];

    utf8_clean(said, sizeof said, words, strlen(words));
    slow_down_say(slow_down, provider_of(scope), said);
}

void slow_down_read(const struct slow_down *slow_down, const struct slow_down_picture *before, bool merge,
                    int64_t ahead_us, const char *text)
{
    int64_t now = rate_table_now(slow_down->table);
    bool named[SLOW_DOWN_SCOPES] = {false}, all_read = true;
    static const struct slow_down_words none;
    char line[TOLD_LINE_SIZE];

    while (told_text_line(&text, line)) {
        struct slow_down_words words;
        const char *fields = line, *said;
        size_t scope;
        if (!told_text_word(&fields, "slow-down"))
            continue;
        if (!read_fields(fields, ahead_us, now, &scope, &words, &said)) {
            all_read = false;
            continue;
        }
        if (named[scope]) /* of two the first: never words of both */
            continue;
        named[scope] = true;
        bool is_theirs = !merge || merge_words(&before->scopes[scope], &words, now);
        apply(slow_down, scope, &before->scopes[scope], &words);
        if (is_theirs && !is_empty(&words))
            say(slow_down, scope, said);
    }
    for (size_t i = 0; i < SLOW_DOWN_SCOPES && !merge && all_read; i++)
        if (!named[i] && !is_empty(&before->scopes[i]))
            apply(slow_down, i, &before->scopes[i], &none);
}
