/*
** Time axes: ISO-8601 texts to seconds, and round ticks for numbers, durations and dates.
*/
#ifndef TENFOLD_VIZ_WHEN_H
#define TENFOLD_VIZ_WHEN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

/* "2024-05-06", "2024-05-06 07:08[:09[.123]]" (T or space, Z allowed) to seconds since 1970. */
bool when_parse(const char *text, size_t length, double *out);

typedef enum WhenKind { WHEN_PLAIN, WHEN_DURATION, WHEN_DATE } WhenKind;

/* An axis over low..high (low < high) with at most `most` ticks. Plain numbers and dates have ticks
** at round values, durations (in ns) at round distances from `low`. */
typedef struct WhenAxis {
  WhenKind kind;
  double low, high, first, step;
} WhenAxis;

WhenAxis when_axis(WhenKind kind, double low, double high, int most);

/* The words at a tick; `first`: the leftmost one, which shows the date, too. */
void when_label(Text *out, const WhenAxis *axis, double at, bool first);

/* A moment / a distance in full, for tooltips. */
void when_moment(Text *out, const WhenAxis *axis, double at);
void when_span(Text *out, const WhenAxis *axis, double span);

#endif
