/*
** Time axes: see when.h.
*/
#include "extensions/viz/when.h"

#include <math.h>
#include <stdint.h>

#include "base/array.h"
#include "extensions/viz/svg.h"

/* ---- dates ------------------------------------------------------------------------------ */

/* Days since 1970-01-01 in the Gregorian calendar, by counting years from March. */
static int64_t days_from_date(int64_t year, int month, int day) {
  year -= month <= 2;
  int64_t era = (year >= 0 ? year : year - 399) / 400;
  int64_t of_era = year - era * 400;
  int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_from_days(int64_t days, int *year, int *month, int *day) {
  days += 719468;
  int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  int64_t of_era = days - era * 146097;
  int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  int64_t of_year = of_era - (365 * y + y / 4 - y / 100);
  int64_t m = (5 * of_year + 2) / 153;
  *day = (int)(of_year - (153 * m + 2) / 5 + 1);
  *month = (int)(m < 10 ? m + 3 : m - 9);
  *year = (int)(y + era * 400 + (*month <= 2));
}

/* Reads exactly `digits` digits, and `before` in front of them when not 0. */
static bool read_number(const char **at, const char *end, char before, int digits, int *out) {
  const char *s = *at;
  if (before && (s == end || *s++ != before)) return false;
  *out = 0;
  for (int i = 0; i < digits; i++, s++) {
    if (s == end || *s < '0' || *s > '9') return false;
    *out = *out * 10 + (*s - '0');
  }
  *at = s;
  return true;
}

static bool read_time(const char **at, const char *end, double *seconds) {
  int hour, minute, second = 0;
  if (!read_number(at, end, 0, 2, &hour) || !read_number(at, end, ':', 2, &minute)) return false;
  double part = 0, unit = 1;
  if (*at < end && **at == ':') {
    if (!read_number(at, end, ':', 2, &second)) return false;
    if (*at < end && **at == '.') {
      for ((*at)++; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
        part += (**at - '0') * (unit /= 10);
      }
    }
  }
  if (hour > 24 || minute > 59 || second > 60) return false;
  *seconds = hour * 3600.0 + minute * 60.0 + second + part;
  return true;
}

bool when_parse(const char *text, size_t length, double *out) {
  const char *at = text, *end = text + length;
  int year, month, day;
  double seconds = 0;
  if (!read_number(&at, end, 0, 4, &year) || !read_number(&at, end, '-', 2, &month) ||
      !read_number(&at, end, '-', 2, &day)) {
    return false;
  }
  if (month < 1 || month > 12 || day < 1 || day > 31) return false;
  if (at < end && (*at == ' ' || *at == 'T')) {
    at++;
    if (!read_time(&at, end, &seconds)) return false;
  }
  if (at < end && *at == 'Z') at++;
  *out = (double)days_from_date(year, month, day) * 86400.0 + seconds;
  return at == end;
}

static void add_date(Text *out, double seconds) {
  int year, month, day;
  date_from_days((int64_t)floor(seconds / 86400), &year, &month, &day);
  text_addf(out, "%04d-%02d-%02d", year, month, day);
}

static void add_clock(Text *out, double seconds, bool with_seconds) {
  int of_day = (int)(seconds - floor(seconds / 86400) * 86400);
  text_addf(out, "%02d:%02d", of_day / 3600, of_day / 60 % 60);
  if (with_seconds) text_addf(out, ":%02d", of_day % 60);
}

/* ---- durations -------------------------------------------------------------------------- */

static void add_duration(Text *out, double ns, double scale) {
  static const struct {
    double from, size;
    const char *name;
  } units[] = {{48 * 3.6e12, 24 * 3.6e12, "d"},
               {2 * 3.6e12, 3.6e12, "h"},
               {6e11, 6e10, "min"},
               {1e9, 1e9, "s"},
               {1e6, 1e6, "ms"},
               {1e3, 1e3, "µs"}};
  for (size_t i = 0; i < countof(units); i++) {
    if (scale < units[i].from) continue;
    svg_number(out, ns / units[i].size);
    text_addf(out, " %s", units[i].name);
    return;
  }
  svg_number(out, ns);
  text_add(out, " ns");
}

/* ---- axes ------------------------------------------------------------------------------- */

static double date_step(double span, int most) {
  static const double steps[] = {1,     2,      5,      15,      30,      60,      300,
                                 900,   1800,   3600,   7200,    10800,   21600,   43200,
                                 86400, 172800, 604800, 1209600, 2592000, 7776000, 31536000};
  for (size_t i = 0; i < countof(steps); i++) {
    if (span / steps[i] <= most) return steps[i];
  }
  return svg_step(span / 31536000, most) * 31536000;
}

WhenAxis when_axis(WhenKind kind, double low, double high, int most) {
  WhenAxis axis = {.kind = kind, .low = low, .high = high};
  axis.step = kind == WHEN_DATE ? date_step(high - low, most) : svg_step(high - low, most);
  axis.first = kind == WHEN_DURATION ? low : ceil(low / axis.step) * axis.step;
  return axis;
}

void when_label(Text *out, const WhenAxis *axis, double at, bool first) {
  switch (axis->kind) {
  case WHEN_PLAIN:
    svg_number(out, at);
    break;
  case WHEN_DURATION:
    add_duration(out, at - axis->low, axis->high - axis->low);
    break;
  case WHEN_DATE:
    if (axis->step >= 86400) {
      add_date(out, at);
    } else if (first || fmod(at, 86400) == 0) {
      add_date(out, at);
      text_addc(out, ' ');
      add_clock(out, at, axis->step < 60);
    } else {
      add_clock(out, at, axis->step < 60);
    }
  }
}

void when_moment(Text *out, const WhenAxis *axis, double at) {
  if (axis->kind == WHEN_DATE) {
    add_date(out, at);
    text_addc(out, ' ');
    add_clock(out, at, true);
  } else if (axis->kind == WHEN_DURATION) {
    add_duration(out, at - axis->low, at - axis->low);
  } else {
    svg_number(out, at);
  }
}

void when_span(Text *out, const WhenAxis *axis, double span) {
  if (axis->kind == WHEN_PLAIN) {
    svg_number(out, span);
  } else {
    double ns = axis->kind == WHEN_DATE ? span * 1e9 : span;
    add_duration(out, ns, ns);
  }
}
