/* Rule sets from their files to their end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "classify/classify_rules.h"

#define FILE_MAX (1u << 20) /* bytes of a rule file */

/* One text of rules. */
struct source {
    const char *name;
    char *text;
    size_t length;
};

static void join_lines(struct source *source, const char *const lines[], size_t count)
{
    size_t size = 1;

    for (size_t i = 0; i < count; i++)
        size += strlen(lines[i]) + 1;
    char *end = source->text = xmalloc(size);
    for (size_t i = 0; i < count; i++) {
        end = stpcpy(end, lines[i]);
        *end++ = '\n';
    }
    source->length = (size_t)(end - source->text);
}

/* Empty when there is no such file. */
static bool read_file(struct source *source, struct outcome *error_r)
{
    AUTO_FCLOSE FILE *stream = fopen(source->name, "re");

    if (stream == NULL && errno == ENOENT)
        return true;
    if (stream == NULL) {
        outcome_local(error_r, "4.3.5", "%s: %s; make it readable or remove it", source->name,
                      strerrordesc_np(errno));
        return false;
    }
    source->text = xmalloc(FILE_MAX + 1);
    source->length = fread(source->text, 1, FILE_MAX + 1, stream);
    if (ferror(stream)) {
        outcome_local(error_r, "4.3.5", "%s: %s; make it readable or remove it", source->name,
                      strerrordesc_np(errno));
        return false;
    }
    if (source->length > FILE_MAX) {
        outcome_local(error_r, "4.3.5", "%s: larger than 1 MB; leave out what you do not need", source->name);
        return false;
    }
    return true;
}

/* Their definitions before the rules of the first. */
static bool read_sources(struct classify_rules *rules, const struct source *sources, size_t count,
                         struct outcome *error_r)
{
    bool ok = true;

    for (size_t i = 0; i < count && ok; i++)
        ok = sources[i].text == NULL ||
             classify_rules_define(rules, sources[i].name, sources[i].text, sources[i].length, error_r);
    for (size_t i = 0; i < count && ok; i++)
        ok = sources[i].text == NULL ||
             classify_rules_read(rules, sources[i].name, sources[i].text, sources[i].length, error_r);
    return ok && classify_rules_finish(rules, error_r);
}

struct classify_rules *classify_load(const struct classify_kind *kind, const char *path,
                                     const char *const lines[], size_t count, struct outcome *error_r)
{
    struct classify_rules *rules = xcalloc(1, sizeof *rules);
    struct source sources[2] = {{.name = CLASSIFY_BUILTIN}, {.name = CLASSIFY_BUILTIN}};

    rules->kind = kind;
    if (path != NULL)
        sources[0].name = rules->path = xstrdup(path);
    join_lines(&sources[1], lines, count);
    bool ok = (path == NULL || read_file(&sources[0], error_r)) && read_sources(rules, sources, 2, error_r);
    free(sources[0].text);
    free(sources[1].text);
    if (ok)
        return rules;
    classify_close(rules);
    return NULL;
}

struct classify_rules *classify_compile(const char *name, const char *const lines[], size_t count,
                                        struct outcome *error_r)
{
    struct classify_rules *rules = xcalloc(1, sizeof *rules);
    struct source source = {.name = name};

    rules->kind = &classify_kind_hardness;
    join_lines(&source, lines, count);
    bool ok = read_sources(rules, &source, 1, error_r);
    free(source.text);
    if (ok)
        return rules;
    classify_close(rules);
    return NULL;
}

struct classify_rules *classify_join(const struct classify_kind *kind, const char *name, const char *text,
                                     size_t length, const char *const lines[], size_t count,
                                     struct outcome *error_r)
{
    struct classify_rules *rules = xcalloc(1, sizeof *rules);
    struct source sources[2] = {{.name = name, .text = xmalloc(length + 1), .length = length},
                                {.name = CLASSIFY_BUILTIN}};

    rules->kind = kind;
    memcpy(sources[0].text, text, length);
    join_lines(&sources[1], lines, count);
    bool ok = read_sources(rules, sources, 2, error_r);
    free(sources[0].text);
    free(sources[1].text);
    if (ok)
        return rules;
    classify_close(rules);
    return NULL;
}

char *classify_file(const char *config_path, const char *name)
{
    const char *slash = strrchr(config_path, '/');

    return xasprintf("%.*s%s", slash != NULL ? (int)(slash + 1 - config_path) : 0, config_path, name);
}

static void free_list(char **items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(items[i]);
    free(items);
}

void classify_close(struct classify_rules *rules)
{
    if (rules == NULL)
        return;
    for (size_t i = 0; i < rules->section_count; i++) {
        free(rules->sections[i].reason);
        free(rules->sections[i].written);
    }
    for (size_t i = 0; i < rules->rule_count; i++)
        free(rules->rules[i].written);
    for (size_t i = 0; i < rules->group_count; i++) {
        free(rules->groups[i].name);
        free_list(rules->groups[i].words, rules->groups[i].count);
    }
    for (size_t i = 0; i < rules->service_count; i++) {
        free(rules->services[i].name);
        free_list(rules->services[i].domains, rules->services[i].count);
    }
    free_list(rules->shared, rules->shared_count);
    automaton_free(rules->automaton);
    free(rules->groups);
    free(rules->services);
    free(rules->sections);
    free(rules->rules);
    free(rules->fragments);
    free(rules->words);
    free(rules->compound);
    free(rules->path);
    free(rules);
}
