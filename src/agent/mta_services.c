#include "agent/mta_services.h"

#include <string.h>
#include <strings.h>

#include "base/postconf.h"
#include "base/xalloc.h"

static bool is_end(char c)
{
    return c == '\0' || strchr(" \t\r\n,", c) != NULL;
}

/* Where the word stands in the text, between blanks or commas; NULL: nowhere. */
static const char *find_word(const char *text, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = strcasestr(text, word); at != NULL; at = strcasestr(at + 1, word))
        if ((at == text || is_end(at[-1])) && is_end(at[length]))
            return at;
    return NULL;
}

/* Whether the line is of a service that runs this program of ours. */
static bool runs(const char *line, const char *program)
{
    const char *argv = strstr(line, " argv=");
    const char *end = argv != NULL ? argv + 6 + strcspn(argv + 6, " \t") : NULL;
    size_t length = strlen(program);

    return argv != NULL && (size_t)(end - argv) > 6 + length && end[-(ptrdiff_t)length - 1] == '/' &&
           strncmp(end - length, program, length) == 0;
}

static char *look_flags(const char *line)
{
    const char *argv = strstr(line, " argv="), *flags = strstr(line, " flags=");

    if (flags == NULL || flags > argv)
        return NULL;
    flags += strlen(" flags=");
    size_t length = strcspn(flags, " \t");
    if (strcspn(flags, POSTCONF_ALTERING_FLAGS) >= length)
        return NULL;
    return xasprintf(
        "Postfix's transport %.*s: flags=%.*s changes mail or addresses: set flags=q, and no other, in "
        "master.cf; then: postfix reload",
        (int)strcspn(line, " \t"), line, (int)length, flags);
}

static char *look_bounces(const struct config *config, const char *taken)
{
    if (!config->return_path.rewrite || config->return_path.verify == VERIFY_OFF)
        return NULL;
    for (size_t i = 0; i < config->return_path.domains.count; i++) {
        AUTO_FREE char *bounces =
            xasprintf("%s.%s", config->return_path.bounce_prefix, config->return_path.domains.items[i]);
        if (find_word(taken, bounces) != NULL)
            return xasprintf(
                "mail for %s is taken (relay_domains and the like), but no transport runs "
                "sendpost-bounce: bounces are lost: sendpostctl postfix install --bounces, and a "
                "route to it",
                bounces);
    }
    return NULL;
}

char *mta_services_trouble(const struct config *config, const char *services, const char *taken)
{
    AUTO_FREE char *copy = xstrdup(services);
    char *rest = copy, *line, *trouble = NULL;
    bool takes_bounces = false;

    while (trouble == NULL && (line = strsep(&rest, "\n")) != NULL) {
        bool bounces = runs(line, "sendpost-bounce");
        takes_bounces = takes_bounces || bounces;
        if (bounces || runs(line, "sendpost-pipe"))
            trouble = look_flags(line);
    }
    return trouble != NULL || takes_bounces ? trouble : look_bounces(config, taken);
}
