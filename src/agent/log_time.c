#include "agent/log_time.h"

#include <string.h>
#include <time.h>

#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define DAY_MS (24 * 60 * MINUTE_MS)
/* Lines of several processes may be out of order by as much; less than any repeated hour is long. */
#define DISORDER_MS (10 * MINUTE_MS)

/* Two digits, the first perhaps a space; -1 when they are none. */
static int number2(const char *at)
{
    int high = at[0] == ' ' ? 0 : at[0] - '0', low = at[1] - '0';

    return high < 0 || high > 9 || low < 0 || low > 9 ? -1 : high * 10 + low;
}

static int month_of(const char *at)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    for (int month = 0; month < 12; month++)
        if (memcmp(names + 3 * month, at, 3) == 0)
            return month;
    return -1;
}

/* -1 when the date does not exist in that year (29 February) or is_dst does not hold then. */
static int64_t local_ms(struct tm when, int year, int is_dst)
{
    when.tm_year = year - 1900;
    when.tm_isdst = is_dst;
    struct tm normal = when;
    time_t seconds = mktime(&normal);
    if (seconds == (time_t)-1 || normal.tm_mday != when.tm_mday ||
        (is_dst >= 0 &&
         (normal.tm_hour != when.tm_hour || normal.tm_min != when.tm_min || normal.tm_isdst != is_dst)))
        return -1;
    return (int64_t)seconds * SECOND_MS;
}

/* The minute's start. *repeated_r: the same stamp comes twice, an hour apart, at the end of daylight saving
 * time. */
static int64_t classic_minute_ms(const struct log_time *log_time, const struct tm *when, bool *repeated_r)
{
    time_t reference = (time_t)((log_time->reference_ms + DAY_MS) / SECOND_MS);
    struct tm local;

    localtime_r(&reference, &local);
    /* eight years back reach a leap year for 29 February, also around 2100 */
    for (int year = local.tm_year + 1900, oldest = year - 8; year >= oldest; year--) {
        int64_t at = local_ms(*when, year, -1);
        if (at < 0 || at > log_time->reference_ms + DAY_MS)
            continue;
        int64_t summer = local_ms(*when, year, 1), winter = local_ms(*when, year, 0);
        *repeated_r = summer >= 0 && winter >= 0 && summer != winter;
        if (!*repeated_r)
            return at;
        bool summer_is_over = log_time->last_ms > summer + MINUTE_MS + DISORDER_MS;
        return summer_is_over ? winter : summer;
    }
    return -1;
}

static int64_t classic_ms(struct log_time *log_time, const char *at)
{
    enum { PREFIX = 12 }; /* "Nov 23 05:29" */
    int seconds = number2(at + 13);

    if (seconds < 0 || seconds > 60)
        return -1;
    if (log_time->minute_ms == 0 || memcmp(log_time->minute, at, PREFIX) != 0) {
        struct tm when = {.tm_mon = month_of(at),
                          .tm_mday = number2(at + 4),
                          .tm_hour = number2(at + 7),
                          .tm_min = number2(at + 10)};
        bool repeated = false;
        if (when.tm_mon < 0 || when.tm_mday < 1 || when.tm_mday > 31 || when.tm_hour < 0 ||
            when.tm_hour > 23 || when.tm_min < 0 || when.tm_min > 59)
            return -1;
        int64_t minute_ms = classic_minute_ms(log_time, &when, &repeated);
        if (minute_ms < 0)
            return -1;
        log_time->minute_ms = repeated ? 0 : minute_ms; /* a repeated minute is never cached: it means two */
        memcpy(log_time->minute, at, PREFIX);
        return minute_ms + seconds * SECOND_MS;
    }
    return log_time->minute_ms + seconds * SECOND_MS;
}

/* Days since 1970-01-01 in the Gregorian calendar; years are counted from March so that a leap day comes
 * last. */
static int64_t days_of(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year, m = month <= 2 ? month + 9 : month - 3;

    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

/* "Z" or "+01:00"; false when it is neither. */
static bool zone_ms(const char *at, size_t length, int64_t *offset_ms_r)
{
    *offset_ms_r = 0;
    if (length == 1 && (*at == 'Z' || *at == 'z'))
        return true;
    if (length < 5 || length > 6 || (at[0] != '+' && at[0] != '-'))
        return false;
    int hours = number2(at + 1), minutes = number2(at + length - 2);
    if (hours < 0 || minutes < 0)
        return false;
    *offset_ms_r = (hours * 60 + minutes) * MINUTE_MS * (at[0] == '-' ? -1 : 1);
    return true;
}

static int64_t rfc3339_ms(const char *at, size_t length)
{
    int century = number2(at), year = number2(at + 2), month = number2(at + 5), day = number2(at + 8);
    int hour = number2(at + 11), minute = number2(at + 14), second = number2(at + 17);
    int64_t fraction = 0, offset;
    size_t next = 19;

    if (century < 0 || year < 0 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 ||
        minute < 0 || minute > 59 || second < 0 || second > 60)
        return -1;
    if (next < length && (at[next] == '.' || at[next] == ',')) {
        int64_t unit = 100;
        for (next++; next < length && at[next] >= '0' && at[next] <= '9'; next++, unit /= 10)
            fraction += (at[next] - '0') * unit;
    }
    if (!zone_ms(at + next, length - next, &offset))
        return -1;
    return days_of(century * 100 + year, month, day) * DAY_MS + (hour * 60 + minute) * MINUTE_MS +
           second * SECOND_MS + fraction - offset;
}

int64_t log_time_parse(struct log_time *log_time, struct log_slice stamp)
{
    int64_t at = -1;

    if (stamp.length == 15)
        at = classic_ms(log_time, stamp.at);
    else if (stamp.length >= 20)
        at = rfc3339_ms(stamp.at, stamp.length);
    if (at < 0)
        return log_time->last_ms;
    log_time->last_ms = at;
    return at;
}
