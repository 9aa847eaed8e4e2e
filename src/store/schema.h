/*
 * schema: the tables of state.db, as one list of migrations. PRAGMA user_version counts how many of them a
 * file has been through; store_open() runs the missing ones in one transaction.
 *
 * To add tables, append one string to the list in schema.c: that is the only place. A string that has been
 * released is never changed again. Migrations only add (tables, indexes, columns with a default): after a
 * package upgrade an agent of the old version works on the new file until it is restarted.
 */
#ifndef SENDPOST_STORE_SCHEMA_H
#define SENDPOST_STORE_SCHEMA_H

extern const char *const schema_migrations[];

/* The identity of an event, as event_row_identity() gives it, for rows that have none: SQL has no function
 * that reads hexadecimal digits. */
#define SCHEMA_DIGIT(text, at) "instr('123456789abcdef',substr(" text "," at ",1))"
#define SCHEMA_HEX_8(text, a, b, c, d, e, f, g, h)                                                                                    \
    "(((((((" SCHEMA_DIGIT(text, a) "*16+" SCHEMA_DIGIT(text, b) ")*16+" SCHEMA_DIGIT(                                                \
        text,                                                                                                                         \
        c) ")*16+" SCHEMA_DIGIT(text,                                                                                                 \
                                d) ")*16+" SCHEMA_DIGIT(text,                                                                         \
                                                        e) ")*16+" SCHEMA_DIGIT(text,                                                 \
                                                                                f) ")*16+" SCHEMA_DIGIT(text,                         \
                                                                                                        g) ")*16+" SCHEMA_DIGIT(text, \
                                                                                                                                h) ")"
#define SCHEMA_EVENT_IDENTITY                                                                 \
    "((" SCHEMA_HEX_8("message_id", "1", "2", "3", "4", "5", "6", "7", "8") "+" SCHEMA_HEX_8( \
        "message_id", "29", "30", "31", "32", "33", "34", "35",                               \
        "36") ") & 2147483647) << 32 | " SCHEMA_HEX_8("event_id", "1", "2", "3", "4", "5", "6", "7", "8")

/* How many there are: the user_version of an up-to-date file. */
extern const int schema_version;

#endif
