#include "ctl/postfix_tell.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/run.h"

/* queue_id: NULL for all that is in the queue. */
static bool flush(const char *queue_id)
{
    const char *const one[] = {"postqueue", "-i", queue_id, NULL}, *const every[] = {"postqueue", "-f", NULL};
    struct run run;

    bool ok = run_program(&run, queue_id != NULL ? one : every);
    if (!ok)
        fprintf(stderr, "postqueue: %s\n", *run.err != '\0' ? run.err : "it is not here");
    run_free(&run);
    return ok;
}

/* The queue id in a line of postqueue(1)'s JSON, with the end of the text in its place; NULL: there is none.
 */
static char *queue_id_of(char *line)
{
    static const char name[] = "\"queue_id\": \"";
    char *id = strstr(line, name);

    if (id == NULL)
        return NULL;
    id += sizeof name - 1;
    id[strcspn(id, "\"")] = '\0';
    return id;
}

/* Lists the queue, and tells of those whose reason has the words. */
static bool flush_waiting(const char *words)
{
    char *ids[POSTFIX_TELL_MAX], *rest = NULL;
    size_t count = 0;
    struct run run;

    bool ok = run_program(&run, (const char *const[]){"postqueue", "-j", NULL}), more = !ok;
    for (char *line = ok ? strtok_r(run.out, "\n", &rest) : NULL; line != NULL && !more;
         line = strtok_r(NULL, "\n", &rest)) {
        if (strstr(line, words) == NULL)
            continue;
        more = count == POSTFIX_TELL_MAX;
        char *id = more ? NULL : queue_id_of(line);
        if (id != NULL)
            ids[count++] = id;
    }
    if (more)
        ok = flush(NULL);
    for (size_t i = 0; !more && i < count; i++)
        ok = flush(ids[i]) && ok;
    run_free(&run);
    return ok;
}

__attribute__((noreturn)) static void tell(int ids)
{
    FILE *stream = fdopen(ids, "r");
    char line[128];
    bool ok = stream != NULL;

    while (stream != NULL && fgets(line, sizeof line, stream) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        ok = (*line == '?' ? flush_waiting(line + 1) : flush(*line == '-' ? NULL : line)) && ok;
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

void postfix_tell_waiting(struct postfix_tell *tell, const char *words)
{
    fprintf(tell->ids, "?%s\n", words);
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
