#include "config/config_yaml.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/nearest.h"
#include "base/xalloc.h"

#define KEYS_MAX 40 /* rows of one table */
#define PLACE_SIZE 256

/* --- messages -------------------------------------------------------------------------------- */

static void format_place(const struct config_place *place, char *buffer, size_t size)
{
    if (place == NULL)
        return;
    format_place(place->parent, buffer, size);
    size_t length = strlen(buffer);
    if (place->key == NULL)
        snprintf(buffer + length, size - length, "[%zu]", place->index);
    else
        snprintf(buffer + length, size - length, "%s%s", length > 0 ? "." : "", place->key);
}

bool config_fail(struct config_reader *reader, const struct config_place *place, const yaml_node_t *node,
                 const char *format, ...)
{
    char where[PLACE_SIZE] = "", what[OUTCOME_TEXT_SIZE], line[32] = "";
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    format_place(place, where, sizeof where);
    if (node != NULL)
        snprintf(line, sizeof line, ":%zu", node->start_mark.line + 1);
    outcome_local(reader->error, "4.3.5", "%s%s: %s%s%s", reader->path, line, where,
                  where[0] != '\0' ? ": " : "", what);
    return false;
}

/* --- file and document ----------------------------------------------------------------------- */

void config_note_source(struct config_reader *reader, const char *path, const struct stat *status)
{
    struct config_sources *sources = reader->sources;

    sources->items = xrealloc(sources->items, (sources->count + 1) * sizeof *sources->items);
    sources->items[sources->count++] =
        (struct config_source){.path = xstrdup(path), .stamp = file_stamp_from(status)};
}

