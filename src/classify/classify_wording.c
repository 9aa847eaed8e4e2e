/* The words of a rule: parts, pieces between '*', groups; and the definitions of groups and services. */
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "classify/classify_reader.h"

#define EXPANSIONS_MAX 4096 /* ways to say one piece */

/* Where one part of a wording goes. */
struct part {
    struct classify_reader *reader;
    uint32_t rule;
    uint16_t shared;
};

/* Chinese, Japanese, Korean and Thai put no spaces around words, or stick endings to them. */
static bool is_unspaced(const char *text)
{
    unsigned char first = (unsigned char)text[0];

    return (first >= 0xe3 && first <= 0xed) || (first == 0xe0 && ((unsigned char)text[1] & 0xfe) == 0xb8);
}

/* The last character of text[0 .. length - 1]. */
static bool ends_unspaced(const char *text, size_t length)
{
    return length >= 3 && is_unspaced(text + length - 3);
}

/* "<recipient>" and its like become the words that stand for them. */
static char *with_tokens(const char *text, size_t length)
{
    static const struct {
        const char *name;
        char token;
    } tokens[] = {{"<recipient>", CLASSIFY_RECIPIENT}, {"<sender>", CLASSIFY_SENDER}, {"<ip>", CLASSIFY_IP}};
    char *copy = xstrndup(text, length);

    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++)
        for (char *at = copy; (at = strstr(at, tokens[i].name)) != NULL;) {
            memset(at, ' ', strlen(tokens[i].name));
            *at = tokens[i].token;
        }
    return copy;
}

static uint32_t keep_words(struct classify_rules *rules, const char *words, size_t length)
{
    if (rules->words_size < rules->words_length + length) {
        rules->words_size = (rules->words_length + length) * 2;
        rules->words = xrealloc(rules->words, rules->words_size);
    }
    memcpy(rules->words + rules->words_length, words, length);
    rules->words_length += length;
    return (uint32_t)(rules->words_length - length);
}

/* One way to say one piece of a part. */
static bool read_fragment(struct part *part, const char *piece, size_t length, struct classify_fragment shape)
{
    struct classify_rules *rules = part->reader->rules;
    AUTO_FREE char *tokens = memchr(piece, '<', length) != NULL ? with_tokens(piece, length) : NULL;
    struct classify_words *words = &part->reader->words;
    size_t begin = 0, end;

    classify_words(words, tokens != NULL ? tokens : piece, length);
    if (words->length < 3)
        return classify_reader_fail(part->reader, "there are no words beside a '*'");
    if (words->smtp_code != 0 || words->status.class != 0)
        return classify_reader_fail(part->reader,
                                    "a code is no word: write {code=550} or {status=5.1.1} in front");
    end = words->length;
    /* beside a '*' that touches the word, the word may go on */
    if ((!shape.first && piece[0] != ' ') || is_unspaced(words->text + 1))
        begin = 1;
    if ((!shape.last && piece[length - 1] != ' ') || ends_unspaced(words->text, end - 1))
        end--;
    shape.at = keep_words(rules, words->text + begin, end - begin);
    shape.length = (uint32_t)(end - begin);
    shape.rule = part->rule;
    shape.shared = part->shared;
    rules->fragments = classify_grow(rules->fragments, rules->fragment_count, sizeof *rules->fragments);
    rules->fragments[rules->fragment_count++] = shape;
    return true;
}

static const struct classify_group *find_group(const struct classify_rules *rules, const char *name,
                                               size_t length)
{
    for (size_t i = 0; i < rules->group_count; i++)
        if (strlen(rules->groups[i].name) == length && memcmp(rules->groups[i].name, name, length) == 0)
            return &rules->groups[i];
    return NULL;
}

static bool take_slot(struct part *part, struct classify_fragment *shape)
{
    struct classify_rules *rules = part->reader->rules;

    if (rules->slot_count >= CLASSIFY_GAPPED_MAX)
        return classify_reader_fail(part->reader, "too many wordings with a '*'");
    shape->slot = (uint16_t)rules->slot_count++;
    return true;
}

/* A piece without groups; a '*' at its end opens its last word. */
static bool read_plain_piece(struct part *part, const char *piece, size_t length,
                             struct classify_fragment shape)
{
    struct classify_rules *rules = part->reader->rules;
    bool open = length > 0 && piece[length - 1] == '*';

    if (!read_fragment(part, piece, length - (open ? 1 : 0), shape))
        return false;
    struct classify_fragment *last = &rules->fragments[rules->fragment_count - 1];
    if (open && rules->words[last->at + last->length - 1] == ' ')
        last->length--;
    return true;
}

