#include "postlog/log_stamp.h"

#include <string.h>

#include "postlog/log_cursor.h"

#define WORD_MAX 24 /* bytes of a month's or a day's name */

/* "sets the leap seconds between TAI and UTC": 37 since 2017, and none is planned */
#define TAI_OFFSET 37

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void skip_blanks(struct cursor *cursor)
{
    while (cursor->at < cursor->end && is_blank(*cursor->at))
        cursor->at++;
}

/* A number of low to high digits that no further digit follows. */
static bool take_number(struct cursor *cursor, size_t low, size_t high, int *number_r)
{
    const char *at = cursor->at;
    int number = 0;

    while (at < cursor->end && is_digit(*at) && (size_t)(at - cursor->at) < high)
        number = number * 10 + (*at++ - '0');
    if ((size_t)(at - cursor->at) < low || (at < cursor->end && is_digit(*at)))
        return false;
    cursor->at = at;
    *number_r = number;
    return true;
}

/* --- months ----------------------------------------------------------------------------------------- */

/*
 * What CLDR and glibc have as abbreviated names of months in the languages of Europe, as far as it begins
 * otherwise than in English; the first entry that a name begins with counts. 0: two languages disagree.
 */
static const struct {
    const char *name;
    int month;
} months[] = {
    {"jan", 1},    {"feb", 2},   {"mar", 3},  {"apr", 4},   {"may", 5},   {"jun", 6},   {"jul", 7},
    {"aug", 8},    {"sep", 9},   {"oct", 10}, {"nov", 11},  {"dec", 12},  {"mai", 5},   {"maj", 5},
    {"mei", 5},    {"mag", 5},   {"okt", 10}, {"out", 10},  {"ott", 10},  {"dez", 12},  {"des", 12},
    {"dic", 12},   {"déc", 12},  {"ene", 1},  {"gen", 1},   {"ian", 1},   {"fév", 2},   {"fev", 2},
    {"mrt", 3},    {"mär", 3},   {"már", 3},  {"abr", 4},   {"avr", 4},   {"ápr", 4},   {"máj", 5},
    {"maí", 5},    {"juin", 6},  {"jui", 7},  {"giu", 6},   {"jún", 6},   {"iun", 6},   {"lug", 7},
    {"júl", 7},    {"iul", 7},   {"ago", 8},  {"aoû", 8},   {"avg", 8},   {"ágú", 8},   {"set", 9},
    {"sze", 9},    {"nóv", 11},  {"noi", 11}, {"sty", 1},   {"lut", 2},   {"kwi", 4},   {"cze", 6},
    {"lip", 0},    {"sie", 8},   {"wrz", 9},  {"paź", 10},  {"lis", 0},   {"gru", 12},  {"led", 1},
    {"úno", 2},    {"bře", 3},   {"dub", 4},  {"kvě", 5},   {"čen", 6},   {"čer", 6},   {"čec", 7},
    {"srp", 0},    {"zář", 9},   {"říj", 10}, {"pro", 12},  {"tammi", 1}, {"helmi", 2}, {"maalis", 3},
    {"huhti", 4},  {"touko", 5}, {"kesä", 6}, {"heinä", 7}, {"elo", 8},   {"syys", 9},  {"loka", 10},
    {"joulu", 12}, {"oca", 1},   {"şub", 2},  {"nis", 4},   {"haz", 6},   {"tem", 7},   {"ağu", 8},
    {"eyl", 9},    {"eki", 10},  {"kas", 11}, {"ara", 12},  {"янв", 1},   {"фев", 2},   {"мар", 3},
    {"апр", 4},    {"май", 5},   {"мая", 5},  {"июн", 6},   {"июл", 7},   {"авг", 8},   {"сен", 9},
    {"окт", 10},   {"ноя", 11},  {"дек", 12}, {"Янв", 1},   {"Фев", 2},   {"Мар", 3},   {"Апр", 4},
    {"Май", 5},    {"Июн", 6},   {"Июл", 7},  {"Авг", 8},   {"Сен", 9},   {"Окт", 10},  {"Ноя", 11},
    {"Дек", 12},   {"січ", 1},   {"лют", 2},  {"бер", 3},   {"кві", 4},   {"тра", 5},   {"чер", 6},
    {"лип", 7},    {"сер", 8},   {"вер", 9},  {"жов", 10},  {"лис", 11},  {"гру", 12},  {"Ιαν", 1},
    {"Φεβ", 2},    {"Μαρ", 3},   {"Απρ", 4},  {"Μα", 5},    {"Ιουν", 6},  {"Ιουλ", 7},  {"Αυγ", 8},
    {"Σεπ", 9},    {"Οκτ", 10},  {"Νοε", 11}, {"Δεκ", 12},
};

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

