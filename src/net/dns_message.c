#include "net/dns_message.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <ctype.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/xalloc.h"

#define RECORDS_MAX 1000 /* records of one type that we keep; a 64 kB answer has room for more */

struct cursor {
    const unsigned char *packet;
    size_t length;
    size_t at;
    bool failed; /* sticky: something reached behind the end, or was malformed */
};

struct record {
    char *owner;
    unsigned type, class;
    uint32_t ttl;
    size_t data_at, data_length;
};

static uint32_t read_bytes(struct cursor *cursor, size_t count)
{
    uint32_t value = 0;

    if (cursor->failed || cursor->length - cursor->at < count) {
        cursor->failed = true;
        return 0;
    }
    while (count-- > 0)
        value = value << 8 | cursor->packet[cursor->at++];
    return value;
}

/* The name at the cursor, lower case, without the final dot; NULL when it is malformed. */
static char *read_name(struct cursor *cursor)
{
    char *expanded = NULL, *name;
    long consumed = 0;

    if (cursor->failed || cursor->at >= cursor->length ||
        ares_expand_name(cursor->packet + cursor->at, cursor->packet, (int)cursor->length, &expanded,
                         &consumed) != ARES_SUCCESS) {
        cursor->failed = true;
        return NULL;
    }
    cursor->at += (size_t)consumed;
    name = xstrdup(expanded);
    ares_free_string(expanded);
    for (char *c = name; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    return name;
}

/* The owner is the caller's when this succeeds. */
static bool read_record(struct cursor *cursor, struct record *record_r)
{
    *record_r = (struct record){.owner = read_name(cursor)};
    record_r->type = read_bytes(cursor, 2);
    record_r->class = read_bytes(cursor, 2);
    record_r->ttl = read_bytes(cursor, 4);
    if (record_r->ttl > INT32_MAX) /* RFC 2181 section 8 */
        record_r->ttl = 0;
    record_r->data_length = read_bytes(cursor, 2);
    record_r->data_at = cursor->at;
    if (cursor->failed || cursor->length - cursor->at < record_r->data_length)
        cursor->failed = true;
    else
        cursor->at += record_r->data_length;
    if (cursor->failed)
        free(record_r->owner);
    return !cursor->failed;
}

static void keep(const struct cursor *cursor, const struct record *record, struct dns_answer *answer)
{
    struct cursor data = {cursor->packet, cursor->length, record->data_at, false};
    struct dns_mx kept = {0};

    if (record->type == ns_t_mx)
        kept.preference = (uint16_t)read_bytes(&data, 2);
    kept.host = read_name(&data);
    if (kept.host == NULL || answer->count >= RECORDS_MAX) {
        free(kept.host);
        return;
    }
    answer->records = xrealloc(answer->records, (answer->count + 1) * sizeof *answer->records);
    answer->records[answer->count++] = kept;
}

/*
 * Answer section. The owner must be the name, or the end of the CNAME chain that begins there: what a server
 * says of other names is none of our business. Servers give the chain in order (RFC 1034 section 4.3.2).
 */
static void read_answers(struct cursor *cursor, unsigned count, const char *name, unsigned type,
                         struct dns_answer *answer)
{
    char *owner AUTO_FREE = xstrdup(name);
    struct record record;

    if (*owner != '\0' && owner[strlen(owner) - 1] == '.')
        owner[strlen(owner) - 1] = '\0';
    answer->ttl = UINT32_MAX;
    while (count-- > 0 && read_record(cursor, &record)) {
        bool ours = record.class == ns_c_in && strcasecmp(record.owner, owner) == 0;
        bool wanted = ours && record.type == type && !(type == ns_t_cname && answer->count > 0);
        if (ours && (record.type == type || record.type == ns_t_cname) && record.ttl < answer->ttl)
            answer->ttl = record.ttl;
        if (wanted) {
            keep(cursor, &record, answer);
        } else if (ours && record.type == ns_t_cname) {
            struct cursor data = {cursor->packet, cursor->length, record.data_at, false};
            char *target = read_name(&data);
            if (target != NULL) {
                free(owner);
                owner = target;
            }
        }
        free(record.owner);
    }
}

/* Authority section: the SOA of a negative answer (RFC 2308), or the NS records of a referral. */
static void read_authority(struct cursor *cursor, unsigned count, bool *soa_r, bool *referral_r,
                           uint32_t *ttl_r)
{
    struct record record;

    *soa_r = *referral_r = false;
    *ttl_r = 0;
    while (count-- > 0 && read_record(cursor, &record)) {
        if (record.type == ns_t_soa && record.data_length >= 4) {
            struct cursor minimum = {cursor->packet, cursor->length, record.data_at + record.data_length - 4,
                                     false};
            uint32_t ttl = read_bytes(&minimum, 4);
            *soa_r = true;
            *ttl_r = ttl < record.ttl ? ttl : record.ttl;
        } else if (record.type == ns_t_ns) {
            *referral_r = true;
        }
        free(record.owner);
    }
}

static int by_preference(const void *left, const void *right)
{
    const struct dns_mx *a = left, *b = right;

    return a->preference != b->preference ? (a->preference < b->preference ? -1 : 1)
                                          : strcmp(a->host, b->host);
}

static enum dns_result judge_empty(struct cursor *cursor, unsigned authority_count, unsigned flags,
                                   struct dns_answer *answer)
{
    bool authoritative = flags & 0x0400, recursive = flags & 0x0080,
         nxdomain = (flags & 0xf) == ns_r_nxdomain;
    bool soa, referral;

    read_authority(cursor, authority_count, &soa, &referral, &answer->ttl);
    if (cursor->failed)
        answer->reason = "malformed answer";
    else if (!nxdomain && (flags & 0xf) != ns_r_noerror)
        answer->reason = "an error of the DNS server";
    else if (!authoritative && !recursive)
        answer->reason = "lame answer: the server has no authority and does not recurse";
    else if (!nxdomain && !authoritative && referral && !soa)
        answer->reason = "lame answer: a referral";
    else {
        answer->reason = nxdomain ? "NXDOMAIN" : "no such record";
        return DNS_NOT_FOUND;
    }
    answer->ttl = 0;
    return DNS_TROUBLE;
}

enum dns_result dns_message_parse(const unsigned char *packet, size_t length, const char *name, int type,
                                  struct dns_answer *answer_r)
{
    struct cursor cursor = {packet, length, 0, length > INT_MAX};
    unsigned flags, questions, answers, authorities;

    *answer_r = (struct dns_answer){.reason = ""};
    read_bytes(&cursor, 2); /* id */
    flags = read_bytes(&cursor, 2);
    questions = read_bytes(&cursor, 2);
    answers = read_bytes(&cursor, 2);
    authorities = read_bytes(&cursor, 2);
    read_bytes(&cursor, 2);
    while (questions-- > 0 && !cursor.failed) {
        free(read_name(&cursor));
        read_bytes(&cursor, 4);
    }
    read_answers(&cursor, answers, name, (unsigned)type, answer_r);
    if (!cursor.failed && answer_r->count > 0) {
        qsort(answer_r->records, answer_r->count, sizeof *answer_r->records, by_preference);
        return DNS_OK;
    }
    dns_mx_free(answer_r->records, answer_r->count);
    answer_r->records = NULL;
    answer_r->count = 0;
    return judge_empty(&cursor, authorities, flags, answer_r);
}
