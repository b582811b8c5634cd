/*
** viz_timeline(start, end, lane, label [, unit]): spans on lanes over time, as SVG.
**
**   SELECT viz_timeline(starts, ends, person, shift) FROM roster
**
** Times are numbers, or ISO-8601 texts. With a unit ('ns', 'us', 'ms', 's') the axis counts from
** the first start. Spans of a lane that overlap are stacked. An end of NULL is open: drawn to the
** edge.
*/
#include "extensions/viz/viz.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SPAN_LIMIT = 50000, LANE_LIMIT = 1000, STACK_LIMIT = 64, LEGEND_LIMIT = 16 };
static const double CHART = 900; /* width */

typedef struct Span {
  double start, end;
  int64_t lane, label, seq;
  int row; /* counted over all lanes, from the top */
  bool open;
} Span;

typedef struct Timeline {
  Labels lanes, labels;
  Span *spans;
  size_t count, capacity;
  WhenKind kind;
  double scale;         /* to ns, for durations */
  sqlite3_int64 origin; /* taken from integers before they become doubles */
} Timeline;

/* ---- rows in ---------------------------------------------------------------------------- */

static bool read_unit(sqlite3_context *ctx, int argc, sqlite3_value **argv, Timeline *line) {
  static const struct {
    const char *name;
    double scale;
  } units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
  bool text = sqlite3_value_numeric_type(argv[0]) == SQLITE_TEXT;
  line->kind = text ? WHEN_DATE : WHEN_PLAIN;
  line->scale = 1;
  if (sqlite3_value_type(argv[0]) == SQLITE_INTEGER) line->origin = sqlite3_value_int64(argv[0]);
  if (argc < 5 || sqlite3_value_type(argv[4]) == SQLITE_NULL) return true;
  const char *unit = (const char *)sqlite3_value_text(argv[4]);
  for (size_t i = 0; unit && i < countof(units); i++) {
    if (strcmp(unit, units[i].name) != 0) continue;
    line->kind = WHEN_DURATION;
    line->scale = units[i].scale;
    if (!text) return true;
  }
  func_fail(ctx, SQLITE_ERROR,
            "unit '%.40s' is not one of ns, us, ms, s for times that are numbers",
            unit ? unit : "");
  return false;
}

/* A moment, relative to the origin. */
static bool read_moment(sqlite3_context *ctx, sqlite3_value *value, const char *name,
                        const Timeline *line, double *out) {
  if (line->kind == WHEN_DATE) {
    const char *text = (const char *)sqlite3_value_text(value);
    if (text && when_parse(text, (size_t)sqlite3_value_bytes(value), out)) return true;
    func_fail(ctx, SQLITE_ERROR, "%s is '%.40s', a date like 2024-05-06 07:08:09 is wanted", name,
              text ? text : "");
    return false;
  }
  if (!viz_number(ctx, value, name, out)) return false;
  if (sqlite3_value_type(value) == SQLITE_INTEGER) {
    sqlite3_int64 whole = sqlite3_value_int64(value);
    bool fits =
        line->origin >= 0 ? whole >= INT64_MIN + line->origin : whole <= INT64_MAX + line->origin;
    if (fits) {
      *out = (double)(whole - line->origin) * line->scale;
      return true;
    }
  }
  *out = (*out - (double)line->origin) * line->scale;
  if (fabs(*out) <= 1e100) return true;
  func_fail(ctx, SQLITE_ERROR, "%s is beyond 1e100", name);
  return false;
}

static bool read_span(sqlite3_context *ctx, sqlite3_value **argv, Timeline *line, Span *span) {
  Label lane, label;
  if (!read_moment(ctx, argv[0], "start", line, &span->start)) return false;
  span->open = sqlite3_value_type(argv[1]) == SQLITE_NULL;
  span->end = span->start;
  if (!span->open && !read_moment(ctx, argv[1], "end", line, &span->end)) return false;
  if (!viz_text(ctx, argv[2], "lane", &lane) || !viz_text(ctx, argv[3], "label", &label)) {
    return false;
  }
  if (span->end < span->start) {
    func_fail(ctx, SQLITE_ERROR, "\"%.40s\" ends at %.40s, before its start at %.40s", label.text,
              (const char *)sqlite3_value_text(argv[1]), (const char *)sqlite3_value_text(argv[0]));
    return false;
  }
  span->lane = viz_label(&line->lanes, lane.text, lane.length);
  span->label = viz_label(&line->labels, label.text, label.length);
  if (span->lane >= 0 && span->label >= 0) return true;
  sqlite3_result_error_nomem(ctx);
  return false;
}

