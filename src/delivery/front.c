#include "delivery/front.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void front_occupy_descriptors(void)
{
    int descriptor;

    do
        descriptor = open("/dev/null", O_RDWR);
    while (descriptor >= 0 && descriptor <= STDERR_FILENO);
    if (descriptor > STDERR_FILENO)
        close(descriptor);
}

const char *front_sender(char *argument)
{
    size_t length = strlen(argument);

    if (length >= 2 && argument[0] == '<' && argument[length - 1] == '>') {
        argument[length - 1] = '\0';
        argument++;
    }
    return strcmp(argument, "MAILER-DAEMON") == 0 ? "" : argument;
}

bool front_stderr_is_for_a_person(void)
{
    struct stat out, err;

    return isatty(STDERR_FILENO) || (fstat(STDOUT_FILENO, &out) == 0 && fstat(STDERR_FILENO, &err) == 0 &&
                                     (out.st_dev != err.st_dev || out.st_ino != err.st_ino));
}

void front_copy_to_stdout(int descriptor)
{
    char bytes[65536];
    ssize_t got;

    lseek(descriptor, 0, SEEK_SET);
    while ((got = read(descriptor, bytes, sizeof bytes)) > 0)
        fwrite(bytes, 1, (size_t)got, stdout);
    fflush(stdout);
}

int front_finish(int status, const char *text)
{
    printf("%s\n", text);
    fflush(stdout);
    return status;
}
