/*
 * Any bytes as the configuration that setup changes. The first byte says what is done. Of what was there, at
 * most one line changes; what was set is there, and setting it again changes nothing.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "ctl/setup_edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool truth)
{
    if (!truth)
        abort();
}

static size_t lines_in(const char *text, size_t length)
{
    size_t count = 0;

    for (size_t i = 0; i < length; i++)
        count += text[i] == '\n';
    return count;
}

/* All but what differs between the common beginning and the common end is as it was. */
static void check_rest(const char *before, const char *after, size_t added)
{
    size_t old = strlen(before), new = strlen(after), head = 0, tail = 0;

    while (head < old && head < new &&before[head] == after[head])
        head++;
    while (tail < old - head && tail < new - head &&before[old - 1 - tail] == after[new - 1 - tail])
        tail++;
    expect(lines_in(before + head, old - head - tail) <= 1);
    expect(lines_in(after + head, new - head - tail) <= added);
}

static bool edit(char **text, unsigned what, const char *key, const char *value)
{
    return what & 1 ? setup_edit_tpsp(text, "primary", key, value) : setup_edit_top(text, key, value);
}

static void check_edit(const char *before, unsigned what)
{
    static const char *const keys[] = {"port", "name", "api-key-file"};
    const char *key = keys[(what >> 2) % 3], *value = what & 2 ? NULL : "\"new\"";
    AUTO_FREE char *wanted = xasprintf("%s: \"new\"", key);
    char *text = xstrdup(before);

    if (!edit(&text, what, key, value)) {
        expect(strcmp(text, before) == 0);
    } else {
        check_rest(before, text, 2);
        if (value != NULL && strcmp(key, "name") != 0) {
            char *again = xstrdup(text);
            expect(strstr(text, wanted) != NULL);
            expect(edit(&again, what, key, value) && strcmp(again, text) == 0);
            free(again);
        }
    }
    free(text);
}

static void check_addition(const char *before)
{
    char *text = xstrdup(before);

    if (setup_edit_add_tpsp(&text, "name: \"another\"\nport: 25\n"))
        check_rest(before, text, 4);
    else
        expect(strcmp(text, before) == 0);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    AUTO_FREE char *before = strndup((const char *)data + 1, size - 1);
    if (data[0] == '+')
        check_addition(before);
    else
        check_edit(before, data[0]);
    return 0;
}