void viz_timeline_step(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  if (sqlite3_value_type(argv[0]) == SQLITE_NULL || viz_any_null(2, argv + 2)) return;
  Timeline *line = sqlite3_aggregate_context(ctx, sizeof *line);
  Span span = {0};
  if (!line) {
    sqlite3_result_error_nomem(ctx);
    return;
  }
  if (line->count == 0 && !read_unit(ctx, argc, argv, line)) return;
  if (!read_span(ctx, argv, line, &span)) return;
  if (line->count == SPAN_LIMIT || line->lanes.count > LANE_LIMIT) {
    func_fail(ctx, SQLITE_TOOBIG, "%zu spans on %zu lanes, the limits are %d and %d",
              line->count + 1, line->lanes.count, SPAN_LIMIT, LANE_LIMIT);
    return;
  }
  span.seq = (int64_t)line->count;
  if (!array_grow(line->spans, line->capacity, line->count + 1)) {
    sqlite3_result_error_nomem(ctx);
    return;
  }
  line->spans[line->count++] = span;
}

/* ---- layout ----------------------------------------------------------------------------- */

static int compare_spans(const void *left, const void *right) {
  const Span *a = left, *b = right;
  if (a->lane != b->lane) return a->lane < b->lane ? -1 : 1;
  if (a->start != b->start) return a->start < b->start ? -1 : 1;
  return a->seq < b->seq ? -1 : a->seq > b->seq;
}

typedef struct Chart {
  WhenAxis axis;
  double left, top, row;
  int rows;
  int lane_top[LANE_LIMIT + 2]; /* first row of each lane, and one past the last */
} Chart;

/* Each span goes to the first row of its lane that is free at its start. */
static void stack_spans(Timeline *line, Chart *chart) {
  double busy[STACK_LIMIT];
  int used = 0, top = 0;
  int64_t lane = -1;
  qsort(line->spans, line->count, sizeof *line->spans, compare_spans);
  for (size_t i = 0; i < line->count; i++) {
    Span *span = &line->spans[i];
    if (span->lane != lane) {
      top += used;
      used = 0;
      lane = span->lane;
      chart->lane_top[lane] = top;
    }
    int row = 0;
    while (row < used && busy[row] > span->start) row++;
    if (row == STACK_LIMIT) row--;
    if (row == used) used++;
    busy[row] = span->end;
    span->row = top + row;
  }
  chart->rows = top + used;
  chart->lane_top[line->lanes.count] = chart->rows;
}

static void plan_chart(Timeline *line, Chart *chart) {
  double low = INFINITY, high = -INFINITY;
  bool open = false;
  for (size_t i = 0; i < line->count; i++) {
    low = fmin(low, line->spans[i].start);
    high = fmax(high, line->spans[i].end);
    open = open || line->spans[i].open;
  }
  if (open) high += (high - low) * 0.04; /* one that starts last has to be seen */
  for (size_t i = 0; i < line->count; i++) {
    if (line->spans[i].open) line->spans[i].end = high;
  }
  stack_spans(line, chart);
  double shift = line->kind == WHEN_PLAIN ? (double)line->origin : 0;
  if (!(high > low)) high = low + fmax(1, fabs(low) * 1e-9); /* one moment, perhaps a large one */
  if (!(high + shift > low + shift)) shift = 0; /* too far from zero for doubles: count from 0 */
  for (size_t i = 0; i < line->count; i++) {
    line->spans[i].start += shift;
    line->spans[i].end += shift;
  }
  chart->axis = when_axis(line->kind, low + shift, high + shift, 8);
  chart->left = viz_margin(line->lanes.longest);
  chart->top = 30;
  chart->row = chart->rows <= 60 ? 20 : chart->rows <= 200 ? 12 : 6;
}

static double place(const Chart *chart, double at) {
  return chart->left + (at - chart->axis.low) / (chart->axis.high - chart->axis.low) * CHART;
}

/* ---- drawing ---------------------------------------------------------------------------- */

static void draw_axis(Text *out, const Chart *chart) {
  double bottom = chart->top + chart->row * chart->rows;
  Text label = {0};
  for (int i = 0; i < 12; i++) {
    double at = chart->axis.first + chart->axis.step * i;
    if (at > chart->axis.high) break;
    double x = place(chart, at);
    text_clear(&label);
    when_label(&label, &chart->axis, at, i == 0);
    if (label.oom) out->oom = true;
    svg_line(out, x, chart->top - 6, x, bottom, SVG_GRID);
    svg_label(out, x, chart->top - 12, i == 0 ? SVG_START : SVG_MIDDLE, SVG_PALE,
              label.data ? label.data : "", label.length, 0);
  }
  text_finish(&label);
}

