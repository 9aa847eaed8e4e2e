/* header_field: where a field of a header section begins and ends, what it is called and says (RFC 5322
 * section 2.2). */
#ifndef SENDPOST_DELIVERY_HEADER_FIELD_H
#define SENDPOST_DELIVERY_HEADER_FIELD_H

#include <stdbool.h>
#include <stddef.h>

/* Whether a line may stand in a header section at this place. An mbox separator is let pass at the very top.
 */
bool header_field_belongs(const char *line, size_t length, bool first) __attribute__((nonnull));

/* End of the field that begins at offset: continuation lines included. */
size_t header_field_end(const char *header, size_t length, size_t offset) __attribute__((nonnull));

/* Whether the field has that name, in any case of letters. */
bool header_field_is(const char *field, size_t length, const char *name) __attribute__((nonnull));

/* What stands behind the colon of a field, unfolded and without blanks around it; the caller frees it. */
char *header_field_value(const char *field, size_t length) __attribute__((nonnull, returns_nonnull));

#endif