static bool read_file(struct config_reader *reader, char **text_r, size_t *length_r)
{
    AUTO_CLOSE int file = open(reader->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    size_t length = 0;

    if (file < 0 && errno == ENOENT)
        return config_fail(
            reader, NULL, NULL,
            "the configuration file does not exist; sendpostctl setup writes one, or name it with -c FILE");
    if (file < 0 && errno == EACCES)
        return config_fail(reader, NULL, NULL,
                           "the configuration file cannot be read by uid %ld; chgrp it and its directory to "
                           "the group of that user and chmod g+r",
                           (long)geteuid());
    if (file < 0 || fstat(file, &status) != 0)
        return config_fail(reader, NULL, NULL, "cannot open the configuration file: %s", strerror(errno));
    if (S_ISDIR(status.st_mode))
        return config_fail(reader, NULL, NULL, "is a directory; name the file in it with -c FILE");
    if (!S_ISREG(status.st_mode))
        return config_fail(reader, NULL, NULL, "is not a regular file");
    if (status.st_size > CONFIG_FILE_MAX)
        return config_fail(reader, NULL, NULL, "is larger than 1 MB: this is no configuration file");
    reader->mode = status.st_mode & 07777;
    config_note_source(reader, reader->path, &status);

    char *text = xmalloc(CONFIG_FILE_MAX + 1);
    while (length <= CONFIG_FILE_MAX) {
        ssize_t got = read(file, text + length, CONFIG_FILE_MAX + 1 - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            config_fail(reader, NULL, NULL, "cannot read the configuration file: %s", strerror(errno));
            free(text);
            return false;
        }
        if (got == 0)
            break;
        length += (size_t)got;
    }
    *text_r = text;
    *length_r = length;
    return true;
}

static bool fail_syntax(struct config_reader *reader, const yaml_parser_t *parser)
{
    const char *problem = parser->problem != NULL ? parser->problem : "out of memory";
    const char *context = parser->context != NULL ? parser->context : "";
    /* libyaml's words never quote the file, so no secret can be in them */
    if (parser->error == YAML_READER_ERROR)
        outcome_local(reader->error, "4.3.5", "%s: not YAML: %s at byte %zu; the file must be UTF-8 text",
                      reader->path, problem, parser->problem_offset);
    else
        outcome_local(
            reader->error, "4.3.5",
            "%s:%zu: not YAML: %s%s%s (column %zu); look for a missing colon or quote and at the indentation",
            reader->path, parser->problem_mark.line + 1, problem, *context != '\0' ? ", " : "", context,
            parser->problem_mark.column + 1);
    return false;
}

static bool parse(struct config_reader *reader, yaml_parser_t *parser)
{
    yaml_document_t second;

    if (!yaml_parser_load(parser, &reader->document))
        return fail_syntax(reader, parser);
    bool ok = true;
    yaml_node_t *root = config_yaml_root(reader);
    if (root == NULL)
        ok = config_fail(reader, NULL, NULL, "is empty; start from config.yaml.example");
    else if (root->type != YAML_MAPPING_NODE)
        ok = config_fail(reader, NULL, root, "does not begin with a key; write \"account-id: …\" and so on");
    else if (!yaml_parser_load(parser, &second))
        ok = fail_syntax(reader, parser);
    else {
        yaml_node_t *more = yaml_document_get_root_node(&second);
        if (more != NULL)
            ok = config_fail(reader, NULL, more,
                             "a second document begins here; one file holds one (remove the ---)");
        yaml_document_delete(&second);
    }
    if (!ok)
        config_yaml_close(reader);
    return ok;
}

bool config_yaml_open(struct config_reader *reader, const char *path, struct config_sources *sources,
                      struct outcome *error)
{
    yaml_parser_t parser;
    char *text = NULL;
    size_t length = 0;

    *reader = (struct config_reader){.path = path, .sources = sources, .error = error};
    if (!read_file(reader, &text, &length))
        return false;
    bool ok = length > 0 || config_fail(reader, NULL, NULL, "is empty; start from config.yaml.example");
    if (ok && !yaml_parser_initialize(&parser))
        ok = config_fail(reader, NULL, NULL, "out of memory");
    else if (ok) {
        yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
        ok = parse(reader, &parser);
        explicit_bzero(parser.raw_buffer.start, (size_t)(parser.raw_buffer.end - parser.raw_buffer.start));
        explicit_bzero(parser.buffer.start, (size_t)(parser.buffer.end - parser.buffer.start));
        yaml_parser_delete(&parser);
    }
    explicit_bzero(text, length);
    free(text);
    return ok;
}

void config_yaml_close(struct config_reader *reader)
{
    for (yaml_node_t *node = reader->document.nodes.start; node < reader->document.nodes.top; node++)
        if (node->type == YAML_SCALAR_NODE)
            explicit_bzero(node->data.scalar.value, node->data.scalar.length);
    yaml_document_delete(&reader->document);
}

yaml_node_t *config_yaml_root(struct config_reader *reader)
{
    return yaml_document_get_root_node(&reader->document);
}

/* --- nodes ----------------------------------------------------------------------------------- */

static bool is_null(const yaml_node_t *node)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};

    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp((const char *)node->data.scalar.value, words[i]) == 0)
            return true;
    return false;
}

static bool fail_null(struct config_reader *reader, const struct config_place *place, const yaml_node_t *node)
{
    return config_fail(reader, place, node, "has no value; give one, or remove the key for its default");
}

const char *config_yaml_text(struct config_reader *reader, const struct config_place *place,
                             const yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE) {
        config_fail(reader, place, node, "is a %s where one value is wanted",
                    node->type == YAML_SEQUENCE_NODE ? "list" : "group of keys");
        return NULL;
    }
    if (is_null(node)) {
        fail_null(reader, place, node);
        return NULL;
    }
    const char *text = (const char *)node->data.scalar.value;
    for (size_t i = 0; i < node->data.scalar.length; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 127) {
            config_fail(reader, place, node, "contains a line end or another control character; remove it");
            return NULL;
        }
    return text;
}

