/* What classify_rules.c, classify_condition.c and classify_wording.c, the parts of the rule reader, share. */
#ifndef SENDPOST_CLASSIFY_CLASSIFY_READER_H
#define SENDPOST_CLASSIFY_CLASSIFY_READER_H

#include "classify/classify_rules.h"

/* Where we are in a rule file: for messages, and to know the section that a line belongs to. */
struct classify_reader {
    struct classify_rules *rules;
    const char *file;
    size_t line;
    bool in_section;
    bool skip; /* the section is switched off */
    struct outcome *error;
    struct classify_words words; /* of the piece that is being read */
};

/* Sets the error to "file:line: what". Always false. */
bool classify_reader_fail(struct classify_reader *reader, const char *what) __attribute__((nonnull));

/* Make room for one more item; sizes double at powers of two. */
void *classify_grow(void *items, size_t count, size_t size);

/* "{code=550,551 status=5.1.* stage=rcpt}" at the start of line; *used_r bytes of it, 0 when there is none.
 */
bool classify_read_condition(struct classify_reader *reader, struct classify_condition *condition,
                             const char *line, size_t length, size_t *used_r) __attribute__((nonnull));

/* The words of rule, which will be number rules->rule_count; empty: none. */
bool classify_read_wording(struct classify_reader *reader, struct classify_rule *rule, const char *text,
                           size_t length) __attribute__((nonnull));

/* "(name) = word | words" and "@service = domain, domain". line ends with NUL. */
bool classify_is_definition(const char *line) __attribute__((nonnull));
bool classify_read_definition(struct classify_reader *reader, const char *line, size_t length)
    __attribute__((nonnull));

/* The bit of the service of this name; made where it is new. 0: too many. */
uint64_t classify_service_bit(struct classify_rules *rules, const char *name, size_t length)
    __attribute__((nonnull));

#endif
