/* The braces of a rule: what they ask for, and whether it is so. */
#include <string.h>

#include "base/provider_category.h"
#include "classify/classify_reader.h"

/* "550", "5xx" */
static bool read_code(struct classify_reader *reader, struct classify_condition *condition, const char *item,
                      size_t length)
{
    (void)reader;
    if (length != 3 || strchr("245", item[0]) == NULL || condition->code_count == CLASSIFY_CONDITION_MAX)
        return false;
    for (size_t i = 1; i < 3; i++)
        if (item[i] != 'x' && (item[i] < '0' || item[i] > '9'))
            return false;
    memcpy(condition->codes[condition->code_count++], item, 3);
    return true;
}

/* "5.1.1", "*.2.*", "none" */
static bool read_status(struct classify_reader *reader, struct classify_condition *condition,
                        const char *item, size_t length)
{
    unsigned short part[3] = {CLASSIFY_NONE, CLASSIFY_ANY, CLASSIFY_ANY};
    bool none = length == 4 && memcmp(item, "none", 4) == 0;
    size_t at = none ? length : 0;

    (void)reader;
    for (size_t i = 0; i < 3 && !none; i++) {
        size_t begin = at;
        unsigned value = 0;

        if (i > 0 && (at >= length || item[at++] != '.'))
            return false;
        begin = at;
        if (at < length && item[at] == '*') {
            at++;
            value = CLASSIFY_ANY;
        } else {
            for (; at < length && at - begin < 3 && item[at] >= '0' && item[at] <= '9'; at++)
                value = value * 10 + (unsigned)(item[at] - '0');
        }
        if (at == begin)
            return false;
        part[i] = (unsigned short)value;
    }
    if (at != length || condition->status_count == CLASSIFY_CONDITION_MAX)
        return false;
    condition->statuses[condition->status_count].class = part[0];
    condition->statuses[condition->status_count].subject = part[1];
    condition->statuses[condition->status_count++].detail = part[2];
    return true;
}

static bool read_stage(struct classify_reader *reader, struct classify_condition *condition, const char *item,
                       size_t length)
{
    const char *const *stages = reader->rules->kind->stages;

    for (size_t i = 0; stages[i] != NULL; i++)
        if (strlen(stages[i]) == length && memcmp(stages[i], item, length) == 0) {
            condition->stages |= UINT32_C(1) << i;
            return true;
        }
    return false;
}

static bool read_login(struct classify_reader *reader, struct classify_condition *condition, const char *item,
                       size_t length)
{
    (void)reader;
    if (length == 3 && memcmp(item, "yes", 3) == 0)
        condition->login = 1;
    else if (length == 2 && memcmp(item, "no", 2) == 0)
        condition->login = -1;
    else
        return false;
    return true;
}

static bool read_service(struct classify_reader *reader, struct classify_condition *condition,
                         const char *item, size_t length)
{
    uint64_t bit = length > 0 ? classify_service_bit(reader->rules, item, length) : 0;

    condition->services |= bit;
    return bit != 0;
}

static bool read_provider(struct classify_reader *reader, struct classify_condition *condition,
                          const char *item, size_t length)
{
    enum provider_category category;
    char name[32] = "";

    (void)reader;
    if (length >= sizeof name)
        return false;
    memcpy(name, item, length);
    if (!provider_category_by_name(name, &category))
        return false;
    condition->providers |= UINT64_C(1) << category;
    return true;
}

static const struct term {
    const char *name;
    bool (*read)(struct classify_reader *reader, struct classify_condition *condition, const char *item,
                 size_t length);
    bool of_replies; /* only where rules know stages */
} terms[] = {
    {"code=", read_code, false},    {"status=", read_status, false}, {"stage=", read_stage, true},
    {"from=", read_service, false}, {"login=", read_login, true},    {"provider=", read_provider, true},
};

/* One "key=item,item" inside the braces. */
static bool read_term(struct classify_reader *reader, struct classify_condition *condition, const char *text,
                      size_t length)
{
    const struct term *term = terms;
    size_t at;

    while (term < terms + sizeof terms / sizeof terms[0] &&
           (length <= strlen(term->name) || memcmp(text, term->name, strlen(term->name)) != 0))
        term++;
    if (term == terms + sizeof terms / sizeof terms[0] ||
        (term->of_replies && reader->rules->kind->stages == NULL))
        return false;
    at = strlen(term->name);
    while (at <= length) {
        const char *comma = memchr(text + at, ',', length - at);
        size_t end = comma ? (size_t)(comma - text) : length;

        if (!term->read(reader, condition, text + at, end - at))
            return false;
        at = end + 1;
    }
    return true;
}

bool classify_read_condition(struct classify_reader *reader, struct classify_condition *condition,
                             const char *line, size_t length, size_t *used_r)
{
    const char *close = memchr(line, '}', length);
    size_t end, at = 1, count = 0;

    *used_r = 0;
    if (line[0] != '{')
        return true;
    if (close == NULL)
        return classify_reader_fail(reader, "the '{' has no '}'");
    end = (size_t)(close - line);
    while (at < end) {
        size_t term = strcspn(line + at, " }");

        if (term > 0 && !read_term(reader, condition, line + at, term))
            return classify_reader_fail(
                reader,
                reader->rules->kind->stages == NULL
                    ? "a condition is code=550,5xx, status=5.1.1,*.2.*,none or from=PROVIDER, at most 8 of a "
                      "kind"
                    : "a condition is code=550,5xx, status=5.1.1,*.2.*,none, stage=mail,rcpt,data,dot, "
                      "from=SERVICE, provider=NAME or login=yes,no, at most 8 of a kind");
        count += term > 0;
        at += term + 1;
    }
    if (count == 0)
        return classify_reader_fail(reader, "the braces are empty");
    *used_r = end + 1;
    return true;
}
