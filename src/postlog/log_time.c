#include "postlog/log_time.h"

#include <string.h>
#include <time.h>

#include "postlog/log_stamp.h"

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

/*
 * The minute's start. *repeated_r: the same stamp comes twice, an hour apart, at the end of daylight saving
 * time. Without a year the latest that is not in the future; without a month (tm_mon -1) the same of months.
 */
static int64_t minute_in_year_ms(const struct log_time *log_time, const struct tm *when, int year,
                                 bool *repeated_r)
{
    int64_t summer = local_ms(*when, year, 1), winter = local_ms(*when, year, 0);

    *repeated_r = summer >= 0 && winter >= 0 && summer != winter;
    if (!*repeated_r)
        return local_ms(*when, year, -1);
    bool summer_is_over = log_time->last_ms > summer + MINUTE_MS + DISORDER_MS;
    return summer_is_over ? winter : summer;
}

static int64_t classic_minute_ms(const struct log_time *log_time, const struct tm *when, bool *repeated_r)
{
    time_t reference = (time_t)((log_time->reference_ms + DAY_MS) / SECOND_MS);
    struct tm local;

    localtime_r(&reference, &local);
    /* eight years back reach a leap year for 29 February, also around 2100 */
    for (int year = local.tm_year + 1900, oldest = year - 8; year >= oldest; year--) {
        int month = when->tm_mon >= 0 ? when->tm_mon : 11, first = when->tm_mon >= 0 ? month : 0;

        for (; month >= first; month--) {
            struct tm dated = *when;
            dated.tm_mon = month;
            int64_t at = local_ms(dated, year, -1);
            if (at >= 0 && at <= log_time->reference_ms + DAY_MS)
                return minute_in_year_ms(log_time, &dated, year, repeated_r);
        }
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

/* Every stamp but the classic one. Minutes of local time are remembered: mktime(3) is slow. */
static int64_t stamp_ms(struct log_time *log_time, struct log_slice slice)
{
    struct log_stamp stamp;
    bool repeated = false;

    if (log_stamp_take(slice.at, slice.length, &stamp) == 0)
        return -1;
    if (stamp.absolute)
        return stamp.absolute_ms;
    if (stamp.month < 0 || stamp.month > 12 || stamp.day < 1 || stamp.day > 31)
        return -1;
    int64_t behind_minute = stamp.second * SECOND_MS + stamp.millisecond;
    if (stamp.zoned && stamp.year > 0 && stamp.month > 0)
        return days_of(stamp.year, stamp.month, stamp.day) * DAY_MS +
               (stamp.hour * 60 + stamp.minute - stamp.offset_minutes) * MINUTE_MS + behind_minute;
    struct tm when = {
        .tm_mon = stamp.month - 1, .tm_mday = stamp.day, .tm_hour = stamp.hour, .tm_min = stamp.minute};
    int key =
        (((stamp.year % 200 * 13 + stamp.month) * 32 + stamp.day) * 24 + stamp.hour) * 60 + stamp.minute + 1;
    if (log_time->stamp_key != key) {
        int64_t minute_ms = stamp.year > 0 && stamp.month > 0
                                ? minute_in_year_ms(log_time, &when, stamp.year, &repeated)
                                : classic_minute_ms(log_time, &when, &repeated);
        if (minute_ms < 0 || repeated)
            return minute_ms < 0 ? -1 : minute_ms + behind_minute;
        log_time->stamp_key = key;
        log_time->stamp_minute_ms = minute_ms;
    }
    return log_time->stamp_minute_ms + behind_minute;
}

static bool is_classic(struct log_slice stamp)
{
    return stamp.length == 15 && stamp.at[3] == ' ' && stamp.at[6] == ' ' && stamp.at[9] == ':';
}

int64_t log_time_parse(struct log_time *log_time, struct log_slice stamp)
{
    int64_t at = -1;

    if (is_classic(stamp))
        at = classic_ms(log_time, stamp.at);
    if (at < 0 && stamp.length > 0)
        at = stamp_ms(log_time, stamp);
    if (at < 0) /* no time at all is worse than that of the file */
        return log_time->last_ms > 0 ? log_time->last_ms : log_time->reference_ms;
    log_time->last_ms = at;
    return at;
}
