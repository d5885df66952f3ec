/* SPDX-License-Identifier: MIT
 *
 * date.c - dates as HTTP writes and reads them, without locale and time zone.
 *
 * Threads, Source: date.h. Days are counted in the proleptic Gregorian calendar from 1970-01-01, by its cycle of 400
 * years with March as a year's first month, so that the leap day is its last.
 */
#include "date.h"

#include <stdint.h>
#include <string.h>

#define DAY_S 86400
#define CYCLE_YEARS 400
#define CYCLE_DAYS 146097  /* in 400 years */
#define EPOCH_DAYS 719468  /* from 0000-03-01 to 1970-01-01 */
#define LAST_SECOND INT64_C(253402300799) /* of the year 9999 */
#define CENTURY 100
#define AHEAD_YEARS 50     /* a year of two digits that seems farther ahead than this is one of the century before */

static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char day_names[] = "ThuFriSatSunMonTueWed"; /* from the epoch's on */

struct civil {
    int year, month, day; /* month 1 to 12 */
    int hour, minute, second;
};

static int64_t days_of(const struct civil *c)
{
    int64_t year = c->year - (c->month <= 2);
    int64_t cycle = (year >= 0 ? year : year - (CYCLE_YEARS - 1)) / CYCLE_YEARS;
    int64_t of_cycle = year - cycle * CYCLE_YEARS;
    int64_t of_year = (153 * (c->month + (c->month > 2 ? -3 : 9)) + 2) / 5 + c->day - 1;
    return cycle * CYCLE_DAYS + of_cycle * 365 + of_cycle / 4 - of_cycle / 100 + of_year - EPOCH_DAYS;
}

/* days: from 1970-01-01, not before. */
static struct civil date_of(int64_t days)
{
    int64_t z = days + EPOCH_DAYS, cycle = z / CYCLE_DAYS, of_cycle = z % CYCLE_DAYS;
    int64_t year = (of_cycle - of_cycle / 1460 + of_cycle / 36524 - of_cycle / 146096) / 365;
    int64_t of_year = of_cycle - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;
    struct civil c = {.day = (int)(of_year - (153 * month + 2) / 5 + 1),
                      .month = (int)(month < 10 ? month + 3 : month - 9)};
    c.year = (int)(year + cycle * CYCLE_YEARS + (c.month <= 2));
    return c;
}

static void put_digits(char *to, int n, int64_t value)
{
    for (; n-- > 0; value /= 10)
        to[n] = (char)('0' + value % 10);
}

void http_date_write(time_t t, char text[HTTP_DATE_TEXT])
{
    int64_t s = t < 0 ? 0 : t > LAST_SECOND ? LAST_SECOND : t, days = s / DAY_S, of_day = s % DAY_S;
    struct civil c = date_of(days);
    memcpy(text, "ddd, 00 mmm 0000 00:00:00 GMT", HTTP_DATE_TEXT);
    memcpy(text, &day_names[days % 7 * 3], 3);
    put_digits(text + 5, 2, c.day);
    memcpy(text + 8, &month_names[(c.month - 1) * 3], 3);
    put_digits(text + 12, 4, c.year);
    put_digits(text + 17, 2, of_day / 3600);
    put_digits(text + 20, 2, of_day / 60 % 60);
    put_digits(text + 23, 2, of_day % 60);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static bool read_digits(const char **at, const char *end, int n, int *out)
{
    *out = 0;
    if (end - *at < n)
        return false;
    for (int i = 0; i < n; i++) {
        char c = *(*at)++;
        if (c < '0' || c > '9')
            return false;
        *out = *out * 10 + (c - '0');
    }
    return true;
}

static bool skip(const char **at, const char *end, const char *text)
{
    size_t n = strlen(text);
    if ((size_t)(end - *at) < n || memcmp(*at, text, n) != 0)
        return false;
    *at += n;
    return true;
}

static bool read_month(const char **at, const char *end, int *month)
{
    for (*month = 1; *month <= 12; ++*month)
        if (end - *at >= 3 && memcmp(*at, &month_names[(*month - 1) * 3], 3) == 0) {
            *at += 3;
            return true;
        }
    return false;
}

static bool read_clock(const char **at, const char *end, struct civil *c)
{
    return read_digits(at, end, 2, &c->hour) && skip(at, end, ":") && read_digits(at, end, 2, &c->minute) &&
           skip(at, end, ":") && read_digits(at, end, 2, &c->second);
}

/* 06 Nov 1994 08:49:37 GMT */
static bool read_fixed(const char *at, const char *end, struct civil *c)
{
    return read_digits(&at, end, 2, &c->day) && skip(&at, end, " ") && read_month(&at, end, &c->month) &&
           skip(&at, end, " ") && read_digits(&at, end, 4, &c->year) && skip(&at, end, " ") &&
           read_clock(&at, end, c) && skip(&at, end, " GMT") && at == end;
}

/* 06-Nov-94 08:49:37 GMT */
static bool read_rfc850(const char *at, const char *end, int this_year, struct civil *c)
{
    if (!(read_digits(&at, end, 2, &c->day) && skip(&at, end, "-") && read_month(&at, end, &c->month) &&
          skip(&at, end, "-") && read_digits(&at, end, 2, &c->year) && skip(&at, end, " ") &&
          read_clock(&at, end, c) && skip(&at, end, " GMT") && at == end))
        return false;
    c->year += this_year - this_year % CENTURY;
    if (c->year > this_year + AHEAD_YEARS)
        c->year -= CENTURY;
    return true;
}

/* Nov  6 08:49:37 1994 */
static bool read_asctime(const char *at, const char *end, struct civil *c)
{
    return read_month(&at, end, &c->month) && skip(&at, end, " ") &&
           (skip(&at, end, " ") ? read_digits(&at, end, 1, &c->day) : read_digits(&at, end, 2, &c->day)) &&
           skip(&at, end, " ") && read_clock(&at, end, c) && skip(&at, end, " ") &&
           read_digits(&at, end, 4, &c->year) && at == end;
}

/* The second 60 of a leap second is let pass: it is the next minute's first. */
static bool exists(const struct civil *c)
{
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = c->year % 4 == 0 && (c->year % 100 != 0 || c->year % CYCLE_YEARS == 0);
    return c->day >= 1 && c->day <= days[c->month - 1] && (c->month != 2 || c->day <= 28 + leap) && c->hour <= 23 &&
           c->minute <= 59 && c->second <= 60;
}

bool http_date_read(const char *text, size_t length, time_t now, time_t *out)
{
    struct civil c = {.year = 0};
    const char *end = text + length, *comma = memchr(text, ',', length);
    bool is_date;
    if (comma == NULL)
        is_date = length > 4 && text[3] == ' ' && read_asctime(text + 4, end, &c);
    else if (comma == text + 3)
        is_date = comma + 2 < end && comma[1] == ' ' && read_fixed(comma + 2, end, &c);
    else
        is_date = comma + 2 < end && comma[1] == ' ' &&
                  read_rfc850(comma + 2, end, date_of((now < 0 ? 0 : now) / DAY_S).year, &c);
    if (!is_date || !exists(&c))
        return false;
    *out = (time_t)(days_of(&c) * DAY_S + c.hour * 3600 + c.minute * 60 + c.second);
    return true;
}
