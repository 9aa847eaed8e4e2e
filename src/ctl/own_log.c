#include "ctl/own_log.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "ctl/postfix_conf.h"

#define NAME "SENDPOST_LOG_FILE="

char *own_log_named(const char *directory)
{
    AUTO_FREE char *exported = postfix_parameter(directory, "export_environment");
    const char *at = exported != NULL ? strstr(exported, NAME) : NULL;

    return at != NULL ? xstrndup(at + strlen(NAME), strcspn(at + strlen(NAME), " ,\t")) : NULL;
}

char *own_log_needed(const char *directory, char **path_r)
{
    AUTO_FREE char *maillog = postfix_parameter(directory, "maillog_file");
    AUTO_FREE char *exported = postfix_parameter(directory, "export_environment");
    AUTO_FREE char *named = own_log_named(directory);

    if (maillog == NULL || *maillog != '/' || access("/dev/log", F_OK) == 0 || named != NULL)
        return NULL;
    *path_r = xasprintf("%.*s/postfix-sendpost.log", (int)(strrchr(maillog, '/') - maillog), maillog);
    return xasprintf("export_environment = %s%s" NAME "%s", exported != NULL ? exported : "",
                     exported != NULL && *exported != '\0' ? " " : "", *path_r);
}
