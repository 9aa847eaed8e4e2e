/* The walk through a mapping along a table of known keys, with their defaults: config_yaml.h. */
#include <ctype.h>
#include <string.h>

#include "base/nearest.h"
#include "config/config_yaml.h"

#define KEYS_MAX 40 /* rows of one table */

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
    if (nearest == NULL && config_yaml_is_null(value))
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
    if (config_yaml_is_null(node))
        return config_fail_null(reader, place, node);
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