/* Words that a group brought along may have gaps of their own, where they are all there is. */
static bool read_plain(struct part *part, const char *text, size_t length, struct classify_fragment shape)
{
    bool whole = shape.first && shape.last;
    size_t at = 0;

    if (memchr(text, '*', length > 0 ? length - 1 : 0) == NULL)
        return read_plain_piece(part, text, length, shape);
    if (!whole)
        return classify_reader_fail(
            part->reader,
            "a word of a group may hold a '*' only at its end where other words stand beside it");
    do {
        const char *star = memchr(text + at, '*', length - at);
        size_t end = star ? (size_t)(star - text) : length;
        bool opens = star != NULL && end + 1 == length;
        struct classify_fragment piece = {.first = at == 0, .last = end == length || opens};

        if (!take_slot(part, &piece) || !read_plain_piece(part, text + at, end + (opens ? 1 : 0) - at, piece))
            return false;
        at = end + 1;
    } while (at < length);
    return true;
}

/* Each way to say a piece: the first group in it is replaced by each of its words, then the rest is looked
 * at. */
static bool expand_piece(struct part *part, const char *piece, size_t length, struct classify_fragment shape,
                         size_t *left)
{
    const char *open = memchr(piece, '(', length);
    const char *close = open ? memchr(open, ')', length - (size_t)(open - piece)) : NULL;
    const struct classify_group *group;

    if (close == NULL) {
        if ((*left)-- == 0)
            return classify_reader_fail(part->reader, "the groups give too many combinations");
        return read_plain(part, piece, length, shape);
    }
    group = find_group(part->reader->rules, open + 1, (size_t)(close - open) - 1);
    if (group == NULL)
        return classify_reader_fail(part->reader, "no group has the name in the brackets");
    for (size_t i = 0; i < group->count; i++) {
        size_t before = (size_t)(open - piece), middle = strlen(group->words[i]),
               behind = length - (size_t)(close + 1 - piece);
        AUTO_FREE char *said = xmalloc(before + middle + behind + 1);

        memcpy(said, piece, before);
        memcpy(said + before, group->words[i], middle);
        memcpy(said + before + middle, close + 1, behind);
        said[before + middle + behind] = '\0';
        if (before + middle + behind > CLASSIFY_TEXT_MAX ||
            !expand_piece(part, said, before + middle + behind, shape, left))
            return false;
    }
    return true;
}

static bool read_part(struct part *part, const char *text, size_t length)
{
    bool gapped = memchr(text, '*', length) != NULL;
    size_t at = 0;

    do {
        const char *star = memchr(text + at, '*', length - at);
        size_t end = star ? (size_t)(star - text) : length;
        bool opens = star != NULL && end + 1 == length; /* a '*' at the very end only opens the last word */
        struct classify_fragment shape = {.first = at == 0, .last = end == length || opens};
        size_t left = EXPANSIONS_MAX;

        if (gapped && !take_slot(part, &shape))
            return false;
        if (!expand_piece(part, text + at, end + (opens ? 1 : 0) - at, shape, &left))
            return false;
        at = end + 1;
    } while (at < length);
    return true;
}

static void trim(const char **text, size_t *length)
{
    while (*length > 0 && strchr(" \t", (*text)[0]) != NULL) {
        (*text)++;
        (*length)--;
    }
    while (*length > 0 && strchr(" \t", (*text)[*length - 1]) != NULL)
        (*length)--;
}

/* A part that stands beside others; the same words in another rule are the same part. */
static bool share_part(struct classify_reader *reader, const char *text, size_t length, uint16_t *shared_r)
{
    struct classify_rules *rules = reader->rules;
    struct part part = {.reader = reader, .rule = CLASSIFY_SHARED, .shared = (uint16_t)rules->shared_count};

    for (size_t i = 0; i < rules->shared_count; i++)
        if (strlen(rules->shared[i]) == length && memcmp(rules->shared[i], text, length) == 0) {
            *shared_r = (uint16_t)i;
            return true;
        }
    if (rules->shared_count == CLASSIFY_SHARED_MAX)
        return classify_reader_fail(reader, "too many different parts joined by '&'");
    if (!read_part(&part, text, length))
        return false;
    rules->shared = classify_grow(rules->shared, rules->shared_count, sizeof *rules->shared);
    rules->shared[rules->shared_count] = xstrndup(text, length);
    *shared_r = (uint16_t)rules->shared_count++;
    return true;
}

