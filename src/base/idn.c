#include "base/idn.h"

#include <dlfcn.h>
#include <idn2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static enum idn_answer fail(const char *domain, const char *why)
{
    log_line(LOG_ERR, "domain %s cannot be turned into the form that DNS knows: %s; is libidn2 installed?",
             domain, why);
    return IDN_TROUBLE;
}

/* libidn2 and its tables are loaded for the rare domain that needs them, not for every message. */
enum idn_answer idn_to_ascii(const char *domain, char ascii_r[IDN_SIZE])
{
    void *library = dlopen("libidn2.so.0", RTLD_NOW | RTLD_LOCAL); /* stays loaded */
    __typeof__(&idn2_to_ascii_8z) convert = NULL;
    char *ascii = NULL;

    if (library != NULL)
        *(void **)&convert = dlsym(library, "idn2_to_ascii_8z"); /* POSIX: dlsym(), application usage */
    if (convert == NULL)
        return fail(domain, dlerror());
    int result = convert(domain, &ascii, IDN2_NONTRANSITIONAL);
    if (result == IDN2_MALLOC)
        return fail(domain, "out of memory");
    bool fits = result == IDN2_OK && strlen(ascii) < IDN_SIZE;
    if (fits)
        memcpy(ascii_r, ascii, strlen(ascii) + 1);
    free(ascii);
    return fits ? IDN_CONVERTED : IDN_NO_DOMAIN;
}
