#include "ctl/selinux.h"

#include <glob.h>
#include <stdio.h>

#include "base/xalloc.h"

bool selinux_confines_pipe(const char *root)
{
    AUTO_FREE char *switch_path = xasprintf("%s/sys/fs/selinux/enforce", root);
    /* as semanage-permissive(8) keeps it */
    AUTO_FREE char *module_path =
        xasprintf("%s/var/lib/selinux/*/active/modules/*/permissive_postfix_pipe_t", root);
    FILE *file = fopen(switch_path, "re");
    int enforces = file != NULL ? fgetc(file) : EOF;
    glob_t found;

    if (file != NULL)
        fclose(file);
    if (enforces != '1')
        return false;
    bool permissive = glob(module_path, GLOB_NOSORT, NULL, &found) == 0;
    if (permissive)
        globfree(&found);
    return !permissive;
}
