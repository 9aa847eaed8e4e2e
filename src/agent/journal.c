#include "agent/journal.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

#ifdef HAVE_SYSTEMD

#include <systemd/sd-journal.h>

struct journal {
    sd_journal *handle;
};

static void say(struct outcome *error_r, const char *verb, int result)
{
    outcome_local(error_r, "4.3.0",
                  "cannot %s the journal: %s; this user must be in group systemd-journal, and journald must "
                  "keep a journal",
                  verb, strerror(-result));
}

/* Behind the entry of the cursor, which was read before; where rotation has deleted it, the next one that is
 * left. */
static int go_behind(sd_journal *handle, const char *cursor)
{
    int result = sd_journal_seek_cursor(handle, cursor);

    if (result >= 0)
        result = sd_journal_next(handle);
    if (result > 0 && sd_journal_test_cursor(handle, cursor) <= 0)
        result = sd_journal_previous(handle);
    return result;
}

struct journal *journal_open(const char *cursor, bool from_start, struct outcome *error_r)
{
    struct journal *journal = xcalloc(1, sizeof *journal);
    int result = sd_journal_open(&journal->handle, SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM);

    if (result >= 0)
        result = sd_journal_add_match(journal->handle, "SYSLOG_FACILITY=2", 0);
    if (result >= 0)
        result = sd_journal_add_disjunction(journal->handle);
    if (result >= 0)
        result = sd_journal_add_match(journal->handle, "SYSLOG_IDENTIFIER=systemd-journald", 0);
    if (result >= 0 && cursor != NULL && *cursor != '\0')
        result = go_behind(journal->handle, cursor);
    else if (result >= 0 && from_start)
        result = sd_journal_seek_head(journal->handle);
    else if (result >= 0 && (result = sd_journal_seek_tail(journal->handle)) >= 0)
        result = sd_journal_previous(journal->handle);
    if (result < 0) {
        say(error_r, "open", result);
        journal_close(journal);
        return NULL;
    }
    sd_journal_get_fd(journal->handle); /* from here on changes are watched */
    return journal;
}

void journal_close(struct journal *journal)
{
    if (journal == NULL)
        return;
    if (journal->handle != NULL)
        sd_journal_close(journal->handle);
    free(journal);
}

static struct log_slice field(struct journal *journal, const char *name)
{
    const void *data;
    size_t length, skip = strlen(name) + 1;

    if (sd_journal_get_data(journal->handle, name, &data, &length) < 0 || length < skip)
        return (struct log_slice){"", 0};
    return (struct log_slice){(const char *)data + skip, length - skip};
}

/* Data of one field may be overwritten by reading the next (sd_journal_get_data(3)), so short ones are
 * copied. */
static struct log_slice kept(char *buffer, size_t size, struct log_slice slice)
{
    size_t length = slice.length < size ? slice.length : size;

    memcpy(buffer, slice.at, length);
    return (struct log_slice){buffer, length};
}

/* Decimal digits and nothing else; -1 otherwise. */
static int64_t number(struct log_slice text)
{
    int64_t value = 0;

    for (size_t i = 0; i < text.length && value >= 0; i++)
        value = text.at[i] >= '0' && text.at[i] <= '9' && value < INT32_MAX ? value * 10 + (text.at[i] - '0')
                                                                            : -1;
    return text.length > 0 ? value : -1;
}

int journal_next(struct journal *journal, struct journal_entry *entry_r, struct outcome *error_r)
{
    static _Thread_local char tag[128], host[256];
    uint64_t time_us = 0;
    int result = sd_journal_next(journal->handle);

    if (result <= 0) {
        if (result < 0)
            say(error_r, "read", result);
        return result;
    }
    struct log_slice source = field(journal, "_SOURCE_REALTIME_TIMESTAMP");
    char digits[24] = "";
    memcpy(digits, source.at, source.length < sizeof digits ? source.length : sizeof digits - 1);
    time_us = strtoull(digits, NULL, 10);
    entry_r->uid = number(field(journal, "_UID"));
    if (time_us == 0)
        sd_journal_get_realtime_usec(journal->handle, &time_us);
    entry_r->time_ms = (int64_t)(time_us / 1000);
    entry_r->tag = kept(tag, sizeof tag, field(journal, "SYSLOG_IDENTIFIER"));
    entry_r->host = kept(host, sizeof host, field(journal, "_HOSTNAME"));
    entry_r->message = field(journal, "MESSAGE");
    return 1;
}

char *journal_cursor(struct journal *journal)
{
    char *cursor = NULL;

    return sd_journal_get_cursor(journal->handle, &cursor) >= 0 ? cursor : xstrdup("");
}

int journal_descriptor(struct journal *journal)
{
    return sd_journal_get_fd(journal->handle);
}

void journal_drain(struct journal *journal)
{
    sd_journal_process(journal->handle);
}

#else

struct journal {
    int unused;
};

struct journal *journal_open(const char *cursor, bool from_start, struct outcome *error_r)
{
    (void)cursor;
    (void)from_start;
    outcome_local(error_r, "4.3.5",
                  "log-path is 'journal', but this program was built without libsystemd: give a file");
    return NULL;
}

void journal_close(struct journal *journal)
{
    free(journal);
}

int journal_next(struct journal *journal, struct journal_entry *entry_r, struct outcome *error_r)
{
    (void)journal;
    (void)entry_r;
    outcome_local(error_r, "4.3.5", "no journal");
    return -1;
}

char *journal_cursor(struct journal *journal)
{
    (void)journal;
    return xstrdup("");
}

int journal_descriptor(struct journal *journal)
{
    (void)journal;
    return -1;
}

void journal_drain(struct journal *journal)
{
    (void)journal;
}

#endif

uint64_t journal_suppressed(const struct journal_entry *entry)
{
    static const char word[] = "Suppressed ";
    uint64_t number = 0;

    if (entry->tag.length != 16 || memcmp(entry->tag.at, "systemd-journald", 16) != 0 ||
        entry->message.length < sizeof word || memcmp(entry->message.at, word, sizeof word - 1) != 0)
        return 0;
    for (size_t at = sizeof word - 1; at < entry->message.length; at++) {
        char digit = entry->message.at[at];
        if (digit < '0' || digit > '9' || number > UINT64_MAX / 100)
            break;
        number = number * 10 + (uint64_t)(digit - '0');
    }
    return number;
}

bool journal_is_theirs(const struct journal_entry *entry, uid_t postfix, int64_t own)
{
    static const char tag[] = "postfix-sendpost/";

    if (entry->uid == 0)
        return true;
    if (entry->tag.length >= sizeof tag - 1 && memcmp(entry->tag.at, tag, sizeof tag - 1) == 0)
        return entry->uid >= 0 && entry->uid == own;
    return postfix != (uid_t)-1 && entry->uid == (int64_t)postfix;
}
