#include "base/mail_date.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

/*
 * By hand: strptime(3) takes longer for the two dates of a delivery than it takes to make its UUID.
 */

static void skip_blanks(const char **at)
{
    *at += strspn(*at, " \t\r\n");
}

/* Between least and most digits of them. */
static bool read_number(const char **at, int least, int most, int *number_r)
{
    int digits = 0;

    *number_r = 0;
    for (; digits < most && **at >= '0' && **at <= '9'; digits++)
        *number_r = *number_r * 10 + *(*at)++ - '0';
    return digits >= least;
}

static bool read_month(const char **at, int *month_r)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    for (*month_r = 0; *month_r < 12; ++*month_r)
        if (strncasecmp(*at, names + *month_r * 3, 3) == 0) {
            *at += 3;
            return true;
        }
    return false;
}

/* hour ":" minute ":" second */
static bool read_time(const char **at, int *second_of_day_r)
{
    int hour, minute, second;

    if (!read_number(at, 1, 2, &hour) || *(*at)++ != ':' || !read_number(at, 2, 2, &minute) ||
        *(*at)++ != ':' || !read_number(at, 2, 2, &second))
        return false;
    *second_of_day_r = (hour * 60 + minute) * 60 + second;
    return hour < 24 && minute < 60 && second <= 60;
}

static bool read_zone(const char **at, int *offset_s_r)
{
    int sign = **at == '-' ? -1 : 1, digits;

    *offset_s_r = 0;
    if (strncasecmp(*at, "GMT", 3) == 0 || strncasecmp(*at, "UTC", 3) == 0) {
        *at += 3;
        return true;
    }
    if (**at != '+' && **at != '-')
        return false;
    ++*at;
    if (!read_number(at, 4, 4, &digits) || digits % 100 > 59)
        return false;
    *offset_s_r = sign * (digits / 100 * 60 + digits % 100) * 60;
    return true;
}

/* Since 1970, in the Gregorian calendar; month from 0 on. Years are counted from March, so that the day that
 * some have more is the last of theirs. */
static int64_t days_of(int year, int month, int day)
{
    int64_t years = year - (month < 2 ? 1 : 0);
    int64_t of_year = (153 * ((month + 10) % 12) + 2) / 5 + day - 1;

    return years * 365 + years / 4 - years / 100 + years / 400 + of_year - 719468;
}

int64_t mail_date_read(const char *text)
{
    const char *comma = strchr(text, ','), *at = comma != NULL ? comma + 1 : text;
    int day, month, year, second_of_day, offset_s;

    skip_blanks(&at);
    if (!read_number(&at, 1, 2, &day) || day < 1 || day > 31)
        return 0;
    skip_blanks(&at);
    if (!read_month(&at, &month))
        return 0;
    skip_blanks(&at);
    if (!read_number(&at, 4, 4, &year) || year < 1970 || year > 2900)
        return 0;
    skip_blanks(&at);
    if (!read_time(&at, &second_of_day))
        return 0;
    skip_blanks(&at);
    if (!read_zone(&at, &offset_s))
        return 0;
    return days_of(year, month, day) * 86400 + second_of_day - offset_s;
}

int64_t mail_date_received(const char *field)
{
    const char *semicolon = strrchr(field, ';');

    return semicolon != NULL ? mail_date_read(semicolon + 1) * 1000 : 0;
}
