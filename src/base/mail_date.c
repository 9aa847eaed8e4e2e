#include "base/mail_date.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

int64_t mail_date_received(const char *field)
{
    const char *semicolon = strrchr(field, ';');
    char text[64]; /* the longest is half of that */
    struct tm time = {0};

    if (semicolon == NULL || snprintf(text, sizeof text, "%s", semicolon + 1) >= (int)sizeof text)
        return 0;
    /* the day's name may be missing; nobody sets a locale here */
    const char *comma = strchr(text, ',');
    const char *end = strptime(comma != NULL ? comma + 1 : text, " %d %b %Y %H:%M:%S %z", &time);
    if (end == NULL || time.tm_year < 70 || time.tm_year > 1000)
        return 0;
    int64_t offset_s = time.tm_gmtoff;
    return ((int64_t)timegm(&time) - offset_s) * 1000;
}
