#include "ctl/other_user.h"

#include <string.h>

#include "base/xalloc.h"

char *other_user_remedy(const char *user, const char *state_dir)
{
    if (strcmp(user, OTHER_USER_NOT) == 0)
        return NULL;
    return xasprintf("chown -R %s: %s; and so that it lasts, User=%s and Group= of its group with 'systemctl "
                     "edit sendpost-agent', and a copy of tmpfiles.d/postfix-sendpost.conf with it in "
                     "/etc/tmpfiles.d (ANOTHER USER in sendpostctl(8))",
                     user, state_dir, user);
}
