#include "supervisor/front.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"

/* One by one, for a kernel before 5.9. */
static void close_listed(void)
{
    DIR *stream = opendir("/proc/self/fd");
    const struct dirent *entry;

    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        int descriptor = atoi(entry->d_name);
        if (descriptor > STDERR_FILENO && descriptor != dirfd(stream))
            close(descriptor);
    }
    if (stream != NULL)
        closedir(stream);
}

void front_settle_descriptors(void)
{
    int descriptor;

    if (syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0) != 0)
        close_listed();
    do
        descriptor = open("/dev/null", O_RDWR);
    while (descriptor >= 0 && descriptor <= STDERR_FILENO);
    if (descriptor > STDERR_FILENO)
        close(descriptor);
}

/* "<>", and what pipe(8) writes for it when null_sender= is missing, are the null sender. Changes
 * argument. */
static const char *sender_of(char *argument)
{
    size_t length = strlen(argument);

    if (length >= 2 && argument[0] == '<' && argument[length - 1] == '>') {
        argument[length - 1] = '\0';
        argument++;
    }
    return strcmp(argument, "MAILER-DAEMON") == 0 ? "" : argument;
}

bool front_option(int option, char *argument, struct delivery_request *request)
{
    switch (option) {
    case 'c':
        request->config_path = argument;
        return true;
    case 'f':
        request->sender = sender_of(argument);
        return true;
    case 'n':
        request->dry_run = true;
        return true;
    case 'q':
        request->queue_id = argument;
        return true;
    case 'v':
        request->verbose = true;
        return true;
    default:
        return false;
    }
}

/* pipe(8) gives stdout and stderr the same pipe, which nothing but the status line may begin. */
static bool stderr_is_for_a_person(void)
{
    struct stat out, err;

    return isatty(STDERR_FILENO) || (fstat(STDOUT_FILENO, &out) == 0 && fstat(STDERR_FILENO, &err) == 0 &&
                                     (out.st_dev != err.st_dev || out.st_ino != err.st_ino));
}

void front_supervise(struct supervision *supervision, const struct delivery_request *request, bool shared,
                     struct delivery_result *result_r)
{
    char *frame;

    supervision->output_to_person = request->verbose && stderr_is_for_a_person();
    supervision->child_stdout = request->dry_run ? memfd_create("dry-run", MFD_CLOEXEC) : -1;
    supervision->config_path = shared && !request->dry_run && !request->verbose ? request->config_path : NULL;
    supervision->frame_length = request_encode(request, &frame);
    supervision->frame = frame;
    if (supervision->frame_length > 0) {
        supervise(supervision, result_r);
    } else {
        result_r->status = EX_TEMPFAIL;
        snprintf(result_r->text, sizeof result_r->text,
                 "4.3.5 the arguments are larger than 64 KB; see master.cf");
        log_line(LOG_ERR, "%s", result_r->text);
    }
    free(frame);
}

void front_print(const struct supervision *supervision)
{
    char bytes[4096]; /* a large frame costs each message its page faults */
    ssize_t got;

    if (supervision->child_stdout < 0)
        return;
    lseek(supervision->child_stdout, 0, SEEK_SET);
    while ((got = read(supervision->child_stdout, bytes, sizeof bytes)) > 0)
        fwrite(bytes, 1, (size_t)got, stdout);
    fflush(stdout);
}

int front_finish(int status, const char *text)
{
    printf("%s\n", text);
    fflush(stdout);
    return status;
}
