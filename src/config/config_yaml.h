/*
 * config_yaml: a YAML file as a document whose nodes know their line, and the walk through it along tables of
 * known keys. Inner header of the configuration reader; everybody else includes config/config.h.
 *
 * Every function that returns bool says false after it has filled the reader's outcome with the first error;
 * the caller only passes it on. A place is the path of keys to a value ("tpsps[0].port"), kept on the stack
 * of the walk and put into words only when something is wrong.
 *
 * Documents come from an administrator, not from strangers, yet they are bounded: 1 MB, no list above
 * CONFIG_LIST_MAX, and aliases are the same node again, never a copy, so that nothing grows by expansion.
 */
#ifndef SENDPOST_CONFIG_CONFIG_YAML_H
#define SENDPOST_CONFIG_CONFIG_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <yaml.h>

#include "base/outcome.h"
#include "config/config.h"

#define CONFIG_FILE_MAX (1u << 20)
#define CONFIG_LIST_MAX 1000 /* entries of one list */

struct config_reader {
    const char *path; /* as given; begins every message */
    struct config_sources *sources;
    yaml_document_t document;
    struct outcome *error;
    unsigned mode;              /* permission bits of the file */
    size_t inline_secret_line;  /* 0: the file itself holds no secret */
    bool credentials_elsewhere; /* a secret is a credential that this process was not given */
};

struct config_place {
    const struct config_place *parent; /* NULL: the top of the file */
    const char *key;                   /* NULL: an entry of a list */
    size_t index;
};

struct config_key;
/* From a value to the field that it fills, along the row of its key. */
typedef bool config_read(struct config_reader *reader, const struct config_place *place,
                         const yaml_node_t *node, const struct config_key *key, void *field);

/* One row of a table of known keys; a row without name ends the table. */
struct config_key {
    const char *name;
    config_read *read;
    size_t offset;      /* of the field in the struct that the table fills */
    int64_t min, max;   /* of numbers, in the field's unit */
    const void *detail; /* words of an enumeration, keys of a mapping below */
    const char *needed; /* the key must be there; says what it is for */
    /* read where the key is missing: one value, a list, or "{}" for the defaults of the keys below; NULL: the
       field stays as it is */
    const char *default_text;
};

/* Note what was read, as the open file's status says. */
void config_note_source(struct config_reader *reader, const char *path, const struct stat *status)
    __attribute__((nonnull));

/* Read and parse; the file is noted in sources. A file that cannot be had, is no YAML or holds no mapping is
 * an error. */
bool config_yaml_open(struct config_reader *reader, const char *path, struct config_sources *sources,
                      struct outcome *error) __attribute__((nonnull));
/* Overwrites every scalar, since any may be a secret. Only after config_yaml_open() said true. */
void config_yaml_close(struct config_reader *reader) __attribute__((nonnull));

yaml_node_t *config_yaml_root(struct config_reader *reader) __attribute__((nonnull));

/* "FILE:LINE: PLACE: …"; always false. node may be NULL: no line. */
bool config_fail(struct config_reader *reader, const struct config_place *place, const yaml_node_t *node,
                 const char *format, ...) __attribute__((nonnull(1, 4), format(printf, 4, 5)));

/* No value at all, or one of the words that YAML has for it. */
bool config_yaml_is_null(const yaml_node_t *node) __attribute__((nonnull));
/* The error that this is; always false. */
bool config_fail_null(struct config_reader *reader, const struct config_place *place, const yaml_node_t *node)
    __attribute__((nonnull(1, 3)));

/* The text of a scalar: no list or mapping, not null, without control characters. NULL on error. */
const char *config_yaml_text(struct config_reader *reader, const struct config_place *place,
                             const yaml_node_t *node) __attribute__((nonnull(1, 3)));

/* The value of a key, NULL when it is not there. */
const yaml_node_t *config_yaml_find(struct config_reader *reader, const yaml_node_t *mapping, const char *key)
    __attribute__((nonnull));

/* Entries of a list; false unless it is a list of at most CONFIG_LIST_MAX. */
bool config_yaml_list(struct config_reader *reader, const struct config_place *place, const yaml_node_t *node,
                      size_t *count_r) __attribute__((nonnull(1, 3, 4)));
/* Read each entry of what config_yaml_list() found to be a list, the i-th into base + i * size; with size 0
 * all of them into the same base. */
bool config_yaml_each(struct config_reader *reader, const struct config_place *place, const yaml_node_t *list,
                      config_read *read, const struct config_key *key, void *base, size_t size)
    __attribute__((nonnull(1, 3, 4)));

/* Keys and values of a mapping whose keys are no known ones; false unless it has at most CONFIG_LIST_MAX. */
bool config_yaml_pairs(struct config_reader *reader, const struct config_place *place,
                       const yaml_node_t *node, size_t *count_r) __attribute__((nonnull(1, 3, 4)));
void config_yaml_pair(struct config_reader *reader, const yaml_node_t *mapping, size_t index,
                      const yaml_node_t **key_r, const yaml_node_t **value_r) __attribute__((nonnull));

/*
 * Read every key of a mapping into base along the table, in the table's order, or its default: unknown and
 * repeated keys, and missing ones that are needed, are errors, a near known key is suggested.
 */
bool config_yaml_mapping(struct config_reader *reader, const struct config_place *place,
                         const yaml_node_t *node, const struct config_key *keys, void *base)
    __attribute__((nonnull(1, 3, 4, 5)));

#endif