static bool begins(struct log_slice word, const char *name)
{
    size_t length = strlen(name);

    if (word.length < length)
        return false;
    for (size_t i = 0; i < length; i++)
        if (lower(word.at[i]) != name[i] && word.at[i] != name[i])
            return false;
    return true;
}

static int month_of(struct log_slice word)
{
    if (begins(word, "marras")) /* Finnish November; all others that begin with "mar" are March */
        return 11;
    for (size_t i = 0; i < sizeof months / sizeof months[0]; i++)
        if (begins(word, months[i].name))
            return months[i].month;
    return 0;
}

/* "Nov", "nov.", "ноя", "11月" and other names of a month or a day: neither ASCII digits alone nor
 * punctuation but a full stop or comma at the end. */
static bool take_word(struct cursor *cursor, struct log_slice *word_r)
{
    const char *at = cursor->at;
    bool letter = false;

    for (; at < cursor->end && !is_blank(*at); at++) {
        unsigned char c = (unsigned char)*at;

        if (at - cursor->at >= WORD_MAX)
            return false;
        if (c >= 0x80 || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
            letter = true;
        else if (!is_digit(*at) && ((*at != '.' && *at != ',') || !letter))
            return false;
    }
    if (!letter || at == cursor->end)
        return false;
    *word_r = (struct log_slice){cursor->at, (size_t)(at - cursor->at)};
    cursor->at = at;
    return true;
}

static bool take_month(struct cursor *cursor, int *month_r)
{
    struct log_slice word;
    struct cursor probe = *cursor;
    int number;

    if (take_number(&probe, 1, 2, &number)) { /* "11月", "11월" */
        if (probe.at == probe.end || (unsigned char)*probe.at < 0x80 || !take_word(cursor, &word))
            return false;
        *month_r = number;
        return number >= 1 && number <= 12;
    }
    if (!take_word(cursor, &word))
        return false;
    *month_r = month_of(word);
    return true;
}

/* --- time of day, zone -------------------------------------------------------------------------------- */

static void take_fraction(struct cursor *cursor, int *millisecond_r)
{
    int unit = 100;

    *millisecond_r = 0;
    if (cursor_left(cursor) < 2 || (*cursor->at != '.' && *cursor->at != ',') || !is_digit(cursor->at[1]))
        return;
    for (cursor->at++; cursor->at < cursor->end && is_digit(*cursor->at); cursor->at++, unit /= 10)
        *millisecond_r += (*cursor->at - '0') * unit;
}

/* "03:30:52[.123456]" */
static bool take_time(struct cursor *cursor, struct log_stamp *stamp)
{
    if (!take_number(cursor, 1, 2, &stamp->hour) || !SKIP(cursor, ":") ||
        !take_number(cursor, 2, 2, &stamp->minute) || !SKIP(cursor, ":") ||
        !take_number(cursor, 2, 2, &stamp->second))
        return false;
    take_fraction(cursor, &stamp->millisecond);
    return stamp->hour <= 23 && stamp->minute <= 59 && stamp->second <= 60;
}

/* "+01:00", "+0100", "+01" */
static bool take_offset(struct cursor *cursor, struct log_stamp *stamp)
{
    struct cursor probe = *cursor;
    int hours, minutes = 0, both;
    bool minus = probe.at < probe.end && *probe.at == '-';

    if (!SKIP(&probe, "+") && !SKIP(&probe, "-"))
        return false;
    if (take_number(&probe, 4, 4, &both)) {
        hours = both / 100;
        minutes = both % 100;
    } else if (!take_number(&probe, 2, 2, &hours)) {
        return false;
    } else if (SKIP(&probe, ":") && !take_number(&probe, 2, 2, &minutes)) {
        return false;
    }
    *cursor = probe;
    stamp->zoned = true;
    stamp->offset_minutes = (hours * 60 + minutes) * (minus ? -1 : 1);
    return true;
}

/* Names of zones as glibc abbreviates them. Other than UTC they say nothing sure, and a log is of this
 * machine. */
static bool take_zone_name(struct cursor *cursor, struct log_stamp *stamp)
{
    static const char names[] =
        " UTC GMT CET CEST WET WEST EET EEST BST IST MSK EST EDT CST CDT MST MDT PST "
        "PDT AKST AKDT HST JST KST HKT SGT WIB PKT AEST AEDT ACST ACDT AWST NZST NZDT "
        "SAST CAT EAT WAT ";
    struct log_slice word;
    struct cursor probe = *cursor;
    char spaced[WORD_MAX + 3];

    if (!take_word(&probe, &word))
        return false;
    spaced[0] = ' ';
    memcpy(spaced + 1, word.at, word.length);
    spaced[word.length + 1] = ' ';
    spaced[word.length + 2] = '\0';
    if (strstr(names, spaced) == NULL)
        return false;
    stamp->zoned = slice_is(word, "UTC") || slice_is(word, "GMT");
    *cursor = probe;
    return true;
}

static void take_zone(struct cursor *cursor, struct log_stamp *stamp)
{
    struct cursor probe = *cursor;

    if (SKIP(cursor, "Z") || SKIP(cursor, "z")) {
        stamp->zoned = true;
        return;
    }
    if (take_offset(cursor, stamp))
        return;
    skip_blanks(&probe);
    if (probe.at > cursor->at && (take_offset(&probe, stamp) || take_zone_name(&probe, stamp)))
        *cursor = probe;
}

/* " 2026" behind the time of day, and no more digits */
static void take_trailing_year(struct cursor *cursor, struct log_stamp *stamp)
{
    struct cursor probe = *cursor;
    int year;

    skip_blanks(&probe);
    if (probe.at == cursor->at || stamp->year != 0 || !take_number(&probe, 4, 4, &year) || year < 1970 ||
        year > 2199 || (probe.at < probe.end && !is_blank(*probe.at)))
        return;
    stamp->year = year;
    *cursor = probe;
}

/* --- whole stamps ----------------------------------------------------------------------------------- */

/* "2026-11-23T03:30:52", also with '/' or '.' between, and ' ' or '_' for the T */
static bool take_iso(struct cursor *cursor, struct log_stamp *stamp)
{
    char separator;

    if (!take_number(cursor, 4, 4, &stamp->year) || cursor_left(cursor) < 2)
        return false;
    separator = *cursor->at++;
    if (memchr("-/.", separator, 3) == NULL || !take_number(cursor, 1, 2, &stamp->month) ||
        cursor->at == cursor->end || *cursor->at++ != separator || !take_number(cursor, 1, 2, &stamp->day) ||
        cursor->at == cursor->end || memchr("Tt _", *cursor->at, 4) == NULL)
        return false;
    cursor->at++;
    return stamp->month >= 1 && stamp->month <= 12 && take_time(cursor, stamp);
}

/* "Nov 23 [2026] 03:30:52" or "23 Nov [2026] 03:30:52", perhaps with a year in front */
static bool take_named(struct cursor *cursor, struct log_stamp *stamp)
{
    struct cursor probe = *cursor;

    if (take_number(&probe, 4, 4, &stamp->year) && probe.at < probe.end && is_blank(*probe.at))
        skip_blanks(&probe);
    else
        probe = *cursor, stamp->year = 0;
    struct cursor day_first = probe;
    if (take_number(&day_first, 1, 2, &stamp->day) && (SKIP(&day_first, " ") || SKIP(&day_first, "-")) &&
        take_month(&day_first, &stamp->month)) {
        probe = day_first;
    } else {
        if (!take_month(&probe, &stamp->month))
            return false;
        skip_blanks(&probe);
        if (!take_number(&probe, 1, 2, &stamp->day))
            return false;
        if (probe.at < probe.end && (*probe.at == '.' || *probe.at == ','))
            probe.at++;
    }
    skip_blanks(&probe);
    struct cursor year = probe;
    if (stamp->year == 0 && take_number(&year, 4, 4, &stamp->year)) {
        probe = year;
        skip_blanks(&probe);
    }
    if (!take_time(&probe, stamp))
        return false;
    *cursor = probe;
    return true;
}

/* "23.11.2026 03:30:52" and "23/Nov/2026:03:30:52" */
static bool take_day_first(struct cursor *cursor, struct log_stamp *stamp)
{
    struct log_slice name;
    char separator;

    if (!take_number(cursor, 1, 2, &stamp->day) || cursor_left(cursor) < 2)
        return false;
    separator = *cursor->at++;
    if (memchr("./-", separator, 3) == NULL)
        return false;
    if (!take_number(cursor, 1, 2, &stamp->month)) {
        const char *stop = memchr(cursor->at, separator, cursor_left(cursor));

        if (stop == NULL || stop - cursor->at > WORD_MAX || stop == cursor->at)
            return false;
        name = (struct log_slice){cursor->at, (size_t)(stop - cursor->at)};
        stamp->month = month_of(name);
        cursor->at = stop;
    }
    if (cursor->at == cursor->end || *cursor->at++ != separator || !take_number(cursor, 4, 4, &stamp->year) ||
        cursor->at == cursor->end || memchr(" :T", *cursor->at, 3) == NULL)
        return false;
    cursor->at++;
    return stamp->month <= 12 && take_time(cursor, stamp);
}

/* Seconds, milliseconds or microseconds since 1970, told apart by their digits: good from 2001 to 2286. */
static bool take_unix(struct cursor *cursor, struct log_stamp *stamp)
{
    size_t digits = 0;
    int64_t number = 0;
    int fraction = 0;

    while (cursor->at < cursor->end && is_digit(*cursor->at) && digits < 17) {
        number = number * 10 + (*cursor->at++ - '0');
        digits++;
    }
    if (digits != 10 && digits != 13 && digits != 16)
        return false;
    take_fraction(cursor, &fraction);
    stamp->absolute = true;
    stamp->absolute_ms = digits == 10 ? number * 1000 + fraction : digits == 13 ? number : number / 1000;
    return cursor->at == cursor->end || is_blank(*cursor->at) || *cursor->at == ']';
}

/* "@4000000065…": a TAI64N label, https://cr.yp.to/libtai/tai64.html */
static bool take_tai64n(struct cursor *cursor, struct log_stamp *stamp)
{
    uint64_t part[2] = {0, 0};

    if (!SKIP(cursor, "@") || cursor_left(cursor) < 24)
        return false;
    for (size_t i = 0; i < 24; i++) {
        char c = lower(cursor->at[i]);
        uint64_t digit = is_digit(c) ? (uint64_t)(c - '0') : (uint64_t)(c - 'a') + 10;

        if (!is_digit(c) && (c < 'a' || c > 'f'))
            return false;
        part[i >= 16] = part[i >= 16] << 4 | digit;
    }
    cursor->at += 24;
    if (part[0] < UINT64_C(1) << 62 || part[0] > (UINT64_C(1) << 62) + UINT32_MAX || part[1] > 999999999)
        return false;
    stamp->absolute = true;
    stamp->absolute_ms =
        (int64_t)(part[0] - (UINT64_C(1) << 62) - TAI_OFFSET) * 1000 + (int64_t)(part[1] / 1000000);
    return true;
}

static size_t take_any(const char *text, size_t length, struct log_stamp *stamp_r)
{
    static bool (*const forms[])(struct cursor *, struct log_stamp *) = {take_iso, take_named, take_day_first,
                                                                         take_unix, take_tai64n};

    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct cursor cursor = {text, text + length};

        *stamp_r = (struct log_stamp){.absolute = false};
        if (!forms[i](&cursor, stamp_r))
            continue;
        if (!stamp_r->absolute) {
            if (stamp_r->day < 1 || stamp_r->day > 31)
                continue;
            take_zone(&cursor, stamp_r);
            take_trailing_year(&cursor, stamp_r);
        }
        return (size_t)(cursor.at - text);
    }
    return 0;
}

size_t log_stamp_take(const char *text, size_t length, struct log_stamp *stamp_r)
{
    struct cursor cursor = {text, text + length};
    struct log_slice day;
    size_t taken = take_any(text, length, stamp_r);

    if (taken > 0 || !take_word(&cursor, &day)) /* a day of the week in front? */
        return taken;
    skip_blanks(&cursor);
    taken = take_any(cursor.at, cursor_left(&cursor), stamp_r);
    return taken > 0 ? (size_t)(cursor.at - text) + taken : 0;
}
