/*
 * schema: the tables of state.db, which stand in schema.sql. store_open() runs it on an empty file, in one
 * transaction that also sets the file's version (PRAGMA user_version).
 */
#ifndef SENDPOST_STORE_SCHEMA_H
#define SENDPOST_STORE_SCHEMA_H

#define SCHEMA_VERSION 1

extern const char store_schema[];

#endif