bool classify_read_wording(struct classify_reader *reader, struct classify_rule *rule, const char *text,
                           size_t length)
{
    struct part alone = {.reader = reader, .rule = (uint32_t)reader->rules->rule_count};
    size_t at = 0;

    if (length > CLASSIFY_TEXT_MAX)
        return classify_reader_fail(reader, "the line is too long");
    if (length > 0 && text[0] != '!' && memchr(text, '&', length) == NULL)
        return read_part(&alone, text, length);
    if (length == 0)
        return true;
    while (at <= length) {
        const char *and = memchr(text + at, '&', length - at), *begin = text + at;
        size_t end = and? (size_t)(and-text) : length, size = end - at;
        struct classify_part *part = &rule->parts[rule->part_count];

        at = end + 1;
        trim(&begin, &size);
        if (rule->part_count == CLASSIFY_PARTS_MAX)
            return classify_reader_fail(reader, "more than 8 parts are joined by '&'");
        part->absent = size > 0 && begin[0] == '!';
        if (part->absent) {
            begin++;
            size--;
            trim(&begin, &size);
        }
        if (size == 0)
            return classify_reader_fail(reader, "there are no words beside a '&' or '!'");
        if (!share_part(reader, begin, size, &part->shared))
            return false;
        rule->part_count++;
    }
    return true;
}

/* --- definitions --------------------------------------------------------------------------------- */

static struct classify_service *service_named(struct classify_rules *rules, const char *name, size_t length)
{
    for (size_t i = 0; i < rules->service_count; i++)
        if (strlen(rules->services[i].name) == length && memcmp(rules->services[i].name, name, length) == 0)
            return &rules->services[i];
    if (rules->service_count == CLASSIFY_SERVICES_MAX)
        return NULL;
    rules->services = classify_grow(rules->services, rules->service_count, sizeof *rules->services);
    rules->services[rules->service_count] = (struct classify_service){.name = xstrndup(name, length)};
    return &rules->services[rules->service_count++];
}

uint64_t classify_service_bit(struct classify_rules *rules, const char *name, size_t length)
{
    struct classify_service *service = service_named(rules, name, length);

    return service != NULL ? UINT64_C(1) << (service - rules->services) : 0;
}

static bool name_is_plain(const char *name, size_t length)
{
    return length > 0 && length <= 40 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") >= length;
}

/* The items of a list, appended to *items. */
static bool read_list(const char *list, size_t length, char separator, char ***items, size_t *count)
{
    size_t at = 0;

    while (at <= length) {
        const char *mark = memchr(list + at, separator, length - at), *begin = list + at;
        size_t end = mark ? (size_t)(mark - list) : length, size = end - at;

        at = end + 1;
        trim(&begin, &size);
        if (size == 0)
            return false;
        *items = classify_grow(*items, *count, sizeof **items);
        (*items)[(*count)++] = xstrndup(begin, size);
    }
    return true;
}

static bool define_group(struct classify_reader *reader, const char *name, size_t name_length,
                         const char *list, size_t length)
{
    struct classify_rules *rules = reader->rules;
    struct classify_group *group = (struct classify_group *)find_group(rules, name, name_length);

    if (group == NULL) {
        rules->groups = classify_grow(rules->groups, rules->group_count, sizeof *rules->groups);
        group = &rules->groups[rules->group_count++];
        *group = (struct classify_group){.name = xstrndup(name, name_length)};
    }
    if (memchr(list, '(', length) != NULL)
        return classify_reader_fail(reader, "a group holds words, not other groups");
    return read_list(list, length, '|', &group->words, &group->count) ||
           classify_reader_fail(reader, "a group is (name) = word | words | …");
}

/* "(name) =" or "@name =" */
bool classify_is_definition(const char *line)
{
    const char *equals = strchr(line, '='), *close = line[0] == '(' ? strchr(line, ')') : NULL;

    if (equals == NULL || (close == NULL && line[0] != '@'))
        return false;
    return close == NULL || (close < equals && strspn(close + 1, " \t") == (size_t)(equals - close) - 1);
}

bool classify_read_definition(struct classify_reader *reader, const char *line, size_t length)
{
    size_t list = strcspn(line, "=") + 1, name = strcspn(line + 1, ") \t=");

    if (!name_is_plain(line + 1, name))
        return classify_reader_fail(reader, "a name is of lower-case letters, digits and '-'");
    if (line[0] == '(')
        return define_group(reader, line + 1, name, line + list, length - list);

    struct classify_service *service = service_named(reader->rules, line + 1, name);
    return (service != NULL &&
            read_list(line + list, length - list, ',', &service->domains, &service->count)) ||
           classify_reader_fail(reader, "a service is @name = domain, domain, …, at most 64 of them");
}