const yaml_node_t *config_yaml_find(struct config_reader *reader, const yaml_node_t *mapping, const char *key)
{
    for (yaml_node_pair_t *pair = mapping->data.mapping.pairs.start; pair < mapping->data.mapping.pairs.top;
         pair++) {
        const yaml_node_t *name = yaml_document_get_node(&reader->document, pair->key);
        if (name->type == YAML_SCALAR_NODE && strcmp((const char *)name->data.scalar.value, key) == 0)
            return yaml_document_get_node(&reader->document, pair->value);
    }
    return NULL;
}

bool config_yaml_list(struct config_reader *reader, const struct config_place *place, const yaml_node_t *node,
                      size_t *count_r)
{
    if (is_null(node))
        return fail_null(reader, place, node);
    if (node->type != YAML_SEQUENCE_NODE)
        return config_fail(reader, place, node, "must be a list: [one, two], or a line \"- …\" for each");
    *count_r = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    if (*count_r > CONFIG_LIST_MAX)
        return config_fail(reader, place, node, "has more than %d entries", CONFIG_LIST_MAX);
    return true;
}

bool config_yaml_each(struct config_reader *reader, const struct config_place *place, const yaml_node_t *list,
                      config_read *read, const struct config_key *key, void *base, size_t size)
{
    const yaml_node_item_t *items = list->data.sequence.items.start;
    size_t count = (size_t)(list->data.sequence.items.top - items);

    for (size_t i = 0; i < count; i++) {
        const struct config_place entry = {.parent = place, .index = i};
        const yaml_node_t *item = yaml_document_get_node(&reader->document, items[i]);
        if (!read(reader, &entry, item, key, (char *)base + i * size))
            return false;
    }
    return true;
}

/* --- mappings -------------------------------------------------------------------------------- */

static const char *key_name(const void *context, size_t index)
{
    return ((const struct config_key *)context)[index].name;
}

/*
 * An unknown key is shown up to the first character that no key has: "password:hunter2" without a space is
 * one long key to YAML, and the rest of a secret that was not quoted can become a key without value.
 */
static bool fail_unknown(struct config_reader *reader, const struct config_place *place,
                         const yaml_node_t *key, const yaml_node_t *value, const struct config_key *keys)
{
    const char *text = key->type == YAML_SCALAR_NODE ? (const char *)key->data.scalar.value : "";
    char shown[40];
    size_t length = 0, count = 0;

    for (; (isalnum((unsigned char)*text) || strchr("-_", *text)) && *text != '\0'; text++)
        if (length < sizeof shown - 1)
            shown[length++] = *text;
    shown[length] = '\0';
    while (keys[count].name != NULL)
        count++;
    const char *nearest = nearest_name(shown, key_name, keys, count);
    if (nearest != NULL && strcmp(nearest, shown) == 0)
        return config_fail(reader, place, key, "\"%s\" must be followed by a colon and a space", shown);
    if (nearest == NULL && is_null(value))
        return config_fail(reader, place, key,
                           "unknown key without value; quote a value that contains a comma, brace or colon");
    const struct config_place below = {.parent = place, .key = length > 0 ? shown : "?"};
    if (nearest != NULL)
        return config_fail(reader, &below, key, "unknown key; did you mean \"%s\"?", nearest);
    return config_fail(reader, &below, key, "unknown key; postfix-sendpost.yaml(5) lists the known ones");
}

static bool collect(struct config_reader *reader, const struct config_place *place, const yaml_node_t *node,
                    const struct config_key *keys, const yaml_node_t *found[KEYS_MAX])
{
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
         pair++) {
        const yaml_node_t *key = yaml_document_get_node(&reader->document, pair->key);
        const yaml_node_t *value = yaml_document_get_node(&reader->document, pair->value);
        size_t row = 0;
        while (keys[row].name != NULL && (key->type != YAML_SCALAR_NODE ||
                                          strcmp(keys[row].name, (const char *)key->data.scalar.value) != 0))
            row++;
        if (keys[row].name == NULL || row >= KEYS_MAX)
            return fail_unknown(reader, place, key, value, keys);
        if (found[row] != NULL) {
            const struct config_place below = {.parent = place, .key = keys[row].name};
            return config_fail(reader, &below, key, "is given twice, first on line %zu; remove one",
                               found[row]->start_mark.line + 1);
        }
        found[row] = value;
    }
    return true;
}

