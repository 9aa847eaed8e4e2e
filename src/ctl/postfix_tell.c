#include "ctl/postfix_tell.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/run.h"

__attribute__((noreturn)) static void tell(int ids)
{
    FILE *stream = fdopen(ids, "r");
    char line[128];
    bool ok = stream != NULL;

    while (stream != NULL && fgets(line, sizeof line, stream) != NULL) {
        struct run run;
        line[strcspn(line, "\n")] = '\0';
        bool all = strcmp(line, "-") == 0;
        const char *const one[] = {"postqueue", "-i", line, NULL}, *const every[] = {"postqueue", "-f", NULL};
        if (!run_program(&run, all ? every : one)) {
            ok = false;
            fprintf(stderr, "postqueue: %s\n", *run.err != '\0' ? run.err : "it is not here");
        }
        run_free(&run);
    }
    _exit(ok ? 0 : 1);
}

bool postfix_tell_begin(struct postfix_tell *tell_r)
{
    int ends[2];

    *tell_r = (struct postfix_tell){.child = -1};
    if (pipe(ends) != 0)
        return false;
    fflush(stdout); /* the child has a copy of what is not written yet */
    tell_r->child = fork();
    if (tell_r->child == 0) {
        close(ends[1]);
        tell(ends[0]);
    }
    close(ends[0]);
    tell_r->ids = tell_r->child > 0 ? fdopen(ends[1], "w") : NULL;
    if (tell_r->ids != NULL)
        return true;
    close(ends[1]);
    return false;
}

void postfix_tell_one(struct postfix_tell *tell, const char *queue_id)
{
    fprintf(tell->ids, "%s\n", queue_id);
}

void postfix_tell_all(struct postfix_tell *tell)
{
    fprintf(tell->ids, "-\n");
}

bool postfix_tell_end(struct postfix_tell *tell)
{
    int status = -1;

    /* a child that is gone has not told it all, and says so by its status */
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    fclose(tell->ids);
    signal(SIGPIPE, before);
    while (waitpid(tell->child, &status, 0) < 0 && errno == EINTR)
        ;
    return status == 0;
}
