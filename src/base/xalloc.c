#include "base/xalloc.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

void xalloc_fail(void)
{
    _exit(EX_TEMPFAIL);
}

static void *check(void *pointer)
{
    if (pointer == NULL)
        xalloc_fail();
    return pointer;
}

void *xmalloc(size_t size)
{
    return check(malloc(size ? size : 1));
}

void *xcalloc(size_t count, size_t size)
{
    return check(calloc(count ? count : 1, size ? size : 1));
}

void *xrealloc(void *pointer, size_t size)
{
    return check(realloc(pointer, size ? size : 1));
}

char *xstrdup(const char *string)
{
    return check(strdup(string));
}

char *xstrndup(const char *string, size_t length)
{
    return check(strndup(string, length));
}

char *xasprintf(const char *format, ...)
{
    char *string = NULL;
    va_list arguments;

    va_start(arguments, format);
    int length = vasprintf(&string, format, arguments);
    va_end(arguments);
    return check(length < 0 ? NULL : string);
}

void secret_free(char **secret)
{
    if (*secret != NULL) {
        explicit_bzero(*secret, strlen(*secret));
        free(*secret);
        *secret = NULL;
    }
}

void cleanup_free(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}

void cleanup_close(int *descriptor)
{
    if (*descriptor >= 0)
        close(*descriptor);
}

void cleanup_fclose(FILE **stream)
{
    if (*stream != NULL)
        fclose(*stream);
}