static void draw_lanes(Text *out, const Timeline *line, const Chart *chart) {
  double last = -100;
  for (size_t i = 0; i < line->lanes.count; i++) {
    double y = chart->top + chart->row * chart->lane_top[i];
    double middle = y + chart->row * (chart->lane_top[i + 1] - chart->lane_top[i]) / 2 + 4;
    svg_line(out, chart->left - 6, y, chart->left + CHART, y, SVG_GRID);
    if (middle - last < 11) continue; /* no room under the one before */
    last = middle;
    svg_label(out, chart->left - 8, middle, SVG_END, SVG_INK, line->lanes.at[i].text,
              line->lanes.at[i].length, 30);
  }
}

static void draw_span(Text *out, const Timeline *line, const Chart *chart, const Span *span) {
  const Label *label = &line->labels.at[span->label];
  double x = place(chart, span->start);
  double width = fmax(place(chart, span->end) - x, 1.5);
  double y = chart->top + chart->row * span->row;
  unsigned colour = svg_palette((size_t)span->label);
  svg_box(out, x, y + 1, width, chart->row - 2, colour);
  if (chart->row >= 12) text_add(out, " rx=\"2\"");
  if (span->open)
    text_add(out, " fill-opacity=\"0.6\" stroke=\"#57606a\" stroke-dasharray=\"3 2\"");
  svg_tip_begin(out);
  svg_escape(out, label->text, label->length, 0);
  text_add(out, ": ");
  when_moment(out, &chart->axis, span->start);
  if (span->open) {
    text_add(out, ", open");
  } else {
    text_add(out, " to ");
    when_moment(out, &chart->axis, span->end);
    text_add(out, " (");
    when_span(out, &chart->axis, span->end - span->start);
    text_addc(out, ')');
  }
  svg_tip_end(out, "rect");
  double room = (width - 8) / SVG_CHAR;
  if (chart->row >= 12 && room >= 3) {
    svg_label(out, x + 4, y + chart->row / 2 + 4, SVG_START, svg_ink_on(colour), label->text,
              label->length, (size_t)room);
  }
}

static double draw_legend(Text *out, const Timeline *line, const Chart *chart) {
  double x = chart->left, y = chart->top + chart->row * chart->rows + 22;
  if (line->labels.count > LEGEND_LIMIT) return y - 10;
  for (size_t i = 0; i < line->labels.count; i++) {
    const Label *label = &line->labels.at[i];
    size_t shown = svg_length(label->text, label->length);
    double width = 28 + SVG_CHAR * (double)(shown < 24 ? shown : 24);
    if (x + width > chart->left + CHART && x > chart->left) {
      x = chart->left;
      y += 18;
    }
    svg_box(out, x, y - 9, 11, 11, svg_palette(i));
    text_add(out, "/>\n");
    svg_label(out, x + 16, y, SVG_START, SVG_INK, label->text, label->length, 24);
    x += width;
  }
  return y + 14;
}

/* The legend decides the height, which stands at the beginning: so the body is drawn first. */
static void draw(Text *out, Timeline *line, Chart *chart) {
  Text body = {0};
  plan_chart(line, chart);
  draw_axis(&body, chart);
  draw_lanes(&body, line, chart);
  for (size_t i = 0; i < line->count; i++) draw_span(&body, line, chart, &line->spans[i]);
  double height = draw_legend(&body, line, chart);
  svg_begin(out, chart->left + CHART + 24, height, "Timeline");
  if (body.oom) out->oom = true;
  if (body.data) text_addn(out, body.data, body.length);
  svg_end(out);
  text_finish(&body);
}

void viz_timeline_final(sqlite3_context *ctx) {
  Timeline *line = sqlite3_aggregate_context(ctx, 0);
  if (!line) return;
  Text out = {0};
  Chart *chart = calloc(1, sizeof *chart);
  if (!chart) {
    sqlite3_result_error_nomem(ctx);
  } else if (line->count > 0) {
    draw(&out, line, chart);
    vt_result_text(ctx, &out, false);
  }
  text_finish(&out);
  free(chart);
  viz_labels_finish(&line->lanes);
  viz_labels_finish(&line->labels);
  free(line->spans);
}
