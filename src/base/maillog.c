#include "base/maillog.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/postconf.h"
#include "base/xalloc.h"

enum { MAILLOG_FILE, INSTANCES, VALUES };
static const char *const names[VALUES] = {"maillog_file", "multi_instance_directories"};

/* By whatever name. */
static bool same_file(const char *a, const char *b)
{
    AUTO_FREE char *real_a = realpath(a, NULL), *real_b = realpath(b, NULL);
    struct stat status_a, status_b;

    if (strcmp(a, b) == 0 || (real_a != NULL && real_b != NULL && strcmp(real_a, real_b) == 0))
        return true;
    return stat(a, &status_a) == 0 && stat(b, &status_b) == 0 && status_a.st_dev == status_b.st_dev &&
           status_a.st_ino == status_b.st_ino;
}

/* Whether log_path may be the log of an instance that logs to file. */
static bool may_be(const char *file, const char *log_path)
{
    return file == NULL || *file != '/' || strncmp(file, "/dev/", 5) == 0 || same_file(file, log_path);
}

char *maillog_elsewhere(const char *directory, const char *log_path)
{
    char *values[VALUES], *elsewhere = NULL, *rest, *instance;
    bool ok = !postconf_values(directory, names, VALUES, values) || may_be(values[MAILLOG_FILE], log_path);

    rest = values[INSTANCES];
    while (!ok && rest != NULL && (instance = strsep(&rest, ", \t")) != NULL) {
        char *file = NULL;
        if (*instance == '/')
            ok = postconf_values(instance, names, 1, &file) && may_be(file, log_path);
        free(file);
    }
    if (!ok)
        elsewhere = xstrdup(values[MAILLOG_FILE]);
    for (size_t i = 0; i < VALUES; i++)
        free(values[i]);
    return elsewhere;
}
