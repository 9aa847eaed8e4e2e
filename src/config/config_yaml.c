#include "config/config_yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xalloc.h"

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

bool config_yaml_is_null(const yaml_node_t *node)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};

    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp((const char *)node->data.scalar.value, words[i]) == 0)
            return true;
    return false;
}

bool config_fail_null(struct config_reader *reader, const struct config_place *place, const yaml_node_t *node)
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
    if (config_yaml_is_null(node)) {
        config_fail_null(reader, place, node);
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
    if (config_yaml_is_null(node))
        return config_fail_null(reader, place, node);
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
