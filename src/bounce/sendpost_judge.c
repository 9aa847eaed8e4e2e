/*
 * sendpost-judge: what a report says, by a process that has no rights. It is started by sendpost-record and
 * by nobody else, with the report on standard input, and prints its judgement (bounce/judgement.h).
 *
 *     sendpost-judge RULES SENDER RECIPIENT < report
 *
 * Strangers write reports, and libraries take them apart. So all that has to be opened is opened before the
 * first byte is read: the rules, and the conversions of a fixed list of character sets; no configuration, no
 * secret, no store. Then nothing can be opened any more (bounce/sandbox.h).
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "bounce/dsn.h"
#include "bounce/judgement.h"
#include "bounce/mime.h"
#include "bounce/sandbox.h"

static int complain(const char *what)
{
    fprintf(stderr, "%s\n", what);
    return EX_TEMPFAIL;
}

/* The postmaster's rules, or where they are wrong the built-in ones alone. */
static struct classify_rules *open_rules(const char *path)
{
    struct outcome error;
    struct classify_rules *rules = classify_open(path, &error);

    if (rules != NULL)
        return rules;
    fprintf(stderr, "%s; the built-in rules alone are used\n", error.text);
    return classify_open(NULL, &error);
}

/* What matters of the report; the rest is read and forgotten, or pipe(8) would see its pipe break. */
static bool read_input(char *bytes, size_t *length_r)
{
    static char rest[65536];
    size_t length = 0;

    for (;;) {
        bool full = length == MIME_MESSAGE_MAX;
        ssize_t got = full ? read(STDIN_FILENO, rest, sizeof rest)
                           : read(STDIN_FILENO, bytes + length, MIME_MESSAGE_MAX - length);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return false;
        if (got == 0)
            break;
        if (!full)
            length += (size_t)got;
    }
    *length_r = length;
    return true;
}

static bool write_all(const char *text)
{
    for (size_t left = strlen(text); left > 0;) {
        ssize_t written = write(STDOUT_FILENO, text, left);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        text += written;
        left -= (size_t)written;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct outcome error;
    struct dsn report;
    size_t length;

    if (argc != 4)
        return complain("sendpost-judge is started by sendpost-bounce, not by hand");
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody waits for the judgement any more */
    AUTO_FREE char *bytes = xmalloc(MIME_MESSAGE_MAX);
    struct classify_rules *rules = open_rules(argv[1]);
    struct dsn_reader *reader = rules != NULL ? dsn_open(rules, &error) : NULL;
    if (reader == NULL)
        return complain("the built-in rules cannot be compiled; install the package anew");
    mime_load_charsets();
    if (!sandbox_enter(&error))
        return complain(error.text);

    if (!read_input(bytes, &length))
        return complain("the report cannot be read");
    dsn_read(reader, bytes, length, argv[2], argv[3], &report);
    AUTO_FREE char *line = judgement_encode(&report);
    bool told = write_all(line);
    dsn_clear(&report);
    dsn_close(reader);
    classify_close(rules);
    _exit(told ? EX_OK : EX_TEMPFAIL); /* no library has anything left to do, nor the rights to it */
}
