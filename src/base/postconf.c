#include "base/postconf.h"

#include <string.h>

#include "base/run.h"
#include "base/xalloc.h"

/* "NAME = VALUE", a line each; an unknown name is a warning on stderr, and status 0. */
static char *find_value(const char *lines, const char *name)
{
    size_t length = strlen(name);

    for (const char *line = lines; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) == 0 && strncmp(line + length, " =", 2) == 0) {
            const char *value = line + length + 2;
            value += *value == ' ';
            return xstrndup(value, strcspn(value, "\n"));
        }
    }
    return NULL;
}

bool postconf_values(const char *directory, const char *const names[], size_t count, char *values_r[])
{
    AUTO_FREE const char **argv = xcalloc(count + 5, sizeof *argv);
    size_t length = 0;
    struct run run;

    argv[length++] = "postconf";
    if (directory != NULL) {
        argv[length++] = "-c";
        argv[length++] = directory;
    }
    argv[length++] = "-x";
    memcpy(argv + length, names, count * sizeof *names);
    bool ok = run_program(&run, argv);
    for (size_t i = 0; i < count; i++)
        values_r[i] = ok ? find_value(run.out, names[i]) : NULL;
    run_free(&run);
    return ok;
}
