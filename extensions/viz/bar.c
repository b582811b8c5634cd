/*
** viz_bar(label, value [, width]): a bar chart made of text, for terminals.
**
**   SELECT viz_bar(name, count(*)) ...
**
**   apples  ████████████████▌ 12
**   pears   ████▎ 3
**
** One line per row, in the order of the rows. Negative values grow to the left of a common zero.
*/
#include "extensions/viz/viz.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BAR_LIMIT = 10000, BAR_WIDTH = 40, LABEL_WIDTH = 40 };

typedef struct Bar {
  size_t label; /* offset in `names` */
  size_t length;
  double value;
} Bar;

typedef struct Bars {
  Text names;
  Bar *at;
  size_t count, capacity;
  size_t longest; /* label, in characters */
  int width;
  double low, high; /* of the values, and zero */
} Bars;

static bool read_width(sqlite3_context *ctx, int argc, sqlite3_value **argv, Bars *bars) {
  bars->width = BAR_WIDTH;
  if (argc < 3) return true;
  double width;
  if (!viz_number(ctx, argv[2], "width", &width)) return false;
  if (width < 1 || width > 1000) {
    func_fail(ctx, SQLITE_ERROR, "width is %s, it must be from 1 to 1000",
              (const char *)sqlite3_value_text(argv[2]));
    return false;
  }
  bars->width = (int)width;
  return true;
}

void viz_bar_step(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  if (viz_any_null(argc, argv)) return;
  Bars *bars = sqlite3_aggregate_context(ctx, sizeof *bars);
  Bar bar = {0};
  Label label;
  if (!bars) {
    sqlite3_result_error_nomem(ctx);
    return;
  }
  if (bars->count == 0 && !read_width(ctx, argc, argv, bars)) return;
  if (!viz_text(ctx, argv[0], "label", &label)) return;
  if (!viz_number(ctx, argv[1], "value", &bar.value)) return;
  if (bars->count == BAR_LIMIT) {
    func_fail(ctx, SQLITE_TOOBIG, "more than %d bars", BAR_LIMIT);
    return;
  }
  bar.label = bars->names.length;
  bar.length = label.length;
  text_addn(&bars->names, label.text, label.length);
  if (bars->names.oom || !array_grow(bars->at, bars->capacity, bars->count + 1)) {
    sqlite3_result_error_nomem(ctx);
    return;
  }
  bars->at[bars->count++] = bar;
  size_t characters = svg_length(label.text, label.length);
  if (characters > LABEL_WIDTH) characters = LABEL_WIDTH;
  if (characters > bars->longest) bars->longest = characters;
  if (bar.value < bars->low) bars->low = bar.value;
  if (bar.value > bars->high) bars->high = bar.value;
}

static void repeat(Text *out, const char *what, int times) {
  while (times-- > 0) text_add(out, what);
}

/* Blocks cut at the right edge exist in eighths... */
static void add_right(Text *out, double cells) {
  static const char *const part[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  int eighths = (int)lround(cells * 8);
  if (eighths == 0 && cells > 0) eighths = 1; /* small is not nothing */
  repeat(out, "█", eighths / 8);
  text_add(out, part[eighths % 8]);
}

/* ... and at the left edge in halves. */
static void add_left(Text *out, double cells, int room) {
  int halves = (int)lround(cells * 2);
  if (halves == 0 && cells > 0) halves = 1;
  repeat(out, " ", room - (halves + 1) / 2);
  if (halves % 2) text_add(out, "▐");
  repeat(out, "█", halves / 2);
}

static void add_name(Text *out, const Bars *bars, const Bar *bar) {
  const char *name = bars->names.data ? bars->names.data + bar->label : "";
  size_t shown = 0, whole = svg_length(name, bar->length);
  size_t keep = whole > LABEL_WIDTH ? LABEL_WIDTH - 1 : whole;
  for (size_t i = 0; i < bar->length && shown < keep;) {
    unsigned char c = (unsigned char)name[i];
    size_t n = 1;
    while (c >= 0xC0 && i + n < bar->length && ((unsigned char)name[i + n] & 0xC0) == 0x80) n++;
    if (c < 0x20 || c == 0x7F) {
      text_addc(out, ' ');
    } else {
      text_addn(out, name + i, n);
    }
    i += n;
    shown++;
  }
  if (whole > LABEL_WIDTH) text_add(out, "…"), shown++;
  repeat(out, " ", (int)bars->longest - (int)shown + 1);
}

static void add_bar(Text *out, const Bars *bars, const Bar *bar) {
  double span = bars->high - bars->low;
  int left = 0;
  if (bars->low < 0) {
    left = (int)lround(bars->width * (-bars->low / span));
    if (left == 0) left = 1;
  }
  int right = bars->width - left;
  add_name(out, bars, bar);
  if (bar->value < 0) {
    add_left(out, left * (bar->value / bars->low), left);
    text_add(out, "▏");
  } else {
    repeat(out, " ", left);
    if (left > 0) text_add(out, "▏");
    if (bar->value > 0) add_right(out, right * (bar->value / bars->high));
  }
  text_addc(out, ' ');
  svg_number(out, bar->value);
}

void viz_bar_final(sqlite3_context *ctx) {
  Bars *bars = sqlite3_aggregate_context(ctx, 0);
  if (!bars) return;
  Text out = {0};
  for (size_t i = 0; i < bars->count; i++) {
    if (i > 0) text_addc(&out, '\n');
    add_bar(&out, bars, &bars->at[i]);
  }
  if (bars->count > 0) vt_result_text(ctx, &out, false);
  text_finish(&out);
  text_finish(&bars->names);
  free(bars->at);
}
