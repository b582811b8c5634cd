/*
** far_histogram: counts of values, for windows of time, in far memory.
**
**   CREATE VIRTUAL TABLE lat USING far_histogram(buckets=10, low=0, high=100, windows=3);
**   SELECT far_observe('lat', 12.5);                       -- a round
**   SELECT far_turn('lat');                                -- from now on, another window
**   SELECT window, low, high, count FROM lat WHERE count > 0;
*/
#include <math.h>
#include <stdlib.h>

#include "base/array.h"
#include "extensions/far/far.h"

enum { HIST_WINDOW, HIST_BUCKET, HIST_LOW, HIST_HIGH, HIST_COUNT, HIST_NCOL };

static const VtColumn histogram_columns[] = {
    [HIST_WINDOW] = {"window", "INTEGER", VT_OUT, 0, "its number: the first one is 0"},
    [HIST_BUCKET] = {"bucket", "INTEGER", VT_OUT, 0,
                     "1 to buckets; 0 is what is below them, buckets + 1 what is above"},
    [HIST_LOW] = {"low", "REAL", VT_OUT, 0, "the least value that is counted here; NULL: any"},
    [HIST_HIGH] = {"high", "REAL", VT_OUT, 0, "values are below that; NULL: any"},
    [HIST_COUNT] = {"count", "INTEGER", VT_OUT, 0, "how many there were"},
};

static const VtOrder histogram_order[] = {{HIST_WINDOW, false}, {HIST_BUCKET, false}};

typedef struct HistogramCursor {
  VtCursor base;
  uint64_t *counts; /* the newest window first */
  uint64_t newest, window, bucket;
} HistogramCursor;

static int histogram_seek(VtCursor *base, const VtPlan *plan) {
  HistogramCursor *cur = (HistogramCursor *)base;
  FarTab *tab = (FarTab *)base->tab;
  const FarHistogramPlan *shape = far_histogram_plan(tab->histogram);
  Stop stop = {.asked = vt_asked, .ctx = &base->poll};
  Fault fault = {0};
  (void)plan;
  if (!cur->counts) cur->counts = malloc(shape->windows * (shape->buckets + 2) * sizeof(uint64_t));
  if (!cur->counts) return SQLITE_NOMEM;
  if (!far_link_ready(tab->link, &stop, &fault) ||
      !far_histogram_read(tab->histogram, cur->counts, &cur->newest, &stop, &fault))
    return vt_fault(&tab->base, &fault);
  cur->window = cur->newest < shape->windows ? 0 : cur->newest + 1 - shape->windows;
  cur->bucket = 0;
  return SQLITE_OK;
}

static int histogram_step(VtCursor *base) {
  HistogramCursor *cur = (HistogramCursor *)base;
  const FarHistogramPlan *shape = far_histogram_plan(((FarTab *)base->tab)->histogram);
  if (++cur->bucket < shape->buckets + 2) return SQLITE_OK;
  cur->bucket = 0;
  base->eof = ++cur->window > cur->newest;
  return SQLITE_OK;
}

static void edge(sqlite3_context *ctx, double value) {
  if (isfinite(value)) sqlite3_result_double(ctx, value);
}

static int histogram_column(VtCursor *base, sqlite3_context *ctx, int col) {
  const HistogramCursor *cur = (HistogramCursor *)base;
  const FarHistogramPlan *shape = far_histogram_plan(((FarTab *)base->tab)->histogram);
  const uint64_t at = (cur->newest - cur->window) * (shape->buckets + 2) + cur->bucket;
  if (col == HIST_LOW) {
    edge(ctx, far_histogram_edge(shape, cur->bucket));
  } else if (col == HIST_HIGH) {
    edge(ctx, far_histogram_edge(shape, cur->bucket + 1));
  } else {
    const uint64_t numbers[] = {
        [HIST_WINDOW] = cur->window, [HIST_BUCKET] = cur->bucket, [HIST_COUNT] = cur->counts[at]};
    sqlite3_result_int64(ctx, (sqlite3_int64)numbers[col]);
  }
  return SQLITE_OK;
}

static sqlite3_int64 histogram_rowid(VtCursor *base) {
  const HistogramCursor *cur = (HistogramCursor *)base;
  const FarHistogramPlan *shape = far_histogram_plan(((FarTab *)base->tab)->histogram);
  return (sqlite3_int64)(cur->window * (shape->buckets + 2) + cur->bucket);
}

static void histogram_close(VtCursor *base) { free(((HistogramCursor *)base)->counts); }

static int histogram_connect(VtTab *base, const VtCreate *create) {
  return far_tab_connect((FarTab *)base, FAR_KIND_HISTOGRAM, create);
}

const VtTable far_histogram_table = {
    .name = "far_histogram",
    .doc = "Counts of values in buckets, for windows of time: far_observe() counts in one round, "
           "far_turn() begins the next window, and SELECT reads all of them in one round.",
    .needs = "remote",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .rows = 100,
    .seek_cost = 100,
    .cols = histogram_columns,
    .ncols = HIST_NCOL,
    .order = histogram_order,
    .norder = countof(histogram_order),
    .table_size = sizeof(FarTab),
    .cursor_size = sizeof(HistogramCursor),
    .created = true,
    .connect = histogram_connect,
    .disconnect = far_tab_disconnect,
    .seek = histogram_seek,
    .step = histogram_step,
    .column = histogram_column,
    .rowid = histogram_rowid,
    .close = histogram_close,
};