static bool read_default_list(struct config_reader *reader, const struct config_place *place,
                              const struct config_key *key, void *field)
{
    struct config_reader other = *reader;
    yaml_parser_t parser;

    if (!yaml_parser_initialize(&parser))
        return config_fail(reader, place, NULL, "out of memory");
    yaml_parser_set_input_string(&parser, (const unsigned char *)key->default_text,
                                 strlen(key->default_text));
    bool loaded = yaml_parser_load(&parser, &other.document);
    bool read = loaded && key->read(&other, place, config_yaml_root(&other), key, field);
    if (loaded)
        yaml_document_delete(&other.document);
    yaml_parser_delete(&parser);
    return read;
}

/* As if it stood in the file. A value needs no parser, which would cost more than all the rest. */
static bool read_default(struct config_reader *reader, const struct config_place *place,
                         const struct config_key *key, void *field)
{
    yaml_node_t node = {.type = YAML_SCALAR_NODE,
                        .data.scalar = {.value = (yaml_char_t *)(uintptr_t)key->default_text,
                                        .length = strlen(key->default_text),
                                        .style = YAML_DOUBLE_QUOTED_SCALAR_STYLE}};

    if (*key->default_text == '[')
        return read_default_list(reader, place, key, field);
    if (*key->default_text == '{')
        node = (yaml_node_t){.type = YAML_MAPPING_NODE};
    return key->read(reader, place, &node, key, field);
}

static bool expect_mapping(struct config_reader *reader, const struct config_place *place,
                           const yaml_node_t *node)
{
    if (is_null(node))
        return fail_null(reader, place, node);
    return node->type == YAML_MAPPING_NODE ||
           config_fail(reader, place, node, "must be a group of keys: \"key: value\" lines below it");
}

bool config_yaml_pairs(struct config_reader *reader, const struct config_place *place,
                       const yaml_node_t *node, size_t *count_r)
{
    if (!expect_mapping(reader, place, node))
        return false;
    *count_r = (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
    return *count_r <= CONFIG_LIST_MAX ||
           config_fail(reader, place, node, "has more than %d entries", CONFIG_LIST_MAX);
}

void config_yaml_pair(struct config_reader *reader, const yaml_node_t *mapping, size_t index,
                      const yaml_node_t **key_r, const yaml_node_t **value_r)
{
    const yaml_node_pair_t *pair = &mapping->data.mapping.pairs.start[index];

    *key_r = yaml_document_get_node(&reader->document, pair->key);
    *value_r = yaml_document_get_node(&reader->document, pair->value);
}

bool config_yaml_mapping(struct config_reader *reader, const struct config_place *place,
                         const yaml_node_t *node, const struct config_key *keys, void *base)
{
    const yaml_node_t *found[KEYS_MAX] = {NULL};

    if (!expect_mapping(reader, place, node))
        return false;
    if (!collect(reader, place, node, keys, found))
        return false;
    for (size_t row = 0; keys[row].name != NULL; row++) {
        const struct config_place below = {.parent = place, .key = keys[row].name};
        if (found[row] == NULL && keys[row].needed != NULL)
            return config_fail(reader, &below, node, "is missing; give %s", keys[row].needed);
        void *field = (char *)base + keys[row].offset;
        if (found[row] != NULL && !keys[row].read(reader, &below, found[row], &keys[row], field))
            return false;
        if (found[row] == NULL && keys[row].default_text != NULL &&
            !read_default(reader, &below, &keys[row], field))
            return false;
    }
    return true;
}
